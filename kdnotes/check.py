"""Automatic checks of exercises that name the mistake they recognise.

An exercise has a reference, cases to try it on, and traps: the wrong answers of real code, each with the sentence that
helps. ``exercise("01.2", my_function)`` prints *todo*, *correct*, the trap, or the first case that differs.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Exercise", "Trap", "exercise"]

LONGEST_ARGUMENTS = 60
LONGEST_KIND = 4


@dataclass(frozen=True)
class Trap:
    """A known wrong answer: what a learner's function returns who fell into it, and what to tell them."""

    wrong: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Exercise:
    """A reference answer, the argument tuples to compare on, and the traps, tried in order.

    ``observe`` turns what a function returned into what is compared, such as (values, requires_grad), and ``compared``
    says in words what that is, where it does not speak for itself.
    """

    reference: Callable[..., Any]
    cases: Callable[[], Sequence[tuple]]
    traps: tuple[Trap, ...] = ()
    tolerance: float = 1e-4
    observe: Callable[[Any], Any] = lambda value: value
    compared: str = ""


def exercise(number: str, answer: Callable[..., Any]) -> bool:
    """Check a learner's function, print the verdict, and return whether it is correct.

    Args:
        number: chapter and exercise, such as "05.2".
        answer: the learner's function; while it returns ``None`` or ``...`` the exercise is still to do.

    Raises:
        ValueError: there is no such exercise.
    """
    spec = _find(number)
    if not callable(answer):
        raise TypeError(f"answer must be a function, not {type(answer).__name__}")
    verdict, correct = _judge(spec, answer)
    print(f"Exercise {number}: {verdict}")
    return correct


def _find(number: str) -> Exercise:
    try:
        module = importlib.import_module(f"kdnotes.exercises.chapter{int(number.split('.')[0]):02d}")
        return module.EXERCISES[number]
    except (ModuleNotFoundError, KeyError, ValueError, AttributeError):
        raise ValueError(f"number must be that of an exercise, such as '01.1', not {number!r}") from None


def _judge(spec: Exercise, answer: Callable[..., Any]) -> tuple[str, bool]:
    try:
        given = [answer(*case) for case in spec.cases()]
        if all(value is None or value is ... for value in given):
            return "todo", False
        given = [spec.observe(value) for value in given]
    except NotImplementedError:
        return "todo", False
    except Exception as error:  # the learner's code may fail in any way; the check reports it and goes on
        return (
            f"your function stopped with {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            False,
        )
    expected = [spec.observe(spec.reference(*case)) for case in spec.cases()]
    if all(_same(a, b, spec.tolerance) for a, b in zip(given, expected, strict=True)):
        return "correct", True
    for trap in spec.traps:
        wrong = [spec.observe(trap.wrong(*case)) for case in spec.cases()]
        if all(_same(a, b, spec.tolerance) for a, b in zip(given, wrong, strict=True)):
            return f"not yet: {trap.message}", False
    case = next(i for i, (a, b) in enumerate(zip(given, expected, strict=True)) if not _same(a, b, spec.tolerance))
    wanted, got = expected[case], given[case]
    if _same(_plain(got), _plain(wanted), spec.tolerance):
        return f"not yet: the value is right, but return {_kind(wanted)}, not {_kind(got)}", False
    compared = f" (compared: {spec.compared})" if spec.compared else ""
    place = f"case {case + 1}{_inputs(spec.cases()[case])}"
    return f"not yet: for {place} expected {_brief(wanted)}, got {_brief(got)}{compared}", False


def _inputs(case: tuple) -> str:
    """The arguments of a case, where they are short enough to be read."""
    text = _brief(case)
    shown = len(text) <= LONGEST_ARGUMENTS and not any(isinstance(item, Tensor) for item in case)
    return f", called with {text}," if shown else ""


def _plain(value: Any) -> Any:
    """Numbers as floats, arrays and tensors as lists, to compare values whose kinds differ."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        value = value.item() if value.shape in ((), (1,)) else value.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _kind(value: Any) -> str:
    """Such as "an int" or "(an int, a float)"."""
    if isinstance(value, (tuple, list)) and len(value) <= LONGEST_KIND:
        return f"({', '.join(map(_kind, value))})"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _same(value: Any, expected: Any, tolerance: float) -> bool:
    """Equal in structure and within the relative and absolute tolerance; numpy's numbers and arrays count too."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(expected, (tuple, list)) and isinstance(value, (np.ndarray, Tensor)):
        value = value.tolist()
    if isinstance(expected, (tuple, list)):
        if not isinstance(value, (tuple, list)) or len(value) != len(expected):
            return False
        return all(_same(a, b, tolerance) for a, b in zip(value, expected, strict=True))
    if isinstance(expected, Tensor):
        if not isinstance(value, Tensor) or value.shape != expected.shape:
            return False
        return torch.allclose(value.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(expected, float):
        if isinstance(value, Tensor) and value.ndim == 0:
            value = value.item()
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or math.isnan(value) or math.isnan(expected):
            return number and math.isnan(value) and math.isnan(expected)
        return math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance)
    return type(value) is type(expected) and value == expected


def _brief(value: Any) -> str:
    if isinstance(value, Tensor) and value.ndim:
        numbers = ", ".join(f"{number:.4g}" for number in value.detach().flatten()[:4].tolist())
        return f"a tensor {list(value.shape)} starting {numbers}"
    if isinstance(value, (float, Tensor)):
        return f"{float(value):.4g}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_brief(item) for item in value) + ")"
    return repr(value)
