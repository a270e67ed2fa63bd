"""Colours of intervals."""

from __future__ import annotations

import base64
import io
import re
from unittest import mock

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter, LatexExporter, MarkdownExporter, SlidesExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

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


def shown_figure(alt: str) -> dict:
    figure, axes = plots.figure()
    axes.plot([0, 1], [0, 1])
    with mock.patch.object(plots, "display") as display:
        plots.show(figure, alt)
    return display.call_args.args[0]


def test_a_figure_has_its_alternative_text_in_html_and_the_picture_alone_beside_it():
    data = shown_figure('A line "rises" from 0 to 1 & ends')
    image = BeautifulSoup(data["text/html"], "html.parser").img
    assert image["alt"] == data["text/plain"] == 'A line "rises" from 0 to 1 & ends'
    assert image["src"] == f"data:image/png;base64,{data['image/png']}"
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.size == (770, 374) and picture.getpixel((0, 0)) == picture.getpixel((769, 0))


@pytest.mark.parametrize("exporter", [HTMLExporter, SlidesExporter, MarkdownExporter])
def test_every_maker_of_pages_shows_the_alternative_text(exporter):
    output = new_output("display_data", shown_figure("A line rises from 0 to 1"))
    notebook = new_notebook(cells=[new_code_cell("draw()", outputs=[output])])
    page, _ = exporter().from_notebook_node(notebook)
    assert re.findall(r'<img[^>]*alt="A line rises from 0 to 1"', page)


def test_a_maker_of_paper_gets_the_picture():
    output = new_output("display_data", shown_figure("A line rises from 0 to 1"))
    notebook = new_notebook(cells=[new_code_cell("draw()", outputs=[output])])
    text, resources = LatexExporter().from_notebook_node(notebook)
    assert "includegraphics" in text and len(resources["outputs"]) == 1


def test_colours_survive_in_the_small_picture():
    figure, axes = plots.figure()
    for height, color in enumerate(plots.COLORS):
        axes.axhline(height, color=color, linewidth=3)
    picture = Image.open(io.BytesIO(plots.png(figure))).convert("RGB")
    found = {color for _, color in picture.getcolors(256)}
    for color in plots.COLORS:
        wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        near = min(max(abs(a - b) for a, b in zip(wanted, one, strict=True)) for one in found)
        assert near <= 3, color


def test_a_figure_without_alternative_text_is_refused():
    figure, _ = plots.figure()
    with pytest.raises(ValueError, match="alt"):
        plots.show(figure, " ")
    plt.close(figure)
