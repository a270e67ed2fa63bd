"""A talk as one HTML file that needs no network: reveal.js 6.0.2 (folder ``reveal``, MIT licence).

The stage has 1280×720 pixels. What is set in type gets the size that its lines and columns leave
room for, and is refused if that is too small to be read from the back row.
"""

from __future__ import annotations

import base64
import html
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from kdnotes.show.pages import code_colors, markdown

__all__ = ["LEAST", "Part", "Slide", "code", "deck", "formula", "lines", "picture", "plain"]

HERE = Path(__file__).parent
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True, trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
WIDTH, HEIGHT = 1168, 636  # pixels of the stage inside its margins
TITLE, LABEL, GAP, TEXT_GAP = 64, 34, 18, 28  # pixels
LEADING = 1.4  # from line to line, in ems
COLUMNS = 80  # of printed lines
TEXT_LINE, TEXT_COLUMNS = 48, 66  # of the Markdown above what is shown
LEAST, MOST = 18, 34  # pixels of type; on a screen of 1080 lines a half more
LEAST_SCALE = 0.9  # of a figure's own pixels: its type has 14.5 of them
BESIDE = 1.75  # a figure that is narrower than this, width by height, has the words at its side
LABELS = {"question": "Question", "verdict": "What our data say"}


@dataclass(frozen=True)
class Part:
    """Something that a slide shows.

    Args:
        html: of what is shown.
        kind: its class in the style sheet.
        columns, rows: of what is set in type: its width in ems and its height in lines. (0: no
            type.)
        size: of a figure, its width and height in pixels.
    """

    html: str
    kind: str
    columns: float = 0
    rows: float = 0
    size: tuple[int, int] | None = None
    least: int = LEAST
    most: int = MOST


@dataclass(frozen=True)
class Slide:
    """A slide; ``title``, ``text`` and ``notes`` are Markdown.

    Args:
        shown: at once.
        later: at the next click.
        kind: "" or one of ``LABELS``, or "cover" for the first slide.
    """

    title: str
    text: str = ""
    shown: Sequence[Part] = ()
    later: Sequence[Part] = ()
    kind: str = ""
    notes: str = ""


def picture(data: str, alt: str) -> Part:
    """A PNG in base64, with its alternative text."""
    header = base64.b64decode(data[:64])
    width, height = (int.from_bytes(header[place : place + 4], "big") for place in (16, 20))
    element = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data.strip()}">'
    return Part(element, "figure", size=(width, height))


def lines(text: str) -> Part:
    """What was printed, line by line; a long line goes on in the next, further to the right."""
    options = {"subsequent_indent": "    ", "break_on_hyphens": False}
    split = (textwrap.wrap(row, COLUMNS, **options) or [""] for row in text.rstrip().splitlines())
    rows = [row for rows in split for row in rows]
    return _typewritten(rows, html.escape("\n".join(rows)), "output")


def code(source: str) -> Part:
    """Python, coloured."""
    colored = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip()
    return _typewritten(source.splitlines(), colored, "code")


def _typewritten(rows: list[str], content: str, kind: str) -> Part:
    widest = 0.61 * max(map(len, rows), default=0)  # and what the box keeps free around them
    return Part(f'<pre class="highlight">{content}</pre>', kind, widest + 1.2, len(rows) + 0.7)


def formula(tex: str) -> Part:
    r"""A formula in MathML without its last comma or stop; ``\qquad`` begins a new line."""
    rows = [row.strip(" .,;") for row in " ".join(tex.split()).split(r"\qquad")]
    typeset = "".join(markdown(f"$${row}$$") for row in rows)
    return Part(typeset, "formulas", max(map(_ems, rows)), 2.2 * len(rows), least=24, most=44)


def _ems(tex: str) -> float:
    """About how wide a formula is, with both sides of a fraction side by side."""
    without = re.sub(r"\\(left|right|[bB]igg?[lr]?|math\w+|text|[,;!:]|displaystyle)", "", tex)
    return 0.68 * len(re.sub(r"\\[A-Za-z]+|\\.", "x", re.sub(r"[{}_^& ]", "", without)))


def plain(content: str, kind: str, columns: float, rows: float) -> Part:
    """HTML of this width in ems and height in lines, such as a table."""
    return Part(content, kind, columns, rows)


def deck(title: str, slides: Sequence[Slide]) -> str:
    """The HTML document of a talk.

    Raises:
        ValueError: what a slide shows does not fit on it in legible size; the message names it.
    """
    pages = [_page(number, slide) for number, slide in enumerate(slides, 1)]
    read = {name: (HERE / "reveal" / name).read_text(encoding="utf-8") for name in FILES}
    return TEMPLATES.get_template("deck.html").render(
        title=title,
        slides=pages,
        style=read["reveal.css"] + _own_style(),
        # As addresses: between the tags of a script, what looks like a tag in it would end it.
        scripts=[_address(read[name]) for name in FILES if name.endswith(".js")],
    )


FILES = ("reveal.css", "reveal.js", "notes.js")


def _own_style() -> str:
    return (HERE / "deck.css").read_text(encoding="utf-8") + code_colors()


def _address(script: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(script.encode()).decode()


def _page(number: int, slide: Slide) -> dict[str, object]:
    parts = [*slide.shown, *slide.later]
    beside = len(parts) == 1 and _is_narrow(parts[0])
    try:
        if len(parts) > 1 and not all(part.size or part.rows for part in parts):
            raise ValueError("what is moved by sliders needs the slide for itself")
        width, height = _room(slide, beside)
        shares = _shares(parts, width, height - GAP * (len(parts) - 1))
        sized = [_sized(part, width, share) for part, share in zip(parts, shares, strict=True)]
    except ValueError as error:
        raise ValueError(f"slide {number} ({slide.title!r}): {error}") from error
    return {
        "title": _inline(slide.title),
        "text": markdown(slide.text),
        "notes": markdown(slide.notes),
        "shown": sized[: len(slide.shown)],
        "later": sized[len(slide.shown) :],
        "label": LABELS.get(slide.kind, ""),
        "kind": " ".join(filter(None, (slide.kind, "beside" if beside else ""))),
    }


def _inline(text: str) -> str:
    """A line of Markdown; "1. Title" begins no list."""
    no_list = re.sub(r"^(\d+)([.)])", r"\1\\\2", text)
    return re.sub(r"^<p>|</p>$", "", markdown(no_list).strip())


def _is_narrow(part: Part) -> bool:
    return part.size is not None and part.size[0] < BESIDE * part.size[1]


def _room(slide: Slide, beside: bool) -> tuple[float, float]:
    """Pixels in width and height that title and text leave."""
    if beside:
        return 0.68 * WIDTH, HEIGHT
    height = HEIGHT - TITLE - (LABEL if slide.kind in LABELS else 0)
    rows = sum(
        math.ceil(len(re.sub(r"\\\w+|[{}$]", "", line)) / TEXT_COLUMNS)
        for line in slide.text.splitlines()
    )
    return WIDTH, height - (rows * TEXT_LINE + TEXT_GAP if rows else 0)


def _shares(parts: Sequence[Part], width: float, height: float) -> list[float]:
    """The height of each part: equal ones, but what needs less leaves it to the others."""
    needs = [
        math.inf if part.size else LEADING * part.rows * _type_size(part, width) for part in parts
    ]
    shares = [0.0] * len(parts)
    order = sorted(range(len(parts)), key=needs.__getitem__)
    for left, place in zip(range(len(parts), 0, -1), order, strict=True):
        shares[place] = min(needs[place], height / left)
        height -= shares[place]
    return shares


def _type_size(part: Part, width: float) -> float:
    return min(part.most, width / max(part.columns, 1))


def _sized(part: Part, width: float, height: float) -> dict[str, str]:
    """A part with its size as style; ``ValueError`` if it would be too small to be read."""
    if part.size:
        scale = min(width / part.size[0], height / part.size[1])
        if scale < LEAST_SCALE:
            shape = "×".join(map(str, part.size))
            raise ValueError(
                f"the figure of {shape} pixels would be shown at {scale:.2f} of its size, and "
                f"{LEAST_SCALE} is the least: take text away, or show another"
            )
        across, high = (math.floor(scale * side) for side in part.size)
        return {"kind": part.kind, "html": part.html, "style": f"width:{across}px;height:{high}px"}
    if not part.rows:
        return {"kind": part.kind, "html": part.html, "style": ""}
    fitting = min(_type_size(part, width), height / (LEADING * part.rows))
    if fitting < part.least:
        raise ValueError(
            f"{int(part.rows)} lines of {part.columns:.0f} ems do not fit at {part.least} pixels: "
            "choose fewer of them"
        )
    return {"kind": part.kind, "html": part.html, "style": f"font-size:{fitting:.1f}px"}
