"""Colours of intervals."""

from __future__ import annotations

from unittest import mock

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from kdnotes.metrics import Interval, mean_interval
from kdnotes.show import plots
from kdnotes.study import Study


@pytest.mark.parametrize(
    ("interval", "reference", "resolved"),
    [
        (Interval(0.02, 0.01, 0.03, 5), 0.0, True), (Interval(-0.02, -0.03, -0.01, 5), 0.0, True),
        (Interval(0.02, 0.0, 0.04, 5), 0.0, False), (mean_interval([0.0125, 0.0125]), 0.0, False),
        (mean_interval([0.8035 - 0.7910, 0.7910 - 0.7785]), 0.0, False),
        (mean_interval([0.5]), 0.0, False),
        (Interval(0.02, 0.01, 0.03, 5), 1.5, False), (Interval(0.02, 0.01, 0.03, 5), 0.5, True),
        (mean_interval([0.0125, 0.0125]), None, True),
    ],
)  # fmt: skip
def test_a_forest_draws_grey_what_does_not_exclude_the_reference(interval, reference, resolved):
    figure, axes = plots.figure()
    plots.forest(axes, {"arm": interval}, label="points", reference=reference)
    colors = {line.get_color() for line in axes.lines[:2]}
    plt.close(figure)
    assert colors == ({plots.COLORS[0]} if resolved else {"0.55"})


def test_differences_are_drawn_in_order_and_told_in_the_alternative_text():
    rows = [
        {"arm": arm, "seed": seed, "test_accuracy": value, "test_nll": 1 - value}
        for arm, values in {"CE": (0.70, 0.72), "KD": (0.80, 0.83), "LS": (0.71, 0.70)}.items()
        for seed, value in enumerate(values)
    ]
    with mock.patch.object(plots, "show") as shown:
        plots.differences(
            Study(pd.DataFrame(rows), {}), "CE", metrics=("test_accuracy", "test_nll")
        )
    drawn, alt = shown.call_args.args
    left, right = drawn.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["KD", "LS"]
    for axes, mean in ((left, 10.5), (right, -0.105)):
        top, _ = (line for line in axes.lines if line.get_marker() == "o")
        assert top.get_ydata()[0] == 0 and axes.yaxis_inverted()
        assert top.get_xdata()[0] == pytest.approx(mean)
    assert "test accuracy minus CE (points): KD +10.50 ± " in alt
    assert "test NLL minus CE (nats; left is better): KD −0.1050 ± " in alt
    plt.close(drawn)
