"""Slips in the form of a result and in the use of the arguments, whatever an exercise is about."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdnotes.course import answers
from kdnotes.course.attempt import Attempt, Function
from kdnotes.course.changes import Change, Mistake, exchange, first_made, on_arguments, on_result

__all__ = ["in_arguments", "in_form", "in_precision", "unused"]


# The form of the result


def in_form(attempt: Attempt) -> str | None:
    """Right numbers in another shape or order, or before or after the mean over the samples."""
    given = attempt.given[: attempt.ordinary]
    pairs = [(value_of(a), value_of(b)) for a, b in zip(given, attempt.expected, strict=False)]
    if all(attempt.same(*pair) for pair in pairs):
        return None
    got, wanted = pairs[0]
    if all(isinstance(a, (tuple, list)) and len(a) == 1 and attempt.same(*a, b) for a, b in pairs):
        return f"the value is right, but return {answers.kind(wanted)}, not {answers.kind(got)}"
    for text, of_given, of_expected in FORMS:
        try:
            changed = [(of_given(given), of_expected(expected)) for given, expected in pairs]
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError):
            continue  # it has no such form
        if all(given is not None and attempt.same(given, wanted) for given, wanted in changed):
            return text
    return None


def value_of(outcome: Any) -> Any:
    """The value of an outcome, without its gradients."""
    return outcome.value if isinstance(outcome, answers.Graded) else outcome


def _as_it_is(value: Any) -> Any:
    return value


def _mean(value: Any) -> Any:
    return answers.mapped(value, lambda one: one.double().mean(0) if one.ndim else one)


def _flat(value: Any) -> np.ndarray | None:
    numbers = answers.numbers(value)
    return None if numbers is None else numbers.ravel()


def _sorted(value: Any) -> np.ndarray | None:
    numbers = _flat(value)
    return None if numbers is None or len(numbers) < 2 else np.sort(numbers)


def _transposed(value: Any) -> Any:
    return value.T if value.ndim == 2 else None


def _reversed(value: Any) -> list[Any]:
    return list(value)[::-1]


FORMS = (
    ("the numbers are right, but in another shape", _flat, _flat),
    ("these are the values of the samples: return their mean", _mean, _as_it_is),
    ("this is the mean over the samples: return a value for each of them", _as_it_is, _mean),
    ("the axes are exchanged: return the transpose", _transposed, _as_it_is),
    ("right, but return them in the other order", _reversed, _as_it_is),
    ("the numbers are right, but in another order", _sorted, _sorted),
)


def in_precision(attempt: Attempt) -> str | None:
    """Half precision, which keeps three digits."""
    rough = answers.Tolerance(0.02, 0.02)
    pairs = zip(map(value_of, attempt.given), map(value_of, attempt.expected), strict=True)
    for given, expected in pairs:
        half = isinstance(given, Tensor) and given.dtype in (torch.float16, torch.bfloat16)
        if not half or not answers.same(given, expected, rough):
            return None
    return "nearly right, but computed in half precision, which keeps three digits: use float32"


# The arguments


def in_arguments(attempt: Attempt) -> str | None:
    """Arguments that are exchanged, x for 1 − x, one more or less, and a result that is rounded."""
    mistakes = (_exchanged(attempt), _of_shares(attempt), _of_counts(attempt), _rounded())
    return first_made(attempt, itertools.chain(*mistakes))


def _exchanged(attempt: Attempt) -> Iterator[Mistake]:
    case = attempt.cases()[0]
    for i, j in itertools.combinations(range(len(case)), 2):
        if type(case[i]) is type(case[j]):
            yield f"`{attempt.name(i)}` and `{attempt.name(j)}` are exchanged", exchange(i, j)


def _of_shares(attempt: Attempt) -> Iterator[Mistake]:
    yield "this is 1 minus the right result", on_result(lambda one, case: 1 - one)
    for place, values in enumerate(zip(*attempt.cases(), strict=True)):
        if all(type(one) is float and 0 <= one <= 1 for one in values):
            name = attempt.name(place)
            change = on_arguments((place,), lambda one, case: 1 - one)
            yield f"`{name}` and 1 − `{name}` are exchanged", change


def _of_counts(attempt: Attempt) -> Iterator[Mistake]:
    for step, said, size in ((1, "+ 1", "large"), (-1, "− 1", "small")):
        yield f"off by one: the number is too {size} by 1", _moved_by(step)
        for place, one in enumerate(attempt.cases()[0]):
            if type(one) is int:
                change = on_arguments((place,), lambda one, case, step=step: one + step)
                yield f"off by one: this is right for `{attempt.name(place)}` {said}", change


def _moved_by(step: int) -> Change:
    """The whole numbers of the result, one more or less."""

    def moved(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [moved(one) for one in value]
        is_tensor = isinstance(value, Tensor) and not value.is_floating_point()
        return value + step if is_tensor or type(value) is int else value

    def change(function: Function) -> Function:
        return lambda *case: moved(function(*case))

    return change


def _rounded() -> Iterator[Mistake]:
    text = "this is rounded: return the number as it is"
    yield text, on_result(lambda one, case: one.round())
    yield text, on_result(lambda one, case: one.floor())
    yield text, on_result(lambda one, case: one.round(decimals=2))


def unused(attempt: Attempt) -> str | None:
    """Arguments that make no difference to the answer, and should."""
    places = [i for i in range(len(attempt.cases()[0])) if _is_unused(attempt, i)]
    names = " and ".join(f"`{attempt.name(place)}`" for place in places)
    return f"your result does not depend on {names}, and should" if names else None


def _is_unused(attempt: Attempt, place: int) -> bool:
    """Whether another value of the argument changes what is expected, but not what is given."""
    matters, cases = False, attempt.cases()[: attempt.ordinary]
    values = [case[place] for case in cases]
    for case, expected, given in zip(cases, attempt.expected, attempt.given, strict=False):
        changed = (*case[:place], _other(case[place], values), *case[place + 1 :])
        try:
            wanted = attempt.outcome(attempt.spec.reference, changed, expected)
        except Exception:  # this value does not go with the other arguments
            continue
        matters |= not attempt.same(wanted, expected)
        if not attempt.same(attempt.quietly(changed, expected), given):
            return False
    return matters


def _other(value: Any, values: list[Any]) -> Any:
    """Another value of an argument: that of another case, or the rows in another order."""
    if isinstance(value, Tensor):
        if value.ndim > 2:  # the rows may lie behind teachers, whose order may not matter
            return value.roll((1, 1), (0, 1))
        return value.roll(1, 0) if len(value) > 1 else value.flip(-1)
    if isinstance(value, (int, float, str)):
        return next((one for one in values if one != value), value)
    return value
