"""The lecturer's guide agrees with the chapters: minutes, sections, exercises, guesses, and each
answer with what the chapter's stored run printed.

In an answer of the guide, what stands between backticks must be found in the chapter's outputs,
printed lines, tables and what figures say to a screen reader, white space aside. Outputs of cells
marked ``# NBVAL_IGNORE_OUTPUT``, such as timings, are no answer: the next run moves them.
"""

from __future__ import annotations

import difflib
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from kdnotes.course import chapters, order, reading

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
GUIDE = (NOTEBOOKS / "teaching.md").read_text(encoding="utf-8")
MOST_WORDS = 250
NO_NEED = {"Notation", "References", "For the curious"}  # sections that no plan has to mention
NOT_READ = {"Set-up", "Exercises", "Recap"}  # run beforehand, chosen from, by show of hands
HEADING = re.compile(r"^#{2,4} +(.+)$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
QUOTE = re.compile(r"`([^`]+)`")
ROW = re.compile(r"^\| (\d+|–) \| (\d+|–) \| \[([^\]]+)\].*\|$", re.MULTILINE)
EXERCISE = re.compile(r"(?<![\d.])\d\d\.\d(?!\d)")
GUESS = re.compile(r'"(\d\d(?: \w+)?)"')
FIGURE = re.compile(r"\d[.,]\d|±|\d ?%|\d (?:points|nats|times)")
CHECKED = re.compile(r'check\.(exercise|by_hand|read|design)\(\s*"([\d.]+)"')
PREDICTED = re.compile(r'check\.predict\(\s*"([^"]+)"')


@functools.cache
def notebook(name: str):
    return chapters.read(NOTEBOOKS / f"{name}.ipynb")


class Part(NamedTuple):
    """What the guide says of one chapter, and from which of its lines on."""

    number: int
    name: str
    text: str
    line: int

    @property
    def cells(self) -> list:
        return notebook(self.name).cells

    @property
    def source(self) -> str:
        return "\n\n".join(cell.source for cell in self.cells)

    @property
    def headings(self) -> list[str]:
        markdown = (cell.source for cell in self.cells if cell.cell_type == "markdown")
        return HEADING.findall("\n\n".join(markdown))

    @property
    def sections(self) -> list[str]:
        return re.findall(r"^## +(.+)$", self.source, re.MULTILINE)

    @property
    def questions(self) -> str:
        return self.text[self.text.index("**Ask**") : self.text.index("**Wrong answers**")]

    def at(self, text: str) -> str:
        """The place of a piece of this part, for a message."""
        before = self.text[: self.text.index(text)]
        return f"teaching.md:{self.line + before.count(chr(10))}"


def parts() -> list[Part]:
    found = []
    for match in re.finditer(r"^## (\d+)\. \[.+?\]\((.+?)\.ipynb\)\n", GUIDE, re.MULTILINE):
        text = GUIDE[match.start() :].partition("\n## ")[0]
        found.append(Part(int(match[1]), match[2], text, GUIDE[: match.start()].count("\n") + 1))
    return found


PARTS = parts()
FRONT = GUIDE[: GUIDE.index("\n## 1. ")]
each = pytest.mark.parametrize("part", PARTS, ids=[str(part.number) for part in PARTS])


def squeezed(text: str) -> str:
    return " ".join(text.split())


def printed(cells: list) -> list[str]:
    """What each cell put out as text, unless the next run may move it."""
    found = []
    for cell in cells:
        if cell.cell_type == "code" and "NBVAL_IGNORE_OUTPUT" not in cell.source:
            for output in cell.outputs:
                data = output.get("data", {})
                found.append(output.get("text", ""))
                found += [data.get(kind, "") for kind in ("text/plain", "text/markdown")]
    return [text for text in found if text]


def is_said(quote: str, outputs: list[str]) -> bool:
    """Whether one of the outputs holds the quote, and not as a piece of a number or word."""
    whole = rf"(?<![\w.+−-]){re.escape(squeezed(quote))}(?!\w|[.,]\d)"
    return any(re.search(whole, squeezed(text)) for text in outputs)


def not_said(part: Part, outputs: list[str]) -> list[str]:
    """The quotes of a part that are not in the outputs, each with what comes nearest."""
    faults = []
    lines = [squeezed(line) for text in outputs for line in text.splitlines()]
    for quote in QUOTE.findall(part.questions):
        if not is_said(quote, outputs):
            near = difflib.get_close_matches(squeezed(quote), lines, 1, 0.3)
            faults.append(f"{part.at(quote)}: `{quote}` is not printed; nearest: {near}")
    return faults


def test_there_is_a_part_for_each_chapter_in_the_order_of_the_course():
    headings = re.findall(r"^## (\d+)\. \[(.+)\]\((.+)\.ipynb\)$", GUIDE, re.MULTILINE)
    assert [stem for *_, stem in headings] == list(map(order.stem, order.CHAPTERS))
    for (number, title, _), part in zip(headings, PARTS, strict=True):
        first = part.cells[0].source.partition("\n")[0]
        assert re.fullmatch(rf"# {number}(\.| ·) {re.escape(title)}", first)


@each
def test_the_minutes_of_both_plans_add_up(part):
    rows = ROW.findall(part.text)
    for column, minutes in enumerate((45, 90)):
        spent = [int(row[column]) for row in rows if row[column] != "–"]
        assert sum(spent) == minutes, part.at("| 45 | 90 |")


@each
def test_in_90_minutes_no_section_gets_less_than_it_takes_to_read(part):
    takes = {one.title: one.minutes for one in reading.count(notebook(part.name)).sections}
    faults = [
        f"{part.at(f'[{section}]')}: {section} takes {takes[section]:.1f} minutes"
        for _, minutes, section in ROW.findall(part.text)
        if section not in NOT_READ and minutes != "–" and int(minutes) < takes[section]
    ]
    assert faults == []


@each
def test_the_exercises_of_a_plan_fit_into_its_minutes(part):
    (row,) = (line for line in part.text.splitlines() if "#Exercises)" in line)
    kinds = {number: reading.KINDS[kind] for kind, number in CHECKED.findall(part.source)}
    seconds = sum(reading.SECONDS[kinds[number]] for number in EXERCISE.findall(row))
    assert 0 < seconds <= 60 * int(row.split(" | ")[1])


@each
def test_each_section_is_in_the_plan_or_among_what_is_left_out(part):
    linked = {label for label, _ in LINK.findall(part.text)}
    assert [one for one in part.sections if one not in linked and one not in NO_NEED] == []
    planned = [section for *_, section in ROW.findall(part.text)]
    assert planned == [one for one in part.sections if one in planned]  # in the chapter's order


@each
def test_links_lead_to_a_heading_of_the_chapter(part):
    links = LINK.findall(part.text.partition("\n")[2])
    right = {label: f"{part.name}.ipynb#{label.replace(' ', '-')}" for label in part.headings}
    assert [part.at(target) for label, target in links if right.get(label) != target] == []


@each
def test_exercises_are_the_chapters_and_each_guess_is_asked_for(part):
    named = set(EXERCISE.findall(QUOTE.sub("", part.text)))
    assert named - {number for _, number in CHECKED.findall(part.source)} == set()
    assert set(GUESS.findall(part.text)) == set(PREDICTED.findall(part.source))
    wrong = part.text[part.text.index("**Wrong answers**") :]
    assert 3 <= len(re.findall(r"^- exercise \d\d\.\d: ", wrong, re.MULTILINE)) <= 5


@each
def test_each_answer_quotes_what_the_chapter_prints(part):
    assert not_said(part, printed(part.cells)) == []
    asked = re.split(r"^- ", part.questions, flags=re.MULTILINE)[1:]
    assert 3 <= len(asked) <= 5 and all(QUOTE.search(one) for one in asked)


@each
def test_no_figure_stands_in_an_answer_without_a_quote(part):
    assert FIGURE.findall(QUOTE.sub("", part.questions)) == []


@each
def test_a_lecturer_reads_a_part_in_three_minutes(part):
    told = LINK.sub(r"\1", re.sub(r"^(\||#).*$", "", part.text, flags=re.MULTILINE))
    assert len(re.findall(r"\S*[^\W\d_]\S*", told)) <= MOST_WORDS


def test_an_outcome_that_a_rerun_moves_fails_with_its_place():
    part = PARTS[order.number("standard_distillation") - 1]
    quote = next(one for one in QUOTE.findall(part.questions) if " ± " in one)
    digit = re.search(r"[+−]\d+\.(\d)", quote)
    moved = quote[: digit.start(1)] + str((int(digit[1]) + 1) % 10) + quote[digit.end(1) :]
    outputs = [text.replace(quote, moved) for text in printed(part.cells)]
    (fault,) = not_said(part, outputs)
    line = int(re.match(r"teaching\.md:(\d+): ", fault)[1])
    assert quote in GUIDE.splitlines()[line - 1] and moved in fault


@pytest.mark.parametrize("quote", ["was 0", "1.14 ± 0.42", "beat", "+1.14 ± 0.4", "KD beats LS"])
def test_a_piece_of_a_number_or_of_another_word_is_no_quote(quote):
    assert not is_said(quote, ["it was 0.5; KD, beatsCE: +1.14 ± 0.42 points", "KD\nbeats CE"])


def test_a_syllabus_fills_its_meetings_and_names_what_there_is():
    weeks, days = (FRONT[FRONT.index(name) :].split("\n## ")[0] for name in ("## Six", "## Two"))
    rows = re.findall(r"^\| \d .*$", weeks + days, re.MULTILINE)
    assert len(rows) == 6 + 4
    for row in rows:
        for meeting in row.split(" | ")[1:3]:
            assert sum(map(int, re.findall(r"\((\d+)\)", meeting))) == 90, meeting
    taught = [int(number) for number in re.findall(r"chapter (\d+) \(\d+\)", weeks)]
    assert sorted(taught) == [part.number for part in PARTS]
    exercises = {number for part in PARTS for _, number in CHECKED.findall(part.source)}
    assert set(EXERCISE.findall(QUOTE.sub("", FRONT))) <= exercises


def test_the_front_of_the_guide_names_chapters_by_what_they_are_called():
    """A chapter's number in a command would not follow when chapters move."""
    commands = [quote for quote in QUOTE.findall(FRONT) if quote.startswith("kdnotes ")]
    assert commands and not [one for one in commands if re.search(r" \d+\b", one)]
    assert LINK.findall(FRONT) == []
