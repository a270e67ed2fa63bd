"""What our own copy of a chapter defines, for answers that are judged by it."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdnotes.course.grading import slices
from kdnotes.course.grading.book import Answer, Book

__all__ = ["before_solution", "results", "values"]


@contextlib.contextmanager
def _variables(**given: str | None) -> Iterator[None]:
    """Environment variables that hold inside; ``None`` leaves one as it is."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update({name: value for name, value in given.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@functools.lru_cache(maxsize=8)
def values(
    book: Book, until: int, names: frozenset[str], profile: str, store: Path | None
) -> dict[str, Any]:
    """The names that our chapter defines up to a place, executed as far as these need it.

    Args:
        store: where runs are kept; ``None``: where the user's are.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    cache = None if store is None else str(store)
    quiet = io.StringIO()
    with (
        # A worker's own workers would be threads, in which no two trainings may run.
        _variables(
            KDNOTES_PROFILE=profile, KDNOTES_CACHE=cache, KDNOTES_WORKERS="1", KDNOTES_PROGRESS="0"
        ),
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
        warnings.catch_warnings(action="ignore"),
    ):
        for one in slices.needed(names, book.statements(until)):
            code = ast.fix_missing_locations(ast.Module([one.code], []))
            exec(compile(code, book.name, "exec"), space)
    return space


def before_solution(book: Book, answer: Answer, store: Path) -> None:
    """Train in smoke what our solution of an answer builds on, so that it is in the store."""
    solution = book.cells[answer.place + 1]
    if "solution" not in solution.tags:  # of an edition for students
        return
    values(book, answer.place, slices.names_in(solution.source), "smoke", store)


def results(book: Book, answer: Answer, profile: str) -> tuple[Any, ...]:
    """What our chapter hands to the check of an answer that was read from results."""
    call = next(
        node
        for node in ast.walk(ast.parse(answer.cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "check.read"
    )
    texts = [ast.unparse(one) for one in call.args[2:]]
    names = frozenset().union(*map(slices.names_in, texts))
    space = values(book, answer.place + 1, names, profile, None)
    return tuple(eval(text, space) for text in texts)
