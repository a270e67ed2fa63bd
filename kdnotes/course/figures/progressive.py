"""Figures of the chapter on progressive distillation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kdnotes.show import plots

__all__ = ["training_losses"]


def training_losses(curves: Mapping[str, np.ndarray]) -> None:
    """Display training losses over the epochs, on a logarithmic axis.

    Args:
        curves: name → the loss of each epoch, ``[epochs]``, above 0.
    """
    drawn, axes = plots.figure(width=6.5, height=3.4)
    told = []
    for color, (name, curve) in zip(plots.COLORS, curves.items(), strict=False):
        axes.plot(range(1, len(curve) + 1), curve, color=color, label=name)
        told.append(f"{name}: from {curve[0]:.3f} to {curve[-1]:.3f}")
    axes.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    axes.locator_params(axis="x", integer=True)
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(curves))
    plots.show(drawn, f"Training losses over the epochs. {'; '.join(told)}.")
