"""What an answer is compared by: its numbers in whatever form, its gradients, the first difference.

A list, a tuple, an array and a tensor that hold the same numbers are equal, a number is equal to a
tensor of shape [1], and the precision does not matter. ``True`` is no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Graded", "Tolerance", "brief", "difference", "finite", "graded", "kind", "leaf", "mapped",
    "numbers", "plus", "same",
]  # fmt: skip

GRADIENT_TOLERANCE = 1e-4  # of the largest entry of an answer's gradients
LONGEST_KIND = 4


class Tolerance(NamedTuple):
    """Relative, and absolute near zero."""

    relative: float
    absolute: float


class Graded(NamedTuple):
    """A value, and the gradients: of its tensors, for each argument, for the tensors of that."""

    value: Any
    gradients: list[list[list[Tensor]]]


def leaf(item: Any) -> Any:
    """The tensor, or the list of tensors, as one for which a gradient is computed."""
    if not isinstance(item, Tensor):
        return [leaf(one) for one in item]
    return item.detach().clone().requires_grad_(True)


def graded(value: Any, arguments: list[Any], form: Any = None) -> Graded:
    """The value, in the form of another if it can be, and its gradients for ``arguments``.

    The arguments are of ``leaf``. The gradients are those of a scalar, or of a fixed weighted sum
    of a larger tensor; zero where none arrives.
    """
    value = _in_form(value, form)
    leaves = [_tensors(one) for one in arguments]
    gradients = [[_gradients(one, group) for group in leaves] for one in _tensors(value)]
    return Graded(mapped(value, torch.detach), gradients)


def _in_form(value: Any, form: Any) -> Any:
    """As in ``form``: items of sequences, arrays and numbers as tensors, shape [1] as a scalar."""
    if isinstance(form, (tuple, list)):
        items = _items(value)
        if not items or len(items) != len(form):
            return value
        return [_in_form(*pair) for pair in zip(items, form, strict=True)]
    if not isinstance(form, Tensor) or (isinstance(value, (tuple, list)) and form.ndim == 0):
        return value
    if not isinstance(value, Tensor):
        array = numbers(value)
        return value if array is None else torch.from_numpy(array)
    return value[0] if form.ndim == 0 and value.shape == (1,) else value


def _gradients(output: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(one) for one in leaves]
    weights = torch.cos(torch.arange(output.numel(), dtype=output.dtype)).view_as(output)
    found = torch.autograd.grad(
        (weights * output).sum(), leaves, retain_graph=True, allow_unused=True
    )
    return [
        torch.zeros_like(one) if gradient is None else gradient
        for gradient, one in zip(found, leaves, strict=True)
    ]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (tuple, list)):
        return [one for item in value for one in _tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def plus(one: Any, other: Any, factor: float) -> Any:
    """``one`` + factor·``other``, through lists."""
    if isinstance(one, (tuple, list)):
        return [plus(a, b, factor) for a, b in zip(one, other, strict=True)]
    return one + factor * other


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with something done to each of its numbers, a number as a tensor in doubles."""
    if isinstance(value, (tuple, list)):
        return [mapped(one, change) for one in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return change(torch.tensor(value, dtype=torch.double)).item()
    value = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    return change(value) if isinstance(value, Tensor) else value


def finite(value: Any) -> bool:
    """Whether no number in it, nor in its gradients, is NaN or infinite."""
    if isinstance(value, (tuple, list)):
        return all(map(finite, value))
    array = numbers(value)
    return array is None or bool(np.isfinite(array).all())


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
    wanted, given = numbers(expected), numbers(value)
    if wanted is None:
        return type(value) is type(expected) and value == expected
    listed_number = isinstance(value, (tuple, list)) and np.ndim(expected) == 0
    if given is None or given.shape != wanted.shape or listed_number:
        return False
    relative = 0.0 if isinstance(expected, int) else tolerance.relative
    return _close(given, wanted, relative, tolerance.absolute)


def _items(value: Any) -> list[Any] | None:
    """The items of what has some."""
    if isinstance(value, (tuple, list)):
        return list(value)
    return list(value) if isinstance(value, (np.ndarray, Tensor)) and value.ndim else None


def numbers(value: Any) -> np.ndarray | None:
    """Numbers in whatever form as an array of doubles, of shape [] for one number or shape [1]."""
    if isinstance(value, (tuple, list)):
        items = [numbers(item) for item in value]
        shapes = {None if one is None else one.shape for one in items}
        if len(shapes) != 1 or None in shapes:
            return None
        array = np.stack(items)
    elif isinstance(value, (int, float, np.number, np.ndarray, Tensor)):
        array = value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value)
    else:
        return None
    if array.dtype.kind not in "iuf":  # True is no number
        return None
    return array.astype(float).reshape(()) if array.shape == (1,) else array.astype(float)


def _close(given: np.ndarray, wanted: np.ndarray, relative: float, absolute: float) -> bool:
    """Element by element; the absolute tolerance grows a little with the largest of them."""
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    floor = max(absolute, relative / 100 * largest)
    return bool(np.allclose(given, wanted, rtol=relative, atol=floor, equal_nan=True))


def _same_gradients(given: list, expected: list) -> bool:
    """Equal up to a small part of the largest entry, and exactly zero where all should be."""
    if len(given) != len(expected):
        return False
    pairs = list(zip(_tensors(given), _tensors(expected), strict=True))
    largest = max((float(b.nan_to_num(0, 0, 0).abs().max()) for _, b in pairs), default=0.0)
    tolerances = {"rtol": GRADIENT_TOLERANCE, "atol": GRADIENT_TOLERANCE * largest}
    return all(
        torch.allclose(a.double(), b.double(), equal_nan=True, **tolerances) for a, b in pairs
    )


def difference(given: Any, expected: Any, tolerance: Tolerance) -> tuple[str, str, str]:
    """(where, expected, given): all of both if that tells them apart, else the first difference."""
    texts = brief(expected), brief(given)
    if texts[0] != texts[1]:
        return "", *texts
    wanted, got = _items(expected), _items(given)
    if wanted is None or got is None or len(wanted) != len(got):
        return "", *(
            f"{float(one):.9g}" if numbers(one) is not None else repr(one)
            for one in (expected, given)
        )
    # Differences within the tolerance of each item count together; then the first stands for all.
    pairs = enumerate(zip(got, wanted, strict=True))
    place = next((i for i, pair in pairs if not same(*pair, tolerance)), 0)
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
        beginning = ", ".join(f"{number:.4g}" for number in _beginning(value))
        return f"{name} {list(value.shape)} starting {beginning}"
    if isinstance(value, (float, np.floating, Tensor)):
        return f"{float(value):.4g}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(brief, value)) + ")"
    return repr(value)


def _beginning(value: Tensor | np.ndarray) -> list[float]:
    flat = value.detach().flatten() if isinstance(value, Tensor) else value.ravel()
    return flat[:4].tolist()
