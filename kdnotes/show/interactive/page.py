"""A picture with sliders, in HTML without network, kernel or widget: the frame of all of them.

Every position of the sliders has its picture and its sentence, drawn and computed in Python. The
script (slider.js) only picks the one that the sliders ask for, so that no formula is written
twice. Where scripts do not run, the picture at the start is shown with a hint. Nothing carries an
id, so that several can share a page, and the same call gives the same HTML. The controls are hidden
by a style: of an untrusted cell JupyterLab keeps that, but not the attribute ``hidden``.
"""

from __future__ import annotations

import base64
import html
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from IPython.display import HTML, display

from kdnotes.show.interactive.drawing import WIDTH

__all__ = ["Picture", "Slider", "show_sliders"]

SCRIPT, STYLE = (
    Path(__file__).with_name(f"slider.{kind}").read_text(encoding="utf-8") for kind in ("js", "css")
)
HINT = (
    "The sliders need scripts: run this cell, or trust the notebook "
    "(in JupyterLab's command palette: Trust Notebook). Until then this is a picture."
)
# Without the attribute JupyterLab takes the arrow keys, and folds sections instead.
CONTROL = (
    '<label><span class="name">{label}</span><input type="range" min="0" max="{last}" step="1" '
    'value="{start}" autocomplete="off" aria-label="{label}" aria-valuetext="{value}" '
    'data-lm-suppress-shortcuts="true"><span class="value" aria-hidden="true">{value}</span>'
    "</label>"
)


@dataclass(frozen=True)
class Slider:
    """A slider: what it moves, how each of its positions is written, where it starts."""

    label: str
    values: Sequence[str]
    start: int


@dataclass(frozen=True)
class Picture:
    """Pieces of SVG, drawn in order, and the sentence that says in words what they show."""

    pieces: Sequence[str]
    said: str


def show_sliders(
    description: str,
    height: int,
    sliders: Sequence[Slider],
    draw: Callable[..., Picture],
    *,
    note: str = "",
) -> None:
    """Display a picture with sliders.

    Args:
        description: of the picture, for who does not see it: what is drawn against what.
        height: of the picture, where its width is ``WIDTH``.
        sliders: one or more.
        draw: the picture at one position of each slider, ``draw(0, 0)`` at the lowest of two.
        note: a sentence below the picture that is true at every position.
    """
    positions = itertools.product(*(range(len(slider.values)) for slider in sliders))
    start = draw(*(slider.start for slider in sliders))
    head = _head(description, height)
    image = base64.b64encode(f"{head}{''.join(start.pieces)}</svg>".encode()).decode()
    controls = "".join(
        CONTROL.format(
            label=html.escape(slider.label), last=len(slider.values) - 1, start=slider.start,
            value=html.escape(slider.values[slider.start]),
        )
        for slider in sliders
    )  # fmt: skip
    data = _pooled(head, sliders, [draw(*position) for position in positions])
    page = (
        f'<div class="kdnotes-interactive" style="max-width:32em"><style>\n{STYLE}</style>'
        f'<div class="controls" style="display:none">{controls}</div>'
        f'<p class="said" aria-live="polite">{html.escape(start.said)}</p>'
        f'<div class="picture"><img alt="{html.escape(f"{description} {start.said}")}" '
        f'src="data:image/svg+xml;base64,{image}" style="width:100%;background:#ffffff"></div>'
        + (f'<p class="note">{html.escape(note)}</p>' if note else "")
        + f'<p class="hint"><em>{HINT}</em></p>'
        f'<script type="application/json">{data}</script><script>\n{SCRIPT}</script></div>'
    )
    display(HTML(page))


def _head(description: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{html.escape(description)}" '
        'font-family="system-ui,sans-serif" font-size="12" fill="currentColor">'
    )


def _pooled(head: str, sliders: Sequence[Slider], pictures: Sequence[Picture]) -> str:
    """The pictures as JSON, in which equal pieces stand once; the sentence is the last piece."""
    pool: dict[str, int] = {}
    frames = [
        [pool.setdefault(piece, len(pool)) for piece in (*picture.pieces, picture.said)]
        for picture in pictures
    ]
    values = [list(slider.values) for slider in sliders]
    data = {"head": head, "pool": list(pool), "frames": frames, "values": values}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("</", "<\\/")  # a closing tag would end the script
