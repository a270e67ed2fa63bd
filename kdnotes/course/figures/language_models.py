"""Figures of the chapter on language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from kdnotes.intervals import Interval, signed
from kdnotes.show import plots
from kdnotes.study import Study

__all__ = ["by_steps", "errors", "panels", "seeds"]


def panels(study: Study, baseline: str, columns: Mapping[str, str]) -> None:
    """Display paired differences from an arm, one panel a column; each panel's judged together.

    Unlike ``plots.differences`` it takes columns of which no direction is the better one.

    Args:
        baseline: the arm that is subtracted.
        columns: of ``study.frame`` → the label of the panel, with its unit.
    """
    arms = [arm for arm in study.arms if arm != baseline]
    size = {"width": 9.0, "height": 1.1 + 0.32 * len(arms)}
    drawn, axes = plots.figure(len(columns), **size, squeeze=False)
    told = []
    for place, (panel, (column, label)) in enumerate(zip(axes[0], columns.items(), strict=True)):
        found = study.differences({arm: (arm, baseline) for arm in arms}, column)
        plots.forest(panel, found, label=label, scale=1.0)
        panel.locator_params(axis="x", nbins=3)  # four panels side by side
        panel.tick_params(labelleft=place == 0)
        rows = "; ".join(f"{arm} {_told(one)}" for arm, one in found.items())
        told.append(f"{label}: {rows}")
    said = f"Differences from {baseline}, the intervals of a panel hold together at 95 %."
    plots.show(drawn, f"{said} {'. '.join(told)}.")


def seeds(study: Study, arms: Sequence[str], across: str, up: str) -> None:
    """Display two columns against each other, a point a seed.

    Args:
        arms: those to show, at most four.
        across, up: columns of ``study.frame``.
    """
    drawn, axes = plots.figure(width=5.2, height=3.2)
    told = []
    for number, arm in enumerate(arms):
        pairs = list(zip(study.values(arm, across), study.values(arm, up), strict=True))
        style = {"color": plots.COLORS[number], "marker": "os^D"[number]}
        axes.scatter(*zip(*pairs, strict=True), label=arm, alpha=0.8, **style)
        told.append(f"{arm}: {', '.join(f'{x:.2f} {y:.2f}' for x, y in pairs)}")
    axes.set(xlabel=across, ylabel=up)
    axes.legend()
    plots.show(drawn, f"A point a seed, {across} and {up}. {'; '.join(told)}.")


def by_steps(study: Study, arms: Mapping[str, Sequence[str]], steps: Sequence[int]) -> None:
    """Display how far a student is from a known language, by the length of its training.

    Args:
        study: with the columns outside and kl.
        arms: method → its arms, one a number of ``steps``.
        steps: of each training.
    """
    labels = {"outside": "mass outside the language", "kl": "KL(p ‖ q), nats a string"}
    drawn, axes = plots.figure(2, width=7.4, height=3.0)
    told = []
    for panel, (column, label) in zip(axes, labels.items(), strict=True):
        for number, (method, names) in enumerate(arms.items()):
            found = [study.interval(name, column) for name in names]
            color = plots.COLORS[number]
            panel.plot(steps, [one.mean for one in found], "o-", color=color, label=method)
            for step, one in zip(steps, found, strict=True):
                panel.plot([step, step], [one.low, one.high], color=color, linewidth=2)
            rows = ", ".join(f"{step} steps {one.mean:.3f} ± {one.half_width:.3f}"
                             for step, one in zip(steps, found, strict=True))  # fmt: skip
            told.append(f"{label}, {method}: {rows}".replace("inf", "∞"))
        panel.set_xscale("log")
        panel.set_xticks(steps, [str(step) for step in steps])
        panel.minorticks_off()
        panel.set(xlabel="steps of the training", ylabel=label, ylim=(0, None))
    axes[0].legend()
    plots.show(drawn, f"Each mean with its 95 % interval. {'. '.join(told)}.")


def errors(tables: Sequence[pd.DataFrame]) -> None:
    """Display how often the next token leaves the language, by its place in the string.

    Args:
        tables: of ``language.exposure``, one a student; their mean is shown.
    """
    kinds = {"data": "after the data's prefixes", "kept": "after its own, failures drawn again",
             "own": "after its own that have not failed"}  # fmt: skip
    together = pd.concat(tables).groupby("place").mean()
    drawn, axes = plots.figure(width=6.4, height=3.0)
    told = []
    for number, (kind, label) in enumerate(kinds.items()):
        values = 100 * together[f"error_given_{kind}"]
        style = {"color": plots.COLORS[number], "linestyle": ("-", "--", "-.")[number]}
        axes.plot(together.index, values, marker="o", label=label, **style)
        told.append(f"{label}: {', '.join(f'{one:.1f}' for one in values)}")
    axes.set(xlabel="place in the string", ylabel="next token leaves the language (%)")
    axes.set_ylim(0, None)
    axes.legend()
    plots.show(
        drawn, f"Per cent of next tokens that leave the language, by place. {'; '.join(told)}."
    )


def _told(interval: Interval) -> str:
    half = f"{interval.half_width:.3f}".replace("inf", "∞")
    return f"{signed(interval.mean, 3)} ± {half}"
