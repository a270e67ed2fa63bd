"""Whose a submission is, and of which chapter, as lecturers get them."""

from __future__ import annotations

import json

import nbformat
import pytest
from classroom import STEM, books, ours, student_edition, without_ids

from kdnotes.course.grading.submissions import find

SIXTH = "06_dynamic_distillation"


def found(folder, *files, text=None):
    text = nbformat.writes(student_edition({})) if text is None else text
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return find(folder, books())


@pytest.mark.parametrize(
    ("file", "student"),
    [
        (f"Anna Maier/{STEM}.ipynb", "Anna Maier"),
        (f"anna_{STEM}.ipynb", "anna"),
        (f"{STEM}-anna.ipynb", "anna"),
        (f"Maier Anna_40123_assignsubmission_file_{STEM}.ipynb", "Maier Anna"),
        (f"Maier Anna_40123_assignsubmission_file/{STEM}.ipynb", "Maier Anna"),
        (f"maieranna_40123_98765_{STEM}-1.ipynb", "maieranna"),
        (f"maieranna_LATE_40123_98765_{STEM}.ipynb", "maieranna"),
        (f"anna/{STEM}/{STEM}.ipynb", "anna"),
        ("anna/my solution.ipynb", "anna"),
        ("anna.ipynb", "anna"),
        (f"{STEM}.ipynb", STEM),
        ("group A/anna.ipynb", "group A"),
        ("Übung/José/abgabe.ipynb", "Übung/José"),
    ],
)
def test_names_of_students(tmp_path, file, student):
    (one,) = found(tmp_path, file)
    assert (one.student, one.book.name, one.file) == (student, STEM, file)


def test_a_folder_of_several_students(tmp_path):
    handed = found(tmp_path, "group A/anna.ipynb", "group A/ben.ipynb")
    assert [one.student for one in handed] == ["group A/anna", "group A/ben"]


def test_what_is_skipped(tmp_path):
    skipped = ("__MACOSX/a.ipynb", ".ipynb_checkpoints/a.ipynb", "a/.hidden.ipynb", "a/Thumbs.db")
    assert found(tmp_path, *skipped) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no notebook of format 4"),
        ("[1]", "no notebook of format 4"),
        ('{"cells": 3}', "no notebook of format 4"),
        ('{"cells": []}', "the notebook is empty"),
        ('{"worksheets": []}', "no notebook of format 4"),
        ('{"cells": [{"cell_type": "markdown", "source": "# A"}]}', "no chapter of this course"),
        ("\ufeff" + '{"cells": [7, null]}', "the notebook is empty"),
    ],
)  # fmt: skip
def test_what_is_not_graded(tmp_path, text, fault):
    (one,) = found(tmp_path, "anna.ipynb", text=text)
    assert (one.book, one.fault) == (None, fault)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "outside.ipynb").write_text("{}")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.ipynb").symlink_to(tmp_path / "outside.ipynb")
    (one,) = find(tmp_path / "class", books())
    assert one.fault.startswith("no file of its own")


def test_a_chapter_is_known_by_title_and_ids(tmp_path):
    notebook = json.loads(nbformat.writes(ours(SIXTH)))
    (tmp_path / "x.ipynb").write_text(json.dumps(notebook))
    without_ids(notebook)
    (tmp_path / "y.ipynb").write_text(json.dumps(notebook))
    assert [one.book.name for one in find(tmp_path, books())] == [SIXTH, SIXTH]


def test_answers_are_found_by_id_alone_where_there_are_ids(tmp_path):
    notebook = student_edition({})
    asked = next(one for one in books() if one.name == STEM).answers[0]
    place = next(i for i, cell in enumerate(notebook.cells) if cell.id == asked.cell.id)
    notebook.cells.insert(0, notebook.cells.pop(place))
    (one,) = found(tmp_path, "a.ipynb", text=nbformat.writes(notebook))
    assert one.answer(asked) == 0
    notebook.cells[0].id = "copied"
    (one,) = found(tmp_path, "a.ipynb", text=nbformat.writes(notebook))
    assert one.answer(asked) is None
