"""Figures and the table of the chapter on edge runtimes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kdnotes.intervals import Interval
from kdnotes.show import plots

__all__ = ["protection", "same_student", "side_by_side"]

KINDS = {"float": "o", "int8": "s"}
SHOWN = {
    "difference": lambda row: f"{row['largest_difference']:.0e}",
    "flips": lambda row: f"{row['flips']:.0f}",
    "accuracy": lambda row: f"{row['accuracy']:.2%}",
    "KiB": lambda row: f"{row['bytes'] / 1024:.0f}",
    "float layers": lambda row: f"{row['float_layers']:.0f}",
}


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """The answers of each runtime: one row, "float / int8" in each cell, or why there is nothing.

    Columns: the largest ``difference`` of the logits to PyTorch's, ``flips``, ``accuracy``,
    ``KiB`` of all files, and ``float layers``, how many layers compute in a floating-point number.

    Args:
        table: of ``runtimes.compare``.
    """
    rows = {}
    for name, kinds in table.groupby("runtime", sort=False):
        if not (kinds["status"] == "measured").any():
            rows[name] = dict.fromkeys(SHOWN, "") | {"difference": kinds["status"].iloc[0]}
            continue
        rows[name] = {
            column: " / ".join(
                say(row) if row["status"] == "measured" else "–" for _, row in kinds.iterrows()
            )
            for column, say in SHOWN.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def same_student(tables: Mapping[str, pd.DataFrame]) -> None:
    """Display how many answers each runtime changes, and how long it takes; a row a runtime.

    Args:
        tables: whose table → one of ``runtimes.compare``; of its rows those that were measured. The
            first one's marks are hollow, the second one's are full.
    """
    measured = {name: table[table["status"] == "measured"] for name, table in tables.items()}
    names = list(dict.fromkeys(row for one in measured.values() for row in one["runtime"]))
    drawn, (flips, hot, paced) = plots.figure(
        3, width=9.5, height=1.6 + 0.4 * len(names), sharey=True
    )
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
            hot.plot(rows["hot_ratio"].astype(float), heights, **style)
            paced.plot(rows["paced_ratio"].astype(float), heights, **style)
            told += [f"{name}, {row.runtime} {_told(row)}" for row in rows.itertuples()]
    flips.set_yticks(range(len(names)), names)
    flips.set_ylim(len(names) - 0.5, -0.5)
    flips.set_xscale("symlog", linthresh=0.1)
    flips.set_xlim(left=-0.02)
    flips.set_xticks((0, 0.1, 1, 10), ("0", "0.1", "1", "10"))
    flips.set_xlabel("answers that flip (%)")
    for axes, said in ((hot, "back to back"), (paced, "paced")):
        axes.axvline(1, color="0.3", linewidth=1, linestyle=":")
        axes.set_xscale("log")
        axes.set_xticks((0.25, 0.5, 1, 2, 4, 8), ("¼", "½", "1", "2", "4", "8"), minor=False)
        axes.minorticks_off()
        axes.set_xlabel(f"time, {said} (×)")
    drawn.legend(*hot.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    alt = "Flips in per cent, and times relative to ONNX Runtime float, back to back and paced."
    plots.show(drawn, f"{alt} {'; '.join(told)}.")


def _told(row) -> str:
    flips = 100 * row.flips / row.images
    return f"{row.kind}: {flips:.2f} %, {row.hot_ratio:.2f}×, {row.paced_ratio:.2f}×"


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
