"""What networks that answer together score: one by one, as an ensemble, and how they differ."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch.nn.functional as F
from torch import Tensor

from kdnotes import metrics

__all__ = ["scores"]


def scores(logits: Sequence[Tensor], targets: Tensor) -> pd.DataFrame:
    """One row a seed, as fractions.

    "mean peer" is the accuracy of one network, averaged over them; "ensemble" that of the class
    with the highest mean probability; "disagreement" the share of images on which two networks
    predict different classes, averaged over all pairs.

    Args:
        logits: of each seed ``[N, M, K]``, of M ≥ 2 networks.
        targets: y, ``[N]``.
    """
    return pd.DataFrame([_of_seed(one, targets) for one in logits])


def _of_seed(logits: Tensor, targets: Tensor) -> dict[str, float]:
    members = logits.unbind(dim=1)
    mean = F.softmax(logits.double(), dim=2).mean(dim=1)
    apart = [1 - metrics.agreement(*pair) for pair in itertools.combinations(members, 2)]
    return {
        "mean peer": float(np.mean([metrics.accuracy(one, targets) for one in members])),
        "ensemble": metrics.accuracy(mean, targets),
        "disagreement": float(np.mean(apart)),
    }
