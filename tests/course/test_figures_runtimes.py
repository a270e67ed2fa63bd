"""What the chapter on edge runtimes shows of a table of runtimes, of all states that a row has."""

from __future__ import annotations

from unittest import mock

import pandas as pd
import pytest

from kdnotes.course.figures import runtimes as figures
from kdnotes.edge.runtimes.table import COLUMNS
from kdnotes.intervals import mean_interval
from kdnotes.show import plots


def row(runtime, kind, status="measured", **changes):
    measured = {
        "largest_difference": 5e-6, "flips": 0, "images": 200, "accuracy": 0.8, "bytes": 20480,
        "float_layers": 12, "hot_ratio": 1.0, "paced_ratio": 1.5,
    }  # fmt: skip
    return {"runtime": runtime, "kind": kind, "status": status} | (
        measured | changes if status == "measured" else {}
    )


@pytest.fixture
def table():
    rows = [
        row("A", "float"),
        row("A", "int8", flips=3, largest_difference=0.7, float_layers=0, hot_ratio=2.4),
        row("B", "float", accuracy=0.805),
        row("B", "int8", "not offered"),
        row("C", "float", "not installed"),
        row("C", "int8", "not installed"),
        row("D", "float", "failed: RuntimeError: no"),
        row("D", "int8", "failed: RuntimeError: no"),
    ]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def test_each_runtime_has_one_row_with_float_and_int8(table):
    shown = figures.side_by_side(table)
    assert list(shown.index) == ["A", "B", "C", "D"]
    assert list(shown.loc["A"]) == [
        "5e-06 / 7e-01", "0 / 3", "80.00% / 80.00%", "20 / 20", "12 / 0",
    ]  # fmt: skip
    assert list(shown.loc["B"]) == ["5e-06 / –", "0 / –", "80.50% / –", "20 / –", "12 / –"]


def test_what_is_not_there_says_why(table):
    shown = figures.side_by_side(table)
    assert list(shown.loc["C"]) == ["not installed", "", "", "", ""]
    assert shown.loc["D", "difference"] == "failed: RuntimeError: no"


def alt(draw, *arguments):
    with mock.patch.object(plots, "show") as show:
        draw(*arguments)
    drawn, text = show.call_args.args
    plots.plt.close(drawn)
    return text


def test_the_figure_tells_what_was_measured_and_nothing_else(table):
    told = alt(figures.same_student, {"record": table, "here": table[table["runtime"] != "A"]})
    for said in ("A float: 0.00 %, 1.00×, 1.50×", "A int8: 1.50 %, 2.40×, 1.50×"):
        assert f"record, {said}" in told
    assert told.count("A int8") == 1 and told.count("B float") == 2
    assert "B int8" not in told and "C " not in told and "nan" not in told


def test_nothing_installed_beside_a_record(table):
    missing = table[table["runtime"] == "C"]
    told = alt(figures.same_student, {"record": table, "here": missing})
    assert "here" not in told.partition(".")[2]


def test_the_protection_is_told_with_its_intervals():
    intervals = {"int8": mean_interval([0.01, 0.02, 0.03]), "one seed": mean_interval([0.01])}
    told = alt(figures.protection, intervals)
    assert "int8 +2.00 ± 2.48; one seed +1.00 ± ∞ points" in told
