"""AdamW over one cycle of its learning rate.

``torch.optim.AdamW`` and ``OneCycleLR`` give the same numbers, to the last bit (a test compares
them), but ask for torch's compiler at the first call: 2 s in each process, of which a chapter has
three. So torch's function ``adamw`` is called here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

BETAS, EPS = (0.9, 0.999), 1e-8  # those of torch.optim.AdamW


class Group(NamedTuple):
    """Parameters with an equal weight decay."""

    parameters: Sequence[Tensor]
    weight_decay: float


class OneCycleAdamW:
    """AdamW (arXiv 1711.05101); its rate rises from a 25th of the highest and falls to almost
    nothing (arXiv 1708.07120), each in half a cosine.

    Args:
        groups: what it changes.
        highest: learning rate after a fifth of the steps.
        steps: how often it will be called.
    """

    def __init__(self, groups: Sequence[Group], highest: float, steps: int):
        self.groups, self.highest, self.step_number = groups, highest, 0
        self.total = max(steps + 1, 6)  # of 5 steps, the first phase would be none: 0/0
        self.moments: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = {}

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        first, peak, last = self.highest / 25, self.total * 0.2 - 1, self.total - 1
        if self.step_number <= peak:
            return _half_cosine(first, self.highest, self.step_number / peak)
        return _half_cosine(self.highest, first / 1e4, (self.step_number - peak) / (last - peak))

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter that has a gradient."""
        for parameters, weight_decay in self.groups:
            changed = [one for one in parameters if one.grad is not None]
            if not changed:
                continue
            means, squares, counts = zip(*map(self._moments, changed), strict=True)
            adamw(
                changed, [one.grad for one in changed], list(means), list(squares), [],
                list(counts), fused=True, amsgrad=False, beta1=BETAS[0], beta2=BETAS[1],
                lr=self.rate, weight_decay=weight_decay, eps=EPS, maximize=False,
            )  # fmt: skip
        self.step_number += 1

    def _moments(self, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Running means of its gradient and of the squares, and how many steps it has taken."""
        if parameter not in self.moments:
            zeros = torch.zeros((), dtype=torch.float32, device=parameter.device)
            means = (
                torch.zeros_like(parameter, memory_format=torch.preserve_format) for _ in range(2)
            )
            self.moments[parameter] = (*means, zeros)
        return self.moments[parameter]


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)
