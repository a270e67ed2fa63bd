"""Figures of the chapter on dynamic distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from kdnotes.show import plots

__all__ = ["moved"]


def moved(temperatures: Mapping[str, Sequence[pd.DataFrame]], weights: Sequence[Tensor]) -> None:
    """Display T by epoch, a line a run, and the effective share of the images under weights.

    Args:
        temperatures: name → the history of each run, with the columns epoch and temperature.
        weights: of each run, one weight an epoch and image, ``[epochs, N]``; NaN: not seen.
    """
    drawn, (left, right) = plots.figure(2, width=8.5, height=3.1)
    ends = {
        name: [float(one["temperature"].iloc[-1]) for one in runs]
        for name, runs in temperatures.items()
    }
    by_end = sorted(ends, key=lambda name: max(ends[name]))
    told = []
    for (name, runs), color in zip(temperatures.items(), plots.COLORS[::4], strict=False):
        for one in runs:
            left.plot(one["epoch"] + 1, one["temperature"], color=color, linewidth=1.2)
        is_highest = name == by_end[-1]
        left.annotate(
            name, (runs[0]["epoch"].iloc[-1] + 1, (max if is_highest else min)(ends[name])),
            xytext=(0, 4 if is_highest else -4), textcoords="offset points", color=color,
            ha="right", va="bottom" if is_highest else "top",
        )  # fmt: skip
        told.append(f"{name}, from {min(ends[name]):.2f} to {max(ends[name]):.2f}")
    left.margins(y=0.15)
    left.set(xlabel="epoch", ylabel="T", title="the learned temperature")

    shares = torch.stack([one.nansum(1) ** 2 / one.square().nansum(1) / one.shape[1]
                          for one in weights])  # fmt: skip
    epochs = range(1, shares.shape[1] + 1)
    for share in shares:
        right.plot(epochs, 100 * share.numpy(), color=plots.COLORS[0], linewidth=1.2)
    right.set(
        xlabel="epoch", ylabel="effective share of the images (%)", ylim=(0, 105),
        title="uncertainty weights",
    )  # fmt: skip
    first, last = (100 * float(shares[:, at].mean()) for at in (0, -1))
    plots.show(
        drawn,
        f"Left: the temperature by epoch, one line a run; it ends, {'; '.join(told)}. Right: the "
        f"effective share of the images, {first:.0f} % in the first epoch, {last:.0f} % in the "
        "last (means over runs).",
    )
