"""Figures of the chapters on a teacher's inner features: likeness of layers, maps of energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from kdnotes import metrics
from kdnotes.intervals import Interval, mean_interval, signed
from kdnotes.show import plots

__all__ = ["alikeness", "estimates", "likeness", "maps", "moved"]


def alikeness(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> None:
    """Display the CKA of every stage of the student with every stage of the teacher.

    Args:
        table: the student's stages × the teacher's.
        pairs: (student's stage, teacher's stage) to be framed.
    """
    drawn, axes = plots.figure(width=5, height=3)
    axes.imshow(table.to_numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    told = []
    for row, (name, values) in enumerate(table.iterrows()):
        for column, value in enumerate(values):
            color = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
        told.append(f"{name}: " + ", ".join(f"{to} {cka:.2f}" for to, cka in values.items()))
    for ours, theirs in pairs:
        corner = table.columns.get_loc(theirs) - 0.47, table.index.get_loc(ours) - 0.47
        frame = {"fill": False, "edgecolor": plots.COLORS[1], "linewidth": 2.5}
        axes.add_patch(Rectangle(corner, 0.94, 0.94, **frame))
    axes.set_xticks(range(len(table.columns)), list(table.columns))
    axes.set_yticks(range(len(table.index)), list(table.index))
    axes.set(xlabel="teacher's stage", ylabel="student's stage")
    plots.show(drawn, f"CKA of the student's stages with the teacher's. {'; '.join(told)}.")


def estimates(numbers: int, counts: Sequence[int]) -> None:
    """Display the plain and the unbiased CKA of unrelated random features.

    Args:
        numbers: of each image's feature.
        counts: numbers of images.
    """
    generator = torch.Generator().manual_seed(1)
    size = (2, max(counts), numbers)
    x, y = torch.randn(*size, generator=generator, dtype=torch.float64)
    curves = {
        "plain": [_plain(x[:count], y[:count]) for count in counts],
        "unbiased": [metrics.cka(x[:count], y[:count]) for count in counts],
    }
    drawn, axes = plots.figure(width=5.5, height=2.9)
    told = []
    for color, (name, values) in zip(plots.COLORS, curves.items(), strict=False):
        axes.plot(counts, values, "o-", color=color)
        axes.annotate(
            name, (counts[1], values[1]), xytext=(4, 7), textcoords="offset points", color=color
        )
        pairs = zip(counts, values, strict=True)
        told.append(f"{name}: " + ", ".join(f"{n} images {signed(cka)}" for n, cka in pairs))
    axes.axhline(0, color="0.3", linewidth=1, linestyle=":")
    axes.set(xlabel="images", ylabel="CKA of unrelated features", ylim=(-0.1, 1))
    plots.show(drawn, f"CKA of unrelated features of {numbers} numbers. {'; '.join(told)}.")


def _plain(x: Tensor, y: Tensor) -> float:
    """CKA by the plain estimate of HSIC: cosine of the centred Gram matrices."""
    grams = [((one - one.mean(0)) @ (one - one.mean(0)).T).flatten() for one in (x, y)]
    return float(torch.nn.functional.cosine_similarity(*grams, dim=0))


def maps(
    images: Tensor,
    titles: Sequence[str],
    found: Mapping[str, Sequence[Tensor]],
    sizes: Sequence[tuple[int, int]],
) -> None:
    """Display images with their maps, a row a pair of stages, as unsmoothed squares.

    All share a colour scale: Q·√P, which is 1 everywhere where the energy is equal everywhere.

    Args:
        images: pixels ``[N, C, H, W]``.
        titles: one an image.
        found: network → its maps ``[N, P]`` of each pair of stages.
        sizes: height and width of the maps of each pair.
    """
    beside = 1 + len(found)
    size = {"width": 1.05 * beside * len(images) + 0.6, "height": 1.15 * len(sizes) + 0.4}
    drawn, places = plots.figure(beside * len(images), len(sizes), **size, squeeze=False)
    for axes in places.flat:
        axes.set_axis_off()
    for number, title in enumerate(titles):
        first = beside * number
        plots.image_row([places[0, first]], images[[number]], [title])
        for column, (name, of_pairs) in enumerate(found.items(), first + 1):
            for row, ((height, width), of_images) in enumerate(zip(sizes, of_pairs, strict=True)):
                shown = (of_images[number] * (height * width) ** 0.5).view(height, width).numpy()
                scale = {"cmap": "viridis", "vmin": 0, "vmax": 3, "interpolation": "nearest"}
                shades = places[row, column].imshow(shown, **scale)
                text = f"{name}\n{height}×{width}" if row == 0 else f"{height}×{width}"
                places[row, column].set_title(text, fontsize=8)
    drawn.colorbar(shades, ax=places, shrink=0.7, label="Q·√P (3 and more: yellow)")
    alt = f"Maps of {', '.join(found)} for {len(images)} images, a row a pair of stages"
    plots.show(drawn, f"{alt} ({', '.join(f'{h} by {w}' for h, w in sizes)}).")


def likeness(cosines: Mapping[str, np.ndarray], labels: Sequence[str]) -> None:
    """Display the cosine with the teacher's map of the same image, and of another one.

    Args:
        cosines: arm → ``[seeds, pairs, 2]``, of the same image and of another one.
        labels: one a pair of stages.
    """
    drawn, axes = plots.figure(width=7.5, height=1.6 + 0.5 * len(cosines))
    told = []
    for row, (arm, values) in enumerate(cosines.items()):
        means = []
        for number, (label, color) in enumerate(zip(labels, plots.COLORS, strict=False)):
            mean, low, high = mean_interval(values[:, number, 0])
            place, other = row + 0.22 * (number - 1), values[:, number, 1].mean()
            axes.plot([low, high], [place, place], color=color, linewidth=2)
            name = label if row == 0 else None
            axes.plot(mean, place, "o", color=color, markersize=5, label=name)
            axes.plot(other, place, "|", color=color, markersize=10, markeredgewidth=2)
            means.append(f"{label} {mean:.3f} ({other:.3f})")
        told.append(f"{arm}: {', '.join(means)}")
    lowest = min(float(values.mean(axis=0).min()) for values in cosines.values())
    axes.set_xlim(lowest - 0.05, 1.01)
    axes.set_yticks(range(len(cosines)), list(cosines))
    axes.invert_yaxis()
    axes.set_xlabel("cosine with the teacher's map: same image (dot), another image (stroke)")
    drawn.legend(loc="outside upper center", ncols=len(labels), fontsize=8)
    alt = "Cosine with the teacher's map of the same image (of another image)"
    plots.show(drawn, f"{alt}. {'; '.join(told)}.")


def moved(intervals: Mapping[str, Interval], label: str) -> None:
    """Display differences of a likeness, judged together, a row an arm."""
    drawn, axes = plots.figure(width=6.3, height=1.1 + 0.32 * len(intervals))
    plots.forest(axes, intervals, label=label, scale=1.0)
    rows = "; ".join(
        f"{arm} {signed(one.mean, 3)} ± {one.half_width:.3f}" for arm, one in intervals.items()
    )
    plots.show(drawn, f"{label}, with intervals that hold together at 95 %: {rows}.")
