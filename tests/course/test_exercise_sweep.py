"""All exercises against the same families of answers; what each gets stands in exercise_sweep.txt.

``python tests/course/test_exercise_sweep.py`` writes the table anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep import ALL, RIGHT_FAMILIES, WRONG_FAMILIES, alike, cell, checked

TABLE = Path(__file__).with_name("exercise_sweep.txt")
FAMILIES = (*WRONG_FAMILIES, *RIGHT_FAMILIES)
CODES = (
    *(f"w{i}" for i in range(1, len(WRONG_FAMILIES) + 1)),
    *(f"r{i}" for i in range(1, len(RIGHT_FAMILIES) + 1)),
)
LEGEND = """\
Exercises against families of wrong answers (w) and of right ones in other forms (r).
A number: so many were tried, all wrong ones refused, all right ones accepted.
- the family has no answer for this exercise; = its answers equal the reference on all probes, \
so that none is wrong.
"""


def row(name: str) -> list[str]:
    return [cell(checked, name, family) for family in FAMILIES]


def text(rows: dict[str, list[str]]) -> str:
    named = "".join(f"{code:4}{family}\n" for code, family in zip(CODES, FAMILIES, strict=True))
    lines = [("", *CODES), *((name, *cells) for name, cells in rows.items())]
    width = max(map(len, rows))
    table = "".join(
        " ".join([first.ljust(width), *(one.rjust(4) for one in cells)]).rstrip() + "\n"
        for first, *cells in lines
    )
    return LEGEND + named + table


def table() -> dict[str, list[str]]:
    """What the file holds: for each exercise its cells."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()[LEGEND.count("\n") + len(FAMILIES) + 1 :]
    return {name: cells for name, *cells in map(str.split, lines)}


def steady(cells: list[str]) -> list[str]:
    """Without half precision, which a processor may or may not keep within the tolerance."""
    return [one for family, one in zip(FAMILIES, cells, strict=True) if family != "half precision"]


@pytest.mark.parametrize("name", ALL)
def test_no_wrong_answer_is_accepted_and_no_right_one_refused(name):
    cells = row(name)
    assert [one for one in zip(FAMILIES, cells, strict=True) if "of" in one[1]] == []
    assert steady(cells) == steady(table()[name])


@pytest.mark.parametrize("name", ALL)
def test_no_argument_can_be_written_into_the_answer(name):
    assert alike(name) == []


def test_the_table_has_all_exercises_and_families():
    assert list(table()) == list(ALL)
    assert TABLE.read_text(encoding="utf-8") == text(table())


if __name__ == "__main__":
    TABLE.write_text(text({name: row(name) for name in ALL}), encoding="utf-8")
