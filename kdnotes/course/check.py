"""What a reader does in a chapter: guesses, exercises of four kinds, a quiz, and their checks.

``exercise("01.2", my_function)`` prints *todo*, *correct*, or *not yet* with the sentence of one of
the exercise's own traps, of a mistake that many exercises share (``mistakes``), or with the first
case that differs. The verdict compares with the reference alone; the rest only names what is wrong.
``by_hand``, ``read``, ``design`` and ``quiz`` print the same words of a number, of an answer read
from a result, of a comparison and of three letters. ``solution`` says of a printed solution, of any
kind, that it is one: its line below a reader's own verdict is not taken for a second one.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from kdnotes import checks
from kdnotes.course import answers, mistakes, order
from kdnotes.course.answers import Graded
from kdnotes.course.attempt import Attempt
from kdnotes.course.glossary import show as glossary
from kdnotes.course.guesses import outcome, predict
from kdnotes.course.questions import wrapped
from kdnotes.lab import Design

__all__ = [
    "by_hand", "design", "exercise", "glossary", "outcome", "predict", "quiz", "read", "solution",
]  # fmt: skip

LONGEST_ARGUMENTS = 60
# The tables of a chapter's module, and the functions that check what is in them.
ASKED_BY = {
    "EXERCISES": "",
    "BY_HAND": " for check.by_hand",
    "READINGS": " for check.read",
    "DESIGNS": " for check.design",
}


def exercise(number: str, answer: Callable[..., Any]) -> bool:
    """Check a learner's function, print the verdict, and return whether it is correct.

    Args:
        number: chapter and exercise, such as "05.2".
        answer: the learner's function; while it returns ``None`` or ``...`` the exercise is to do.

    Raises:
        ValueError: there is no such exercise.
    """
    return _told(number, _of_function(_find(number, "EXERCISES"), answer))


def by_hand(number: str, answer: float | None = None) -> bool:
    """Check a number that was computed by hand, print the verdict, and return whether it is right.

    Args:
        number: chapter and exercise, such as "04.5".
        answer: ``None`` is to do; the verdict then says what is asked for, and how exactly.

    Raises:
        ValueError: there is no such exercise.
        TypeError: the answer is no number.
    """
    return _told(number, _find(number, "BY_HAND").judge(answer, ()))


def read(number: str, answer: Any = None, *results: Any) -> bool:
    """Check an answer that was read from a table or a figure; see ``by_hand``.

    Args:
        number: chapter and exercise.
        answer: a number, a name, or a list of names; ``None`` is to do.
        results: what the right answer is computed from, such as the study of this run.

    Raises:
        ValueError: there is no such exercise, or the answer names what there is not.
        TypeError: the answer is of another kind.
    """
    return _told(number, _find(number, "READINGS").judge(answer, results))


def design(number: str, comparison: Design | None = None) -> bool:
    """Check a comparison before anybody runs it: any that answers the question is right, unless
    something confounds it, which is named; see ``by_hand``.

    Args:
        number: chapter and exercise.
        comparison: an ``experiment.Design``; ``None`` is to do.

    Raises:
        ValueError: there is no such exercise.
        TypeError: it is no design.
    """
    return _told(number, _of_design(_find(number, "DESIGNS"), comparison))


def quiz(chapter: str, answers_given: Mapping[int, str | None] | None = None) -> bool:
    """Print a chapter's questions with the verdict on each answer; return whether all are right.

    Args:
        chapter: such as "05".
        answers_given: question → letter; what is missing or ``None`` is to do.

    Raises:
        ValueError: there is no such quiz, question or letter.
    """
    items = dict(enumerate(_defined(chapter, "QUIZ"), 1))
    verdicts = _of_letters(items, {} if answers_given is None else answers_given)
    for number, item in items.items():
        print(item.asked(number), wrapped("   → ", verdicts[number]), sep="\n")
    return set(verdicts.values()) == {"correct"}


def solution(number: str, answer: Any, *results: Any) -> None:
    """Check a solution that the chapter prints, and say in one line whose it is.

    Args:
        number: chapter and exercise, such as "05.2", of any kind; or the chapter of a quiz, "05".
        answer: as for ``exercise``, ``by_hand``, ``read``, ``design`` or ``quiz``.
        results: as for ``read``.

    Raises:
        ValueError: there is no such exercise; or as for its kind.
        TypeError: as for its kind.
        AssertionError: the solution is wrong.
    """
    what, verdict = number, "correct"
    if "." not in str(number):
        what = f"quiz {number}"
        items = dict(enumerate(_defined(number, "QUIZ"), 1))
        wrong = [one for one in _of_letters(items, answer).values() if one != "correct"]
        verdict = "; ".join(wrong) or verdict
    else:
        kind = next((kind for kind in ASKED_BY if _has(number, kind)), "EXERCISES")
        spec = _find(number, kind)
        judge = {"EXERCISES": _of_function, "DESIGNS": _of_design}.get(kind)
        verdict = judge(spec, answer) if judge else spec.judge(answer, results)
    if verdict != "correct":
        raise AssertionError(f"solution of {what}: {verdict}")
    print(f"Solution of {what}: correct")


def _of_function(spec: Any, answer: Any) -> str:
    if not callable(answer):
        raise TypeError(f"answer must be a function, not {type(answer).__name__}")
    return _judge(Attempt(spec, answer))


def _of_design(spec: Any, comparison: Any) -> str:
    if comparison is None or comparison is ...:
        return "todo"
    found = spec.judge(comparison)
    return "not yet: " + "\n  and: ".join(found) if found else "correct"


def _of_letters(items: Mapping[int, Any], given: Any) -> dict[int, str]:
    """Question → verdict."""
    checks.instance(Mapping, said="a dict of question to letter")("answers_given", given)
    for number in given:
        if number not in items:
            raise ValueError(f"a question must be one of {list(items)}, not {number!r}")
    return {number: item.judge(number, given.get(number)) for number, item in items.items()}


def _has(number: str, kind: str) -> bool:
    try:
        return bool(_find(number, kind))
    except ValueError:
        return False


def _told(number: str, verdict: str) -> bool:
    print(f"Exercise {number}: {verdict}")
    return verdict == "correct"


def _find(number: str, kind: str) -> Any:
    """The definition of an exercise of a kind, the name of a table of the chapter's module."""
    try:
        chapter, place = number.split(".")
        return _defined(chapter, kind)[int(place)]
    except (KeyError, ValueError, AttributeError):
        raise ValueError(
            f"number must be that of an exercise{ASKED_BY[kind]}, such as '01.1', not {number!r}"
        ) from None


def _defined(chapter: str, table: str) -> Any:
    """A table of the chapter's module of exercises."""
    try:
        name = dict(enumerate(order.CHAPTERS, 1))[int(chapter.strip())]
        return getattr(importlib.import_module(f"kdnotes.course.exercises.{name}"), table)
    except (ModuleNotFoundError, KeyError, ValueError, AttributeError):
        wanted = "one that has exercises, such as '01'"
        raise ValueError(f"chapter must be {wanted}, not {chapter!r}") from None


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
