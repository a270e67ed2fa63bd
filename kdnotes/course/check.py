"""What a reader does in a chapter: guesses, exercises of four kinds, a quiz, and their checks.

``exercise("01.2", my_function)`` prints *todo*, *correct*, or *not yet* with the sentence of one of
the exercise's own traps, of a mistake that many exercises share (``mistakes``), or with the first
case that differs. The verdict compares with the reference alone; the rest only names what is wrong.
``by_hand``, ``read``, ``design`` and ``quiz`` print the same words of a number, of an answer read
from a result, of a comparison and of three letters. ``solution`` says of a printed solution, of any
kind, that it is one: its line below a reader's own verdict is not taken for a second one. Where the
package was handed out without answers (``ungraded``) they print *todo* or who checks the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kdnotes.course import verdicts
from kdnotes.course.attempt import Attempt
from kdnotes.course.glossary import show as glossary
from kdnotes.course.guesses import outcome, predict
from kdnotes.course.questions import wrapped
from kdnotes.course.ungraded import Ungraded
from kdnotes.lab.sides import Sides

__all__ = [
    "by_hand", "design", "exercise", "glossary", "outcome", "predict", "quiz", "read", "solution",
]  # fmt: skip


def exercise(number: str, answer: Callable[..., Any]) -> bool:
    """Check a learner's function, print the verdict, and return whether it is correct.

    Args:
        number: chapter and exercise, such as "05.2".
        answer: the learner's function; while it returns ``None`` or ``...`` the exercise is to do.

    Raises:
        ValueError: there is no such exercise.
    """
    return _told(number, _of_function(verdicts.find(number, "EXERCISES"), answer))


def by_hand(number: str, answer: float | None = None) -> bool:
    """Check a number that was computed by hand, print the verdict, and return whether it is right.

    Args:
        number: chapter and exercise, such as "04.5".
        answer: ``None`` is to do; the verdict then says what is asked for, and how exactly.

    Raises:
        ValueError: there is no such exercise.
        TypeError: the answer is no number.
    """
    return _told(number, verdicts.find(number, "BY_HAND").judge(answer, ()))


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
    return _told(number, verdicts.find(number, "READINGS").judge(answer, results))


def design(number: str, comparison: Sides | None = None) -> bool:
    """Check a comparison before anybody runs it: any that answers the question is right, unless
    something confounds it, which is named; see ``by_hand``.

    Args:
        number: chapter and exercise.
        comparison: an ``experiment.Design``, or an ``experiment.StringDesign`` of language models;
            ``None`` is to do.

    Raises:
        ValueError: there is no such exercise.
        TypeError: it is no design.
    """
    return _told(number, _of_design(verdicts.find(number, "DESIGNS"), comparison))


def quiz(chapter: str, answers_given: Mapping[int, str | None] | None = None) -> bool:
    """Print a chapter's questions with the verdict on each answer; return whether all are right.

    Args:
        chapter: such as "05".
        answers_given: question → letter; what is missing or ``None`` is to do.

    Raises:
        ValueError: there is no such quiz, question or letter.
    """
    judged = verdicts.of_quiz(chapter, {} if answers_given is None else answers_given)
    for number, (item, verdict) in judged.items():
        print(item.asked(number), wrapped("   → ", verdict), sep="\n")
    return all(verdict == "correct" for _, verdict in judged.values())


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
    if "." in str(number):
        what, wrong = number, [_of_any_kind(number, answer, results)]
    else:
        what = f"quiz {number}"
        wrong = [verdict for _, verdict in verdicts.of_quiz(number, answer).values()]
    wrong = [verdict for verdict in wrong if verdict != "correct"]
    if wrong:
        raise AssertionError(f"solution of {what}: {'; '.join(wrong)}")
    print(f"Solution of {what}: correct")


def _of_any_kind(number: str, answer: Any, results: tuple[Any, ...]) -> str:
    kind = verdicts.kind_of(number)
    spec = verdicts.find(number, kind)
    judge = {"EXERCISES": _of_function, "DESIGNS": _of_design}.get(kind)
    return judge(spec, answer) if judge else spec.judge(answer, results)


def _of_function(spec: Any, answer: Any) -> str:
    if not callable(answer):
        raise TypeError(f"answer must be a function, not {type(answer).__name__}")
    if isinstance(spec, Ungraded):
        return spec.judge(answer)
    return str(verdicts.of_function(Attempt(spec, answer)))


def _of_design(spec: Any, comparison: Any) -> str:
    if comparison is None or comparison is ...:
        return "todo"
    found = spec.judge(comparison)
    return found if isinstance(spec, Ungraded) else verdicts.of_design(found)


def _told(number: str, verdict: str) -> bool:
    print(f"Exercise {number}: {verdict}")
    return verdict == "correct"
