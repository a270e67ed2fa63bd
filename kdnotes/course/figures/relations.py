"""Figures of the chapter on relations."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from kdnotes.show import plots
from kdnotes.study import Choice

__all__ = ["choices", "similarities"]


def similarities(features: Mapping[str, Tensor], y: Tensor) -> None:
    """Display SP's matrix of each network, the images ordered by their labels.

    Args:
        features: name → one vector an image ``[B, size]``.
        y: their labels.
    """
    order = y.argsort(stable=True)
    width = 1.2 + 2.5 * len(features)
    drawn, panels = plots.figure(len(features), width=width, height=2.9, squeeze=False)
    same, told = y[:, None] == y, []
    flat = {name: feature.flatten(1) for name, feature in features.items()}
    matrices = {name: F.normalize(one @ one.T, dim=1) for name, one in flat.items()}
    most = max(float(rows.max()) for rows in matrices.values())  # one bar serves all panels
    for axes, (name, rows) in zip(panels[0], matrices.items(), strict=True):
        picture = axes.imshow(rows[order][:, order], cmap="Blues", vmin=0, vmax=most)
        axes.set(title=name, xticks=[], yticks=[])
        inside, outside = (float(rows[where].mean()) for where in (same, ~same))
        told.append(f"{name}: {inside:.3f} within a class, {outside:.3f} between classes")
    panels[0, 0].set_ylabel("images, by class")
    drawn.colorbar(picture, ax=panels[0, -1], shrink=0.8)
    alt = "Matrices of similarities of a batch, a row an image, ordered by class. Mean entry:"
    plots.show(drawn, f"{alt} {'; '.join(told)}.")


def choices(chosen: Mapping[str, Choice], published: Mapping[str, str]) -> None:
    """Display validation accuracy by setting, one panel a method.

    Args:
        chosen: method → the choice among its settings.
        published: method → the setting of its paper, which is marked.
    """
    drawn, panels = plots.figure(
        len(chosen), width=2.1 * len(chosen), height=2.9, squeeze=False, sharey=True
    )
    told = []
    for axes, (method, choice) in zip(panels[0], chosen.items(), strict=True):
        found = {
            name: choice.study.interval(name, "validation_accuracy") for name in choice.study.arms
        }
        for place, (name, one) in enumerate(found.items()):
            color = plots.COLORS[0] if name == choice.name else "0.55"
            axes.plot([place, place], [100 * one.low, 100 * one.high], color=color, linewidth=2)
            axes.plot(place, 100 * one.mean, "o", color=color)
        names = [f"{name}\n(paper)" if name == published[method] else name for name in found]
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set_title(method)
        axes.margins(x=0.25)
        rows = ", ".join(f"{name} {one.points(signed=False)}" for name, one in found.items())
        told.append(f"{method}: {rows}; chosen {choice.name}, the paper's {published[method]}")
    panels[0, 0].set_ylabel("validation accuracy (%)")
    plots.show(drawn, f"Validation accuracy in per cent with 95 % intervals. {'. '.join(told)}.")
