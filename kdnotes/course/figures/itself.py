"""Figures of the chapter on self-distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from kdnotes import study
from kdnotes.intervals import mean_interval
from kdnotes.show import plots

__all__ = ["by_exit", "softness"]


def softness(own: Tensor, smoothed: float) -> None:
    """Display what the targets of the images leave for other classes than the label.

    Args:
        own: of PS-KD, one number an image, ``[N]``.
        smoothed: of label smoothing, the same for all.
    """
    drawn, axes = plots.figure(width=5.5, height=3.2)
    images = 100 * np.arange(1, len(own) + 1) / len(own)
    axes.plot(images, own.sort().values.numpy(), color=plots.COLORS[0], linewidth=2)
    axes.axhline(smoothed, color=plots.COLORS[4], linewidth=2)
    axes.annotate(
        "label smoothing", (2, smoothed), xytext=(0, 5), textcoords="offset points",
        color=plots.COLORS[4],
    )  # fmt: skip
    axes.annotate(
        "PS-KD", (98, float(own.quantile(0.98))), xytext=(-9, 2), textcoords="offset points",
        color=plots.COLORS[0], ha="right",
    )  # fmt: skip
    axes.set(
        xlabel="training images, those with the hardest target first (%)",
        ylabel="target of the other classes", xlim=(0, 100), ylim=(0, None),
    )  # fmt: skip
    low, middle, high = (float(own.quantile(share)) for share in (0.05, 0.5, 0.95))
    plots.show(
        drawn,
        f"What a target leaves for other classes than the label. Label smoothing: {smoothed:.3f} "
        f"for every image. PS-KD: median {middle:.3f}, from {low:.3f} to {high:.3f} for 90 % of "
        "the images.",
    )


def by_exit(accuracies: Mapping[str, np.ndarray], exits: Sequence[str]) -> None:
    """Display the test accuracy of two arms at each exit, and their difference.

    Args:
        accuracies: arm → accuracy, ``[seeds, exits]``; the second arm is the control.
        exits: their names, first to last.
    """
    drawn, (left, right) = plots.figure(2, width=9, height=3)
    told = []
    looks = zip(accuracies.items(), ((plots.COLORS[0], "o"), (plots.COLORS[4], "s")), strict=True)
    for shift, ((arm, values), (color, marker)) in zip((-0.06, 0.06), looks, strict=True):
        found = [mean_interval(column) for column in values.T]
        bars = [100 * one.half_width if len(values) > 1 else 0 for one in found]
        places, means = np.arange(len(exits)) + shift, [100 * one.mean for one in found]
        left.errorbar(places, means, bars, fmt=f"{marker}-", color=color, capsize=3, label=arm)
        rows = zip(exits, found, strict=True)
        told += [f"{arm}, {name}: {one.points(signed=False)} %" for name, one in rows]
    left.set_xticks(range(len(exits)), exits)
    left.set(xlabel="exit", ylabel="test accuracy (%)", xlim=(-0.4, len(exits) - 0.6))
    drawn.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=9)
    first, control = accuracies
    columns = (accuracies[first] - accuracies[control]).T
    gains = study.together(dict(zip(exits, columns, strict=True)))
    plots.forest(right, gains, label=f"{first} minus {control} (points)")
    told += [f"{first} minus {control}, {name}: {one.points()}" for name, one in gains.items()]
    plots.show(drawn, f"Test accuracy at each exit, and differences. {'; '.join(told)}.")
