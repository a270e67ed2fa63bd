"""A slider on the threshold of a network with several exits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kdnotes import checks
from kdnotes.show.interactive.drawing import (
    LEFT,
    WIDTH,
    Scale,
    axes,
    bars,
    dots,
    row_names,
    shape,
    text,
    way,
)  # fmt: skip
from kdnotes.show.interactive.page import Picture, Slider, show_sliders
from kdnotes.show.palette import COLORS, GREY

__all__ = ["exit_slider"]

THRESHOLDS = (*np.linspace(0, 0.9, 37).round(3), *np.linspace(0.91, 1, 10).round(2), 0.995, 0.999)
NOW = COLORS[0]


def exit_slider(
    confidence: Tensor,
    correct: Tensor,
    costs: Sequence[float],
    exits: Sequence[str],
    *,
    threshold: float = 0.9,
) -> None:
    """Display who leaves a network with several exits where, with a slider for the threshold.

    An image leaves at the first exit that is more confident than the threshold, at the latest at
    the last.

    Args:
        confidence: largest probability at each exit, ``[exits, N]``, in 0 … 1.
        correct: whether each exit is right, ``[exits, N]`` bool.
        costs: multiply-accumulates of an image that leaves at each exit, ``[exits]``, all that it
            has passed included.
        exits: their names, first to last.
        threshold: where the slider starts.
    """
    _check_exits(confidence, correct, costs, exits)
    confidence = confidence.detach().double()
    checks.fraction("threshold", threshold)
    thresholds = sorted({float(threshold), *map(float, THRESHOLDS)})
    price = torch.tensor([float(cost) for cost in costs], dtype=torch.float64)
    stops = [_first_sure(confidence, one) for one in thresholds]
    accuracy = [float(correct.gather(0, stop[None]).double().mean()) for stop in stops]
    cost = [float(price[stop].mean() / price[-1]) for stop in stops]
    last = float(correct[-1].double().mean())
    step, top = 26, 24
    below = top + step * len(exits)
    leaving = Scale(0, 1, LEFT, WIDTH - 130)
    x = Scale(0, 100 * max(1.0, *cost), 46, WIDTH - 14)
    y = Scale.around([100 * one for one in (*accuracy, last)], below + 190, below + 50)
    points = [(x(100 * c), y(100 * a)) for c, a in zip(cost, accuracy, strict=True)]
    ground = (
        text(LEFT, 12, "leave here")
        + text(WIDTH, 12, "right of those", anchor="end")
        + row_names(exits, top, step)
        + axes(x, y, "mean cost of an image (% of the last exit's)", "accuracy (%)")
        + shape(way([(x.begin, y(100 * last)), (x.end, y(100 * last))]), line=GREY, dashed=True)
        + shape(way(points), line=GREY, width=1.5)
        + shape(dots(points), line=GREY, width=4)
    )

    def draw(at: int) -> Picture:
        groups = [stops[at] == place for place in range(len(exits))]
        shares = [float(group.double().mean()) for group in groups]
        numbers = "".join(
            text(WIDTH - 124, top + step * k + 17, f"{100 * share:.1f} %")
            + text(WIDTH, top + step * k + 17, _right(correct[k], groups[k]), anchor="end")
            for k, share in enumerate(shares)
        )
        drawn = [
            shape(bars(leaving, shares, top + 5, step, step - 10), fill=NOW),
            numbers,
            shape(dots([points[at]]), line=NOW, width=11),
        ]
        said = (
            f"Threshold {thresholds[at]:g}: accuracy {100 * accuracy[at]:.2f} % at "
            f"{100 * cost[at]:.0f} % of the last exit's cost. The last exit alone (dashed): "
            f"{100 * last:.2f} %."
        )
        return Picture([ground, *drawn], said)

    slider = Slider("Threshold", [f"{one:g}" for one in thresholds], thresholds.index(threshold))
    description = "Bars of the images that leave at each exit; accuracy against mean cost."
    note = (
        "Choose the threshold on validation images: on the images that chose it, its accuracy is "
        "flattered."
    )
    show_sliders(description, below + 224, [slider], draw, note=note)


def _check_exits(
    confidence: Tensor, correct: Tensor, costs: Sequence[float], exits: Sequence[str]
) -> None:
    checks.floating("confidence", confidence, " [exits, N]")
    if confidence.ndim != 2 or len(confidence) < 2 or not confidence.shape[1]:
        raise ValueError(
            "confidence must have the shape [exits, N], 2 exits and 1 image or more, not "
            f"{list(confidence.shape)}"
        )
    if not bool(((confidence >= 0) & (confidence <= 1)).all()):
        raise ValueError("confidence must lie in [0, 1]")
    if not isinstance(correct, Tensor) or correct.dtype != torch.bool:
        raise TypeError(f"correct must be a bool tensor, not {checks.kind_of(correct)}")
    if correct.shape != confidence.shape:
        raise ValueError(
            f"correct must have the shape of confidence, {list(confidence.shape)}, not "
            f"{list(correct.shape)}"
        )
    for name, values in (("costs", costs), ("exits", exits)):
        if len(values) != len(confidence):
            raise ValueError(f"{name} must be one an exit, {len(confidence)}, not {len(values)}")
    for cost in costs:
        checks.positive("costs", cost)


def _first_sure(confidence: Tensor, threshold: float) -> Tensor:
    """The exit ``[N]`` at which each image leaves."""
    sure = confidence > threshold
    sure[-1] = True
    return sure.int().argmax(0)


def _right(correct: Tensor, group: Tensor) -> str:
    return f"{100 * float(correct[group].double().mean()):.1f} %" if bool(group.any()) else "–"
