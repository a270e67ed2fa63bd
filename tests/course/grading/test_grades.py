"""A class's submissions, right, wrong and hostile: no verdict is wrong, and nothing is harmed.

``KDNOTES_TEST_CLASS=all`` tries all of them, which takes minutes.
"""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path

import nbformat
import pytest
from classroom import NOTEBOOKS, books, handed_in, solutions, student_edition

from kdnotes.course import verdicts
from kdnotes.course.grading import ours, starting
from kdnotes.course.grading.grades import Grades, grade, line
from kdnotes.course.grading.judging import Row

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
    grades = grade(
        folder, around / "grades.csv", notebooks=NOTEBOOKS, timeout=3, memory=1024, workers=1
    )
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


CHAPTERS = [one.name for one in books()] if ALL else ["02_teachers_students_data"]


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The grades of our own solutions."""
    folder = tmp_path_factory.mktemp("solved")
    for stem in CHAPTERS:
        nbformat.write(student_edition(solutions(stem), stem), folder / f"{stem}.ipynb")
    readings = "smoke" if ALL else None
    return grade(folder, notebooks=NOTEBOOKS, workers=1, readings=readings)


@pytest.mark.parametrize("stem", CHAPTERS)
def test_our_solutions_are_correct(solved, stem):
    """Networks, tables, lists of tensors and settings go there and come back; readings, which our
    solutions compute from the results, are not graded.
    """
    rows = [row for row in solved.rows if row.chapter == stem]
    readings = [one.number for one in _book(stem).answers if one.kind == "read"]
    found = {row.exercise: row.verdict for row in rows}
    right = {one.label: "correct" for one in _book(stem).answers}
    assert found == right | dict.fromkeys(readings, "not graded"), rows


def _book(stem):
    return next(one for one in books() if one.name == stem)


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        ("return model(images).detach()", "the model is in training mode"),
        ("return model.eval()(images)", "the values are right, but they carry gradients"),
        ("with torch.inference_mode():\n        return model.eval()(images)", "inference_mode()"),
        (
            "found = model.eval()(images)\n    found.sum().backward()\n    return found.detach()",
            "the outputs are right, but gradients have flowed",
        ),
    ],
)
def test_the_state_of_a_network_comes_back(tmp_path, body, beginning):
    stem = "02_teachers_students_data"
    call = 'solved = check.exercise("02.3", teacher_outputs)'
    answer = {"02.3": f"def teacher_outputs(model, images):\n    {body}\n\n\n{call}"}
    nbformat.write(student_edition(answer, stem), tmp_path / "anna.ipynb")
    rows = grade(tmp_path, notebooks=NOTEBOOKS, workers=1).rows
    row = next(one for one in rows if one.exercise == "02.3")
    assert (row.verdict, row.message[: len(beginning)]) == ("not yet", beginning)


def test_an_answer_about_results_is_graded_by_those_of_a_profile(tmp_path):
    stem = "01_soft_targets"
    for student, answer in (("right", "RIGHT"), ("wrong", "1e9"), ("todo", "...")):
        answer = {"01.6": f'solved = check.read("01.6", {answer}, pulls)'}
        nbformat.write(student_edition(answer, stem), tmp_path / f"{student}.ipynb")
    found = ours.results(_book(stem), _asked(stem, "01.6"), "smoke")
    number = verdicts.find("01.6", "READINGS").expected(*found)
    path = tmp_path / "right.ipynb"
    path.write_text(path.read_text().replace("RIGHT", repr(number)))
    options = {"notebooks": NOTEBOOKS, "workers": 1}
    for readings, right in (
        ("smoke", {"right": "correct", "wrong": "not yet", "todo": "todo"}),
        (None, {"right": "not graded", "wrong": "not graded", "todo": "todo"}),
    ):
        rows = grade(tmp_path, readings=readings, **options).rows
        assert {one.student: one.verdict for one in rows if one.exercise == "01.6"} == right


def _asked(stem, number):
    return next(one for one in _book(stem).answers if one.number == number)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"timeout": 0}, "timeout"),
        ({"memory": -1}, "memory"),
        ({"workers": 0}, "workers"),
        ({"readings": "best"}, "readings"),
        ({"output": Path("/nowhere/x.csv")}, "output"),
        ({"notebooks": Path("/nowhere")}, "notebooks"),
        ({"folder": Path("/nowhere")}, "FOLDER"),
        ({"folder": NOTEBOOKS.parent}, "FOLDER"),
        ({}, "FOLDER"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, named):
    with pytest.raises(ValueError, match=named):
        grade(**{"folder": tmp_path, "notebooks": NOTEBOOKS} | options)


def test_a_spreadsheet_takes_no_cell_for_a_formula():
    row = Row("=1+1.ipynb", "@x", "", "", "no notebook", "-2", True, 0.0)
    assert Grades([row], []).csv().splitlines()[1] == "'=1+1.ipynb,'@x,,,no notebook,'-2,0.0"


def test_a_submission_in_a_line():
    row = Row("a/05.ipynb", "anna", "05_x", "05.1", "todo", "", True, 0.0)
    rows = [row, row._replace(exercise="05.2", verdict="correct"), row._replace(exercise="05 quiz")]
    assert line(rows) == "anna, 05: correct 05.2; todo 05.1 05 quiz"
    other = Row("a.pdf", "anna", "", "", "no notebook", "no notebook (.ipynb)", True, 0.0)
    assert line([other]) == "a.pdf: no notebook, no notebook (.ipynb)"


def test_where_nothing_forks_each_submission_has_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "start", starting.Started)
    for one in handed_in():
        if one.file.startswith(("checker-replaced", "exit", "writes")):
            one.write(tmp_path / "class")
    rows = grade(tmp_path / "class", notebooks=NOTEBOOKS, workers=1).rows
    found = {row.student: row.verdict for row in rows if row.exercise == "05.1"}
    assert found == {"checker-replaced": "not yet", "exit": "killed", "writes": "error"}
    assert not (tmp_path / "written").exists()


@pytest.mark.skipif(not ALL, reason="two more processes import torch: KDNOTES_TEST_CLASS=all")
def test_the_grades_do_not_depend_on_the_workers(graded):
    _, grades, around = graded
    again = grade(around / "class", notebooks=NOTEBOOKS, timeout=3, memory=1024, workers=2)
    assert [row._replace(seconds=0) for row in again.rows] == [
        row._replace(seconds=0) for row in grades.rows
    ]
