"""What a slide shows of its cell: a formula, a figure, a table, printed lines, code, a question.

``part`` understands what stands under ``show`` and ``then`` in a cell's metadata: "formula 2",
"figure", "slider", "table ~ KD", "output ~ ^T =", "answer", "markdown" and "code 3-8". Of questions
there are that of a prediction, ``question``, and those of the ``quiz``. ``inserted`` puts what the
outputs say in the place of ``{{pattern}}``.
"""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Callable
from typing import Any

from bs4 import BeautifulSoup, Tag

from kdnotes.course.questions import RIGHT, Item
from kdnotes.show.deck import Part, code, formula, lines, picture, plain
from kdnotes.show.pages import markdown

__all__ = ["inserted", "part", "question", "quiz", "quiz_notes"]

ASKED = re.compile(
    r"(?P<kind>[a-z]+)(?: (?P<first>[1-9]\d?)(?:-(?P<last>[1-9]\d?))?)?(?: ~ (?P<pattern>.+))?"
)
GUESSED = re.compile(r"Prediction |You made no guess|You said |Your guess")
PREDICTION = re.compile(r"^Prediction [^:\n]+: (.+)$", re.MULTILINE)
NUMBER = re.compile(r"[+−]?\d+(?:[.,]\d+)*(?:e[+-]\d+)?")
MARKS = re.compile(r"([\\`*_$<>\[\]|#])")
LETTERS = "abcdef"
PROSE = 55  # characters of running text in a row as wide as the stage


def part(cell: Any, asked: str) -> Part:
    """What ``asked`` names of a cell.

    Raises:
        ValueError: it is not understood, or the cell has no such thing.
    """
    found = ASKED.fullmatch(asked)
    if not found or found["kind"] not in KINDS:
        raise ValueError(
            f"show and then must be of {', '.join(KINDS)}, perhaps with a number ('figure 2'), "
            "lines ('code 3-8') or a pattern ('output ~ REGEX'), and show also question or quiz N, "
            f"not {asked!r}"
        )
    try:
        return KINDS[found["kind"]](cell, found)
    except LookupError as error:
        reason = "; has the chapter run?" if not cell.get("outputs") else ""
        raise ValueError(f"{asked!r}: the cell has {error.args[0]}{reason}") from error


def inserted(cell: Any, text: str) -> str:
    """Markdown in which ``{{pattern}}`` is replaced by its first match in the cell's outputs, or
    by the first group of it.

    Raises:
        ValueError: a pattern that is not found, that cuts a number, or is none.
    """
    said = _said(cell) if "{{" in text else ""

    def value(found: re.Match[str]) -> str:
        match = _pattern(found[1]).search(said)
        if not match:
            raise ValueError(f"{{{{{found[1]}}}}}: no output of the cell says this")
        first, last = match.span(1 if match.re.groups else 0)
        if cut := _cut_number(said, first, last):
            raise ValueError(f"{{{{{found[1]}}}}} cuts the number {cut}")
        return MARKS.sub(r"\\\1", said[first:last])

    return re.sub(r"\{\{(.+?)\}\}(?!\})", value, text)


def _cut_number(said: str, first: int, last: int) -> str:
    """The number that begins or ends within a part of a text, but is not all in it; "" if none."""
    for number in NUMBER.finditer(said):
        within = max(number.start(), first) < min(number.end(), last)
        if within and not first <= number.start() < number.end() <= last:
            return number[0]
    return ""


def quiz(name: str, number: int) -> Part:
    """A question of a chapter's quiz, with its choices."""
    item = _item(name, number)
    choices = "".join(f"<li>{html.escape(one)}</li>" for one in item.choices)
    asked = f'<p>{html.escape(item.text)}</p><ol type="a">{choices}</ol>'
    rows = 1 + sum(1 + len(one) // 68 for one in (item.text, *item.choices))
    return plain(asked, "choices", 34, rows * 1.15)


def quiz_notes(name: str, number: int) -> str:
    """For the speaker: the right answer, and why each of the others is wrong."""
    pairs = list(zip(LETTERS, _item(name, number).choices.items(), strict=False))
    (right,) = (letter for letter, (_, reason) in pairs if reason == RIGHT)
    wrong = [f"- {letter}) {reason}." for letter, (_, reason) in pairs if reason != RIGHT]
    return "\n".join([f"**Right: {right})** The others:", "", *wrong])


def question(cell: Any) -> str:
    """The question of a prediction, as it was put."""
    found = PREDICTION.search(_printed(cell))
    if not found:
        raise ValueError("'question': the cell asks for no prediction")
    return MARKS.sub(r"\\\1", found[1])


def _item(name: str, number: int) -> Item:
    questions = importlib.import_module(f"kdnotes.course.exercises.{name}").QUIZ
    if not 1 <= number <= len(questions):
        raise ValueError(f"the quiz of {name} has {len(questions)} questions, and no {number}")
    return questions[number - 1]


def _formula(cell: Any, asked: re.Match[str]) -> Part:
    return formula(_nth(re.findall(r"\$\$(.+?)\$\$", cell.source, re.DOTALL), asked, "formula"))


def _figure(cell: Any, asked: re.Match[str]) -> Part:
    data = [output.data for output in _displayed(cell, "image/png")]
    one = _nth(data, asked, "figure")
    shown = BeautifulSoup(one.get("text/html", ""), "html.parser").img
    alt = shown.get("alt") if shown else None
    if not alt:
        raise LookupError("a figure without alternative text")
    return picture(one["image/png"], alt)


def _slider(cell: Any, asked: re.Match[str]) -> Part:
    found = [one for one in _pages(cell) if "kdnotes-interactive" in one]
    return Part(_nth(found, asked, "slider"), "slider")


def _table(cell: Any, asked: re.Match[str]) -> Part:
    soups = [BeautifulSoup(one, "html.parser") for one in _pages(cell)]
    tables = [table for soup in soups for table in soup.find_all("table")]
    table = _nth(tables, asked, "table")
    if asked["pattern"]:
        _keep_rows(table, _pattern(asked["pattern"]))
    for text in table.find_all(["th", "td"]):
        text.attrs.pop("style", None)
    table.attrs.pop("border", None)
    rows = [[one.get_text() for one in row.find_all(["th", "td"])] for row in table.find_all("tr")]
    most = max(map(len, rows))
    widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(most)]
    return plain(str(table), "table", sum(0.64 * one + 1.3 for one in widths), 1.15 * len(rows))


def _keep_rows(table: Tag, wanted: re.Pattern[str]) -> None:
    body = table.tbody or table
    rows = [row for row in body.find_all("tr") if row.td]
    left = [row for row in rows if not wanted.search(row.get_text(" ", strip=True))]
    if len(left) == len(rows):
        raise LookupError("no row of that kind in its table")
    for row in left:
        row.decompose()


def _output(cell: Any, asked: re.Match[str]) -> Part:
    printed = [one for one in _printed(cell).splitlines() if one and not GUESSED.match(one)]
    if asked["pattern"]:
        printed = [line for line in printed if _pattern(asked["pattern"]).search(line)]
    if not printed:
        raise LookupError("printed no such line")
    return lines("\n".join(printed))


def _answer(cell: Any, asked: re.Match[str]) -> Part:
    """What a prediction was about, as it came out."""
    found = re.findall(r"; it was (.+)\.$", _printed(cell), re.MULTILINE)
    said = f"<p>It was <strong>{html.escape(_nth(found, asked, 'outcome'))}</strong></p>"
    return plain(said, "answer", 0.6 * len(said), 1.1)


def _markdown(cell: Any, asked: re.Match[str]) -> Part:
    found = [output.data["text/markdown"] for output in _displayed(cell, "text/markdown")]
    one = _nth(found, asked, "Markdown in its outputs")
    rows = sum(1.2 + len(line) // PROSE for line in one.splitlines() if line.strip())
    return plain(markdown(one), "markdown", 34, rows)


def _code(cell: Any, asked: re.Match[str]) -> Part:
    source = [line for line in cell.source.splitlines() if not line.startswith("# NBVAL")]
    first = int(asked["first"] or 1)
    last = int(asked["last"] or (first if asked["first"] else len(source)))
    if cell.cell_type != "code" or not first <= last <= len(source):
        raise LookupError(f"{len(source)} lines")
    return code("\n".join(source[first - 1 : last]))


KINDS: dict[str, Callable[[Any, re.Match[str]], Part]] = {
    "formula": _formula,
    "figure": _figure,
    "slider": _slider,
    "table": _table,
    "output": _output,
    "answer": _answer,
    "markdown": _markdown,
    "code": _code,
}


def _nth(found: list[Any], asked: re.Match[str], name: str) -> Any:
    place = int(asked["first"] or 1)
    if place > len(found):
        raise LookupError(f"{len(found) or 'no'} {name}" + ("s" if len(found) > 1 else ""))
    return found[place - 1]


def _displayed(cell: Any, kind: str) -> list[Any]:
    return [output for output in cell.get("outputs", []) if kind in output.get("data", {})]


def _pages(cell: Any) -> list[str]:
    return [output.data["text/html"] for output in _displayed(cell, "text/html")]


def _printed(cell: Any) -> str:
    outputs = cell.get("outputs", [])
    return "".join(one.text for one in outputs if one.output_type == "stream")


def _said(cell: Any) -> str:
    """All that the outputs say: printed lines, figures' alternative texts, tables, Markdown."""
    kinds = ("text/plain", "text/markdown")
    told = [one.data[kind] for kind in kinds for one in _displayed(cell, kind)]
    tables = [BeautifulSoup(one, "html.parser").find_all("tr") for one in _pages(cell)]
    rows = [row.get_text(" ", strip=True) for table in tables for row in table]
    return "\n".join([_printed(cell), *told, *rows])


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"{text!r} is no pattern: {error}") from error
