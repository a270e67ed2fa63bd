"""What becomes of one loss a sample."""

from __future__ import annotations

from torch import Tensor

from kdnotes import checks

_check_reduction = checks.one_of("mean", "none")


def reduce(per_sample: Tensor, reduction: str, name: str) -> Tensor:
    """The mean over samples, or one value a sample; ``name`` is what an empty batch is called."""
    _check_reduction("reduction", reduction)
    if reduction == "none":
        return per_sample
    checks.not_empty(name, per_sample)
    return per_sample.mean()
