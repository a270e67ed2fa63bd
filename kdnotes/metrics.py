"""What a trained network is measured by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.intervals import Interval, by_verdict, mean_interval, said, signed, verdict

__all__ = [
    "Interval", "accuracy", "agreement", "balanced_accuracy", "by_verdict", "cka", "cka_table",
    "evaluate", "expected_calibration_error", "gap_recovered", "mcnemar", "mean_interval",
    "negative_log_likelihood", "said", "signed", "verdict",
]  # fmt: skip


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Fraction of samples whose largest logit is the target's; logits ``[N, K]``, targets
    ``[N]``.
    """
    _check(logits, targets)
    return float((logits.argmax(1) == targets).double().mean())


def balanced_accuracy(logits: Tensor, targets: Tensor) -> float:
    """Mean over the classes of the fraction of their samples that are recognised (recall); logits
    ``[N, K]``.

    1/K for a network that always answers one class, however many samples that class has. Only
    classes that occur in ``targets`` ``[N]`` count. Equal to ``accuracy`` where all classes have as
    many samples.
    """
    _check(logits, targets)
    right = (logits.argmax(1) == targets).double()
    counts = torch.bincount(targets).double()
    found = torch.bincount(targets, weights=right)
    return float((found / counts)[counts > 0].mean())


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> float:
    """Mean of −log p(target), in nats."""
    _check(logits, targets)
    return float(F.cross_entropy(logits.double(), targets))


def expected_calibration_error(logits: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Mean |accuracy − confidence| over equal-width confidence bins, weighted by bin size (arXiv
    1706.04599).

    A fraction in 0 … 1. Confidence is the largest probability of the softmax at T = 1.
    """
    _check(logits, targets)
    checks.count("bins", bins)
    confidence, predicted = F.softmax(logits.double(), dim=1).max(1)
    correct = (predicted == targets).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.double).index_add_(0, bin_of, correct - confidence)
    return float(gap.abs().sum() / len(targets))


def agreement(logits: Tensor, other: Tensor) -> float:
    """Fraction of samples for which two networks predict the same class: top-1 fidelity (arXiv
    2106.05945).
    """
    checks.logits(logits=logits, other=other)
    return float((logits.argmax(1) == other.argmax(1)).double().mean())


def evaluate(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Accuracy, NLL (nats) and ECE of logits ``[N, K]``."""
    return {
        "accuracy": accuracy(logits, targets),
        "nll": negative_log_likelihood(logits, targets),
        "ece": expected_calibration_error(logits, targets),
    }


def gap_recovered(student: float, baseline: float, teacher: float) -> float:
    """(student − baseline) / (teacher − baseline): the share of the gap to the teacher that
    distillation closed.

    Unlike student / teacher it does not credit the student for what it reaches without a teacher,
    or by chance. NaN if the teacher is no better than the baseline.
    """
    return (student - baseline) / (teacher - baseline) if teacher > baseline else float("nan")


def mcnemar(logits: Tensor, other: Tensor, targets: Tensor) -> float:
    """Exact McNemar test: the p-value for "two networks err equally often" on the same test
    images.
    """
    from scipy import stats

    checks.logits(logits=logits, other=other)
    _check(logits, targets)
    right, other_right = logits.argmax(1) == targets, other.argmax(1) == targets
    only, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    return float(stats.binomtest(only, only + only_other).pvalue) if only + only_other else 1.0


def cka(features: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two representations of the same samples (Kornblith et al.
    2019, 1905.00414).

    1 for features that are equal up to rotation and scale, 0 for unrelated ones. HSIC is estimated
    without bias (Song
    et al. 2012), as in Nguyen et al. 2021 (arXiv 2010.15327): the plain estimate is large for any
    two features of more dimensions than samples. An unbiased estimate can fall a little below 0.

    Args:
        features, other: ``[N, ...]`` with N ≥ 4 samples, flattened to vectors; dimensions may
            differ.

    Returns:
        The alignment; NaN if one of them is constant.
    """
    _check_features("features", features, features)
    _check_features("other", other, features)
    return float(cka_table([features], [other])[0, 0])


def cka_table(features: Sequence[Tensor], others: Sequence[Tensor]) -> np.ndarray:
    """``cka`` of each of ``features`` with each of ``others``, ``[len(features), len(others)]``.

    The inner products of each representation are computed once, not once a pair.
    """
    for name, several in (("features", features), ("others", others)):
        if not several:
            raise ValueError(f"{name} must hold at least one tensor")
        for number, tensor in enumerate(several):
            _check_features(f"{name}[{number}]", tensor, features[0])
    rows, columns = ([_gram(tensor) for tensor in several] for several in (features, others))
    sizes = [[_hsic(gram, gram) for gram in several] for several in (rows, columns)]
    table = np.full((len(rows), len(columns)), np.nan)
    for row, column in np.ndindex(*table.shape):
        scale = (sizes[0][row] * sizes[1][column]).clamp_min(0).sqrt()
        if scale > 0:
            table[row, column] = _hsic(rows[row], columns[column]) / scale
    return table


def _check_features(name: str, tensor: Tensor, first: Tensor) -> None:
    checks.floating(name, tensor)
    if tensor.ndim < 2 or len(tensor) != len(first) or len(tensor) < 4:
        raise ValueError(
            f"{name} must have the shape [N, ...], N ≥ 4 and equal to the other's, not "
            f"{list(tensor.shape)}"
        )


def _gram(features: Tensor) -> Tensor:
    """Inner products of all pairs of different samples, ``[N, N]`` in float64 with a diagonal of
    0.
    """
    flat = features.detach().flatten(1).double()
    flat = flat - flat.mean(dim=0)  # changes nothing but rounding
    return (flat @ flat.T).fill_diagonal_(0)


def _hsic(first: Tensor, second: Tensor) -> Tensor:
    count = len(first)
    product = (first * second).sum() + first.sum() * second.sum() / ((count - 1) * (count - 2))
    product = product - 2 / (count - 2) * (first.sum(dim=0) @ second.sum(dim=0))
    return product / (count * (count - 3))


def _check(logits: Tensor, targets: Tensor) -> None:
    checks.logits(logits=logits)
    checks.targets(targets, logits.shape[1])
    if len(targets) != len(logits) or not len(targets):
        raise ValueError(
            f"targets must be one class for each of the {len(logits)} logits (1 or more), not "
            f"{len(targets)}"
        )
