"""Checks of what belongs to each place of a string: logits, masks, chosen classes."""

from __future__ import annotations

import torch
from torch import Tensor

from kdnotes.checks.tensors import finite, floating
from kdnotes.checks.values import kind_of, unless_trusted


def token_logits(mask: Tensor, **tensors: Tensor) -> None:
    """Floating-point ``[batch, length, classes]`` of one shape, two classes or more, finite where
    the mask, bool ``[batch, length]``, is true; one place or more counts.
    """
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        floating(name, tensor)
        if tensor.ndim != 3 or tensor.shape[2] < 2:
            raise ValueError(
                f"{name} must have the shape [batch, length, classes], 2 classes or more, not "
                f"{list(tensor.shape)}"
            )
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} must have the shape of {first_name}, {list(first.shape)}, not "
                f"{list(tensor.shape)}"
            )
    token_mask(mask, first)
    _finite_where(mask, **tensors)


def token_mask(mask: object, of: Tensor) -> None:
    """Bool ``[batch, length]`` of the logits ``of``, true at one place or more."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError(f"mask must be a bool tensor [batch, length], not {kind_of(mask)}")
    if mask.shape != of.shape[:2]:
        raise ValueError(
            f"mask must have the shape [batch, length], {list(of.shape[:2])}, not "
            f"{list(mask.shape)}"
        )
    _some_place(mask)


@unless_trusted
def _some_place(mask: Tensor) -> None:
    if not bool(mask.any()):
        raise ValueError("mask must be true at one place or more: no place has no mean")


@unless_trusted
def _finite_where(mask: Tensor, **tensors: Tensor) -> None:
    finite(**{name: tensor.detach()[mask] for name, tensor in tensors.items()})


def first_places(mask: object, tokens: Tensor) -> None:
    """Bool of the tokens' shape ``[batch, length]``, in each row true at its first places alone."""
    token_mask(mask, tokens)
    _no_gap(mask)


@unless_trusted
def _no_gap(mask: Tensor) -> None:
    if bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise ValueError("mask must be true at the first places of each string, and then false")


def token_inputs(tokens: object, kinds: int) -> None:
    """int64 ``[batch, length]`` in 0 … kinds − 1."""
    if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64 or tokens.ndim != 2:
        found = kind_of(tokens)
        shape = f" {list(tokens.shape)}" if isinstance(tokens, Tensor) else ""
        raise TypeError(f"tokens must be an int64 tensor [batch, length], not {found}{shape}")
    _classes_where("tokens", tokens, kinds, torch.ones_like(tokens, dtype=torch.bool))


def token_classes(name: str, values: object, shape: torch.Size, classes: int, mask: Tensor) -> None:
    """int64 of this shape, whose first two are the mask's, in 0 … classes − 1 where it is true."""
    if not isinstance(values, Tensor) or values.dtype != torch.int64:
        raise TypeError(f"{name} must be an int64 tensor, not {kind_of(values)}")
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape {list(shape)}, not {list(values.shape)}")
    _classes_where(name, values, classes, mask)


@unless_trusted
def _classes_where(name: str, values: Tensor, classes: int, mask: Tensor) -> None:
    counted = values[mask]
    if counted.numel() and not bool(((counted >= 0) & (counted < classes)).all()):
        span = f"{int(counted.min())} … {int(counted.max())}"
        raise ValueError(f"{name} must lie in 0 … {classes - 1}, but they span {span}")
