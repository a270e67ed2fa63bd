"""What the executed chapters used of the store, and how it becomes one file for others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kdnotes.course.chapters import Chapter
from kdnotes.files import write_text

if TYPE_CHECKING:
    from kdnotes.store import Packed

__all__ = ["note", "pack", "pack_all"]


def note(output: Path, chapter: Chapter, names: Iterable[str]) -> None:
    """Write down what an executed chapter used, for ``pack``.

    Args:
        names: of entries, such as "runs/….safetensors".
    """
    (output / "used").mkdir(exist_ok=True)
    write_text(_notes(output, chapter), "".join(f"{name}\n" for name in names))


def pack(path: Path, output: Path, chapters: list[Chapter]) -> str:
    """Pack what these chapters used when they were executed into ``output``; returns what to say.

    Args:
        path: the file to write.
        output: folder of ``kdnotes run``.

    Raises:
        ValueError: a chapter was not executed there, or what it used is missing or damaged.
        OSError: the file cannot be written.
    """
    from kdnotes import store

    missing = [chapter.name for chapter in chapters if not _notes(output, chapter).is_file()]
    if missing:
        raise ValueError(
            f"--runs: {output} must hold the chapters to pack, executed without an error, and has "
            f"no {', '.join(missing)}: begin with kdnotes run, with the same --output"
        )
    names = {
        name
        for chapter in chapters
        for name in _notes(output, chapter).read_text(encoding="utf-8").splitlines()
    }
    entries = [entry for entry in map(store.entry_named, names) if entry]
    return _said(path, store.pack(path, entries))


def pack_all(path: Path) -> str:
    """Pack all of one's own store, of whatever code; returns what to say."""
    from kdnotes import store

    return _said(path, store.pack(path))


def _notes(output: Path, chapter: Chapter) -> Path:
    return output / "used" / f"{chapter.name}.txt"


def _said(path: Path, packed: Packed) -> str:
    lines = [
        f"{path}: {packed.runs} trainings and {packed.banks} outputs of teachers, "
        f"{packed.size / 1e6:.0f} MB. To use it: KDNOTES_STORE={path.resolve()}"
    ]
    if packed.damaged:
        lines.append(f"left out, as they are damaged: {', '.join(packed.damaged)}")
    return "\n".join(lines)
