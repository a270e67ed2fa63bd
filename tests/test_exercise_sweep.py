"""All exercises against the same families of wrong and right answers; what each gets stands in exercise_sweep.txt.

``python tests/test_exercise_sweep.py`` writes the table anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep import ALL, RIGHT_FAMILIES, WRONG_FAMILIES, cell

from kdnotes import check

TABLE = Path(__file__).with_name("exercise_sweep.txt")
FAMILIES = (*WRONG_FAMILIES, *RIGHT_FAMILIES)


def row(number: str) -> dict[str, str]:
    return {family: cell(check.exercise, number, family) for family in FAMILIES}


def table() -> dict[str, dict[str, str]]:
    """What the file holds: for each exercise its cells."""
    head, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    names = [name.strip() for name in head.split("|")[1:]]
    rows = ([part.strip() for part in line.split("|")] for line in lines)
    return {number: dict(zip(names, cells, strict=True)) for number, *cells in rows}


def text(rows: dict[str, dict[str, str]]) -> str:
    widths = [max(len(family), *(len(cells[family]) for cells in rows.values())) for family in FAMILIES]
    lines = [("     ", *FAMILIES)] + [
        (number, *(cells[family] for family in FAMILIES)) for number, cells in rows.items()
    ]
    return "".join(
        " | ".join((first.ljust(5), *(one.ljust(width) for one, width in zip(rest, widths, strict=True)))).rstrip()
        + "\n"
        for first, *rest in lines
    )


@pytest.mark.parametrize("number", ALL)
def test_no_wrong_answer_is_accepted_and_no_right_one_refused(number):
    cells = row(number)
    accepted = {family for family in WRONG_FAMILIES if "accepted" in cells[family]}
    refused = {family for family in RIGHT_FAMILIES if "refused" in cells[family]}
    assert not accepted and not refused, cells
    assert cells == table()[number]


def test_the_table_has_all_exercises():
    assert list(table()) == list(ALL)


if __name__ == "__main__":
    TABLE.write_text(text({number: row(number) for number in ALL}), encoding="utf-8")
