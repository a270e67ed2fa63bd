"""Figures of the chapter on decoupled distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from kdnotes import checks
from kdnotes.show import plots

__all__ = ["pulls", "shares"]


def shares(weights: Mapping[str, Tensor]) -> None:
    """Display which share of the whole weight the heaviest images carry.

    Args:
        weights: name → one weight of 0 or more an image, ``[N]``.
    """
    drawn, axes = plots.figure(width=5.5, height=3.4)
    told = []
    for color, (name, weight) in zip(plots.COLORS, weights.items(), strict=False):
        curve = 100 * weight.sort(descending=True).values.cumsum(0).numpy() / float(weight.sum())
        images = 100 * np.arange(1, len(curve) + 1) / len(curve)
        axes.plot(images, curve, color=color)
        at = len(curve) // 5
        axes.annotate(
            name, (images[at], curve[at]), xytext=(6, -11), textcoords="offset points", color=color
        )
        told.append(f"{name}: {images[np.searchsorted(curve, 50)]:.0f} %")
    axes.plot([0, 100], [0, 100], ":", color="0.4")
    axes.annotate("equal weights", (66, 58), color="0.3")
    axes.set(
        xlabel="training images, heaviest first (%)", ylabel="share of the whole weight (%)",
        xlim=(0, 100), ylim=(0, 102),
    )  # fmt: skip
    alt = "Share of the whole weight that the heaviest images carry, above the diagonal of equal"
    plots.show(drawn, f"{alt} weights. So many images carry half: {'; '.join(told)}.")


def pulls(gradients: Mapping[str, Tensor], classes: Sequence[str], label: int) -> None:
    """Display which way each term moves each logit: minus its gradient.

    Args:
        gradients: name of the term → its gradient with respect to the logits ``[K]``.
        classes: K names.
        label: number of the label's class.
    """
    checks.whole("label", label, 0, len(classes) - 1)
    drawn, axes = plots.figure(width=6.5, height=3.8)
    height = 0.8 / len(gradients)
    for i, (name, gradient) in enumerate(gradients.items()):
        rows = np.arange(len(classes)) + height * (i - (len(gradients) - 1) / 2)
        color = plots.COLORS[(0, 4, 2, 1)[i]]
        axes.barh(rows, -gradient.numpy(), height=0.95 * height, color=color, label=name)
    axes.axvline(0, color="0.3", linewidth=1)
    names = [f"{name} (label)" if c == label else name for c, name in enumerate(classes)]
    axes.set_yticks(range(len(classes)), names)
    axes.invert_yaxis()
    axes.set_xlabel("minus the gradient with respect to the logit (to the right: raises it)")
    axes.legend(fontsize=8)
    largest = "; ".join(
        f"{name}: most on {classes[int(gradient.abs().argmax())]}, "
        f"{-float(gradient[gradient.abs().argmax()]):+.2g}"
        for name, gradient in gradients.items()
    )
    plots.show(drawn, f"Bars, one group a class: the pull of each term on each logit. {largest}.")
