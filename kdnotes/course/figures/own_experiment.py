"""Figures of the chapter on the reader's own experiment."""

from __future__ import annotations

from collections.abc import Sequence

from kdnotes import lab
from kdnotes.intervals import Interval
from kdnotes.show import plots

__all__ = ["rule"]

GREY = "0.45"


def rule(ends: Sequence[tuple[float, float]], smallest: float) -> None:
    """Display intervals of a gain against 0 and δ, each with what it shows.

    Args:
        ends: low and high of each interval, in points.
        smallest: δ, in points.
    """
    shades = dict(zip(lab.WORDS, (*(plots.COLORS[i] for i in (2, 0, 5, 3, 4)), GREY), strict=True))
    drawn, axes = plots.figure(width=7, height=0.6 + 0.34 * len(ends))
    axes.axvspan(0, smallest, color=plots.COLORS[1], alpha=0.2, linewidth=0)
    axes.axvline(0, color="0.3", linewidth=1, linestyle=":")
    right, told = max(high for _, high in ends), []
    for row, (low, high) in enumerate(ends):
        word = lab.judge(Interval((low + high) / 2, low, high, 5), smallest)
        axes.plot([low, high], [row, row], color=shades[word], linewidth=3)
        axes.annotate(word, (right + 0.15, row), va="center", color="0.15", fontsize=9)
        told.append(f"from {low:+.1f} to {high:+.1f}: {word}")
    left = min(low for low, _ in ends)
    axes.set(xlim=(left - 0.15, right + 2.2), xlabel="gain (points); shaded: from 0 to δ")
    axes.set_yticks([])
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_ylim(len(ends) - 0.4, -0.6)
    plots.show(drawn, f"Intervals against 0 and δ = {smallest:g} points. {'; '.join(told)}.")
