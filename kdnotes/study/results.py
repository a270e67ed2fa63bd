"""Finished runs of a comparison, and differences that are judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from kdnotes import checks
from kdnotes.intervals import Interval, Metric, mean_interval
from kdnotes.training import Run


@dataclass(frozen=True, eq=False)
class Study:
    """Finished runs of a comparison.

    Args:
        frame: one row a run: arm, seed, the run's metrics (fractions and nats), seconds, created,
            cached.
        runs: the ``Run`` of each (arm, seed).
    """

    frame: pd.DataFrame
    runs: dict[tuple[str, int], Run]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(self.frame["arm"]))

    def values(self, arm: str, metric: str = "test_accuracy") -> pd.Series:
        """The metric of an arm, indexed by seed."""
        if arm not in self.arms:
            raise ValueError(f"arm must be one of {self.arms}, not {arm!r}")
        if metric not in self.frame.columns:
            known = list(self.frame.columns[2:])
            raise ValueError(f"metric must be one of {known}, not {metric!r}")
        return self.frame[self.frame["arm"] == arm].set_index("seed")[metric]

    def interval(self, arm: str, metric: str = "test_accuracy") -> Interval:
        """Mean of an arm over seeds, with the 95 % interval of Student's t."""
        return mean_interval(self.values(arm, metric))

    def difference(
        self, arm: str, baseline: str, metric: str = "test_accuracy", *, level: float = 0.95
    ) -> Interval:
        """Mean of (arm − baseline) seed by seed, with the interval of the paired t-test.

        It unpacks as ``mean, low, high``; ``.resolved`` tells whether 0 lies outside.
        """
        return mean_interval(self.values(arm, metric) - self.values(baseline, metric), level)

    def differences(
        self, pairs: Mapping[str, tuple[str, str]], metric: str = "test_accuracy"
    ) -> dict[str, Interval]:
        """Paired differences judged together: *all* intervals hold at 95 % (``together``).

        Args:
            pairs: name → (arm, baseline).
        """
        samples = {
            name: self.values(arm, metric) - self.values(baseline, metric)
            for name, (arm, baseline) in pairs.items()
        }
        return together(samples)

    def table(
        self, baseline: str, metric: str = "test_accuracy", *, level: float | None = None
    ) -> pd.DataFrame:
        """One row an arm: the metric at 95 %, and the paired difference from ``baseline``, in
        points.

        The differences of the table are judged together (``differences``). Where they belong to a
        larger group, ``level`` is that of one difference of the group; the columns then name it.
        "only uncorrected" is a difference that its 95 % interval alone would resolve.
        """
        at = "" if level is None else f" ({100 * level:.1f} %)"
        level = 1 - 0.05 / max(len(self.arms) - 1, 1) if level is None else level
        rows = []
        for arm in self.arms:
            row = {"arm": arm, f"{metric} %": self.interval(arm, metric).points(signed=False)}
            difference = self.difference(arm, baseline, metric, level=level)
            words = in_words(difference, self.difference(arm, baseline, metric))
            columns = (f"difference from {baseline}{at}", f"resolved{at}")
            shown = ("", "") if arm == baseline else (difference.points(), words)
            rows.append(row | dict(zip(columns, shown, strict=True)))
        return pd.DataFrame(rows).set_index("arm")

    def verdicts(self, pairs: Sequence[tuple[str, str]], metric: str = "test_accuracy") -> Verdicts:
        """Differences judged together (``differences``), to be printed as sentences.

        Args:
            pairs: (arm, baseline).
        """
        found = self.differences({f"{arm} − {base}": (arm, base) for arm, base in pairs}, metric)
        return Verdicts({(arm, base): found[f"{arm} − {base}"] for arm, base in pairs}, metric)


@dataclass(frozen=True)
class Verdicts:
    """Differences that were judged together: ``verdicts["KD", "CE"]`` is the interval of one.

    As a string one sentence a difference, such as "KD beats CE: +1.00 ± 0.99 points", and a last
    line that tells the number of seeds.

    Args:
        intervals: (arm, baseline) → the difference.
        metric: of what.
    """

    intervals: Mapping[tuple[str, str], Interval]
    metric: str

    def __getitem__(self, pair: tuple[str, str]) -> Interval:
        return self.intervals[pair]

    def __str__(self) -> str:
        measure = Metric.named(self.metric)
        lines = [measure.sentence(*pair, found) for pair, found in self.intervals.items()]
        count = " and ".join(sorted({str(one.n) for one in self.intervals.values()}))
        hold = ", all intervals together at 95 %" if len(lines) > 1 else ""
        told = self.metric.replace("_", " ")
        return "\n".join([*lines, f"({told}; {count} paired seeds{hold})"])


def together(samples: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Intervals of differences judged together, so that *all* of them hold at 95 % (Bonferroni).

    Of n differences each has the level 1 − 0.05/n.

    Args:
        samples: name → one paired difference a seed; the numbers of seeds may differ.
    """
    checks.instance(Mapping, said="a mapping of names to differences")("samples", samples)
    level = 1 - 0.05 / max(len(samples), 1)
    return {name: mean_interval(values, level) for name, values in samples.items()}


def in_words(corrected: Interval, alone: Interval) -> str:
    """Is a difference resolved among those judged with it? "yes", "only uncorrected" or "no"."""
    return "yes" if corrected.resolved else "only uncorrected" if alone.resolved else "no"
