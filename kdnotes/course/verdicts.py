"""The definition of an exercise, and the verdict on an answer to it."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from kdnotes import checks
from kdnotes.course import answers, mistakes, order
from kdnotes.course.answers import Graded
from kdnotes.course.attempt import Attempt
from kdnotes.course.questions import Item

__all__ = ["Verdict", "defined", "find", "kind_of", "of_design", "of_function", "of_quiz"]

LONGEST_ARGUMENTS = 60
# The tables of a chapter's module, and the functions of ``check`` for what is in them.
CHECKED_BY = {
    "EXERCISES": "exercise", "BY_HAND": "by_hand", "READINGS": "read", "DESIGNS": "design",
}  # fmt: skip


class Verdict(NamedTuple):
    """What is said of a learner's function.

    Attributes:
        word: "correct", "todo", "not yet" or "error".
        message: what is wrong, or "".
        named: whether the message names a trap or a shared mistake.
    """

    word: str
    message: str = ""
    named: bool = False

    def __str__(self) -> str:
        return f"not yet: {self.message}" if self.word == "not yet" else self.message or self.word


def find(number: str, kind: str) -> Any:
    """The definition of an exercise of a kind, the name of a table of the chapter's module."""
    try:
        chapter, place = number.split(".")
        return defined(chapter, kind)[int(place)]
    except (KeyError, ValueError, AttributeError):
        asked = "" if kind == "EXERCISES" else f" for check.{CHECKED_BY[kind]}"
        raise ValueError(
            f"number must be that of an exercise{asked}, such as '01.1', not {number!r}"
        ) from None


def kind_of(number: str) -> str:
    """The name of the table that has the exercise; ``find`` refuses one that none has."""
    for kind in CHECKED_BY:
        with contextlib.suppress(ValueError):
            find(number, kind)
            return kind
    return "EXERCISES"


def defined(chapter: str, table: str) -> Any:
    """A table of the chapter's module of exercises."""
    try:
        name = dict(enumerate(order.CHAPTERS, 1))[int(chapter.strip())]
        return getattr(importlib.import_module(f"kdnotes.course.exercises.{name}"), table)
    except (ModuleNotFoundError, KeyError, ValueError, AttributeError):
        wanted = "one that has exercises, such as '01'"
        raise ValueError(f"chapter must be {wanted}, not {chapter!r}") from None


def of_function(attempt: Attempt) -> Verdict:
    """The verdict on a learner's function."""
    try:
        given = attempt.given
    except NotImplementedError:
        return Verdict("todo")
    except Exception as error:  # the learner's code may fail in any way; the check reports it
        first_line = next(iter(str(error).splitlines()), "")
        return Verdict("error", f"your function stopped with {type(error).__name__}: {first_line}")
    if all(value is None or value is ... for value in given):
        return Verdict("todo")
    if attempt.equal(given, attempt.expected):
        return Verdict("correct")
    with warnings.catch_warnings(action="ignore"):  # of wrong functions that are tried
        if name := mistakes.named(attempt):
            return Verdict("not yet", name, named=True)
        return Verdict("not yet", _first_difference(attempt))


def of_quiz(chapter: str, given: Mapping[int, str | None]) -> dict[int, tuple[Item, str]]:
    """The questions of a chapter's quiz by their numbers, each with the verdict on its letter.

    Raises:
        ValueError: there is no such quiz, question or letter.
    """
    items = dict(enumerate(defined(chapter, "QUIZ"), 1))
    checks.instance(Mapping, said="a dict of question to letter")("answers_given", given)
    for number in given:
        if number not in items:
            raise ValueError(f"a question must be one of {list(items)}, not {number!r}")
    return {number: (item, item.judge(number, given.get(number))) for number, item in items.items()}


def of_design(found: list[str]) -> str:
    """The verdict on a comparison in which this was found to be wrong."""
    return "not yet: " + "\n  and: ".join(found) if found else "correct"


def _first_difference(attempt: Attempt) -> str:
    pairs = enumerate(zip(attempt.given, attempt.expected, strict=True))
    case, (got, wanted) = next((i, pair) for i, pair in pairs if not attempt.same(*pair))
    what = ""
    if isinstance(wanted, Graded) and isinstance(got, Graded):
        same_values = attempt.same(got.value, wanted.value)
        if same_values and len(got.gradients) == len(wanted.gradients):
            name, wanted, got = _worst_gradient(attempt, wanted, got)
            what = f"the value is right, but not its gradient with respect to {name}: "
        else:
            wanted, got = wanted.value, got.value
    tolerance = answers.Tolerance(attempt.spec.tolerance, attempt.spec.absolute)
    at, wanted, got = answers.difference(got, wanted, tolerance)
    inputs = _inputs(attempt.cases()[case])
    return f"{what}for case {case + 1}{inputs}{at} expected {wanted}, got {got}"


def _worst_gradient(attempt: Attempt, wanted: Graded, got: Graded) -> tuple[str, Tensor, Tensor]:
    """The argument whose gradient differs most, and both gradients."""
    found = [
        (float((theirs - ours).abs().max()), argument, theirs, ours)
        for one, other in zip(wanted.gradients, got.gradients, strict=True)
        for argument, groups in enumerate(zip(one, other, strict=True))
        for theirs, ours in zip(*groups, strict=True)
    ]
    _, argument, theirs, ours = max(found, key=lambda item: item[0])
    return attempt.name(attempt.spec.gradient_of[argument]), theirs, ours


def _inputs(case: tuple) -> str:
    """The arguments of a case, where they are short enough to be read."""
    text = answers.brief(case)
    shown = len(text) <= LONGEST_ARGUMENTS and not any(isinstance(item, Tensor) for item in case)
    return f", called with {text}," if shown else ""
