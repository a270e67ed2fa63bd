"""Figures of the comparison of all methods."""

from __future__ import annotations

from collections.abc import Mapping

from kdnotes.course.comparison import BASELINE, STANDARD, Comparison
from kdnotes.intervals import Interval
from kdnotes.show import plots

__all__ = ["claims", "costs", "gains"]

MARKS = {"labels": "o", "one teacher": "s", "several teachers": "^"}


def gains(result: Comparison) -> None:
    """Display what each method gains over CE and over KD, a row a method."""
    height = 1.2 + 0.27 * len(result.methods)
    drawn, panels = plots.figure(2, width=9.5, height=height, sharey=True)
    told = []
    for axes, base in zip(panels, (BASELINE, STANDARD), strict=True):
        found = {base: Interval(0.0, 0.0, 0.0, 1)} | result.gains(base)
        rows = {result.label(method): found[method] for method in result.methods}
        plots.forest(axes, rows, label=f"test accuracy minus {base} (points)")
        axes.margins(y=0.03)
        axes.locator_params(axis="x", nbins=6)
        listed = "; ".join(
            f"{method} {one.points()}" for method, one in found.items() if method != base
        )
        told.append(f"Minus {base}: {listed}.")
    panels[1].invert_yaxis()  # both forests have turned the axis that they share
    alt = "Paired differences of test accuracy in points, intervals that hold together at 95 %."
    plots.show(drawn, f"{alt} {' '.join(told)}")


def costs(result: Comparison) -> None:
    """Display accuracy against the seconds of one training, a mark by what a method learns from."""
    drawn, axes = plots.figure(width=7.5, height=4.2)
    told = []
    plain = [name for name in result.families if "2×" not in name]
    best = max(100 * result.study.values(name).mean() for name in plain)
    for number, (kind, mark) in enumerate(MARKS.items()):
        group = [name for name, family in result.families.items() if family.uses == kind]
        seconds = [result.seconds[name] for name in group]
        accuracies = [100 * result.study.values(name).mean() for name in group]
        axes.plot(seconds, accuracies, mark, color=plots.COLORS[(0, 1, 2)[number]], label=kind)
        told += [
            f"{name} {s:.1f} s, {accuracy:.2f} %"
            for name, s, accuracy in zip(group, seconds, accuracies, strict=True)
        ]
        for name, *place in zip(group, seconds, accuracies, strict=True):
            if name.partition(",")[0] in (BASELINE, STANDARD) or place[1] >= best:
                axes.annotate(name, place, xytext=(5, 4), textcoords="offset points", fontsize=8.5)
    axes.set(xlabel="seconds of one training, alone on one core", ylabel="mean test accuracy (%)")
    axes.margins(x=0.15, y=0.1)
    axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    plots.show(drawn, f"Test accuracy against seconds of training: {'; '.join(told)}.")


def claims(found: Mapping[str, Interval]) -> None:
    """Display the claims of papers as paired differences, a row a claim."""
    drawn, axes = plots.figure(width=8.5, height=1.1 + 0.28 * len(found))
    plots.forest(axes, found, label="paired difference, test accuracy (points)")
    axes.margins(y=0.05)
    rows = "; ".join(f"{claim}: {one.points()} points" for claim, one in found.items())
    plots.show(drawn, f"Claims as paired differences, intervals that hold together. {rows}.")
