"""Our copy of a chapter: its answers, by the ids of their cells, and what they build on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kdnotes.course import chapters
from kdnotes.course.grading import slices

__all__ = ["Answer", "Book", "Cell", "cells_of", "library", "plain_text"]


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook; ``id`` is "" where it has none."""

    id: str
    is_code: bool
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A cell that a reader writes an answer in.

    Attributes:
        number: of the exercise, such as "05.2"; of the quiz the chapter, such as "05".
        kind: the function of ``check`` that it is given to.
        name: of the function to write, for the kind "exercise".
        cell, task: the cell, and the text before it.
        place: among the chapter's cells.
    """

    number: str
    kind: str
    name: str | None
    cell: Cell
    task: str
    place: int

    @property
    def label(self) -> str:
        return f"{self.number} quiz" if self.kind == "quiz" else self.number


@dataclass(frozen=True)
class Book:
    """A chapter of ours."""

    name: str
    title: str
    cells: tuple[Cell, ...]

    @cached_property
    def answers(self) -> list[Answer]:
        return list(self._answers())

    def _answers(self) -> Iterator[Answer]:
        task = ""
        for place, cell in enumerate(self.cells):
            if not cell.is_code:
                task = cell.source
            elif "solution" not in cell.tags:
                for kind, number, given in _checks(cell.source):
                    name = given.id if kind == "exercise" else None
                    yield Answer(number, kind, name, cell, task, place)

    @cached_property
    def code(self) -> dict[str, Cell]:
        """The cells of code that are neither answers nor solutions, by id."""
        of_answers = {one.cell.id for one in self.answers}
        return {
            one.id: one
            for one in self.cells
            if one.is_code and "solution" not in one.tags and one.id not in of_answers
        }

    @cached_property
    def parameters(self) -> Cell:
        return next(one for one in self.cells if "parameters" in one.tags)

    def statements(self, until: int) -> list[slices.Statement]:
        """What our chapter executes before a place, without solutions."""
        return [
            statement
            for cell in self.cells[:until]
            if cell.is_code and "solution" not in cell.tags
            for statement in slices.statements(cell.source, is_ours=True)
        ]


def _checks(source: str) -> Iterator[tuple[str, str, Any]]:
    """(function of ``check``, number, answer) of a cell that checks an answer."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_check = ast.unparse(node.func.value) == "check" and node.func.attr in slices.CHECKS
            if is_check:
                yield node.func.attr, node.args[0].value, node.args[1]


def library(folder: Path) -> list[Book]:
    """Our chapters that have exercises.

    Raises:
        ValueError: the folder holds no chapter.
    """
    books = []
    for chapter in chapters.find(folder):
        cells = tuple(cells_of(chapters.read(chapter.path)))
        books.append(Book(chapter.name, title_of(cells), cells))
    return [one for one in books if one.answers]


def cells_of(notebook: Any) -> Iterator[Cell]:
    """The cells of a notebook of format 4, as far as they are any."""
    for one in notebook["cells"]:
        if not isinstance(one, dict):
            continue
        source, about = one.get("source", ""), one.get("metadata")
        lines = source if isinstance(source, list) else [source]
        tags = about.get("tags") if isinstance(about, dict) else None
        yield Cell(
            str(one.get("id") or ""),
            one.get("cell_type") == "code",
            "".join(line for line in lines if isinstance(line, str)),
            tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        )


def title_of(cells: tuple[Cell, ...]) -> str:
    """The first heading, without a number, in plain words."""
    for cell in cells:
        if not cell.is_code and (found := re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)):
            return re.sub(r"^(chapter\s+)?\d*\W*", "", plain_text(found[1]).lower())
    return ""


def plain_text(source: str) -> str:
    """A text without differences of white space."""
    return " ".join(source.split())
