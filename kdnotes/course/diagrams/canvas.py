"""What the diagrams are made of: boxes, arrows, pictures, bars and grids on one page.

One language in all of them. A dark box with white letters is a frozen network, an orange one is
trained; a white box with square corners holds data or stored numbers, a round one is a loss. A full
arrow carries values, a dashed one a gradient; a bar across an arrow lets no gradient back. Every
kind differs in shape or lightness too, so that it can be told without colours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text

from kdnotes.show import plots

__all__ = ["FORMULA", "INK", "LOOKS", "PALE", "SMALL", "Box", "Canvas"]

Point = tuple[float, float]

INK, PALE = "0.15", "0.55"
BODY, SMALL = 9.0, 8.0
FORMULA = 11.5  # an index is 0.7 times as large as its letter: 8 points
INDEXED = re.compile(r"\$[^$]*[_^][^$]*\$")
LINE = 1.46 / 72  # inches from line to line for each point of the letters


@dataclass(frozen=True)
class Look:
    fill: str
    edge: str
    ink: str
    rounding: float  # of the corners, as a share of the height


LOOKS = {
    "teacher": Look(plots.COLORS[0], plots.COLORS[0], "white", 0.15),
    "student": Look(plots.COLORS[1], INK, "black", 0.15),
    "data": Look("white", "0.4", INK, 0.0),
    "loss": Look("white", plots.COLORS[4], INK, 0.5),
}
GRADIENT = plots.COLORS[4]

LEGEND = {
    "teacher": "frozen", "student": "trained", "data": "data", "loss": "loss",
    "values": "values", "gradient": "gradient", "stop": "no gradient",
}  # fmt: skip

# A boot, heel to the left, in a square of side 1: its mirror image can be told from it.
BOOT = np.array(
    [(0.24, 0.82), (0.52, 0.82), (0.54, 0.48), (0.8, 0.36), (0.82, 0.2), (0.22, 0.2), (0.28, 0.5)]
)


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, in inches, and the points where arrows meet it."""

    x: float
    y: float
    width: float
    height: float

    def left(self, share: float = 0.5) -> Point:
        """The point of the left edge that has this share of it below."""
        return self.x, self.y + share * self.height

    def right(self, share: float = 0.5) -> Point:
        return self.x + self.width, self.y + share * self.height

    def bottom(self, share: float = 0.5) -> Point:
        """The point of the lower edge that has this share of it to the left."""
        return self.x + share * self.width, self.y

    def top(self, share: float = 0.5) -> Point:
        return self.x + share * self.width, self.y + self.height


class Canvas:
    """A page of 7 inches by ``height``; places are in inches from its lower left corner.

    ``boxes`` are the boxes with the texts that they must hold, ``arrows`` the corners of each
    arrow: for whoever checks that nothing lies over another.
    """

    WIDTH = 7.0

    def __init__(self, height: float):
        self.figure, self.axes = plots.figure(width=self.WIDTH, height=height)
        self.figure.set_layout_engine("none")
        self.axes.set_position((0, 0, 1, 1))
        self.axes.set(xlim=(0, self.WIDTH), ylim=(0, height))
        self.axes.set_axis_off()
        self.boxes: list[tuple[Box, list[Text]]] = []
        self.arrows: list[tuple[Point, ...]] = []

    def show(self, alt: str) -> None:
        """Display the page with its alternative text."""
        plots.show(self.figure, alt)

    def text(
        self,
        x: float,
        y: float,
        *lines: str,
        align: str = "center",
        size: float = BODY,
        color: str = INK,
        bold: bool = False,
    ) -> list[Text]:
        """Lines with their middle at height y; one with an indexed symbol is set larger."""
        sizes = [FORMULA if INDEXED.search(line) else size for line in lines]
        top = y + sum(sizes) * LINE / 2
        drawn = []
        for line, points in zip(lines, sizes, strict=True):
            style = {"ha": align, "va": "center", "color": color, "zorder": 5}
            weight = "bold" if bold else "normal"
            middle = top - points * LINE / 2
            drawn.append(self.axes.text(x, middle, line, size=points, weight=weight, **style))
            top -= points * LINE
        return drawn

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *lines: str,
        look: str = "data",
        size: float = BODY,
    ) -> Box:
        """A box with text in its middle."""
        style = LOOKS[look]
        box = Box(x, y, width, height)
        shape = f"round,pad=0,rounding_size={style.rounding * height}"
        self.axes.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle=shape if style.rounding else "square,pad=0",
                facecolor=style.fill, edgecolor=style.edge, zorder=2,
                linewidth=1.8 if look == "loss" else 1.0,
            )
        )  # fmt: skip
        middle = (x + width / 2, y + height / 2)
        self.boxes.append((box, self.text(*middle, *lines, size=size, color=style.ink)))
        return box

    def frame(self, x: float, y: float, width: float, height: float) -> Box:
        """A pale area behind what belongs together."""
        self.axes.add_patch(Rectangle((x, y), width, height, color="0.93", zorder=0))
        return Box(x, y, width, height)

    def outline(self, x: float, y: float, width: float, height: float) -> None:
        """A dashed line around what belongs together."""
        style = {"facecolor": "none", "edgecolor": INK, "linestyle": (0, (2, 2)), "zorder": 4}
        self.axes.add_patch(Rectangle((x, y), width, height, linewidth=1.4, **style))

    def area(self, points: Sequence[Point], look: str) -> None:
        """The area within these corners, in the colour of a look."""
        style = LOOKS[look]
        colors = {"facecolor": style.fill, "edgecolor": INK, "linewidth": 1.0, "zorder": 2}
        self.axes.add_patch(Polygon(points, **colors))

    def arrow(self, *points: Point, gradient: bool = False, stop: bool = False) -> None:
        """An arrow along the points; with ``stop`` a bar crosses its first part."""
        color = GRADIENT if gradient else INK
        self.axes.add_patch(
            FancyArrowPatch(
                path=Path(points), arrowstyle="-|>", mutation_scale=9, color=color, zorder=3,
                linewidth=1.2, linestyle=(0, (3.5, 2)) if gradient else "-", joinstyle="miter",
            )
        )  # fmt: skip
        self.arrows.append(points)
        if stop:
            start, end = np.array(points[:2])
            place, along = (2 * start + end) / 3, (end - start) / np.linalg.norm(end - start)
            across = 0.09 * np.array((-along[1], along[0]))
            self.line(place - across, place + across, color=GRADIENT, width=3)

    def line(
        self, *points: Sequence[float], color: str = INK, width: float = 1.0, dashed: bool = False
    ) -> None:
        style = {"linestyle": (0, (2, 2)) if dashed else "-", "solid_capstyle": "butt"}
        self.axes.plot(*np.transpose(points), color=color, linewidth=width, zorder=4, **style)

    def dot(self, x: float, y: float, *, look: str = "data", size: float = 6.0) -> None:
        style = LOOKS[look]
        options = {"markersize": size, "mfc": style.fill, "mec": style.edge, "zorder": 4}
        self.axes.plot(x, y, "o", **options)

    def picture(
        self, x: float, y: float, side: float, *, shift: Point = (0, 0), flip: bool = False
    ) -> Box:
        """An image: a boot, moved by a share of the side, or mirrored."""
        box = self.box(x, y, side, side)
        shape = (BOOT if not flip else BOOT * (-1, 1) + (1, 0)) + shift
        self.axes.add_patch(Polygon((x, y) + side * shape, color="0.3", zorder=3))
        return box

    def bars(
        self, x: float, y: float, width: float, height: float, **values: Sequence[float]
    ) -> Box:
        """Bars of one or more lists of numbers side by side, by their look; 1 is ``height`` high.

        Each list is drawn in the look that it is named after: ``teacher=[0.7, 0.3]``.
        """
        slot = width / len(next(iter(values.values())))
        wide = 0.8 * slot / len(values)
        for order, (look, numbers) in enumerate(values.items()):
            style = LOOKS[look]
            for number, value in enumerate(numbers):
                left = x + (number + 0.1) * slot + order * wide
                colors = {"facecolor": style.fill, "edgecolor": style.edge, "zorder": 2}
                bar = Rectangle((left, y), wide, value * height, linewidth=0.8, **colors)
                self.axes.add_patch(bar)
        self.line((x, y), (x + width, y))
        return Box(x, y, width, height)

    def grid(
        self,
        x: float,
        y: float,
        cell: float,
        values: Sequence[Sequence[float]],
        *,
        outline: str = "",
        zorder: float = 2,
    ) -> Box:
        """Cells from white for 0 to dark for 1, the first row on top; ``outline`` names a look."""
        shades = np.asarray(values, dtype=float)[::-1]
        rows, columns = shades.shape
        edges = (x + cell * np.arange(columns + 1), y + cell * np.arange(rows + 1))
        style = {"cmap": "Greys", "vmin": 0, "vmax": 1.3, "edgecolors": "0.6", "linewidth": 0.5}
        self.axes.pcolormesh(*edges, shades, zorder=zorder, **style)
        box = Box(x, y, columns * cell, rows * cell)
        style = {"edgecolor": LOOKS[outline].fill if outline else "0.4", "zorder": zorder + 0.01}
        width = 2.0 if outline else 1.0
        self.axes.add_patch(
            Rectangle((x, y), box.width, box.height, facecolor="none", linewidth=width, **style)
        )
        return box

    def sheets(
        self, x: float, y: float, cell: float, channels: Sequence[np.ndarray], look: str
    ) -> Box:
        """The channels of a feature, one grid behind another, outlined in the colour of a look."""
        offset = 0.09
        for depth, channel in reversed(list(enumerate(channels))):
            place = (x + depth * offset, y + depth * offset)
            front = self.grid(*place, cell, channel, outline=look, zorder=3 - 0.1 * depth)
        beyond = (len(channels) - 1) * offset
        return Box(x, y, front.width + beyond, front.height + beyond)

    def legend(self, *names: str, y: float = 0.17) -> None:
        """What the kinds of boxes and arrows mean, in one row at the foot of the page."""
        x = 0.15
        for name in names:
            if name in LOOKS:
                self.box(x, y - 0.07, 0.26, 0.14, look=name)
            else:
                ends = ((x + 0.32, y), (x, y)) if name == "gradient" else ((x, y), (x + 0.32, y))
                self.arrow(*ends, gradient=name == "gradient", stop=name == "stop")
            self.text(x + 0.38, y, LEGEND[name], align="left", size=SMALL)
            x += 0.6 + 0.06 * len(LEGEND[name])
