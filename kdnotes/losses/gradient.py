"""A gradient that is reversed on its way back."""

from __future__ import annotations

import torch
from torch import Tensor

from kdnotes import checks


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Return ``x``; in the backward pass its gradient is multiplied by −``strength`` (arXiv
    1409.7495).

    An optimiser that descends on the loss then *ascends* on it in whatever ``x`` was computed from.
    """
    checks.floating("x", x)
    checks.weight("strength", strength)
    return _ReverseGradient.apply(x, strength)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None
