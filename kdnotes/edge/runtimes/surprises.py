"""What an export does that nobody asked for, as numbers: to see it, and to see its cure."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.runtimes.interface import Runtime

__all__ = ["largest_batch", "reordered"]


def reordered(
    runtime: Runtime, network: nn.Module, images: Tensor, calibration: Tensor
) -> dict[str, float]:
    """How two int8 files differ whose calibration images were the same, in opposite orders.

    ``flips``, images that get another answer, and ``largest_difference`` of their logits; both are
    0 where the ranges of activations do not depend on the order.

    Args:
        runtime: with int8.
        network: in float.
        images: to compare on, ``[N, C, 32, 32]``.
        calibration: images of the *training* set.
    """
    checks.images("images", images)
    checks.images("calibration", calibration)
    with tempfile.TemporaryDirectory() as folder:
        logits = []
        for number, given in enumerate((calibration, calibration.flip(0))):
            path = runtime.export(network, Path(folder, f"{number}{runtime.suffix}"), given)
            logits.append(runtime.load(path).predict(images))
    one, other = logits
    flips = int((one.argmax(1) != other.argmax(1)).sum())
    return {"flips": flips, "largest_difference": float((one - other).abs().max())}


def largest_batch(runtime: Runtime, network: nn.Module, images: Tensor) -> int:
    """The most images that a float file takes in one call, up to all of these; 0: not even one.

    Args:
        runtime: such as ``ExecuTorch(batch=2, up_to=64)``.
        network: in float.
        images: ``[N, C, 32, 32]``.
    """
    checks.images("images", images)
    with tempfile.TemporaryDirectory() as folder:
        loaded = runtime.load(runtime.export(network, Path(folder, f"float{runtime.suffix}")))
        for number in range(1, len(images) + 1):
            try:
                loaded(images[:number])
            except Exception:  # each runtime has its own error for a batch that it does not take
                return number - 1
    return len(images)
