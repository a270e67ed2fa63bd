"""What a run leaves in its output folder: a page a chapter, ``index.html`` and ``results.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdnotes.course import chapters
from kdnotes.course.chapters import Chapter
from kdnotes.files import write_text

__all__ = ["read", "update", "write", "write_chapter"]


def read(output: Path, everything: list[Chapter]) -> dict[str, dict[str, Any]]:
    """The entries of ``results.json`` by chapter; none if the file is missing or not ours."""
    names = {chapter.name for chapter in everything}
    try:
        entries = json.loads((output / "results.json").read_text(encoding="utf-8"))["chapters"]
        needed = {"status", "seconds", "profile"}
        return {e["chapter"]: e for e in entries if e["chapter"] in names and needed <= set(e)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_chapter(output: Path, chapter: Chapter, notebook: Any, status: str) -> None:
    """Notebook and page; the pages of an earlier pass stay if the chapter did not pass."""
    from kdnotes.show.pages import notebook_page

    stem = _stem(chapter, status)
    chapters.write(output / f"{stem}.ipynb", notebook)
    write_text(output / f"{stem}.html", notebook_page(notebook, chapter.title))
    if status == "passed":
        for kind in ("ipynb", "html"):
            (output / f"{_stem(chapter, 'failed')}.{kind}").unlink(missing_ok=True)


def write(
    output: Path, everything: list[Chapter], entries: dict[str, Any], about: dict[str, Any]
) -> None:
    """``results.json`` and the index of all chapters, also of those that did not run."""
    from kdnotes.show.pages import index_page

    ordered = [entries[chapter.name] for chapter in everything if chapter.name in entries]
    results = {**about, "chapters": ordered}
    write_text(output / "results.json", json.dumps(results, indent=1) + "\n")
    rows = []
    for chapter in everything:
        row = {"number": chapter.name[:2], "title": chapter.title, "promise": chapter.promise}
        entry = entries.get(chapter.name, {"status": "", "seconds": "", "error": ""})
        stem = _stem(chapter, entry["status"])
        files = {"page": f"{stem}.html", "notebook": f"{stem}.ipynb"}
        rows.append(row | entry | (files if entry["status"] else dict.fromkeys(files, "")))
    heading = f"Profile {about['profile']}, data set {about['dataset']}"
    write_text(output / "index.html", index_page(rows, heading))


def update(chapter: Chapter, source: bytes, notebook: Any) -> None:
    """Write the outputs back to a chapter that is still as it was when it began."""
    if chapter.path.read_bytes() != source:
        raise ValueError(
            f"--update: {chapter.path} was changed while it ran; its new text is kept, run it again"
        )
    chapters.write(chapter.path, notebook)


def _stem(chapter: Chapter, status: str) -> str:
    return chapter.name if status == "passed" else f"{chapter.name}.failed"
