"""What a run leaves in its output folder: pages, an index with a search, results.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdnotes.course import chapters, glossary
from kdnotes.course.chapters import Chapter
from kdnotes.files import write_text

__all__ = ["read", "update", "write", "write_chapter"]

GLOSSARY = "glossary"  # the page beside the chapters


def read(output: Path, everything: list[Chapter]) -> dict[str, dict[str, Any]]:
    """The entries of ``results.json`` by chapter; none if the file is missing or not ours."""
    names = {chapter.name for chapter in everything}
    try:
        entries = json.loads((output / "results.json").read_text(encoding="utf-8"))["chapters"]
        needed = {"status", "seconds", "profile"}
        return {e["chapter"]: e for e in entries if e["chapter"] in names and needed <= set(e)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_chapter(
    output: Path, everything: list[Chapter], chapter: Chapter, notebook: Any, status: str
) -> None:
    """Notebook and page; the pages of an earlier pass stay if the chapter did not pass."""
    from kdnotes.show.pages import notebook_page

    stem, place = _stem(chapter, status), everything.index(chapter)
    known = {index: (one.name, _heading(one)) for index, one in enumerate(everything)}
    neighbours = known.get(place - 1), known.get(place + 1)
    page = notebook_page(notebook, _heading(chapter), *neighbours, terms=_terms())
    chapters.write(output / f"{stem}.ipynb", notebook)
    write_text(output / f"{stem}.html", page)
    if status == "passed":
        for kind in ("ipynb", "html"):
            (output / f"{_stem(chapter, 'failed')}.{kind}").unlink(missing_ok=True)


def write(
    output: Path,
    everything: list[Chapter],
    entries: dict[str, Any],
    about: dict[str, Any],
    ended: Chapter,
) -> None:
    """``results.json``, the index of all chapters, what its search reads, and links between pages.

    Args:
        entries: chapter's name → what became of it; chapters that have not run have none.
        about: what the last run was asked for.
        ended: the chapter whose page is new.
    """
    from kdnotes.show import pages, search

    ordered = [entries[chapter.name] for chapter in everything if chapter.name in entries]
    results = {**about, "chapters": ordered}
    write_text(output / "results.json", json.dumps(results, indent=1) + "\n")
    rows = [_row(output, chapter, entries.get(chapter.name)) for chapter in everything]
    rows.append(_write_glossary(output, everything))
    heading = (
        f"Last run: profile {about['profile']}, data set {about['dataset']}, "
        f"kdnotes {about['kdnotes']}, torch {about['torch']}, {about['started']}."
    )
    write_text(output / "index.html", pages.index_page(rows, heading))
    written = {row["name"]: row["page"] for row in rows if row["page"]}
    for path in (output / page for page in written.values()):
        before = path.read_text(encoding="utf-8")
        after = pages.relink(before, written)
        if after != before:
            write_text(path, after)
    titles = {row["page"]: row["title"] for row in rows if row["page"]}
    search.write(output, titles, changed=written[ended.name])


def _row(output: Path, chapter: Chapter, entry: dict[str, Any] | None) -> dict[str, Any]:
    """A chapter for the index, with the names of those of its files that are there."""
    entry = entry or {"status": "", "seconds": "", "error": ""}
    stem = _stem(chapter, entry["status"])
    files = {"page": f"{stem}.html", "notebook": f"{stem}.ipynb"}
    there = entry["status"] and all((output / file).is_file() for file in files.values())
    about = {"name": chapter.name, "title": _heading(chapter), "promise": chapter.promise}
    about["number"] = int(chapter.name[:2])
    return about | entry | (files if there else dict.fromkeys(files, ""))


def _terms() -> dict[str, tuple[str, str]]:
    """Term → its place on the glossary's page, and what it means."""
    return {one.term: (f"{GLOSSARY}.html#{one.anchor}", one.text) for one in glossary.entries()}


def _write_glossary(output: Path, everything: list[Chapter]) -> dict[str, Any]:
    """The page of all terms, and its row in the index."""
    from kdnotes.show.pages import text_page

    names = {chapter.name.partition("_")[2]: chapter.name for chapter in everything}
    links = {name: f"{stem}.ipynb" for name, stem in names.items()}
    write_text(output / f"{GLOSSARY}.html", text_page(glossary.markdown(links=links), "Glossary"))
    promise = f"The {len(glossary.entries())} terms of the course in plain words."
    about = {"name": GLOSSARY, "title": "Glossary", "promise": promise, "number": ""}
    entry = {"status": "", "seconds": "", "error": "", "notebook": ""}
    return about | entry | {"page": f"{GLOSSARY}.html"}


def update(chapter: Chapter, source: bytes, notebook: Any) -> None:
    """Write the outputs back to a chapter that is still as it was when it began."""
    if chapter.path.read_bytes() != source:
        raise ValueError(
            f"--update: {chapter.path} was changed while it ran; its new text is kept, run it again"
        )
    chapters.write(chapter.path, notebook)


def _heading(chapter: Chapter) -> str:
    return f"{int(chapter.name[:2])}. {chapter.title}"


def _stem(chapter: Chapter, status: str) -> str:
    return chapter.name if status == "passed" else f"{chapter.name}.failed"
