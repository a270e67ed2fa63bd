"""The course's figures: one style, error bars, direct labels, alt text."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import HTML, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kdnotes.metrics import Interval

__all__ = ["COLORS", "figure", "forest", "image_row", "png", "show", "temperature_slider"]

# Okabe and Ito's palette, distinguishable with every common colour blindness.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")

# It sets up every slider on the page that is not set up, so that any copy of it may run first.
SLIDER_SCRIPT = "\n" + Path(__file__).with_name("slider.js").read_text(encoding="utf-8")

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


def image_row(axes: Sequence[Axes], images, titles: Sequence[str]) -> None:
    """Draw images ``[N, C, H, W]`` with values in 0 … 1, one an axes, with a title each."""
    for place, image, title in zip(axes, images, titles, strict=True):
        pixels = image.permute(1, 2, 0).numpy()
        place.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        place.set_title(title, fontsize=9)
        place.set_axis_off()


def temperature_slider(
    logits: Sequence[float],
    classes: Sequence[str],
    *,
    start: float = 1.0,
    low: float = 0.5,
    high: float = 20.0,
) -> None:
    """Display bars of softmax(z / T) with a slider for T: HTML without network, kernel or widget.

    Without scripts the bars stay as they are at ``start`` and the slider is hidden. Nothing carries
    an id, so that sliders can share a page, and the same call gives the same HTML.

    Args:
        logits: z, ``[classes]``: a list or a tensor.
        classes: one name a logit.
        start: the temperature at first, in low … high.
        low, high: ends of the slider, which is logarithmic.

    Raises:
        ValueError: fewer than two logits, one that is not finite, another number of names, or a
            temperature that is not 0 < low ≤ start ≤ high < ∞.
    """
    z = [float(value) for value in logits]
    if len(z) < 2 or not all(map(math.isfinite, z)):
        raise ValueError(f"logits must be at least 2 finite numbers, not {z}")
    if len(classes) != len(z):
        raise ValueError(f"classes must have one name a logit, {len(z)}, not {len(classes)}")
    if not 0 < low <= start <= high < math.inf:
        order = f"0 < {low} ≤ {start} ≤ {high} < ∞"
        raise ValueError(f"start must lie between low and high, {order} does not hold")
    weights = [math.exp((value - max(z)) / start) for value in z]
    p = [weight / sum(weights) for weight in weights]
    entropy = -sum(value * math.log(value) for value in p if value > 0)
    rows = "".join(
        f'<span style="text-align:right">{html.escape(name)}</span>'
        '<span style="background:rgba(128,128,128,.15)"><span class="bar" style="display:block;'
        f'height:1.1em;width:{100 * value:.2f}%;background:{COLORS[0]}"></span></span>'
        f'<span class="value">{value:.4f}</span>'
        for name, value in zip(classes, p, strict=True)
    )
    data = html.escape(json.dumps([round(value, 6) for value in z]))
    display(
        HTML(
            f'<div class="kdnotes-temperature" data-logits="{data}" style="max-width:36em">'
            '<label class="control" style="display:none">Temperature <input type="range" '
            f'min="{math.log(low):.6f}" max="{math.log(high):.6f}" step="any" '
            f'value="{math.log(start):.6f}" aria-label="Temperature" '
            'style="width:60%;vertical-align:middle"></label>'
            f'<div class="text" aria-live="polite">T = {start:.2f}: entropy {entropy:.3f} '
            f"of at most {math.log(len(z)):.3f} nats</div>"
            '<div style="display:grid;grid-template-columns:auto 1fr 4em;gap:.2em .7em;'
            f'align-items:center">{rows}</div></div><script>{SLIDER_SCRIPT}</script>'
        )
    )
