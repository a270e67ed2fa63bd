"""What paired differences show against the smallest of interest, and how many seeds that takes."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from kdnotes import checks
from kdnotes.intervals import Interval, Metric, mean_interval

__all__ = ["WORDS", "SeedsNeeded", "Verdict", "judge", "power", "seeds_needed"]

MOST_SEEDS = 10_000
NOT_FILLED_IN = "not filled in"

MEANINGS = {
    "gain of δ or more shown": "The whole interval is a gain of {delta} or more.",
    "gain shown": "There is a gain; whether it is {delta} or more is open.",
    "gain shown, gain of δ or more excluded": "There is a gain, but a smaller one than {delta}.",
    "gain of δ or more excluded": (
        "A gain of {delta} or more is excluded; whether there is a smaller gain, or a loss, "
        "is not resolved."
    ),
    "loss shown": (
        "The difference goes the other way: any gain is excluded, so one of {delta} or more is too."
    ),
    "not resolved": (
        "The interval holds both 0 and {delta}: neither a gain is shown, "
        "nor is one of δ or more excluded."
    ),
}
# What ``judge`` can say, from the largest gain down; δ is the smallest difference of interest.
WORDS = tuple(MEANINGS)


def judge(gain: Interval, smallest_difference: float) -> str:
    """What the interval of a gain, of which larger is better, shows; one of ``WORDS``.

    By where the ends lie against 0 and δ > 0, the smallest difference of interest:

    - "gain of δ or more shown": low ≥ δ;
    - "gain shown": 0 < low < δ ≤ high; whether the gain is δ or more is open;
    - "gain shown, gain of δ or more excluded": 0 < low, high < δ;
    - "gain of δ or more excluded": low ≤ 0 ≤ high < δ; a smaller gain, or a loss, is open;
    - "loss shown": high < 0, which excludes any gain;
    - "not resolved": low ≤ 0 and high ≥ δ; or the interval has no spread: there is but one seed,
      or all seeds gave the same difference, which says nothing of the next seed.

    With 95 % intervals each of these mistakes comes up in at most 2.5 % of the experiments: a gain
    is shown where the true one is 0 or less; one of δ or more is shown where the true one is δ or
    less, excluded where it is δ or more (half of an equivalence test, Lakens 2017, doi
    10.1177/1948550617697177). So it is if the differences are about normal, and if the interval is
    looked at once, with a number of seeds fixed before.
    """
    checks.positive("smallest_difference", smallest_difference)
    if not gain.has_spread:
        return "not resolved"
    if gain.low >= smallest_difference:
        return "gain of δ or more shown"
    if gain.below():
        return "loss shown"
    facts = ["gain shown"] if gain.above() else []
    facts += ["gain of δ or more excluded"] if gain.below(smallest_difference) else []
    return ", ".join(facts) or "not resolved"


@dataclass(frozen=True)
class Verdict:
    """What an experiment says of its hypothesis; ``str()`` gives the sentence.

    Args:
        word: one of ``WORDS`` (see ``judge``), or "not filled in".
        difference: treatment − baseline, mean and 95 % interval, in the metric's unit.
        pair: names the difference: "treatment − baseline".
        metric: what was measured.
        smallest_difference: δ, in the metric's unit.
        to_do: what is not filled in.
    """

    word: str
    difference: Interval
    pair: str
    metric: Metric
    smallest_difference: float
    to_do: tuple[str, ...] = ()

    @property
    def filled_in(self) -> bool:
        """Whether there is a result to look at: an earlier look would be one nobody wrote down."""
        return not self.to_do

    def __str__(self) -> str:
        seen = self.difference
        if self.to_do:
            equal = seen.mean == 0 and seen.half_width == 0
            check = "So far both arms gave exactly the same values, as equal losses must."
            said = f"{', '.join(self.to_do)} still to do, so there is nothing to judge."
            return f"Not filled in: {said} {check if equal else ''}".rstrip()
        seeds = f"{seen.n} seed{'s' if seen.n > 1 else ''}, 95 %"
        difference = f"{self.pair}: {self.metric.interval(seen)} of {self.metric.name} ({seeds})"
        return f"{self.word.capitalize()}. {difference}. {self._meaning()}"

    def _meaning(self) -> str:
        if self.difference.n < 2:
            return "One seed has no interval."
        if not self.difference.has_spread:
            return "All seeds gave the same difference, so there is no spread to judge by."
        delta = f"δ = {self.metric.amount(self.smallest_difference)}"
        return MEANINGS[self.word].format(delta=delta)


def power(seeds: int, difference: float, sd: float, level: float = 0.95) -> float:
    """Probability that the paired interval lies wholly above 0 if the true mean is ``difference``.

    It is also the probability that it lies wholly below ``difference`` if the true mean is 0 (by
    symmetry), and wholly above ``difference`` if the true mean is twice that (by a shift).

    Args:
        seeds: the number of paired differences.
        difference: the true mean difference, above 0.
        sd: standard deviation of the differences from seed to seed, above 0, in the same unit.
        level: of the two-sided interval.
    """
    from scipy import stats

    checks.count("seeds", seeds, least=2)
    checks.positive("difference", difference)
    checks.positive("sd", sd)
    checks.share("level", level)
    critical = stats.t.ppf((1 + level) / 2, seeds - 1)
    return float(stats.nct.sf(critical, seeds - 1, difference * math.sqrt(seeds) / sd))


@dataclass(frozen=True)
class SeedsNeeded:
    """How many paired seeds resolve a true difference; ``str()`` gives the sentence.

    Args:
        seen: number of differences that the standard deviation comes from.
        smallest_difference, probability: what was asked for.
        sd, sd_low, sd_high: standard deviation of the differences seen, and its 95 % interval.
        seeds, low, high: numbers of seeds for these three; ``None`` if there is no spread to go by,
            or if it takes more than 10,000.
        scale, unit: how the sentence shows differences, such as 100 and "points".
    """

    seen: int
    smallest_difference: float
    probability: float
    sd: float = math.nan
    sd_low: float = math.nan
    sd_high: float = math.nan
    seeds: int | None = None
    low: int | None = None
    high: int | None = None
    scale: float = 1.0
    unit: str = ""

    def __str__(self) -> str:
        if self.seen < 2:
            return (
                "One seed says nothing of the spread between seeds: "
                "run at least two to estimate how many it takes."
            )
        if self.sd == 0:
            return (
                "All seeds gave the same difference, so there is no spread to estimate the number "
                "of seeds from."
            )
        delta, sd, sd_low, sd_high = (
            f"{self.scale * value:.3g}"
            for value in (self.smallest_difference, self.sd, self.sd_low, self.sd_high)
        )
        seeds, low, high = (
            f"more than {MOST_SEEDS:,}" if number is None else f"{number:,}"
            for number in (self.seeds, self.low, self.high)
        )
        return (
            f"If the true difference is {delta} {self.unit}, {seeds} paired seeds are needed to "
            f"show a gain with a probability of {100 * self.probability:.0f} %; and as many to "
            "exclude one of that size or more if there is none, or to show one of that size or "
            "more if the true one is twice as large. This rests on the standard deviation of the "
            f"differences, {sd} {self.unit} in {self.seen} seeds; it is itself uncertain, {sd_low} "
            f"to {sd_high} {self.unit} (95 % interval), which means {low} to {high} seeds."
        )


def seeds_needed(
    differences: Sequence[float],
    smallest_difference: float,
    probability: float = 0.8,
    level: float = 0.95,
) -> SeedsNeeded:
    """How many seeds the paired t-test needs to find the smallest difference of interest.

    The differences enter through their *spread* alone. Their mean does not: a power computed for
    the effect that was observed ("post-hoc power") only says in other words how large the p-value
    was (Hoenig & Heisey 2001). The standard deviation of a few differences is itself uncertain (χ²
    interval), and the range tells how much that matters.

    Args:
        differences: one paired difference a seed.
        smallest_difference: δ > 0, in the same unit, taken for the true one.
        probability: the power that is wanted, between 0 and 1.
        level: of the interval that is to exclude 0.
    """
    from scipy import stats

    checks.positive("smallest_difference", smallest_difference)
    checks.share("probability", probability)
    checks.share("level", level)
    values = [float(value) for value in differences]
    interval, free = mean_interval(values), len(values) - 1
    asked = SeedsNeeded(len(values), smallest_difference, probability)
    if not free:
        return asked
    if not interval.has_spread:
        return dataclasses.replace(asked, sd=0.0, sd_low=0.0, sd_high=0.0)
    squares = sum((value - interval.mean) ** 2 for value in values)
    sd = {
        "sd": math.sqrt(squares / free),
        "sd_low": math.sqrt(squares / stats.chi2.ppf(0.975, free)),
        "sd_high": math.sqrt(squares / stats.chi2.ppf(0.025, free)),
    }
    seeds, low, high = (_seeds_for(asked, each, level) for each in sd.values())
    return dataclasses.replace(asked, **sd, seeds=seeds, low=low, high=high)


def _seeds_for(asked: SeedsNeeded, sd: float, level: float) -> int | None:
    """The smallest number of seeds with the power wanted, by bisection: power grows with it."""

    def enough(seeds: int) -> bool:
        return power(seeds, asked.smallest_difference / sd, 1.0, level) >= asked.probability

    numbers = range(2, MOST_SEEDS + 1)
    place = bisect.bisect_left(numbers, True, key=enough)
    return numbers[place] if place < len(numbers) else None
