"""Which stages of two unlike networks can be compared, and what stands between the others."""

from __future__ import annotations

import torch

from kdnotes import checks
from kdnotes.models.staged import StagedNet, feature_shapes

_check_staged = checks.instance(StagedNet, said="a network with named stages, such as StudentNet")


def stage_pairs(student: StagedNet, teacher: StagedNet) -> dict[tuple[str, str], str]:
    """Every pair (student's stage, teacher's stage), and what it takes to compare the two.

    "as they are": maps of equal height and width. "pooled to 4×4": the larger map is averaged, as
    hints and attention transfer do by themselves. "hints alone": an attention map has nothing to
    say there. "not": both refuse the pair. Channels never stand between: hints have a 1×1
    regressor, and an attention map has none.

    Args:
        student, teacher: of any two kinds. Both are asked at 32×32 pixels.
    """
    _check_staged("student", student)
    _check_staged("teacher", teacher)
    ours, theirs = feature_shapes(student), feature_shapes(teacher)
    return {(a, b): _between(a, x, b, y) for a, x in ours.items() for b, y in theirs.items()}


def _between(ours: str, mine: torch.Size, theirs: str, other: torch.Size) -> str:
    for name, shape in ((ours, mine), (theirs, other)):
        if len(shape) != 3:
            return f"not: {name!r} gives {list(shape)}, logits by token or peer, no places"
    height, width = (min(one) for one in zip(mine[1:], other[1:], strict=True))
    if height * width == 1:
        return "hints alone: one place is left, whose attention map is 1 whatever the network sees"
    same = tuple(mine[1:]) == tuple(other[1:])
    return "as they are" if same else f"pooled to {height}×{width}"
