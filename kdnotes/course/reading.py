"""How long a chapter takes, from a count of what there is to read, and which limits it breaks.

The times are a convention, fitted to no measurement. Adults read non-fiction silently at 238 words
a minute (Brysbaert 2019, doi 10.1016/j.jml.2019.104047, a review); a text that is checked against
its code is read more slowly. ``SECONDS`` and ``WORDS_A_MINUTE`` are the whole rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from html import unescape
from typing import Any

__all__ = ["LIMITS", "Count", "Section", "count", "missing", "over_limits", "report"]

WORDS_A_MINUTE = 150  # of text, and of what a cell prints
SECONDS = {
    "formulas": 20, "figures": 30, "lines": 4, "guess": 60,
    "write": 480, "predict": 240, "read": 180, "design": 480, "quiz": 180,
}  # fmt: skip
# By the function of ``check`` that is called: what the reader does. A number by hand is predicted.
KINDS = {
    "predict": "guess", "exercise": "write", "by_hand": "predict", "read": "read",
    "design": "design", "quiz": "quiz",
}  # fmt: skip
LIMITS = {
    "words of prose": 1900, "lines of code": 330, "words of output": 700,
    "lines of a cell": 15, "characters of a line": 88, "cells of a section": 15,
}  # fmt: skip
EXERCISES = ("write", "predict", "read", "design")
LEAST = {"exercises": 4, "kinds of exercises": 3, "quizzes": 1, "guesses": 1, "diagrams": 1}
OPTIONAL = "For the curious"  # a section that counts neither for the limits nor for the total

FENCED = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
DISPLAYED = re.compile(r"\$\$.+?\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$[^$\n]+?\$")
ADDRESS = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
MARKUP = re.compile(r"<(script|style)\b.*?</\1>|</?[a-z!][^>]*>", re.DOTALL | re.IGNORECASE)
HEADING = re.compile(r"^(#{1,2}) +(.+)$", re.MULTILINE)
WORD = re.compile(r"\S*\w\S*")
CALL = re.compile(rf"\bcheck\.({'|'.join(KINDS)})\(")
DRAWING = re.compile(r"\bdiagrams\.\w+\(")


@dataclass
class Section:
    """What stands between two headings of the second level.

    Args:
        title: of the heading.
        words: of prose; a formula in a line is one word.
        formulas: on lines of their own.
        lines: of code that is shown, without blank ones, solutions and parameters.
        folded: lines of code that the reader has to unfold.
        output: words of printed output.
        figures: drawn ones, and those to be moved.
        diagrams: of these, drawings of an idea (calls of ``diagrams``).
        cells: of code.
        longest_cell, longest_line: in lines, and in characters.
        exercises: how many of each kind (``KINDS``).
    """

    title: str
    words: int = 0
    formulas: int = 0
    lines: int = 0
    folded: int = 0
    output: int = 0
    figures: int = 0
    diagrams: int = 0
    cells: int = 0
    longest_cell: int = 0
    longest_line: int = 0
    exercises: Counter[str] = field(default_factory=Counter)

    @property
    def minutes(self) -> float:
        counted = {name: getattr(self, name) for name in ("formulas", "figures", "lines")}
        counted.update(self.exercises)
        seconds = sum(SECONDS[name] * number for name, number in counted.items())
        return (self.words + self.output) / WORDS_A_MINUTE + seconds / 60

    @property
    def is_optional(self) -> bool:
        return self.title.startswith(OPTIONAL)


@dataclass
class Count:
    """A chapter's sections, and their sum without what is for the curious."""

    sections: list[Section]

    @property
    def total(self) -> Section:
        return _sum("total", (one for one in self.sections if not one.is_optional))


def count(notebook: Any) -> Count:
    """Count a notebook (of ``nbformat``, or of the same form), with the outputs that it holds."""
    sections = [Section("")]
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            _count_prose(source, sections)
        elif cell["cell_type"] == "code":
            _count_code(cell, source, sections[-1])
    return Count([one for one in sections if one != Section(one.title)])


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _count_prose(source: str, sections: list[Section]) -> None:
    """Count a cell of text, and begin a section at each of its headings."""
    text = FENCED.sub(" ", source)
    at = 0
    for heading in HEADING.finditer(text):
        _count_words(text[at : heading.start()], sections[-1])
        sections.append(Section(heading[2].strip()))
        at = heading.start()
    _count_words(text[at:], sections[-1])


def _count_words(text: str, section: Section) -> None:
    section.formulas += len(DISPLAYED.findall(text))
    text = INLINE.sub(" x ", DISPLAYED.sub(" ", text))
    section.words += _words(ADDRESS.sub(r"\1", text))


def _words(text: str) -> int:
    return len(WORD.findall(MARKUP.sub(" ", text)))


def _count_code(cell: Any, source: str, section: Section) -> None:
    tags = cell.get("metadata", {}).get("tags", [])
    lines = [line for line in source.splitlines() if line.strip() and "# NBVAL_" not in line]
    section.longest_line = max([section.longest_line, *map(len, lines)])
    if "solution" in tags or "parameters" in tags or "injected-parameters" in tags:
        return
    section.cells += 1
    section.longest_cell = max(section.longest_cell, len(lines))
    if "hide-input" in tags or "hide-cell" in tags:
        section.folded += len(lines)
    else:
        section.lines += len(lines)
    section.diagrams += len(DRAWING.findall(source))
    section.exercises.update(KINDS[name] for name in CALL.findall(source))
    for output in cell.get("outputs", []):
        words, figures = _of_output(output)
        section.output += words
        section.figures += figures


def _of_output(output: Any) -> tuple[int, int]:
    """Words, and figures: an image with its alternative text is a figure and no words."""
    if output["output_type"] == "stream":
        return _words(_joined(output["text"])), 0
    shown = {kind: _joined(text) for kind, text in output.get("data", {}).items() if text}
    if any(kind.startswith("image/") for kind in shown):
        return 0, 1
    page, plain = shown.get("text/html", ""), shown.get("text/plain", "")
    if re.search(r"<(svg|canvas|input|img)\b", page):
        return 0, 1
    readable = shown.get("text/markdown") or (plain if not plain.startswith("<") else page)
    return _words(unescape(readable)), 0


def _sum(title: str, sections: Iterable[Section]) -> Section:
    total = Section(title)
    for section in sections:
        for name in (one.name for one in fields(Section) if one.name != "title"):
            mine, more = getattr(total, name), getattr(section, name)
            setattr(total, name, max(mine, more) if name.startswith("longest") else mine + more)
    return total


def over_limits(counted: Count) -> list[str]:
    """What breaks the limits of a chapter (``LIMITS``), such as "words of prose: 2,104 of at most
    1,900"; what is for the curious counts for the form of cells and lines alone.
    """
    total, everything = counted.total, _sum("", counted.sections)
    busiest = max(counted.sections, key=lambda section: section.cells, default=Section(""))
    found = {
        "words of prose": (total.words, ""),
        "lines of code": (total.lines + total.folded, ""),
        "words of output": (total.output, ""),
        "lines of a cell": (everything.longest_cell, ""),
        "characters of a line": (everything.longest_line, ""),
        "cells of a section": (busiest.cells, f" ({busiest.title})"),
    }
    return [
        f"{name}: {number:,} of at most {LIMITS[name]:,}{where}"
        for name, (number, where) in found.items()
        if number > LIMITS[name]
    ]


def missing(counted: Count) -> list[str]:
    """What a chapter has too little of (``LEAST``), such as "exercises: 3 of at least 4"."""
    total = counted.total
    of_kind = [total.exercises[kind] for kind in EXERCISES]
    found = {
        "exercises": sum(of_kind),
        "kinds of exercises": sum(number > 0 for number in of_kind),
        "quizzes": total.exercises["quiz"],
        "guesses": total.exercises["guess"],
        "diagrams": total.diagrams,
    }
    return [
        f"{name}: {number} of at least {LEAST[name]}"
        for name, number in found.items()
        if number < LEAST[name]
    ]


COLUMNS = {
    "words": "words", "formulas": "formulas", "lines": "code", "folded": "folded",
    "longest_line": "longest", "longest_cell": "cell", "output": "output", "figures": "figures",
    "diagrams": "diagrams",
}  # fmt: skip


def _table(rows: Iterable[Section]) -> str:
    """Sections, or totals of chapters, as lines of text: what was counted, and minutes."""
    cells = [["", *COLUMNS.values(), *KINDS.values(), "minutes"]]
    for row in rows:
        counted = [getattr(row, name) for name in COLUMNS]
        exercises = [row.exercises[kind] for kind in KINDS.values()]
        cells.append([row.title, *counted, *exercises, f"{row.minutes:.0f}"])
    return "\n".join(_aligned(cells))


def _aligned(rows: list[list[Any]]) -> Iterator[str]:
    texts = [[str(one) for one in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for first, *others in texts:
        numbers = (one.rjust(width) for one, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *numbers])


def report(counts: dict[str, Count]) -> str:
    """The table of chapters with their sum; of one chapter its sections, and what it has too much
    or too little of.

    Args:
        counts: name → what was counted.
    """
    if len(counts) == 1:
        (counted,) = counts.values()
        notes = {"limits broken": over_limits(counted), "missing": missing(counted)}
        said = (f"{name}: {'; '.join(found) or 'nothing'}" for name, found in notes.items())
        return "\n".join([_table([*counted.sections, counted.total]), "", *said])
    totals = [_sum(name, (counted.total,)) for name, counted in counts.items()]
    return _table([*totals, _sum("total", totals)])
