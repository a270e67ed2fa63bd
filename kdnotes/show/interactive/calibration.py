"""A slider on the bins of a reliability diagram."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks, metrics
from kdnotes.show.interactive.drawing import WIDTH, Scale, axes, box, dots, legend, shape, text, way
from kdnotes.show.interactive.page import Picture, Slider, show_sliders
from kdnotes.show.palette import COLORS, GREY

__all__ = ["reliability_slider"]

BINS = (*range(1, 21), 25, 30, 40, 50)
DRAWS = 20  # of a perfectly calibrated network
RIGHT, TOO_SURE, UNSURE = COLORS[0], COLORS[4], COLORS[2]
ACROSS, UP, HELD = Scale(0, 1, 40, WIDTH - 8), Scale(0, 1, 176, 24), Scale(0, 1, 242, 212)


def reliability_slider(logits: Tensor, targets: Tensor, *, bins: int = 15) -> None:
    """Display a reliability diagram and its ECE with a slider for the number of bins (1 … 50).

    ECE is ``metrics.expected_calibration_error``. Beside it stands what a perfectly calibrated
    network with the same confidences would show: images that are right with the probability that
    the confidence says, simulated 20 times. That part of an ECE is noise.

    Args:
        logits: ``[N, classes]``.
        targets: ``[N]`` int64.
        bins: where the slider starts.
    """
    checks.count("bins", bins)
    counts = sorted({bins, *BINS})
    found = [100 * metrics.expected_calibration_error(logits, targets, count) for count in counts]
    confidence, predicted = F.softmax(logits.detach().double(), dim=1).max(1)
    correct = (predicted == targets).double()
    chance = [100 * _calibrated(confidence, count) for count in counts]
    x, y = Scale(0, counts[-1], 40, WIDTH - 8), Scale(0, 1.1 * max(1e-7, *found, *chance), 374, 290)
    curves = [
        [(x(n), y(one)) for n, one in zip(counts, ece, strict=True)] for ece in (found, chance)
    ]
    ground = (
        _ground()
        + axes(x, y, "number of bins", "ECE (%): solid; by chance alone: dashed")
        + shape(way(curves[0]), line=RIGHT, width=2)
        + shape(way(curves[1]), line=GREY, width=2, dashed=True)
    )

    def draw(at: int) -> Picture:
        binned = _binned(confidence, correct, counts[at])
        said = (
            f"{counts[at]} {'bin' if counts[at] == 1 else 'bins'}: ECE {found[at]:.2f} %. A "
            "perfectly calibrated network with these confidences would show "
            f"{chance[at]:.2f} % by chance. The fullest bin holds "
            f"{100 * binned[2].max():.0f} % of the images."
        )
        here = shape(dots([curves[0][at]]), line=RIGHT, width=11)
        return Picture([ground, *_columns(*binned), here], said)

    slider = Slider("Bins", [str(count) for count in counts], counts.index(bins))
    description = "A reliability diagram, and ECE against the number of bins."
    note = (
        f"From {counts[0]} to {counts[-1]} bins the ECE of this network runs from "
        f"{min(found):.2f} to {max(found):.2f} %. Each gap counts with the bin's share of images."
    )
    show_sliders(description, 410, [slider], draw, note=note)


def _ground() -> str:
    """What stands behind all numbers of bins: axes, the diagonal, and what is what."""
    named = [(RIGHT, "fraction right"), (TOO_SURE, "too confident")]
    return (
        axes(ACROSS, UP, "", "")
        + shape(way([(ACROSS(0), UP(0)), (ACROSS(1), UP(1))]), line=GREY, dashed=True)
        + legend([*named, (UNSURE, "not confident enough")], 12)
        + text(ACROSS.begin, 206, "share of the images in each bin")
        + text((ACROSS.begin + ACROSS.end) / 2, 258, "confidence", anchor="middle")
    )


def _columns(right: np.ndarray, sure: np.ndarray, share: np.ndarray) -> list[str]:
    """A column a bin: what is right, the gap to the confidence above or within it, the share."""
    edges = ACROSS.begin + np.linspace(0, 1, len(share) + 1) * (ACROSS.end - ACROSS.begin)

    def drawn(color: str, scale: Scale, low: np.ndarray, high: np.ndarray) -> str:
        places = np.flatnonzero((share > 0) & (high > low))
        corners = ((edges[k], scale(low[k]), edges[k + 1], scale(high[k])) for k in places)
        data = "".join(box(*corner) for corner in corners)
        return shape(data, fill=f"{color}aa", line=color, width=0.6)

    nothing = np.zeros_like(share)
    return [
        drawn(RIGHT, UP, nothing, np.minimum(right, sure)),
        drawn(TOO_SURE, UP, right, sure),
        drawn(UNSURE, UP, sure, right),
        drawn(GREY, HELD, nothing, share),
    ]


def _binned(confidence: Tensor, correct: Tensor, bins: int) -> tuple[np.ndarray, ...]:
    """Fraction right, mean confidence and share of the images in each bin, as ECE bins them."""
    where = (confidence * bins).ceil().long().clamp(1, bins) - 1
    count = torch.bincount(where, minlength=bins).double()
    right, sure = (
        torch.bincount(where, weights=one, minlength=bins) / count.clamp(min=1)
        for one in (correct, confidence)
    )
    return right.numpy(), sure.numpy(), (count / len(where)).numpy()


def _calibrated(confidence: Tensor, bins: int) -> float:
    """The mean ECE of networks that are right as often as they are confident, simulated."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(DRAWS):
        drawn = torch.rand(len(confidence), generator=generator, dtype=torch.float64)
        right, sure, share = _binned(confidence, (drawn < confidence).double(), bins)
        errors.append(float((share * np.abs(right - sure)).sum()))
    return float(np.mean(errors))
