"""Chapters get the numbers that the list gives them, wherever a reader meets a number."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from kdnotes.course import order, renumber

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
MOVES = {9: 13, 10: 9, 11: 10, 12: 11, 13: 12}
SPOKEN = ("title", "text", "notes")
each = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Chapter 9's table; chapter\n10", "Chapter 13's table; chapter\n9"),
        ("chapter 9, 10 seeds", "chapter 13, 10 seeds"),
        ("chapters 3, 9 and 12", "chapters 3, 11 and 13"),
        ("chapters 10 to 13, chapters 9–13", "chapters 9 to 12, chapters 9–13"),
        ("Chapters 7, 8 and 10 to 13 took", "Chapters 7, 8 and 9 to 12 took"),
        ("[chapter 9](77_soft_targets.ipynb)", "[chapter 13](01_soft_targets.ipynb)"),
        ("this chapter   9.5; chapter 9.", "this chapter   9.5; chapter 13."),
        ('check.exercise("09.2", f); exercise 09.2', 'check.exercise("13.2", f); exercise 13.2'),
        ("Exercise 10.1: correct", "Exercise 09.1: correct"),
        ("| | chapters |\n|-|-|\n| 9 | 8, 9, 11 |", "| | chapters |\n|-|-|\n| 9 | 8, 10, 13 |"),
        ("| 9 | 11 |", "| 9 | 11 |"),
        ("9 chapters, 10.1 ms, in 10 of 12 runs", "9 chapters, 10.1 ms, in 10 of 12 runs"),
        ("chapter 99", "chapter 99"),
    ],
)
def test_a_chapter_is_known_by_what_stands_around_its_number(before, after):
    assert renumber.rewrite(before, MOVES) == after


def test_a_range_grows_with_a_chapter_put_into_it_and_is_refused_where_it_breaks():
    assert renumber.rewrite("chapters 9 to 11", {9: 9, 10: 10, 11: 12}) == "chapters 9 to 12"
    with pytest.raises(ValueError, match=r"'chapters 8 to 10' would be chapters \[8, 9, 13\]"):
        renumber.rewrite("chapters 8 to 10", MOVES)


@pytest.fixture
def course(tmp_path):
    return Path(shutil.copytree(NOTEBOOKS, tmp_path / "notebooks"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.ipynb"))}


def test_the_course_moves_there_and_back_without_a_trace(course, monkeypatch, capsys):
    before = contents(course)
    first, *others = order.CHAPTERS
    monkeypatch.setattr(order, "CHAPTERS", (first, "inserted", *others))
    assert renumber.main([str(course)]) == 0
    moved = capsys.readouterr().out
    assert f"02_{others[0]} → 03_{others[0]}\n" in moved and moved.count("→") == len(others)
    for path in course.glob("*.ipynb"):
        assert faults(path) == []
    monkeypatch.undo()
    assert renumber.main([str(course)]) == 0 and contents(course) == before


def test_a_notebook_that_the_list_does_not_name_is_refused_and_nothing_changes(course, capsys):
    shutil.copy(course / f"{order.stem('comparison')}.ipynb", course / "16_stranger.ipynb")
    before = contents(course)
    assert renumber.main([str(course)]) == 2 and contents(course) == before
    assert "not 'stranger'" in capsys.readouterr().err


def named(text: str) -> set[int]:
    """The numbers of the chapters that a text speaks of."""
    found = renumber.ONE.findall(text) + renumber.MANY.findall(text)
    return {number for _, digits in found for number in renumber.numbers(digits)}


def said(cell: nbformat.NotebookNode) -> list[str]:
    """What a reader or a speaker meets: the source, what was printed, what the slides say."""
    printed = [output.get("text", "") for output in cell.get("outputs", [])]
    slides = [slide.get(key, "") for slide in cell.metadata.get("slides", []) for key in SPOKEN]
    return [cell.source, *printed, *slides]


def own_numbers(cell: nbformat.NotebookNode) -> list[int]:
    """What should be the chapter's own number: in its headings, exercises and cell ids."""
    texts = said(cell)
    found = renumber.IDENTITY.findall(cell.id)
    found += [one for text in texts for one in renumber.EXERCISE.findall(text)]
    if cell.cell_type == "markdown":
        found += renumber.START.findall(cell.source) + renumber.HEADING.findall(cell.source)
    return [int(digits) for _, digits in found]


def faults(path: Path) -> list[str]:
    """What in a notebook disagrees with its number, with another's, or with how many there are."""
    own, found = int(path.stem[:2]), []
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        strangers = set().union(*map(named, said(cell))) - set(range(1, len(order.CHAPTERS) + 1))
        found += [f"{cell.id}: chapter {number}" for number in strangers]
        found += [f"{cell.id}: own {number}" for number in own_numbers(cell) if number != own]
        for label, target in re.findall(r"\[([^\]]*)\]\(([^)]*)\.ipynb\)", cell.source):
            there = (path.parent / f"{target}.ipynb").is_file()
            if not there or label.lower() != f"chapter {int(target[:2])}":
                found.append(f"{cell.id}: {label} → {target}")
    return found


@each
def test_a_chapter_names_only_chapters_that_there_are_and_itself_by_its_number(path):
    assert faults(path) == []
    assert renumber.HEADING.match(nbformat.read(path, 4).cells[0].source)


@each
def test_a_chapter_comes_after_those_that_it_builds_on(path):
    first = nbformat.read(path, 4).cells[0].source
    before = re.search(r"\*\*(?:Before this|Prerequisites):\*\* (.*)", first)[1]
    assert all(number < int(path.stem[:2]) for number in named(before))


def test_the_readme_lists_the_chapters_in_their_order():
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| chapter |") :].split("\n\n")[0]
    titles = [nbformat.read(path, 4).cells[0].source.partition("\n")[0] for path in PATHS]
    listed = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[1:]
    assert listed == [re.sub(r"^# \d+( ·|\.) ", "", title) for title in titles]
