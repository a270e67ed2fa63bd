"""Figures of the chapter on edge runtimes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kdnotes.intervals import Interval
from kdnotes.show import plots

__all__ = ["protection", "same_student"]

KINDS = {"float": "o", "int8": "s"}


def same_student(tables: Mapping[str, pd.DataFrame]) -> None:
    """Display how many answers each runtime changes, and how long it takes; a row a runtime.

    Args:
        tables: whose table → one of ``runtimes.compare``; of its rows those that were measured. The
            first one's marks are hollow, the second one's are full.
    """
    measured = {name: table[table["status"] == "measured"] for name, table in tables.items()}
    names = list(dict.fromkeys(row for one in measured.values() for row in one["runtime"]))
    drawn, (flips, times) = plots.figure(2, width=8.5, height=1.6 + 0.4 * len(names), sharey=True)
    told = []
    for place, (name, table) in enumerate(measured.items()):
        for number, (kind, mark) in enumerate(KINDS.items()):
            rows = table[table["kind"] == kind]
            color = plots.COLORS[number]
            style = {
                "marker": mark, "linestyle": "", "color": color, "label": f"{kind}, {name}",
                "markerfacecolor": color if place else "white",
            }  # fmt: skip
            heights = np.array([names.index(one) for one in rows["runtime"]]) + 0.2 * place - 0.1
            flips.plot(100 * (rows["flips"] / rows["images"]).astype(float), heights, **style)
            times.plot(rows["hot_ratio"].astype(float), heights, **style)
            told += [f"{name}, {row.runtime} {_told(row)}" for row in rows.itertuples()]
    flips.set_yticks(range(len(names)), names)
    flips.set_ylim(len(names) - 0.5, -0.5)
    flips.set_xscale("symlog", linthresh=0.1)
    flips.set_xlim(left=-0.02)
    flips.set_xticks((0, 0.1, 1, 10), ("0", "0.1", "1", "10"))
    flips.set_xlabel("answers that flip (% of the images)")
    times.axvline(1, color="0.3", linewidth=1, linestyle=":")
    times.set_xscale("log")
    times.set_xticks((0.25, 0.5, 1, 2, 4, 8), ("¼", "½", "1", "2", "4", "8"), minor=False)
    times.minorticks_off()
    times.set_xlabel("time, in that of ONNX Runtime float")
    drawn.legend(*times.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    alt = "Flips in per cent, and the time back to back relative to ONNX Runtime float."
    plots.show(drawn, f"{alt} {'; '.join(told)}.")


def _told(row) -> str:
    return f"{row.kind}: {100 * row.flips / row.images:.2f} %, {row.hot_ratio:.2f}×"


def protection(protected: Mapping[str, Interval]) -> None:
    """Display by how much less a distilled student loses than one trained with labels.

    Args:
        protected: rounding → interval of CE's loss minus KD's, of fractions, judged together.
    """
    drawn, axes = plots.figure(width=6.0, height=1.2 + 0.36 * len(protected))
    label = "loss of CE minus loss of KD (points; right: KD loses less)"
    plots.forest(axes, protected, label=label)
    told = "; ".join(f"{name} {one.points()}" for name, one in protected.items())
    alt = "Differences of losses by rounding, CE minus KD, intervals that hold together at 95 %:"
    plots.show(drawn, f"{alt} {told} points.")
