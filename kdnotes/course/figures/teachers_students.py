"""Figures of the chapter on teachers, students and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from kdnotes import checks, losses
from kdnotes.data import Splits, Views
from kdnotes.show import plots

__all__ = ["reliability", "samples", "training_curves", "unsure"]

SHOWN = 8  # images in a row
BINS = 10
LEAST = 10  # images in a bin that is drawn


def samples(data: Splits, views: Views) -> None:
    """Display one training image of each of the first classes, and the last of them in views."""
    count = min(SHOWN, data.num_classes)
    first = [int((data.train.targets == c).nonzero()[0]) for c in range(count)]
    drawn, axes = plots.figure(count, 2, width=8, height=2.7)
    pixels = data.pixels(data.train.images[first])
    plots.image_row(axes[0], pixels, data.classes[:count])
    numbers = [view % views.count for view in range(count)]
    last = torch.tensor(first[-1:])
    several = torch.cat([views.take(data.train, last, view) for view in numbers])
    plots.image_row(axes[1], data.pixels(several), [f"view {view}" for view in numbers])
    alt = f"Above: a training image of each of {count} classes, {', '.join(data.classes[:count])}."
    plots.show(
        drawn, f"{alt} Below: the last of them in {count} views, shifted and at times mirrored."
    )


def training_curves(histories: Mapping[str, pd.DataFrame]) -> None:
    """Display training loss and validation accuracy by epoch.

    Args:
        histories: name → one row an epoch: epoch, loss, and validation_accuracy where measured.
    """
    drawn, (left, right) = plots.figure(2, width=8, height=3)
    told = []
    for color, (name, history) in zip(plots.COLORS, histories.items(), strict=False):
        measured = history[history["validation_accuracy"].notna()]
        left.plot(history["epoch"] + 1, history["loss"], color=color, label=name)
        accuracy = 100 * measured["validation_accuracy"]
        right.plot(measured["epoch"] + 1, accuracy, "o-", color=color, markersize=4)
        told.append(
            f"{name}: loss from {history['loss'].iloc[0]:.2f} to {history['loss'].iloc[-1]:.2f}, "
            f"validation accuracy from {accuracy.iloc[0]:.1f} to {accuracy.iloc[-1]:.1f} %"
        )
    left.set(xlabel="epoch", ylabel="training loss (nats)", ylim=(0, None))
    left.legend()
    right.set(xlabel="epoch", ylabel="validation accuracy (%)")
    plots.show(drawn, f"Training curves. {'; '.join(told)}.")


def reliability(logits: Mapping[str, Tensor], targets: Tensor) -> None:
    """Display accuracy against confidence, a point a bin with its 95 % interval (Wilson).

    Bins of fewer than 10 images are left out.

    Args:
        logits: network → ``[N, K]``.
        targets: ``[N]``.
    """
    from scipy.stats import binomtest

    drawn, axes = plots.figure(width=5, height=3.8)
    axes.plot([0, 1], [0, 1], ":", color="0.5")
    told = []
    for color, (name, z) in zip(plots.COLORS[::4], logits.items(), strict=False):
        confidence, predicted = losses.soften(z, 1.0).max(1)
        correct, bins = predicted == targets, (confidence * BINS).long().clamp(max=BINS - 1)
        axes.plot([], [], "o-", color=color, label=name)
        points = []
        for inside in (bins == number for number in range(BINS)):
            if inside.sum() < LEAST:
                continue
            hits = binomtest(int(correct[inside].sum()), int(inside.sum()))
            low, high = hits.proportion_ci(method="wilson")
            sure = float(confidence[inside].mean())
            axes.plot([sure, sure], [low, high], color=color)
            axes.plot(sure, hits.statistic, "o", color=color)
            points.append(f"{sure:.2f} → {hits.statistic:.2f}")
        told.append(f"{name}: {', '.join(points) or 'no bin with 10 images'}")
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="lower right")
    alt = "Share that is right against confidence, with the diagonal of perfect calibration."
    plots.show(drawn, f"{alt} {'; '.join(told)}.")


def unsure(pixels: Tensor, logits: Tensor, targets: Tensor, classes: Sequence[str]) -> None:
    """Display images with their labels and the two classes that a network finds likeliest.

    Args:
        pixels: ``[N, C, H, W]``, with values in 0 … 1.
        logits: ``[N, K]``.
        targets: ``[N]``.
        classes: K names.
    """
    checks.logits(logits=logits)
    titles = []
    for p, y in zip(losses.soften(logits, 1.0), targets.tolist(), strict=True):
        top = p.topk(2)
        answers = zip(top.values.tolist(), top.indices.tolist(), strict=True)
        likely = "\n".join(f"{classes[c]} {100 * value:.0f} %" for value, c in answers)
        titles.append(f"label: {classes[y]}\n{likely}")
    drawn, axes = plots.figure(len(pixels), width=9, height=2.2, squeeze=False)
    plots.image_row(axes[0], pixels, titles)
    told = "; ".join(title.replace("\n", ", ") for title in titles)
    alt = "Images on which the teacher is least sure, with its likeliest classes"
    plots.show(drawn, f"{alt}: {told}.")
