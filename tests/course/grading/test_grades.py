"""A class's submissions, right, wrong and hostile: no verdict is wrong, and nothing is harmed.

``KDNOTES_TEST_CLASS=all`` tries all of them, which takes minutes.
"""

from __future__ import annotations

import csv
import io
import os
import time

import pytest
from classroom import NOTEBOOKS, handed_in

from kdnotes.course.grading.grades import grade

ALL = os.environ.get("KDNOTES_TEST_CLASS") == "all"  # the tests themselves see no such variable


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(what was handed in, the grades, the folder around them)."""
    around = tmp_path_factory.mktemp("around")
    (around / "precious").write_text("kept")
    folder = around / "class"
    handed = [one for one in handed_in() if ALL or one.fast]
    for one in handed:
        one.write(folder)
    for skipped in ("__MACOSX/._x.ipynb", ".ipynb_checkpoints/x.ipynb", ".hidden.ipynb"):
        (folder / skipped).parent.mkdir(exist_ok=True)
        (folder / skipped).write_text("{}")
    began = time.monotonic()
    grades = grade(folder, around / "grades.csv", notebooks=NOTEBOOKS, timeout=3, memory=1024, workers=1)
    print(f"\n{len(handed)} files in {time.monotonic() - began:.0f} s\n{grades.summary()}")
    return handed, grades, around


def test_no_verdict_is_wrong(graded):
    handed, grades, _ = graded
    expected = {one.file: one.expected() for one in handed}
    found: dict = {}
    for row in grades.rows:
        found.setdefault(row.file, {})[row.exercise] = (row.verdict, row.message)
    assert found.keys() == expected.keys()
    wrong = [
        (file, exercise, found[file].get(exercise), right)
        for file, of_file in expected.items()
        for exercise, right in of_file.items()
        if not _agree(found[file].get(exercise, ("", "")), right)
    ]
    assert not wrong, "\n".join(map(str, wrong))
    assert all(found[file].keys() == expected[file].keys() for file in found)


def _agree(found: tuple[str, str], right: tuple[str, str]) -> bool:
    return found[0] == right[0] and found[1].startswith(right[1])


def test_nothing_outside_is_touched(graded):
    *_, around = graded
    assert (around / "precious").read_text() == "kept"
    assert sorted(one.name for one in around.iterdir()) == ["class", "grades.csv", "precious"]


def test_the_file_holds_the_rows(graded):
    _, grades, around = graded
    text = (around / "grades.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["verdict"] for row in rows] == [row.verdict for row in grades.rows]
    anna = [row for row in rows if row["student"] == "Right Anna"]
    assert len(anna) == 7 and anna[0]["exercise"] == "05.1"


def test_the_summary_counts_the_traps(graded):
    summary = graded[1].summary()
    assert "1 × NCKD still has the factor" in summary or ALL
    assert "× a mistake without a name" in summary or "1 timeout" in summary
