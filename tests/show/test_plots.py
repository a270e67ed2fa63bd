"""Colours of intervals."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from kdnotes.metrics import Interval, mean_interval
from kdnotes.show import plots


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
