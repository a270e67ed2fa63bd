"""Figures of the chapter on transformers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kdnotes.intervals import mean_interval
from kdnotes.show import plots

__all__ = ["shifted"]


def shifted(stay: Mapping[str, pd.DataFrame]) -> None:
    """Display how many answers stay when the images move, a line a network.

    Args:
        stay: name → one row a seed, and a column a shift, whose name ends in its pixels, such as
            "stays at 4": the share of answers that stay as they were. A bar is the 95 % interval
            over seeds; one network alone has none.
    """
    drawn, axes = plots.figure(width=6.5, height=3.2)
    told = []
    for place, (name, rows) in enumerate(stay.items()):
        pixels = [int(column.split()[-1]) for column in rows]
        found = [mean_interval(rows[column]) for column in rows]
        means = [100 * one.mean for one in found]
        bars = [100 * one.half_width if one.has_spread and one.n > 1 else 0.0 for one in found]
        beside = [p + 0.07 * (place - len(stay) / 2) for p in pixels]  # so that no bar hides one
        axes.errorbar(beside, means, bars, marker="o", markersize=4, linewidth=1.5, label=name)
        shares = (f"{mean:.1f} % at {p}" for p, mean in zip(pixels, means, strict=True))
        told.append(f"{name}: {', '.join(shares)}")
    axes.set_xticks(pixels)
    axes.set(xlabel="shift of the image (pixels)", ylabel="answers that stay (%)")
    drawn.legend(loc="outside right upper", fontsize=8)
    plots.show(drawn, f"Answers that stay when images move by some pixels. {'; '.join(told)}.")
