"""What a cell of a chapter is: a solution, a question, a drawing, or something measured."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from kdnotes.course import verdicts

__all__ = [
    "KINDS",
    "Asked",
    "asked",
    "gives_nothing_away",
    "has_tag",
    "is_solution",
    "keep_for_students",
]

# The functions of ``check`` that take an answer, and those that only ask or explain.
KINDS = ("exercise", "by_hand", "read", "design", "quiz")
# What a cell's bookkeeping may hold: all else, such as a speaker's notes, is the lecturer's.
KEPT = ("tags", "jupyter", "jp-MarkdownHeadingCollapsed", "nbgrader")
HARMLESS = (*KINDS, "predict", "glossary")


@dataclass(frozen=True)
class Asked:
    """A call of ``check`` with an answer.

    Args:
        kind: the function's name.
        number: of the exercise, or of the quiz's chapter.
        answer: the source of the answer; "None" where the cell is a question.
        further: the sources of the arguments behind it.
        line: the first line of its statement, from 0; ``end`` is behind the last.
    """

    kind: str
    number: str
    answer: str
    further: tuple[str, ...]
    line: int
    end: int


def has_tag(cell: Any, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def is_solution(cell: Any) -> bool:
    return has_tag(cell, "solution")


def keep_for_students(cell: Any) -> None:
    """Leave out of a cell's metadata what is not for students."""
    for name in set(cell.metadata) - set(KEPT):
        del cell.metadata[name]


def asked(source: str) -> list[Asked]:
    """The exercises that a cell of code asks for or, as a solution, answers."""
    found = []
    for statement in ast.parse(source).body:
        for call in (one for one in ast.walk(statement) if isinstance(one, ast.Call)):
            name = _called(call, "check")
            if name in (*KINDS, "solution"):
                number, answer, *further = (ast.get_source_segment(source, a) for a in call.args)
                number, lines = (
                    ast.literal_eval(number),
                    (statement.lineno - 1, statement.end_lineno),
                )
                kind = _kind(number) if name == "solution" else name
                found.append(Asked(kind, number, answer, tuple(further), *lines))
    return found


def _kind(number: str) -> str:
    """The function that asks for what ``check.solution`` answers."""
    return verdicts.CHECKED_BY[verdicts.kind_of(number)] if "." in number else "quiz"


def gives_nothing_away(source: str) -> bool:
    """Whether a cell of code only asks, explains a term or draws an idea: nothing in its output
    was measured.
    """
    return all(_is_harmless(statement) for statement in ast.parse(source).body)


def _is_harmless(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return True
    if isinstance(statement, ast.FunctionDef):  # a stub
        return all(ast.unparse(one) == "..." for one in statement.body)
    value = getattr(statement, "value", None)
    if not isinstance(statement, (ast.Expr, ast.Assign)) or not isinstance(value, ast.Call):
        return False
    return _called(value, "check") in HARMLESS or bool(_called(value, "diagrams"))


def _called(call: ast.Call, module: str) -> str:
    """The name of the module's function that is called; "" if it is something else."""
    function = call.func
    is_of_module = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    return function.attr if is_of_module and function.value.id == module else ""
