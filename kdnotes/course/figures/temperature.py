"""Figures of the chapter on temperature."""

from __future__ import annotations

import math

import pandas as pd

from kdnotes.show import plots

__all__ = ["of_fixed_networks"]


def of_fixed_networks(sweep: pd.DataFrame, classes: int, limit: float) -> None:
    """Display what the temperature does to two fixed networks: entropies, divergences, pulls.

    Args:
        sweep: one row a temperature, with the columns "H teacher", "H student", "KL", "T² KL",
            "pull" and "pull, no T²".
        classes: K, whose logarithm is the largest entropy.
        limit: of T² KL.
    """
    panels = {
        "entropy (nats)": {"H teacher": 0, "H student": 4},
        "divergence (nats)": {"T² KL": 1, "KL": 2},
        "mean length of the gradient": {"pull": 1, "pull, no T²": 2},
    }
    drawn, axes = plots.figure(3, width=9, height=3.1)
    for place, (label, columns) in zip(axes, panels.items(), strict=True):
        for name, color in columns.items():
            curve, look = sweep[name], {"color": plots.COLORS[color], "markersize": 4}
            place.plot(curve.index, curve, "o-", label=name, **look)
        place.set(xscale="log", xlabel="T", ylabel=label)
        place.set_xticks([1, 10, 100], ["1", "10", "100"])
    for place in axes[1:]:
        place.set_yscale("log")
    for place, height in ((axes[0], math.log(classes)), (axes[1], limit)):
        place.axhline(height, color="0.5", linestyle=":")
    for place in axes:
        place.legend(fontsize=8.5)
    ends = (sweep.index[0], sweep.index[-1])
    told = "; ".join(
        f"{name} from {sweep[name][ends[0]]:.3g} to {sweep[name][ends[1]]:.3g}" for name in sweep
    )
    plots.show(drawn, f"Two fixed networks, from T = {ends[0]:g} to {ends[1]:g}: {told}.")
