"""Figures of the chapter on standard distillation, which is the one on comparing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdnotes.intervals import Interval
from kdnotes.show import plots
from kdnotes.study import Study

__all__ = ["by_seed", "flattered", "recalls"]


def by_seed(study: Study, arms: Sequence[str]) -> None:
    """Display the test accuracy of each arm, a grey line a seed, and the means in color."""
    drawn, axes = plots.figure(width=5.5, height=3.2)
    values = {arm: 100 * study.values(arm) for arm in arms}
    places = range(len(arms))
    for seed in values[arms[0]].index:
        line = [values[arm][seed] for arm in arms]
        axes.plot(places, line, "o-", color="0.6", markersize=4, linewidth=1)
    means = [values[arm].mean() for arm in arms]
    axes.plot(places, means, "o-", color=plots.COLORS[0], linewidth=3)
    axes.annotate(
        "mean", (places[-1], means[-1]), xytext=(9, -3), textcoords="offset points",
        color=plots.COLORS[0],
    )  # fmt: skip
    axes.set_xticks(places, arms)
    axes.set(ylabel="test accuracy (%)", xlim=(-0.3, len(arms) - 0.6))
    told = "; ".join(
        f"{arm}: mean {mean:.2f}, seeds from {values[arm].min():.2f} to {values[arm].max():.2f}"
        for arm, mean in zip(arms, means, strict=True)
    )
    plots.show(drawn, f"Test accuracy in per cent, one line a seed. {told}.")


def flattered(intervals: Mapping[str, Interval]) -> None:
    """Display how much a chosen arm is flattered, a row a score."""
    drawn, axes = plots.figure(width=6.5, height=1.1 + 0.35 * len(intervals))
    plots.forest(axes, intervals, label="chosen arm: seeds of the choice minus others (points)")
    rows = "; ".join(f"{name} {one.points()} points" for name, one in intervals.items())
    alt = "How much higher the chosen arm scores on the seeds that chose it than on others"
    plots.show(drawn, f"{alt}, with 95 % intervals: {rows}.")


def recalls(intervals: Mapping[str, Interval], name: str) -> None:
    """Display the recall of a class, a row a student and a time.

    Args:
        intervals: row → recall, as a fraction.
        name: of the class.
    """
    drawn, axes = plots.figure(width=6.5, height=1.1 + 0.35 * len(intervals))
    label = f"recall of the missing class '{name}', test images (%)"
    plots.forest(axes, intervals, label=label, reference=None)
    axes.set_xlim(-3, 103)
    rows = "; ".join(f"{row} {one.points(signed=False)} %" for row, one in intervals.items())
    plots.show(drawn, f"Recall of a class that no student has seen: {rows}.")
