"""The course's figures: one style, error bars, direct labels, alt text."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kdnotes.intervals import Interval, Metric
from kdnotes.show.interactive import temperature_slider
from kdnotes.show.palette import COLORS
from kdnotes.study import Study

__all__ = [
    "COLORS", "differences", "figure", "forest", "image_row", "png", "show", "temperature_slider",
]  # fmt: skip

STYLE = {
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "font.size": 9.5,
    "legend.frameon": False,
}


def figure(
    columns: int = 1, rows: int = 1, *, width: float = 7.0, height: float = 3.4, **options: object
):
    """``(figure, axes)`` in the course's style, as ``matplotlib.pyplot.subplots`` returns them."""
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def png(drawn: Figure) -> bytes:
    """The figure as PNG of at most 256 colours, a third of the size; it is closed."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110)
    plt.close(drawn)
    few = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small = io.BytesIO()
    few.save(small, format="png", optimize=True)
    return small.getvalue()


def show(drawn: Figure, alt: str) -> None:
    """Display the figure with alternative text, and close it.

    The output is HTML with that text, which JupyterLab and every maker of web pages prefer, and
    beside it the PNG alone, for whatever makes paper and knows no HTML.

    Raises:
        ValueError: the alternative text is empty.
    """
    if not alt.strip():
        raise ValueError("alt must describe the figure, not be empty")
    data = base64.b64encode(png(drawn)).decode()
    element = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    display({"image/png": data, "text/html": element, "text/plain": alt}, raw=True)


def forest(
    axes: Axes,
    intervals: Mapping[str, Interval],
    *,
    label: str,
    scale: float = 100.0,
    reference: float | None = 0.0,
) -> None:
    """Means with their intervals, one row a name; grey where the reference is not excluded.

    Args:
        intervals: name → interval; drawn times ``scale`` (100 turns fractions into points).
        label: of the horizontal axis, with its unit.
        reference: a vertical line, and what "resolved" is judged against (``None``: no line).
    """
    for row, interval in enumerate(intervals.values()):
        value = None if reference is None else reference / scale
        resolved = value is None or interval.above(value) or interval.below(value)
        color = COLORS[0] if resolved else "0.55"
        ends = [interval.low * scale, interval.high * scale]
        axes.plot(ends, [row, row], color=color, linewidth=2)
        axes.plot(interval.mean * scale, row, "o", color=color)
    axes.set_yticks(range(len(intervals)), list(intervals))
    axes.invert_yaxis()
    axes.margins(y=0.15)
    axes.set_xlabel(label)
    if reference is not None:
        axes.axvline(reference, color="0.3", linewidth=1, linestyle=":")


def differences(
    study: Study,
    baseline: str,
    arms: Sequence[str] | None = None,
    metrics: Sequence[str] = ("test_accuracy",),
) -> None:
    """Display paired differences from a baseline, one panel a metric, each panel's judged together;
    the alternative text tells them all.

    Args:
        arms: those to show, by default all but the baseline.
        metrics: columns of ``study.frame``.
    """
    arms = [arm for arm in study.arms if arm != baseline] if arms is None else arms
    size = {"width": min(3.6 + 2.7 * len(metrics), 9), "height": 1.1 + 0.32 * len(arms)}
    drawn, panels = figure(len(metrics), **size, squeeze=False)
    told = []
    for axes, name in zip(panels[0], metrics, strict=True):
        metric = Metric.named(name)
        found = study.differences({arm: (arm, baseline) for arm in arms}, name)
        kind = name.replace("_", " ").replace("nll", "NLL").replace("ece", "ECE")
        better = "" if metric.larger_is_better else "; left is better"
        label = f"{kind} minus {baseline} ({metric.unit}{better})"
        forest(axes, found, label=label, scale=metric.scale)
        axes.locator_params(axis="x", nbins=6)
        axes.tick_params(labelleft=axes is panels[0, 0])
        rows = "; ".join(f"{arm} {metric.interval(one)}" for arm, one in found.items())
        told.append(f"{label}: {rows}.")
    show(drawn, "Paired differences with intervals that hold together at 95 %. " + " ".join(told))


def image_row(axes: Sequence[Axes], images, titles: Sequence[str]) -> None:
    """Draw images ``[N, C, H, W]`` with values in 0 … 1, one an axes, with a title each."""
    for place, image, title in zip(axes, images, titles, strict=True):
        pixels = image.permute(1, 2, 0).numpy()
        place.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        place.set_title(title, fontsize=9)
        place.set_axis_off()
