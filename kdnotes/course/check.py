"""Automatic checks of exercises that name the mistake they recognise.

``exercise("01.2", my_function)`` prints *todo*, *correct*, or *not yet* with the sentence of one of
the exercise's own traps, of a mistake that many exercises share (``mistakes``), or with the first
case that differs. The verdict compares with the reference alone; the rest only names what is wrong.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from kdnotes.course import answers, mistakes, order
from kdnotes.course.answers import Graded
from kdnotes.course.attempt import Attempt, Exercise

__all__ = ["exercise"]

LONGEST_ARGUMENTS = 60


def exercise(number: str, answer: Callable[..., Any]) -> bool:
    """Check a learner's function, print the verdict, and return whether it is correct.

    Args:
        number: chapter and exercise, such as "05.2".
        answer: the learner's function; while it returns ``None`` or ``...`` the exercise is to do.

    Raises:
        ValueError: there is no such exercise.
    """
    spec = _find(number)
    if not callable(answer):
        raise TypeError(f"answer must be a function, not {type(answer).__name__}")
    verdict = _judge(Attempt(spec, answer))
    print(f"Exercise {number}: {verdict}")
    return verdict == "correct"


def _find(number: str) -> Exercise:
    try:
        chapter, place = map(int, number.split("."))
        name = dict(enumerate(order.CHAPTERS, 1))[chapter]
        return importlib.import_module(f"kdnotes.course.exercises.{name}").EXERCISES[place]
    except (ModuleNotFoundError, KeyError, ValueError, AttributeError):
        raise ValueError(
            f"number must be that of an exercise, such as '01.1', not {number!r}"
        ) from None


def _judge(attempt: Attempt) -> str:
    try:
        given = attempt.given
    except NotImplementedError:
        return "todo"
    except Exception as error:  # the learner's code may fail in any way; the check reports it
        first_line = next(iter(str(error).splitlines()), "")
        return f"your function stopped with {type(error).__name__}: {first_line}"
    if all(value is None or value is ... for value in given):
        return "todo"
    if attempt.equal(given, attempt.expected):
        return "correct"
    with warnings.catch_warnings(action="ignore"):  # of wrong functions that are tried
        return f"not yet: {mistakes.named(attempt) or _first_difference(attempt)}"


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
