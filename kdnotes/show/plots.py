"""The course's figures: one style, error bars, direct labels, alt text."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdnotes.metrics import Interval
from kdnotes.show.interactive import temperature_slider
from kdnotes.show.palette import COLORS

__all__ = ["COLORS", "figure", "forest", "image_row", "png", "show", "temperature_slider"]

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
    """The figure as PNG; it is closed."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110)
    plt.close(drawn)
    return buffer.getvalue()


def show(drawn: Figure, alt: str) -> None:
    """Display the figure as PNG with alternative text, and close it.

    Raises:
        ValueError: the alternative text is empty.
    """
    if not alt.strip():
        raise ValueError("alt must describe the figure, not be empty")
    display(Image(png(drawn), alt=alt, metadata={"alt": alt}))


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
