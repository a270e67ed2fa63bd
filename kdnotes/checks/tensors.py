"""Checks of tensors: kinds, shapes, and what they hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kdnotes.checks.values import kind_of, unless_trusted


def floating(name: str, tensor: object, shape: str = "") -> None:
    """A floating-point tensor; ``shape`` is how the message writes the shape that is wanted."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor{shape}, not {kind_of(tensor)}")


@unless_trusted
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
                f"{name} must be finite, but {number} of {tensor.numel()} numbers are NaN or "
                "infinite"
            )


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
                f"{name} must have the shape of {first_name}, {list(first.shape)}, not "
                f"{list(tensor.shape)}"
            )
    finite(**tensors)


def not_empty(name: str, batch: Tensor) -> None:
    """One sample or more."""
    if len(batch) == 0:
        raise ValueError(f"{name} must hold at least one sample, not 0: an empty batch has no mean")


def targets(values: Tensor, classes: int, batch: int | None = None) -> None:
    """Class indices ``[batch]`` of dtype int64 in 0 … classes − 1, one for each sample where
    ``batch`` is given.
    """
    if not isinstance(values, Tensor) or values.dtype != torch.int64:
        raise TypeError(f"targets must be an int64 tensor of class indices, not {kind_of(values)}")
    if values.ndim != 1:
        raise ValueError(f"targets must have the shape [batch], not {list(values.shape)}")
    _in_range(values, classes)
    if batch is not None and len(values) != batch:
        raise ValueError(
            f"targets must be one class for each of the {batch} samples, not {len(values)}"
        )


@unless_trusted
def _in_range(values: Tensor, classes: int) -> None:
    if len(values) and not bool(((values >= 0) & (values < classes)).all()):
        span = f"{int(values.min())} … {int(values.max())}"
        raise ValueError(f"targets must lie in 0 … {classes - 1}, but they span {span}")


@unless_trusted
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
            f"teacher_logits must have the shape [teachers, {wanted}], 1 teacher or more, not "
            f"{list(tensor.shape)}"
        )
    logits(teacher_logits=tensor.flatten(0, 1))


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


def feature(name: str, tensor: Tensor) -> None:
    """The output of a stage, ``[batch, channels, height, width]``."""
    floating(name, tensor)
    if tensor.ndim != 4 or 0 in tensor.shape[1:]:
        raise ValueError(
            f"{name} must have the shape [batch, channels, height, width], not {list(tensor.shape)}"
        )


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
            f"teacher_features must be as many as student_features, {len(student_features)}, not "
            f"{len(teacher_features)}"
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


def embeddings(least: int, **tensors: Tensor) -> None:
    """One vector a sample, ``[batch, size]``, all of one batch of ``least`` samples or more, and
    finite; the sizes may differ.
    """
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        floating(name, tensor)
        if tensor.ndim != 2 or not tensor.shape[1]:
            raise ValueError(f"{name} must have the shape [batch, size], not {list(tensor.shape)}")
        if len(tensor) != len(first):
            raise ValueError(
                f"{name} must have the batch of {first_name}, {len(first)}, not {len(tensor)}"
            )
        if len(tensor) < least:
            raise ValueError(
                f"{name} must hold at least {least} samples, not {len(tensor)}: a relation is "
                "among several"
            )
    finite(**tensors)


def similarities(tensor: Tensor) -> None:
    """Of anchors with their own sample and with one negative or more, ``[batch, 1 + negatives]``,
    finite.
    """
    floating("similarities", tensor)
    if tensor.ndim != 2 or tensor.shape[1] < 2:
        raise ValueError(
            "similarities must have the shape [batch, 1 + negatives], 1 negative or more, not "
            f"{list(tensor.shape)}"
        )
    finite(similarities=tensor)


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


def images(name: str, tensor: object, channels: int | None = None) -> None:
    """One image or more, ``[N, C, 32, 32]``, of ``channels`` where they are given."""
    is_tensor = isinstance(tensor, Tensor)
    if not (is_tensor and tensor.is_floating_point() and tensor.ndim == 4 and len(tensor)):
        found = list(tensor.shape) if is_tensor else kind_of(tensor)
        wanted = "a floating-point tensor [N, C, 32, 32] of 1 image or more"
        raise ValueError(f"{name} must be {wanted}, not {found}")
    if channels is not None and tensor.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channels, not {tensor.shape[1]}")
