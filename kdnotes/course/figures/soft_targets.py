"""Figures of the chapter on soft targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kdnotes import checks, losses
from kdnotes.show import plots

__all__ = ["answers", "doubts"]

SHOWN = 5  # classes beside an image
NUMBERED = 12  # classes of a matrix whose numbers can be read
NAMED = 20  # and whose names can
TEMPERATURES = (1.0, 4.0)


def answers(pixels: Tensor, logits: Tensor, classes: Sequence[str], label: int) -> None:
    """Display images of one label, each with the teacher's answer at two temperatures.

    Args:
        pixels: ``[N, C, H, W]``, with values in 0 … 1.
        logits: the teacher's, ``[N, K]``. The label and the classes that are likeliest are drawn.
        classes: K names.
        label: number of the class of all images.
    """
    checks.logits(logits=logits)
    checks.whole("label", label, 0, len(classes) - 1)
    likely = losses.soften(logits, 1.0).mean(dim=0)
    likely[label] = 2  # before all others
    rows = likely.topk(min(SHOWN, len(classes))).indices.sort().values.tolist()
    names = [f"{classes[c]} (label)" if c == label else classes[c] for c in rows]
    colors = [plots.COLORS[1] if c == label else plots.COLORS[0] for c in rows]

    count = len(pixels)
    size = {"width": 8, "height": 0.4 + (0.5 + 0.24 * len(rows)) * count}
    drawn, axes = plots.figure(3, count, **size, sharex="col", squeeze=False)
    told = []
    for number, (image, (picture, *bars)) in enumerate(zip(pixels, axes, strict=True), 1):
        plots.image_row([picture], image[None], [f"image {number}"])
        for place, t in zip(bars, TEMPERATURES, strict=True):
            values = losses.soften(logits[number - 1 : number], t)[0, rows].tolist()
            drawn_bars = place.barh(names, values, color=colors)
            place.bar_label(drawn_bars, [f"{value:.3f}" for value in values], padding=2, fontsize=8)
            place.set_xlim(0, 1.2)
            place.set_xticks([0, 0.5, 1])
            place.invert_yaxis()
            listed = ", ".join(
                f"{name} {value:.3f}" for name, value in zip(names, values, strict=True)
            )
            told.append(f"image {number}, T = {t:g}: {listed}")
        bars[1].set_yticks([])
    for place, t in zip(axes[0, 1:], TEMPERATURES, strict=True):
        place.set_title(f"teacher's probability, T = {t:g}")
    plots.show(drawn, f"Images labelled {classes[label]}; the teacher says: {'; '.join(told)}.")


def doubts(mean: Tensor, classes: Sequence[str]) -> None:
    """Display the teacher's mean probability by label as a matrix in percent.

    Args:
        mean: ``[K, K]``: row i is the mean answer on the images of class i.
        classes: K names.
    """
    count = len(classes)
    own = torch.eye(count, dtype=torch.bool)
    others = mean.masked_fill(own, torch.nan)
    size = min(2.6 + 0.36 * count, 7.0)
    drawn, axes = plots.figure(width=size + 0.8, height=size)
    axes.imshow(others, cmap="Blues", vmin=0)
    dark = others > 0.6 * others.nan_to_num().max()
    for i, j in np.ndindex(count, count) if count <= NUMBERED else ():
        color = "0.35" if i == j else "white" if dark[i, j] else "black"
        axes.text(
            j, i, f"{100 * mean[i, j]:.0f}", ha="center", va="center", fontsize=8.5, color=color
        )
    if count <= NAMED:
        axes.set_xticks(range(count), classes, rotation=90)
        axes.set_yticks(range(count), classes)
    axes.set(xlabel="teacher's answer, mean probability in %", ylabel="label")
    told = "; ".join(
        f"{classes[i]}: itself {mean[i, i]:.0%}, then {classes[j]} {others[i, j]:.0%}"
        for i, j in enumerate(others.nan_to_num(-1).argmax(dim=1).tolist())
    )
    plots.show(drawn, f"Matrix of the teacher's mean probability, a row for each label. {told}.")
