"""The submissions in a folder, as lecturers get them: whose they are, and of which chapter."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdnotes.course.grading.book import Answer, Book, Cell, cells_of, plain_text, title_of
from kdnotes.course.grading.link import printable

__all__ = ["Submission", "find"]

LARGEST = 64 * 2**20  # bytes of a notebook
SKIPPED = ("__MACOSX", "Thumbs.db", "desktop.ini")
# What Moodle and Canvas write between a student's name and that of the file.
OF_PLATFORMS = (
    re.compile(r"^(?P<name>.+?)_\d+_assignsubmission_(file|onlinetext)_?.*$"),
    re.compile(r"^(?P<name>[^\W_]+?)(_LATE)?_\d+_\d+_.*$"),
)
ENDS = " _-.,()[]"


@dataclass(frozen=True)
class Submission:
    """A file of a student.

    Attributes:
        file: from the folder of submissions on, with "/".
        student: from the names of folder and file.
        book: the chapter of ours; ``None``, and ``fault`` says why, for a file that is not graded.
        cells: what it holds.
    """

    path: Path
    file: str
    student: str
    book: Book | None
    cells: tuple[Cell, ...] = ()
    fault: str = ""

    def answer(self, asked: Answer) -> int | None:
        """The place of the cell that holds an answer: that of its id.

        Where a notebook has lost its ids, as some programs save it: that of the cell which hands
        the answer to the check, if chapter and task are those of our edition, word by word.
        """
        for place, cell in enumerate(self.cells):
            if cell.is_code and cell.id == asked.cell.id:
                return place
        known = {one.id for one in self.book.cells}
        if any(cell.id in known for cell in self.cells):
            return None  # it has ids: the cell was deleted
        texts = {plain_text(one.source) for one in self.cells if not one.is_code}
        if not {plain_text(asked.task), plain_text(self.book.cells[0].source)} <= texts:
            return None
        call = re.compile(rf"""(?<!assert )check\.{asked.kind}\(\s*["']{asked.number}["']""")
        found = [
            place
            for place, cell in enumerate(self.cells)
            if cell.is_code and "solution" not in cell.tags and call.search(cell.source)
        ]
        return found[-1] if found else None

    def code(self) -> list[tuple[bool, str, int]]:
        """Its code as (whether it is ours, source, place or −1), in its order.

        What a reader does not write is taken from our chapter; what is not there comes first.
        """
        answers = {one.cell.id for one in self.book.answers}
        solutions = {one.id for one in self.book.cells if "solution" in one.tags}
        ours = dict(self.book.code)
        texts = {plain_text(one.source) for one in self.book.cells if one.is_code}
        found: list[tuple[bool, str, int]] = []
        for place, cell in enumerate(self.cells):
            if not cell.is_code or cell.id in solutions or "solution" in cell.tags:
                continue
            if cell.id in ours:
                found.append((True, ours.pop(cell.id).source, -1))
            elif cell.id in answers or plain_text(cell.source) not in texts:
                found.append((False, cell.source, place))
        return [(True, one.source, -1) for one in ours.values()] + found


def find(folder: Path, books: list[Book]) -> list[Submission]:
    """All submissions of a folder, in the order of their names."""
    files = sorted(_files(folder), key=lambda one: one.relative_to(folder).as_posix())
    read = [(one, *_read(one, books)) for one in files]
    together = Counter((path.parent, book and book.name) for path, book, _, _ in read)
    return [
        Submission(
            path,
            printable(path.relative_to(folder).as_posix()),
            _student(path, folder, book, together[path.parent, book and book.name] > 1),
            book,
            cells,
            fault,
        )
        for path, book, cells, fault in read
    ]


def _files(folder: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith(".") and one not in SKIPPED]
        for name in files:
            if not name.startswith(".") and name not in SKIPPED:
                yield Path(base, name)


def _read(path: Path, books: list[Book]) -> tuple[Book | None, tuple[Cell, ...], str]:
    """(chapter, cells, why it is not graded)."""
    if path.is_symlink() or not path.is_file():
        return None, (), "no file of its own (a link, or a device)"
    if path.suffix.lower() != ".ipynb":
        return None, (), "no notebook (.ipynb)"
    try:
        if path.stat().st_size > LARGEST:
            return None, (), f"larger than {LARGEST // 2**20} MB"
        cells = tuple(cells_of(json.loads(path.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        return None, (), f"cannot be read ({error.strerror or type(error).__name__})"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, (), "no notebook of format 4"
    if not cells:
        return None, (), "the notebook is empty"
    return _chapter(path, cells, books)


def _chapter(
    path: Path, cells: tuple[Cell, ...], books: list[Book]
) -> tuple[Book | None, tuple[Cell, ...], str]:
    """The chapter of a notebook, by its title and its ids, which must agree; else by its name."""
    ids = {one.id for one in cells if one.id}
    shared = [(len(ids & {one.id for one in book.cells}), book) for book in books]
    most, by_ids = max(shared, key=lambda pair: pair[0])
    title = title_of(cells)
    by_title = next((book for book in books if book.title == title), None)
    by_name = next((book for book in books if book.name[3:] in path.stem.lower()), None)
    if by_title and most and by_title != by_ids:
        fault = (
            f"another edition: its title is that of {by_title.name}, its cells have the ids of "
            f"{by_ids.name}"
        )
        return None, (), fault
    book = by_title or (by_ids if most else by_name)
    return (book, cells, "") if book else (None, (), "no chapter of this course")


def _student(path: Path, folder: Path, book: Book | None, is_among_others: bool) -> str:
    """The student's name: of the folders, and of the file if it alone tells them apart."""
    *folders, _ = path.relative_to(folder).parts
    names = [name for name in map(_named, folders) if not _is_chapter(name, book)]
    if not names or (is_among_others and book):
        names.append(_named(path.stem, book) or path.stem)
    return printable("/".join(names))


def _named(name: str, book: Book | None = None) -> str:
    """A name without what platforms, and the chapter's own name, add to it."""
    for pattern in OF_PLATFORMS:
        if found := pattern.match(name):
            return found["name"].strip(ENDS)
    if book:
        number, chapter = book.name[:2], book.name[3:]
        name = re.sub(rf"(?i)({number}[_ -])?{chapter}", "", name)
    return name.strip(ENDS)


def _is_chapter(name: str, book: Book | None) -> bool:
    return bool(book) and name.lower() in (book.name, book.name[3:], book.name[:2], "")
