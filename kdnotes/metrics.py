"""What a trained network is measured by, and how sure we are of a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.losses import check_logits, check_targets

__all__ = [
    "Interval", "accuracy", "agreement", "by_verdict", "cka", "cka_table", "evaluate", "expected_calibration_error",
    "gap_recovered", "mcnemar", "mean_interval", "negative_log_likelihood", "said", "signed", "verdict",
]  # fmt: skip


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Fraction of samples whose largest logit is the target's; logits ``[N, K]``, targets ``[N]``."""
    _check(logits, targets)
    return float((logits.argmax(1) == targets).double().mean())


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> float:
    """Mean of −log p(target), in nats."""
    _check(logits, targets)
    return float(F.cross_entropy(logits.double(), targets))


def expected_calibration_error(logits: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Mean |accuracy − confidence| over equal-width confidence bins, weighted by bin size (arXiv 1706.04599).

    A fraction in 0 … 1. Confidence is the largest probability of the softmax at T = 1.
    """
    _check(logits, targets)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, not {bins!r}")
    confidence, predicted = F.softmax(logits.double(), dim=1).max(1)
    correct = (predicted == targets).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.double).index_add_(0, bin_of, correct - confidence)
    return float(gap.abs().sum() / len(targets))


def agreement(logits: Tensor, other: Tensor) -> float:
    """Fraction of samples for which two networks predict the same class: top-1 fidelity (arXiv 2106.05945)."""
    check_logits(logits=logits, other=other)
    return float((logits.argmax(1) == other.argmax(1)).double().mean())


def evaluate(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Accuracy, NLL (nats) and ECE of logits ``[N, K]``."""
    return {
        "accuracy": accuracy(logits, targets),
        "nll": negative_log_likelihood(logits, targets),
        "ece": expected_calibration_error(logits, targets),
    }


def gap_recovered(student: float, baseline: float, teacher: float) -> float:
    """(student − baseline) / (teacher − baseline): the share of the gap to the teacher that distillation closed.

    Unlike student / teacher it does not credit the student for what it reaches without a teacher, or by chance. NaN if
    the teacher is no better than the baseline.
    """
    return (student - baseline) / (teacher - baseline) if teacher > baseline else float("nan")


@dataclass(frozen=True)
class Interval:
    """A mean of ``n`` samples with its confidence interval, in the unit of the samples.

    Where it lies is asked with ``above``, ``below`` and ``resolved``, never by comparing the ends: an interval without
    spread resolves nothing.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def has_spread(self) -> bool:
        """Whether there are two samples or more, and they differ by more than rounding.

        Without spread the formula gives a width of 0, but samples that happen to agree say as little of the next one as
        one sample does. Differences of numbers near 1 that are equal on paper differ by about 1e-16.
        """
        return self.n > 1 and self.half_width > 1e-12 * max(1.0, abs(self.mean))

    def above(self, value: float = 0.0) -> bool:
        """Whether the interval has spread and lies wholly above the value."""
        return self.has_spread and self.low > value

    def below(self, value: float = 0.0) -> bool:
        """Whether the interval has spread and lies wholly below the value."""
        return self.has_spread and self.high < value

    @property
    def resolved(self) -> bool:
        """Whether the interval has spread and excludes 0."""
        return self.above() or self.below()

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def __iter__(self):
        return iter((self.mean, self.low, self.high))

    def points(self, *, signed: bool = True) -> str:
        """The interval of fractions as percentage points, such as "+1.50 ± 0.30" (with U+2212 for minus)."""
        text = f"{100 * self.mean:{'+' if signed else ''}.2f} ± {100 * self.half_width:.2f}"
        return text.replace("-", "−").replace("inf", "∞")


def signed(value: float, digits: int = 2) -> str:
    """The number with its sign, + or U+2212 for minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def verdict(interval: Interval, *, lower_is_better: bool = False) -> str:
    """A difference in two words: "resolved gain", "resolved loss" or "not resolved"."""
    if not interval.resolved:
        return "not resolved"
    return "resolved gain" if (interval.mean < 0) == lower_is_better else "resolved loss"


def said(interval: Interval, unit: str = "points", *, lower_is_better: bool = False) -> str:
    """A difference with its verdict: "+1.50 ± 0.30 points (resolved gain)".

    Args:
        unit: "points" for a difference of fractions, as percentage points; any other unit is that of the samples.
        lower_is_better: as of NLL and ECE: a gain lies below 0.
    """
    half = f"{interval.half_width:.3f}".replace("inf", "∞")
    amount = interval.points() if unit == "points" else f"{signed(interval.mean, 3)} ± {half}"
    return f"{amount} {unit} ({verdict(interval, lower_is_better=lower_is_better)})"


def by_verdict(intervals: Mapping[str, Interval]) -> str:
    """The names of differences by their verdict: "resolved gain: A, B; resolved loss: none; not resolved: C"."""
    found = {word: [] for word in ("resolved gain", "resolved loss", "not resolved")}
    for name, interval in intervals.items():
        found[verdict(interval)].append(name)
    return "; ".join(f"{word}: {', '.join(names) or 'none'}" for word, names in found.items())


def mean_interval(samples: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and Student-t confidence interval of independent samples, such as one paired difference a seed.

    With one sample the interval is infinite: one seed says nothing of the next. Where all samples are equal it has no
    width, and ``has_spread`` is false.
    """
    from scipy import stats

    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level!r}")
    values = np.asarray(samples, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"samples must be a non-empty list of finite numbers, not {samples!r}")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, float("-inf"), float("inf"), 1)
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half, len(values))


def cka(features: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two representations of the same samples (Kornblith et al. 2019, 1905.00414).

    1 for features that are equal up to rotation and scale, 0 for unrelated ones. HSIC is estimated without bias (Song
    et al. 2012), as in Nguyen et al. 2021 (arXiv 2010.15327): the plain estimate is large for any two features of more
    dimensions than samples. An unbiased estimate can fall a little below 0.

    Args:
        features, other: ``[N, ...]`` with N ≥ 4 samples, flattened to vectors; dimensions may differ.

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
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        found = f"one of {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a floating-point tensor, not {found}")
    if tensor.ndim < 2 or len(tensor) != len(first) or len(tensor) < 4:
        raise ValueError(
            f"{name} must have the shape [N, ...], N ≥ 4 and equal to the other's, not {list(tensor.shape)}"
        )


def _gram(features: Tensor) -> Tensor:
    """Inner products of all pairs of different samples, ``[N, N]`` in float64 with a diagonal of 0."""
    flat = features.detach().flatten(1).double()
    flat = flat - flat.mean(dim=0)  # changes nothing but rounding
    return (flat @ flat.T).fill_diagonal_(0)


def _hsic(first: Tensor, second: Tensor) -> Tensor:
    count = len(first)
    product = (first * second).sum() + first.sum() * second.sum() / ((count - 1) * (count - 2))
    product = product - 2 / (count - 2) * (first.sum(dim=0) @ second.sum(dim=0))
    return product / (count * (count - 3))


def mcnemar(logits: Tensor, other: Tensor, targets: Tensor) -> float:
    """Exact McNemar test: the p-value for "two networks err equally often" on the same test images."""
    from scipy import stats

    check_logits(logits=logits, other=other)
    _check(logits, targets)
    right, other_right = logits.argmax(1) == targets, other.argmax(1) == targets
    only, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    return float(stats.binomtest(only, only + only_other).pvalue) if only + only_other else 1.0


def _check(logits: Tensor, targets: Tensor) -> None:
    check_logits(logits=logits)
    check_targets(targets, logits.shape[1])
    if len(targets) != len(logits) or not len(targets):
        raise ValueError(
            f"targets must be one class for each of the {len(logits)} logits (1 or more), not {len(targets)}"
        )
