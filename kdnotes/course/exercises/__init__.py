"""References, cases and named traps of the chapters' exercises, one module a chapter."""

from __future__ import annotations

from torch import Tensor

LARGEST_LOGIT = 1e4  # of the rule of all exercises: finite for logits of ±10⁴


def stretched(*logits: Tensor) -> tuple[Tensor, ...]:
    """Each tensor multiplied so that its largest entry has the size 10⁴."""
    return tuple(one * (LARGEST_LOGIT / one.abs().max()) for one in logits)
