"""What an exercise's answer is compared by: its numbers in whatever form, its gradients, and the first difference.

A list, a tuple, an array and a tensor that hold the same numbers are equal, a number is equal to a tensor of shape [1],
and the precision does not matter. ``True`` is no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Graded", "Tolerance", "brief", "difference", "finite", "graded", "kind", "leaf", "plus", "same"]

GRADIENT_TOLERANCE = 1e-4  # of the largest entry of an answer's gradients
LONGEST_KIND = 4


class Tolerance(NamedTuple):
    """Relative, and absolute near zero."""

    relative: float
    absolute: float


class Graded(NamedTuple):
    """A value, and for each of its tensors and each differentiated argument the gradients of the argument's tensors."""

    value: Any
    gradients: list[list[list[Tensor]]]


def leaf(item: Any) -> Any:
    """The tensor, or the list of tensors, as one for which a gradient is computed."""
    return item.detach().clone().requires_grad_(True) if isinstance(item, Tensor) else [leaf(one) for one in item]


def graded(value: Any, arguments: list[Any], form: Any = None) -> Graded:
    """The value with the gradients that it sends to ``arguments`` (of ``leaf``), in the form of another if it can be.

    The gradient is that of a scalar, or of a fixed weighted sum of a larger tensor; zero where none arrives.
    """
    value = _in_form(value, form)
    leaves = [_tensors(one) for one in arguments]
    return Graded(_detached(value), [[_gradients(one, group) for group in leaves] for one in _tensors(value)])


def _in_form(value: Any, form: Any) -> Any:
    """Sequences item by item, numbers and arrays as tensors, and a tensor of shape [1] as a scalar, as in ``form``."""
    if isinstance(form, (tuple, list)):
        items = _items(value)
        return (
            [_in_form(*pair) for pair in zip(items, form, strict=True)] if items and len(items) == len(form) else value
        )
    if not isinstance(form, Tensor) or (isinstance(value, (tuple, list)) and form.ndim == 0):
        return value
    if not isinstance(value, Tensor):
        numbers = _numbers(value)
        return value if numbers is None else torch.from_numpy(numbers)
    return value[0] if form.ndim == 0 and value.shape == (1,) else value


def _gradients(output: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(one) for one in leaves]
    weights = torch.cos(torch.arange(output.numel(), dtype=output.dtype)).view_as(output)
    found = torch.autograd.grad((weights * output).sum(), leaves, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(one) if gradient is None else gradient for gradient, one in zip(found, leaves, strict=True)
    ]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (tuple, list)):
        return [one for item in value for one in _tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def _detached(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_detached(item) for item in value]
    return value.detach() if isinstance(value, Tensor) else value


def plus(one: Any, other: Any, factor: float) -> Any:
    """``one`` + factor·``other``, through lists."""
    if isinstance(one, (tuple, list)):
        return [plus(a, b, factor) for a, b in zip(one, other, strict=True)]
    return one + factor * other


def finite(value: Any) -> bool:
    """Whether no number in it, nor in its gradients, is NaN or infinite."""
    if isinstance(value, (tuple, list)):
        return all(map(finite, value))
    numbers = _numbers(value)
    return numbers is None or bool(np.isfinite(numbers).all())


def same(value: Any, expected: Any, tolerance: Tolerance) -> bool:
    """Equal within the tolerance, in whatever form the numbers come."""
    if isinstance(expected, Graded):
        if not isinstance(value, Graded) or not same(value.value, expected.value, tolerance):
            return False
        return _same_gradients(value.gradients, expected.gradients)
    if isinstance(expected, Mapping):
        same_keys = isinstance(value, Mapping) and value.keys() == expected.keys()
        return same_keys and all(same(value[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, (tuple, list)):
        items = _items(value)
        if items is None or len(items) != len(expected):
            return False
        return all(same(a, b, tolerance) for a, b in zip(items, expected, strict=True))
    if isinstance(expected, (bool, str)):
        value = value.item() if isinstance(value, np.generic) else value
        return isinstance(value, type(expected)) and value == expected
    wanted, given = _numbers(expected), _numbers(value)
    if wanted is None:
        return type(value) is type(expected) and value == expected
    listed_number = isinstance(value, (tuple, list)) and np.ndim(expected) == 0
    if given is None or given.shape != wanted.shape or listed_number:
        return False
    return _close(given, wanted, 0.0 if isinstance(expected, int) else tolerance.relative, tolerance.absolute)


def _items(value: Any) -> list[Any] | None:
    """The items of what has some."""
    if isinstance(value, (tuple, list)):
        return list(value)
    return list(value) if isinstance(value, (np.ndarray, Tensor)) and value.ndim else None


def _numbers(value: Any) -> np.ndarray | None:
    """Numbers, in whatever form, as an array of doubles; of one number, or a tensor of shape [1], the shape is []."""
    if isinstance(value, (tuple, list)):
        items = [_numbers(item) for item in value]
        alike = bool(items) and all(one is not None and one.shape == items[0].shape for one in items)
        array = np.stack(items) if alike else None
    elif isinstance(value, bool) or not isinstance(value, (int, float, np.number, np.ndarray, Tensor)):
        array = None
    else:
        array = value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array is None or array.dtype.kind not in "iuf":
        return None
    return array.astype(float).reshape(()) if array.shape == (1,) else array.astype(float)


def _close(given: np.ndarray, wanted: np.ndarray, relative: float, absolute: float) -> bool:
    """Element by element, with an absolute tolerance that grows a little with the largest element."""
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    floor = max(absolute, relative / 100 * largest)
    return bool(np.allclose(given, wanted, rtol=relative, atol=floor, equal_nan=True))


def _same_gradients(given: list, expected: list) -> bool:
    """Equal up to a small part of the largest entry, and exactly zero where all should be."""
    if len(given) != len(expected):
        return False
    pairs = list(zip(_tensors(given), _tensors(expected), strict=True))
    floor = GRADIENT_TOLERANCE * max((float(b.nan_to_num(0, 0, 0).abs().max()) for _, b in pairs), default=0.0)
    close = partial(torch.allclose, rtol=GRADIENT_TOLERANCE, atol=floor, equal_nan=True)
    return all(close(a.double(), b.double()) for a, b in pairs)


def difference(given: Any, expected: Any, tolerance: Tolerance) -> tuple[str, str, str]:
    """(where, what was expected, what was given): all of both if that can be told apart, else the first difference."""
    texts = brief(expected), brief(given)
    if texts[0] != texts[1]:
        return "", *texts
    wanted, got = _items(expected), _items(given)
    if wanted is None or got is None or len(wanted) != len(got):
        return "", *(f"{float(one):.9g}" if _numbers(one) is not None else repr(one) for one in (expected, given))
    # A difference within the tolerance of each item counts only together; then the first item stands for all.
    place = next((i for i, pair in enumerate(zip(got, wanted, strict=True)) if not same(*pair, tolerance)), 0)
    at, *texts = difference(got[place], wanted[place], tolerance)
    return f" at [{place}]{at}", *texts


def kind(value: Any) -> str:
    """Such as "a float" or "(an int, a float)"."""
    if isinstance(value, (tuple, list)) and len(value) <= LONGEST_KIND:
        return f"({', '.join(map(kind, value))}{',' if len(value) == 1 else ''})"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def brief(value: Any) -> str:
    """A short text: four digits, and of a tensor its shape and beginning."""
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim:
        name = "a tensor" if isinstance(value, Tensor) else "an array"
        numbers = ", ".join(f"{number:.4g}" for number in _beginning(value))
        return f"{name} {list(value.shape)} starting {numbers}"
    if isinstance(value, (float, np.floating, Tensor)):
        return f"{float(value):.4g}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(brief, value)) + ")"
    return repr(value)


def _beginning(value: Tensor | np.ndarray) -> list[float]:
    flat = value.detach().flatten() if isinstance(value, Tensor) else value.ravel()
    return flat[:4].tolist()
