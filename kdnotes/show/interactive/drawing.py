"""Pieces of SVG for pictures that are 400 units wide, with text of 12: legible on a phone."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from kdnotes.show.palette import GREY

__all__ = [
    "LEFT", "WIDTH", "Scale", "axes", "bars", "box", "dots", "legend", "row_names", "shape", "text",
    "ticks", "way",
]  # fmt: skip

WIDTH = 400
LEFT = 100  # where bars begin, right of their names
LONGEST = 14  # letters of a name that fit there
Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Numbers ``low`` … ``high`` to places ``begin`` … ``end``; others are drawn at the edge."""

    low: float
    high: float
    begin: float
    end: float
    whole: bool = False  # ticks at whole numbers only

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return self.begin + (inside - self.low) / (self.high - self.low) * (self.end - self.begin)

    @classmethod
    def around(cls, values: Sequence[float], begin: float, end: float) -> Scale:
        """A scale that holds the values, with some air."""
        low, high = min(values), max(values)
        air = 0.06 * (high - low) or 1.0
        return cls(low - air, high + air, begin, end)

    def ticks(self, count: int) -> list[float]:
        """At most ``count`` + 1 round numbers of the scale."""
        found = MaxNLocator(count, integer=self.whole).tick_values(self.low, self.high)
        return [float(tick) for tick in found if self.low <= tick <= self.high]


def text(x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> str:
    """Words with the baseline at y."""
    options = f' text-anchor="{anchor}"' if anchor != "start" else ""
    options += ' font-weight="bold"' if bold else ""
    return f'<text x="{_place(x)}" y="{_place(y)}"{options}>{html.escape(words)}</text>'


def shape(
    data: str, *, fill: str = "none", line: str = "", width: float = 1, dashed: bool = False
) -> str:
    """A path (of ``box``, ``dots`` or ``way``), filled, or drawn as a line with round ends."""
    options = f' stroke="{line}" stroke-width="{width}" stroke-linecap="round"' if line else ""
    options += ' stroke-dasharray="3 4"' if dashed else ""
    return f'<path d="{data}" fill="{fill}"{options}/>'


def box(x: float, y: float, other_x: float, other_y: float) -> str:
    """The path of a box between two opposite corners."""
    x, y, other_x, other_y = map(_place, (x, y, other_x, other_y))
    return f"M{x} {y}H{other_x}V{other_y}H{x}Z"


def way(points: Iterable[Point]) -> str:
    """The path through points."""
    return "M" + "L".join(f"{_place(x)} {_place(y)}" for x, y in points)


def dots(points: Iterable[Point]) -> str:
    """The path of dots, as wide as the line is that draws them."""
    return "".join(f"M{_place(x)} {_place(y)}h0" for x, y in points)


def bars(scale: Scale, values: Sequence[float], top: float, step: float, thick: float) -> str:
    """The path of horizontal bars from 0, one every ``step`` from ``top`` on."""
    places = (top + step * row for row in range(len(values)))
    return "".join(
        box(scale(0), y, scale(value), y + thick) for y, value in zip(places, values, strict=True)
    )


def row_names(names: Sequence[str], top: float, step: float, bold: int = -1) -> str:
    """The names of rows of bars, left of ``LEFT``, shortened where they are long."""
    short = (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names)
    return "".join(
        text(LEFT - 6, top + step * row + step / 2 + 3, name, anchor="end", bold=row == bold)
        for row, name in enumerate(short)
    )


def legend(entries: Sequence[tuple[str, str]], y: float) -> str:
    """Colours and what they mean, on one line."""
    pieces, x = [], 0.0
    for color, words in entries:
        pieces += [shape(box(x, y - 9, x + 10, y + 1), fill=color), text(x + 14, y, words)]
        x += 26 + 6.1 * len(words)
    return "".join(pieces)


def ticks(x: Scale, top: float, bottom: float, label: str, count: int = 4) -> str:
    """Vertical lines at round numbers, the numbers below them, and what they measure."""
    places = x.ticks(count)
    lines = "".join(f"M{_place(x(tick))} {_place(top)}V{_place(bottom)}" for tick in places)
    numbers = "".join(text(x(tick), bottom + 14, _number(tick), anchor="middle") for tick in places)
    middle = (x.begin + x.end) / 2
    return (
        shape(lines, line=GREY, width=0.5)
        + numbers
        + text(middle, bottom + 29, label, anchor="middle")
    )


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> str:
    """The ground of a plot: ticks of both axes with their lines, y's label above its axis."""
    places = y.ticks(4)
    lines = "".join(f"M{_place(x.begin)} {_place(y(tick))}H{_place(x.end)}" for tick in places)
    numbers = "".join(
        text(x.begin - 5, y(tick) + 4, _number(tick), anchor="end") for tick in places
    )
    return (
        shape(lines, line=GREY, width=0.5)
        + numbers
        + text(0, y.end - 8, y_label)
        + ticks(x, y.end, y.begin, x_label, count=6)
    )


def _place(value: float) -> str:
    return f"{round(value, 1):g}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
