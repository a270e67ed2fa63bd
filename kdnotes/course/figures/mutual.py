"""Figures of the chapter on mutual learning."""

from __future__ import annotations

from collections.abc import Mapping

from kdnotes.intervals import Interval
from kdnotes.show import plots

__all__ = ["effects"]


def effects(intervals: Mapping[str, Interval], label: str) -> None:
    """Display differences that are judged together, a row each, in points.

    Args:
        intervals: row → difference, as a fraction.
        label: what is subtracted from what.
    """
    drawn, axes = plots.figure(width=6.5, height=1.1 + 0.35 * len(intervals))
    plots.forest(axes, intervals, label=f"{label} (points)")
    rows = "; ".join(f"{name} {one.points()} points" for name, one in intervals.items())
    plots.show(drawn, f"{label}, with intervals that hold together at 95 %: {rows}.")
