"""Changes: what makes a wrong function of a right one, for the mistakes that exercises share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from kdnotes.course import answers
from kdnotes.course.attempt import Attempt, Function

__all__ = ["Change", "Mistake", "exchange", "first_made", "on_arguments", "on_result"]

Change = Callable[[Function], Function]
Mistake = tuple[str, Change]  # what to say, and the change that makes the mistake


def on_result(change: Callable[[Tensor, tuple], Tensor]) -> Change:
    """``change(tensor, case)`` of each number of the result."""
    return lambda function: (
        lambda *case: answers.mapped(function(*case), lambda one: change(one, case))
    )


def on_arguments(places: tuple[int, ...], change: Callable[[Any, tuple], Any]) -> Change:
    """``change(argument, case)`` of the arguments at these places."""
    return lambda function: (
        lambda *case: function(
            *(change(one, case) if i in places else one for i, one in enumerate(case))
        )
    )


def exchange(first: int, second: int) -> Change:
    """The two arguments change places."""
    places = {first: second, second: first}
    return lambda function: (
        lambda *case: function(*(case[places.get(i, i)] for i in range(len(case))))
    )


def first_made(attempt: Attempt, mistakes: Iterable[Mistake]) -> str | None:
    """What to say of the first of these changes that makes the answer of the reference."""
    reference = attempt.spec.reference
    return next((text for text, change in mistakes if attempt.makes(change(reference))), None)
