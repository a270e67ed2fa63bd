"""The edition for nbgrader: what stands in its source, and a round trip through nbgrader itself."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from commands import write as write_chapter

from kdnotes.course import chapters
from kdnotes.course.editions import cells, nbgrader

ROOT = Path(__file__).parents[3]
EVERYTHING = chapters.find(ROOT / "notebooks")
each = pytest.mark.parametrize("chapter", EVERYTHING, ids=lambda chapter: chapter.name)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    nbgrader.write(EVERYTHING, folder)
    return folder


def source(course: Path, chapter: chapters.Chapter):
    return nbformat.read(course / "source" / chapter.name / chapter.path.name, nbformat.NO_CONVERT)


def marked(notebook, key: str) -> list:
    return [one for one in notebook.cells if one.metadata.get("nbgrader", {}).get(key)]


def cleared(text: str) -> str:
    """What nbgrader makes of a cell: a stub, here an empty one, in the place of the solution."""
    return re.sub(r"### BEGIN SOLUTION\n.*?### END SOLUTION", "", text, flags=re.DOTALL)


@each
def test_every_exercise_has_an_answer_and_a_locked_test_worth_points(course, chapter):
    notebook = source(course, chapter)
    nbformat.validate(notebook)
    answers, tests = marked(notebook, "solution"), marked(notebook, "grade")
    solved = filter(cells.is_solution, chapters.read(chapter.path).cells)
    asked = [cells.asked(one.source)[0] for one in solved]
    assert len(answers) == len(tests) == len(asked)
    for answer, test, one in zip(answers, tests, asked, strict=True):
        told = test.metadata.nbgrader
        assert (told.points, told.locked) == (nbgrader.POINTS[one.kind], True)
        assert not answer.metadata.nbgrader.locked and "raises-exception" in test.metadata.tags
        assert [(call.kind, call.number) for call in cells.asked(test.source)] == [
            (one.kind, one.number)
        ]
        assert test.source.endswith("\nassert solved")


@each
def test_what_students_get_is_the_chapters_stub(course, chapter):
    own = {cell.id: cell.source for cell in chapters.read(chapter.path).cells}
    for cell in marked(source(course, chapter), "solution"):
        (asked,) = cells.asked(cleared(cell.source))
        (before,) = cells.asked(own[cell.id])
        if asked.kind == "exercise":
            assert cleared(cell.source) == own[cell.id]
        else:  # what is answered has a name, so that the test can ask for it
            assert f"\n{asked.answer} = {before.answer}" in "\n" + cleared(cell.source)
            assert asked.further == before.further
        ast.parse(cell.source)


@each
def test_all_else_is_locked_but_guesses_and_ids_hold_no_dot(course, chapter):
    notebook = source(course, chapter)
    free = [one for one in notebook.cells if "nbgrader" not in one.metadata]
    assert free and all("check.predict(" in one.source for one in free)
    ids = [one.metadata.nbgrader.grade_id for one in notebook.cells if one not in free]
    assert len(set(ids)) == len(ids) and not any("." in one for one in ids)
    assert [one.id for one in notebook.cells] == [
        one.id for one in chapters.read(chapter.path).cells
    ]
    assert not any(one.get("outputs") for one in notebook.cells)


@each
def test_no_speakers_notes_are_handed_out(course, chapter):
    """A slide's notes hold the answers to what the class is asked."""
    kept = set().union(*(one.metadata for one in source(course, chapter).cells))
    assert kept <= set(cells.KEPT)
    assert any("slides" in one.metadata for one in chapters.read(chapter.path).cells)


@each
def test_no_function_that_is_asked_for_is_there_before(chapter):
    """A right one under its name would be graded where the answer's cell fails."""
    bound: set[str] = set()
    for cell in chapters.read(chapter.path).cells:
        if cell.cell_type == "code" and not cells.is_solution(cell):
            wanted = {one.answer for one in cells.asked(cell.source) if one.kind == "exercise"}
            assert not wanted & bound
            for node in ast.walk(ast.parse(cell.source)):
                bound |= {getattr(node, "asname", None) or getattr(node, "name", None)}
                is_stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                bound |= {node.id} if is_stored else set()


def test_a_solution_without_its_question_is_an_error(tmp_path):
    asked, solved = 'solved = check.by_hand("01.5", None)', 'assert check.by_hand("01.6", 1)'
    folder = write_chapter(tmp_path / "course", "01_first", asked, solved)
    notebook = nbformat.read(folder / "01_first.ipynb", 4)
    notebook.cells[-1].metadata.tags = ["solution"]
    nbformat.write(notebook, folder / "01_first.ipynb")
    with pytest.raises(ValueError, match="does not stand behind its question"):
        nbgrader.write(chapters.find(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_configuration_of_the_lecturer_stays(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()  # mine")
    nbgrader.write(EVERYTHING[:1], tmp_path)
    assert (tmp_path / "nbgrader_config.py").read_text() == "c = get_config()  # mine"


needs_nbgrader = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None,
    reason="nbgrader is not installed: python -m pip install 'kdnotes[test]'",
)
RIGHT = "    return (z_s - z_t).var(dim=1, correction=0) / 2"
LOUD = "    import warnings; warnings.warn('nbgrader gives no points to what warns')"
# Cell → what a student puts in the place of what: right, wrong, no Python, and the rest untouched.
MIXED = {
    "c01-048": (" ...  # your code", f"\n{LOUD}\n{RIGHT}"),
    "c01-045": (" ...  # your code", "\n    return z_s - z_t"),
    "c01-007": ("None", "0.88"),
    "c01-051": (" ...  # your code", ""),
    "c01-057": ("{}", '{1: "c", 2: "a", 3: "d"}'),
}


def command(course: Path, *words: str) -> None:
    """nbgrader looks for another program, alembic, on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        capture_output=True, text=True, check=False, cwd=course, env=os.environ | {"PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def hand_in(course: Path, name: str, student: str, edits: dict[str, tuple[str, str]]) -> None:
    notebook = nbformat.read(course / "release" / name / f"{name}.ipynb", 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(*edits.get(cell.id, ("", "")))
    folder = course / "submitted" / student / name
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@needs_nbgrader
def test_nbgrader_waits_longer_than_by_itself(tmp_path):
    from nbgrader.preprocessors import Execute
    from traitlets.config.loader import PyFileConfigLoader

    nbgrader.write(EVERYTHING[:1], tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDNOTES_PROFILE", "lesson")
        patch.setenv("KDNOTES_WORKERS", "2")
        config = PyFileConfigLoader("nbgrader_config.py", str(tmp_path)).load_config()
        assert (os.environ["KDNOTES_PROFILE"], os.environ["KDNOTES_WORKERS"]) == ("lesson", "2")
    assert Execute().timeout < 60 < Execute(config=config).timeout


@needs_nbgrader
def test_nbgrader_generates_autogrades_and_scores(session_cache, tmp_path):
    chapter, course = EVERYTHING[0], tmp_path
    nbgrader.write([chapter], course)
    command(course, "generate_assignment", chapter.name)
    release = nbformat.read(course / "release" / chapter.name / chapter.path.name, 4)
    assert "SOLUTION" not in str(release) and "0.731" not in str(release)
    there = {cell.id: cell.source for cell in release.cells}
    answers = marked(source(course, chapter), "solution")
    solved = {cell.id: (there[cell.id], cell.source) for cell in answers}
    for student, edits in {"solved": solved, "mixed": MIXED}.items():
        hand_in(course, chapter.name, student, edits)
    command(course, "autograde", chapter.name)

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        scores = {
            one.student.id: {grade.name: grade.auto_score for grade in one.notebooks[0].grades}
            for one in book.assignment_submissions(chapter.name)
        }
    tests = marked(source(course, chapter), "grade")
    assert scores["solved"] == {one.id: one.metadata.nbgrader.points for one in tests}
    nothing = dict.fromkeys(scores["solved"], 0.0)
    assert scores["mixed"] == nothing | {"c01-049": 4.0, "c01-058": 3.0}
