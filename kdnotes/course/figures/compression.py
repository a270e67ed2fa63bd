"""Figure of the chapter on small devices."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullLocator

from kdnotes.show import plots

__all__ = ["bought"]


def bought(gains: pd.DataFrame) -> None:
    """Display how many times better each network is than the first one, measure by measure.

    Args:
        gains: one row a network, one column a measure; ratios, of which larger is better.
    """
    drawn, axes = plots.figure(width=7.5, height=1.2 + 0.62 * len(gains))
    height = 0.8 / gains.shape[1]
    for i, column in enumerate(gains):
        rows = np.arange(len(gains)) + height * (i - (gains.shape[1] - 1) / 2)
        axes.plot(
            gains[column], rows, marker="osD^"[i % 4], linestyle="", color=plots.COLORS[i],
            label=column,
        )  # fmt: skip
    for row in range(len(gains) - 1):
        axes.axhline(row + 0.5, color="0.85", linewidth=0.8)
    axes.axvline(1, color="0.3", linewidth=1)
    axes.set_yticks(range(len(gains)), gains.index)
    axes.set_ylim(len(gains) - 0.5, -0.5)
    axes.set(xscale="log", xlabel=f"times better than the {gains.index[0]} (logarithmic)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.1)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    told = "; ".join(
        f"{name}: " + ", ".join(f"{column} {value:.2g}×" for column, value in row.items())
        for name, row in gains.iterrows()
    )
    plots.show(drawn, f"Points: how many times better than the {gains.index[0]}. {told}.")
