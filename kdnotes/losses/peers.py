"""Losses of peers that learn from each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.logits import kd_loss


def peer_divergences(logits: Sequence[Tensor], temperature: float = 1.0) -> list[Tensor]:
    """For each of M ≥ 2 peers the mean over the others j of T²·KL(p_j ‖ p_i), the others detached
    (1706.00384).

    Args:
        logits: a list of M tensors ``[batch, classes]``.
        temperature: T > 0.
    """
    checks.peer_logits(logits)
    return [
        sum(kd_loss(own, other.detach(), temperature) for j, other in enumerate(logits) if j != i)
        / (len(logits) - 1)
        for i, own in enumerate(logits)
    ]


def mutual_losses(
    logits: Sequence[Tensor], targets: Tensor, temperature: float = 1.0
) -> list[Tensor]:
    """Deep mutual learning: a loss for each peer, CE_i + mean_{j≠i} T²·KL(p_j ‖ p_i) (Zhang et al.
    2018, 1706.00384).

    Each peer is a fixed target (detached) for the others. The paper has T = 1, and updates the
    peers in turn; here, as in most code, all losses of a step are of the same weights.

    Args:
        logits: a list of M ≥ 2 tensors ``[batch, classes]``.
        targets: y, ``[batch]`` int64.
        temperature: T > 0.
    """
    divergences = peer_divergences(logits, temperature)
    checks.targets(targets, logits[0].shape[1], len(logits[0]))
    return [
        F.cross_entropy(own, targets) + other
        for own, other in zip(logits, divergences, strict=True)
    ]
