"""The logits of one sample, as a reader gives them: their checks, which classes are drawn, and the
positions of the sliders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks

__all__ = ["check_names", "drawn_classes", "gradient", "one_pair", "one_row", "positions"]

ROWS = 12  # classes that are drawn: more are neither legible nor small


def one_row(name: str, values: Sequence[float] | Tensor) -> Tensor:
    """The logits of one sample as ``[1, classes]`` in float64."""
    try:
        row = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        row = torch.empty(0, 0)
    if row.ndim != 1:
        raise ValueError(f"{name} must be the logits of one sample, [classes], not {values!r}")
    checks.logits(**{name: row[None]})
    return row[None]


def check_names(classes: Sequence[str], z: Tensor) -> None:
    """One name a logit."""
    if len(classes) != z.shape[1]:
        raise ValueError(f"classes must have one name a logit, {z.shape[1]}, not {len(classes)}")


def one_pair(
    student_logits: Sequence[float] | Tensor,
    teacher_logits: Sequence[float] | Tensor,
    target: int,
    classes: Sequence[str],
) -> tuple[Tensor, Tensor]:
    """The logits of student and teacher, each ``[1, classes]``, with the checks of what goes
    with them.
    """
    z_s, z_t = one_row("student_logits", student_logits), one_row("teacher_logits", teacher_logits)
    checks.logits(student_logits=z_s, teacher_logits=z_t)
    checks.whole("target", target, 0, z_s.shape[1] - 1)
    check_names(classes, z_s)
    return z_s, z_t


def positions(start: float, grid: Sequence[float]) -> tuple[list[float], int]:
    """The grid with the start in it, and its place."""
    values = sorted({float(start), *map(float, grid)})
    return values, values.index(float(start))


def drawn_classes(z: Tensor, other: Tensor | None = None, target: int = 0) -> list[int]:
    """The classes that are drawn, in their order: the likeliest, and the target of two networks."""
    likely = F.softmax(z[0], 0)
    if other is not None:
        likely = likely.maximum(F.softmax(other[0], 0))
        likely[target] = 2  # before all others
    return sorted(likely.topk(min(ROWS, len(likely))).indices.tolist())


def gradient(loss: Callable[[Tensor], Tensor], z_s: Tensor) -> Tensor:
    """The gradient ``[classes]`` of a loss of the student's logits ``[1, classes]``."""
    z = z_s.clone().requires_grad_()
    return torch.autograd.grad(loss(z), z)[0][0]
