"""The figure of the chapter on transformers: what it says to a screen reader."""

from __future__ import annotations

import pandas as pd

from kdnotes.course.figures import transformers
from kdnotes.show import plots


def test_the_figure_tells_the_share_of_each_network_at_each_shift(monkeypatch):
    told = []
    monkeypatch.setattr(plots, "show", lambda drawn, alt: told.append((drawn, alt)))
    two_seeds = pd.DataFrame({"stays at 0": [1.0, 1.0], "stays at 4": [0.5, 0.7]})
    one_network = pd.DataFrame({"stays at 0": [1.0], "stays at 4": [0.9]})
    transformers.shifted({"CE": two_seeds, "CNN teacher": one_network})
    ((drawn, alt),) = told
    assert "CE: 100.0 % at 0, 60.0 % at 4; CNN teacher: 100.0 % at 0, 90.0 % at 4." in alt
    (axes,) = drawn.axes
    bars = [len(container.lines[2][0].get_segments()) for container in axes.containers]
    spans = [
        max(abs(high - low) for (_, low), (_, high) in container.lines[2][0].get_segments())
        for container in axes.containers
    ]
    assert bars == [2, 2] and spans[0] > 1 and spans[1] == 0  # one network has no interval
