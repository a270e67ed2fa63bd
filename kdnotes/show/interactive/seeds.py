"""A slider on paired differences: how many seeds make how narrow an interval."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from kdnotes import checks, metrics
from kdnotes.show.interactive.drawing import WIDTH, Scale, axes, dots, legend, shape, way
from kdnotes.show.interactive.page import Picture, Slider, show_sliders
from kdnotes.show.palette import COLORS, GREY

__all__ = ["seeds_slider"]

STUDIES = 20_000  # without any difference, to see how often one is found
NOW, ONE = COLORS[0], COLORS[4]


def seeds_slider(differences: Sequence[float], *, start: int = 5, unit: str = "points") -> None:
    """Display the mean and its 95 % interval after the first n seeds, with a slider for n.

    Below the picture stands how often a difference is found where there is none, if one looks
    after every seed and stops at the first interval without 0: simulated, not quoted.

    Args:
        differences: one paired difference a seed, in the order of the seeds; 2 or more.
        start: where the slider starts, 2 or more; at the last seed where there are fewer.
        unit: "points" for differences of fractions, shown as percentage points; any other is that
            of the differences.
    """
    values = _numbers(differences)
    checks.count("start", start, 2)
    seeds = len(values)
    factor = 100 if unit == "points" else 1
    counts = list(range(2, seeds + 1))
    intervals = {n: metrics.mean_interval(values[:n]) for n in counts}
    x = Scale(0.5, seeds + 0.5, 46, WIDTH - 8, whole=True)
    # Two seeds may give an interval too wide for a picture: it holds those from three on.
    held = [end for n in counts[1:] or counts for end in (intervals[n].low, intervals[n].high)]
    y = Scale.around([factor * one for one in (*values, *held, 0)], 210, 46)
    ends = {
        n: [(x(n), y(factor * end)) for end in (one.low, one.high)] for n, one in intervals.items()
    }
    ground = (
        legend([(NOW, "mean and interval of the first n"), (ONE, "one seed")], 12)
        + axes(x, y, "seeds", f"difference ({unit})")
        + shape(way([(x.begin, y(0)), (x.end, y(0))]), line="currentColor")
        + shape("".join(way(pair) for pair in ends.values()), line=GREY, width=2)
    )

    def draw(at: int) -> Picture:
        n = counts[at]
        single = [(x(k + 1) - 5, y(factor * value)) for k, value in enumerate(values[:n])]
        drawn = [
            shape(dots(single), line=ONE, width=5),
            shape(way(ends[n]), line=NOW, width=3.5),
            shape(dots([(x(n), y(factor * intervals[n].mean))]), line=NOW, width=9),
        ]
        said = (
            f"The first {n} seeds: {metrics.said(intervals[n], unit)}. One half as wide takes "
            f"about {_half_as_wide(n)} seeds, if their spread is the same."
        )
        return Picture([ground, *drawn], said)

    slider = Slider("Seeds n", [str(n) for n in counts], counts.index(min(start, seeds)))
    note = (
        "Fix n before you look. Where there is no difference at all, whoever looks after every "
        f"seed from 2 to {seeds} and stops at the first interval without 0 finds one in "
        f"{100 * _found_by_peeking(seeds):.0f} of 100 studies; with n fixed, in 5."
    )
    description = "The mean difference with its interval after each number of seeds."
    show_sliders(description, 244, [slider], draw, note=note)


def _numbers(differences: Sequence[float]) -> np.ndarray:
    try:
        values = np.asarray(differences, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        wanted = "2 finite numbers or more, one a seed"
        raise ValueError(f"differences must be {wanted}, not {differences!r}")
    return values


def _half_as_wide(n: int) -> int:
    """Seeds whose interval is half as wide as that of n, if their spread is the same."""
    from scipy import stats

    def width(seeds: int) -> float:
        return stats.t.ppf(0.975, seeds - 1) / np.sqrt(seeds)

    return next(seeds for seeds in itertools.count(n) if width(seeds) <= width(n) / 2)


def _found_by_peeking(seeds: int) -> float:
    """How often one of the intervals of the first 2 … ``seeds`` excludes 0 without a difference."""
    from scipy import stats

    draws = np.random.default_rng(0).standard_normal((STUDIES, seeds))
    n = np.arange(1, seeds + 1)
    mean = draws.cumsum(1) / n
    squares = (draws**2).cumsum(1) - n * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(mean) * np.sqrt(n * (n - 1) / squares)
    return float((t[:, 1:] > stats.t.ppf(0.975, n[1:] - 1)).any(1).mean())
