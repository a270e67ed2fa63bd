"""How sure we are of a mean: intervals, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdnotes import checks

# What the end of a metric's name tells.
LARGER_IS_BETTER = {"accuracy": True, "nll": False, "ece": False}


@dataclass(frozen=True)
class Interval:
    """A mean of ``n`` samples with its confidence interval, in the unit of the samples.

    Where it lies is asked with ``above``, ``below`` and ``resolved``, never by comparing the ends:
    an interval without spread resolves nothing.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def has_spread(self) -> bool:
        """Whether there are two samples or more, and they differ by more than rounding.

        Without spread the formula gives a width of 0, but samples that happen to agree say as
        little of the next one as one sample does. Differences of numbers near 1 that are equal on
        paper differ by about 1e-16.
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
        """The interval of fractions as percentage points, such as "+1.50 ± 0.30" (with U+2212 for
        minus).
        """
        text = f"{100 * self.mean:{'+' if signed else ''}z.2f} ± {100 * self.half_width:.2f}"
        return text.replace("-", "−").replace("inf", "∞")


@dataclass(frozen=True)
class Metric:
    """How a metric is read and shown: fractions (accuracy, ECE) as points, NLL in nats.

    Args:
        name: the column of ``study.frame``, such as "test_accuracy".
        larger_is_better: which sign of a difference is a gain.
    """

    name: str
    larger_is_better: bool

    @classmethod
    def named(cls, name: str, larger_is_better: bool | None = None) -> Metric:
        """With the direction that its name tells, unless it is given; ``None`` if neither is so."""
        told = LARGER_IS_BETTER.get(name.rpartition("_")[2])
        return cls(name, told if larger_is_better is None else larger_is_better)

    @property
    def sign(self) -> int:
        """+1 if a gain is a positive difference, −1 if it is a negative one."""
        return 1 if self.larger_is_better else -1

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown."""
        return 100.0 if self.name.endswith(("accuracy", "ece")) else 1.0

    @property
    def unit(self) -> str:
        units = {"accuracy": "points", "ece": "points", "nll": "nats", "seconds": "s"}
        return units.get(self.name.rpartition("_")[2], "")

    def gain(self, difference: Interval) -> Interval:
        """The interval of the gain, which is positive where the difference is for the better."""
        low, high = sorted(self.sign * end for end in (difference.low, difference.high))
        return Interval(self.sign * difference.mean, low, high, difference.n)

    def amount(self, value: float, sign: str = "") -> str:
        """A difference in its unit, such as "0.5 points"; with ``sign="+"`` "+0.5 points"."""
        return f"{self.scale * value:{sign}.3g} {self.unit}".strip().replace("-", "−")

    def interval(self, interval: Interval, sign: str = "+") -> str:
        """A difference with its interval, such as "+1.07 ± 0.29 points"."""
        form, mean, half = ".2f" if self.scale == 100 else ".4f", interval.mean, interval.half_width
        text = f"{self.scale * mean:{sign}{form}} ± {self.scale * half:{form}} {self.unit}"
        return text.strip().replace("-", "−").replace("inf", "∞")

    def sentence(self, arm: str, baseline: str, difference: Interval) -> str:
        """A difference in one sentence: "KD beats CE: +1.00 ± 0.99 points"."""
        gain = self.gain(difference)
        verb = (
            "beats" if gain.above() else "is worse than" if gain.below() else "is not resolved from"
        )
        return f"{arm} {verb} {baseline}: {self.interval(difference)}"


def mean_interval(samples: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and Student-t confidence interval of independent samples, such as one paired difference
    a seed.

    With one sample the interval is infinite: one seed says nothing of the next. Where all samples
    are equal it has no width, and ``has_spread`` is false.
    """
    from scipy.special import stdtrit  # what stats.t.ppf calls: scipy.stats takes a second longer

    checks.share("level", level)
    try:
        values = np.asarray(samples, dtype=float)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"samples must be a non-empty list of finite numbers, not {samples!r}")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, float("-inf"), float("inf"), 1)
    quantile = stdtrit(len(values) - 1, (1 + level) / 2)
    half = float(quantile * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half, len(values))


def signed(value: float, digits: int = 2) -> str:
    """The number with its sign, + or U+2212 for minus; what rounds to 0 has a +."""
    return f"{value:+z.{digits}f}".replace("-", "−")


def verdict(interval: Interval, *, lower_is_better: bool = False) -> str:
    """A difference in two words: "resolved gain", "resolved loss" or "not resolved"."""
    if not interval.resolved:
        return "not resolved"
    return "resolved gain" if (interval.mean < 0) == lower_is_better else "resolved loss"


def said(interval: Interval, unit: str = "points", *, lower_is_better: bool = False) -> str:
    """A difference with its verdict: "+1.50 ± 0.30 points (resolved gain)".

    Args:
        unit: "points" for a difference of fractions, as percentage points; any other unit is that
            of the samples.
        lower_is_better: as of NLL and ECE: a gain lies below 0.
    """
    half = f"{interval.half_width:.3f}".replace("inf", "∞")
    amount = interval.points() if unit == "points" else f"{signed(interval.mean, 3)} ± {half}"
    return f"{amount} {unit} ({verdict(interval, lower_is_better=lower_is_better)})"


def by_verdict(intervals: Mapping[str, Interval]) -> str:
    """The names of differences by their verdict: "resolved gain: A, B; resolved loss: none; not
    resolved: C".
    """
    found = {word: [] for word in ("resolved gain", "resolved loss", "not resolved")}
    for name, interval in intervals.items():
        found[verdict(interval)].append(name)
    return "; ".join(f"{word}: {', '.join(names) or 'none'}" for word, names in found.items())
