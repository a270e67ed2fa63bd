"""The student edition: what is in a notebook that a student gets, and what is not."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import nbformat
import pytest
from commands import write

import kdnotes
from kdnotes.course import chapters
from kdnotes.course.editions import cells, nbgrader, student

ROOT = Path(__file__).parents[3]
EVERYTHING = chapters.find(ROOT / "notebooks")
each = pytest.mark.parametrize("chapter", EVERYTHING, ids=lambda chapter: chapter.name)


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edition")
    student.write(EVERYTHING, EVERYTHING, folder)
    return folder


def cells_of(folder: Path, chapter: chapters.Chapter) -> list:
    return nbformat.read(folder / chapter.path.name, nbformat.NO_CONVERT).cells


def printed(cell) -> str:
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


@each
def test_all_cells_but_the_solutions_are_there_as_they_were(edition, chapter):
    before = [one for one in cells_of(chapter.path.parent, chapter) if not cells.is_solution(one)]
    after = cells_of(edition, chapter)
    assert [(one.id, one.cell_type, one.source) for one in after] == [
        (one.id, one.cell_type, one.source) for one in before
    ]
    nbformat.validate(nbformat.read(edition / chapter.path.name, nbformat.NO_CONVERT))


@each
def test_no_verdict_but_todo_and_nothing_measured_is_shown(edition, chapter):
    shown = [one for one in cells_of(edition, chapter) if one.get("outputs")]
    assert shown
    for cell in shown:
        text = printed(cell)
        assert all(said.startswith("todo") for said in re.findall(r"Exercise [\d.]+: (.*)", text))
        assert set(re.findall(r"   → (.*)", text)) <= {"todo"}
        assert "; it was" not in text
        assert {one.output_type for one in cell.outputs} <= {"stream", "display_data"}
        assert re.search(r"\b(check|diagrams)\.", cell.source)
    assert all(cell.get("execution_count") is None for cell in cells_of(edition, chapter))


@each
def test_what_is_asked_can_be_read_before_anything_runs(edition, chapter):
    text = "".join(printed(cell) for cell in cells_of(edition, chapter))
    assert re.search(r"^1\. .+\n", text, re.MULTILINE) and "   a) " in text  # the quiz
    assert "Your guess, " in text


@each
def test_no_cell_uses_a_name_of_a_solution(edition, chapter):
    trees = [ast.parse(one.source) for one in cells_of(edition, chapter) if one.cell_type == "code"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    known = set(dir(builtins)) | {"display"}
    known |= {one.id for one in nodes if _is(one, ast.Name, ast.Store)}
    known |= {one.arg for one in nodes if isinstance(one, ast.arg)}
    named = (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)
    known |= {one.name for one in nodes if isinstance(one, named)}
    lines = [one for one in nodes if isinstance(one, (ast.Import, ast.ImportFrom))]
    known |= {(a.asname or a.name).partition(".")[0] for one in lines for a in one.names}
    assert {one.id for one in nodes if _is(one, ast.Name, ast.Load)} <= known


def _is(node: ast.AST, kind: type, context: type) -> bool:
    return isinstance(node, kind) and isinstance(node.ctx, context)


def test_the_note_tells_version_chapters_and_that_the_references_are_there(edition):
    note, count = (edition / "NOTE.md").read_text(encoding="utf-8"), len(EVERYTHING)
    assert kdnotes.__version__ in note and f"{count} of {count} chapters" in note
    assert "`01_soft_targets.ipynb`: Soft targets" in note
    assert "kdnotes lab --notebooks ." in note
    assert "reference, which is part of the package" in note and "--answers none" in note


def test_some_chapters_alone(tmp_path):
    written = student.write(EVERYTHING[2:4], EVERYTHING, tmp_path / "new" / "folder")
    assert [path.name[:2] for path in written] == ["03", "04"]
    assert sorted(path.name for path in written[0].parent.iterdir()) == [
        written[0].name, written[1].name, "NOTE.md",
    ]  # fmt: skip
    note = (written[0].parent / "NOTE.md").read_text(encoding="utf-8")
    assert f"2 of {len(EVERYTHING)} chapters" in note


def test_notes_of_a_speaker_do_not_go_to_students(tmp_path):
    folder = write(tmp_path / "course", "01_first", "print(1)")
    path = folder / "01_first.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[0].metadata |= {
        "slideshow": {"slide_type": "slide"},
        "notes": "the answer is forty-two",
    }
    nbformat.write(notebook, path)
    everything = chapters.find(folder)
    (written,) = student.write(everything, everything, tmp_path / "out")
    assert "forty-two" not in written.read_text(encoding="utf-8")
    assert nbformat.read(written, 4).cells[1].metadata == {"tags": ["parameters"]}


@pytest.mark.parametrize("folder", ["notebooks", "notebooks/../notebooks"])
def test_the_chapters_themselves_are_never_written_over(folder):
    before = {one.path: one.path.read_bytes() for one in EVERYTHING}
    with pytest.raises(ValueError, match="another folder than the chapters' own"):
        student.write(EVERYTHING[:1], EVERYTHING, ROOT / folder)
    with pytest.raises(ValueError, match="another folder than the chapters' own"):
        nbgrader.write(EVERYTHING[:1], ROOT / folder)
    assert {one.path: one.path.read_bytes() for one in EVERYTHING} == before


def test_no_chapter_is_no_edition(tmp_path):
    with pytest.raises(ValueError, match="chapters must be one or more"):
        student.write([], EVERYTHING, tmp_path / "out")
    with pytest.raises(ValueError, match="chapters must be one or more"):
        nbgrader.write([], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError):
        student.write(EVERYTHING[:1], EVERYTHING, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
