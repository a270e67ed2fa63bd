"""Checks of arguments, in one place: each names the argument, what it was and what is allowed.

``TypeError`` is raised for the wrong kind, ``ValueError`` for the wrong value. A public function
calls its checks in its first lines; a dataclass names the check of a field beside its default
(``bound``) and runs them all with ``fields``.
Inside ``trusted`` no check is made: a training checks the arguments of its losses in the first
step, not in every one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

_checking = ContextVar("checking", default=True)


@contextlib.contextmanager
def trusted() -> Iterator[None]:
    """No check of this module is made inside, in this thread."""
    token = _checking.set(False)
    try:
        yield
    finally:
        _checking.reset(token)


def _unless_trusted(check: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(check)
    def checked(*arguments: Any, **named: Any) -> None:
        if _checking.get():
            check(*arguments, **named)

    return checked


# Fields of dataclasses


def bound(check: Callable[[str, Any], None], default: Any = dataclasses.MISSING) -> Any:
    """A field of a dataclass with the check of its value, ``check(name, value)``; ``fields`` makes
    it.
    """
    return dataclasses.field(default=default, metadata={"check": check})


def fields(instance: Any) -> None:
    """Make the checks of a dataclass's fields, in their order: the whole of most
    ``__post_init__``.
    """
    for field in dataclasses.fields(instance):
        if check := field.metadata.get("check"):
            check(field.name, getattr(instance, field.name))


# Numbers and kinds


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {kind_of(value)}")


@_unless_trusted
def positive(name: str, value: object) -> None:
    """A finite number above 0, such as a temperature."""
    _number(name, value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}")


@_unless_trusted
def fraction(name: str, value: object) -> None:
    """A number in [0, 1], such as the weight of one of two terms."""
    _number(name, value)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")


@_unless_trusted
def weight(name: str, value: object) -> None:
    """A finite number, 0 or more."""
    _number(name, value)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number, 0 or more, not {value!r}")


@_unless_trusted
def share(name: str, value: object) -> None:
    """A number between 0 and 1, both excluded, such as the level of an interval."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")


def at_least(least: int) -> Callable[[str, object], None]:
    """The check of a whole number, ``least`` or more."""

    @_unless_trusted
    def check(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer, not {kind_of(value)}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")

    return check


@_unless_trusted
def count(name: str, value: object, least: int = 1) -> None:
    """How many of something: a whole number, ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def one_of(*allowed: str) -> Callable[[str, object], None]:
    """The check of a word, one of a few."""

    @_unless_trusted
    def check(name: str, value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")

    return check


def instance(*kinds: type, said: str = "") -> Callable[[str, object], None]:
    """The check of an object's class; ``said`` names it in the message, by default module and
    class.
    """

    @_unless_trusted
    def check(name: str, value: object) -> None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = said or f"a {kinds[0].__module__}.{kinds[0].__name__}"
            raise TypeError(f"{name} must be {wanted}, not {kind_of(value)}")

    return check


@_unless_trusted
def builder(name: str, value: object) -> None:
    """A function that builds a network, not the network."""
    if not callable(value) or isinstance(value, torch.nn.Module):
        example = "such as functools.partial(StudentNet, width=16)"
        raise TypeError(
            f"{name} must be a function that builds the network, {example}, not {kind_of(value)}"
        )


def kind_of(value: object) -> str:
    """The class of a value, or the dtype of a tensor, with its article."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    name = str(value.dtype).removeprefix("torch.")
    return f"{'an' if name.startswith('i') else 'a'} {name} tensor"


# Tensors


@_unless_trusted
def floating(name: str, tensor: object, shape: str = "") -> None:
    """A floating-point tensor; ``shape`` is how the message writes the shape that is wanted."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor{shape}, not {kind_of(tensor)}")


@_unless_trusted
def finite(**tensors: Tensor) -> None:
    """No NaN and no infinity in any tensor.

    A finite sum has finite terms, and takes a tenth of the time of looking at each.
    """
    for name, tensor in tensors.items():
        if math.isfinite(tensor.detach().sum()):
            continue
        number = int((~tensor.detach().isfinite()).sum())
        if number:
            raise ValueError(
                f"{name} must be finite, but {number} of {tensor.numel()} numbers are NaN or infinite"
            )


@_unless_trusted
def logits(**tensors: Tensor) -> None:
    """Floating-point, ``[batch, classes]`` with two classes or more, all of one shape, and
    finite.
    """
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        floating(name, tensor)
        if tensor.ndim != 2:
            raise ValueError(
                f"{name} must have the shape [batch, classes], not {list(tensor.shape)}"
            )
        if tensor.shape[1] < 2:
            raise ValueError(f"{name} must have at least 2 classes, not {tensor.shape[1]}")
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} must have the shape of {first_name}, {list(first.shape)}, not {list(tensor.shape)}"
            )
    finite(**tensors)


@_unless_trusted
def not_empty(name: str, batch: Tensor) -> None:
    """One sample or more."""
    if len(batch) == 0:
        raise ValueError(f"{name} must hold at least one sample, not 0: an empty batch has no mean")


@_unless_trusted
def targets(values: Tensor, classes: int, batch: int | None = None) -> None:
    """Class indices ``[batch]`` of dtype int64 in 0 … classes − 1, one for each sample where
    ``batch`` is given.
    """
    if not isinstance(values, Tensor) or values.dtype != torch.int64:
        raise TypeError(f"targets must be an int64 tensor of class indices, not {kind_of(values)}")
    if values.ndim != 1:
        raise ValueError(f"targets must have the shape [batch], not {list(values.shape)}")
    if len(values) and not bool(((values >= 0) & (values < classes)).all()):
        span = f"{int(values.min())} … {int(values.max())}"
        raise ValueError(f"targets must lie in 0 … {classes - 1}, but they span {span}")
    if batch is not None and len(values) != batch:
        raise ValueError(
            f"targets must be one class for each of the {batch} samples, not {len(values)}"
        )


@_unless_trusted
def distribution(name: str, probabilities: Tensor) -> None:
    """Not negative, and each row sums to 1 within 1e-3."""
    probabilities = probabilities.detach()
    if len(probabilities) == 0:
        return
    if not bool((probabilities >= 0).all()):
        raise ValueError(
            f"{name} must not be negative or NaN; the smallest is {float(probabilities.min()):.4g}"
        )
    error = float((probabilities.sum(dim=-1) - 1).abs().max())
    if error > 1e-3:
        raise ValueError(f"{name} must sum to 1 in each row; the largest deviation is {error:.4g}")


@_unless_trusted
def teacher_logits(tensor: Tensor, shape: Sequence[int] | None = None) -> None:
    """Logits of one teacher or more, ``[teachers, batch, classes]``; ``shape`` is that of the
    student's.
    """
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise TypeError(
            "teacher_logits must be a floating-point tensor [teachers, batch, classes], not "
            f"{kind_of(tensor)}: torch.stack(list) makes one"
        )
    if tensor.ndim != 3 or not len(tensor) or (shape is not None and tensor.shape[1:] != shape):
        wanted = "batch, classes" if shape is None else ", ".join(map(str, shape))
        raise ValueError(
            f"teacher_logits must have the shape [teachers, {wanted}], 1 teacher or more, not {list(tensor.shape)}"
        )
    logits(teacher_logits=tensor.flatten(0, 1))


@_unless_trusted
def teacher_weights(weights: Tensor, of: Tensor) -> None:
    """A weight for each sample and teacher, ``[batch, teachers]``, rows summing to 1; ``of`` are
    the teachers' logits.
    """
    floating("weights", weights, " [batch, teachers]")
    wanted = list(of.shape[1::-1])
    if list(weights.shape) != wanted:
        found = f"{wanted}, not {list(weights.shape)}: one row a sample"
        raise ValueError(f"weights must have the shape [batch, teachers], {found}")
    distribution("weights", weights)


@_unless_trusted
def feature(name: str, tensor: Tensor) -> None:
    """The output of a stage, ``[batch, channels, height, width]``."""
    floating(name, tensor)
    if tensor.ndim != 4 or 0 in tensor.shape[1:]:
        raise ValueError(
            f"{name} must have the shape [batch, channels, height, width], not {list(tensor.shape)}"
        )


@_unless_trusted
def feature_pairs(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> None:
    """As many features of the teacher as of the student, one or more, each pair of one batch, and
    finite.
    """
    named = {"student_features": student_features, "teacher_features": teacher_features}
    for name, features in named.items():
        if not isinstance(features, (list, tuple)) or not features:
            found = "an empty one" if isinstance(features, (list, tuple)) else kind_of(features)
            raise TypeError(f"{name} must be a non-empty list of features, not {found}")
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f"teacher_features must be as many as student_features, {len(student_features)}, not {len(teacher_features)}"
        )
    for number, pair in enumerate(zip(student_features, teacher_features, strict=True)):
        names = [f"{name}[{number}]" for name in named]
        for name, tensor in zip(names, pair, strict=True):
            feature(name, tensor)
            finite(**{name: tensor})
        if len(pair[0]) != len(pair[1]):
            raise ValueError(
                f"{names[1]} must have the batch of {names[0]}, {len(pair[0])}, not {len(pair[1])}"
            )


@_unless_trusted
def peer_logits(logits_of_peers: Sequence[Tensor]) -> None:
    """A list of the logits of two peers or more, of one shape, with one sample or more."""
    if not isinstance(logits_of_peers, (list, tuple)):
        found = kind_of(logits_of_peers)
        raise TypeError(
            f"logits must be a list of tensors [batch, classes], one a peer, not {found}"
        )
    if len(logits_of_peers) < 2:
        raise ValueError(f"logits must be those of 2 peers or more, not {len(logits_of_peers)}")
    logits(**{f"logits[{number}]": one for number, one in enumerate(logits_of_peers)})
    not_empty("logits[0]", logits_of_peers[0])
