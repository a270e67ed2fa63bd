"""The edition for nbgrader: a course folder that it generates, collects, autogrades and scores.

An exercise is two cells: the answer's, in which the solution stands between nbgrader's marks behind
the stub, and a locked one with points, in which our check decides. All other cells are locked but
those that ask for a guess, so that grading runs the chapter as it was handed out. Grade ids are
cell ids. Written for nbgrader 0.9.6, which need not be installed where this runs.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import kdnotes
from kdnotes.course import chapters as files
from kdnotes.course.chapters import Chapter
from kdnotes.course.editions import cells
from kdnotes.course.editions import output as place
from kdnotes.course.editions.cells import Asked
from kdnotes.files import write_text

__all__ = ["POINTS", "converted", "write"]

# By the function of ``check``; of a quiz for all three answers together.
POINTS = {"exercise": 4, "by_hand": 2, "read": 2, "design": 4, "quiz": 3}
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TEST = """# {points} points for {what}: what this check says decides.
import warnings

from kdnotes import check

with warnings.catch_warnings(action="ignore"):  # nbgrader takes a warning for a mistake
    solved = check.{kind}({arguments})
assert solved
"""
CONFIG = '''"""What nbgrader has to know to grade kdnotes: run its commands in this folder."""

import os

# Chapters are graded with small networks; the exercises are the same. Set it to "lesson" otherwise.
os.environ.setdefault("KDNOTES_PROFILE", "smoke")
os.environ.setdefault("KDNOTES_WORKERS", "1")

c = get_config()
c.CourseDirectory.course_id = "kdnotes"
c.ClearSolutions.code_stub = {"python": ""}  # the stub is there, the solution stands behind it
c.Execute.timeout = 180  # seconds for a cell: after 30, its default, nbgrader cuts a training
'''
NOTE = """# kdnotes {version}: a course folder for nbgrader 0.9.6

An assignment a chapter, `source/NN_name/NN_name.ipynb`, with the solutions: {count} of them.

    cd THIS_FOLDER                              # nbgrader finds its configuration here
    nbgrader generate_assignment {first}
    nbgrader autograde {first}
    nbgrader generate_feedback {first}
    nbgrader export                             # grades.csv

Students get `release/NN_name/`; what they hand in lies in
`submitted/STUDENT/NN_name/NN_name.ipynb` when you grade. Both need the package kdnotes {version}.
The folder of the command `nbgrader` must be on the PATH.

- Grading runs a whole chapter in the smoke profile: small networks, up to a minute each.
- Points: {points}; they can be changed in `source`, before you generate.
- A cell that runs for more than 180 s is interrupted (`nbgrader_config.py`), and what it should
  have made is missing below it. nbgrader writes the interruption into that cell alone.
- nbgrader runs a submission in the kernel that also checks it: whoever replaces `check` in an
  answer can pass. `kdnotes grade` keeps the two apart.
- Written again, this folder gets new notebooks in `source`; an `nbgrader_config.py` stays.
"""


def write(chapters: list[Chapter], output: Path) -> list[Path]:
    """Write a course folder for nbgrader: ``source``, ``nbgrader_config.py`` and ``NOTE.md``.

    Args:
        chapters: an assignment each, at least one.
        output: a folder, made if it is not there; a configuration that it has is left as it is.

    Returns:
        The notebooks in ``source``.

    Raises:
        ValueError: no chapter; ``output`` is the folder of the chapters themselves; in a chapter a
            solution does not stand behind its question.
        OSError: a file cannot be written.
    """
    place.check(chapters, output)
    notebooks = [converted(files.read(chapter.path)) for chapter in chapters]
    written = []
    for chapter, notebook in zip(chapters, notebooks, strict=True):
        written.append(output / "source" / chapter.name / chapter.path.name)
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        files.write(written[-1], notebook)
    if not (output / "nbgrader_config.py").exists():
        write_text(output / "nbgrader_config.py", CONFIG)
    points = ", ".join(f"`check.{kind}` {number}" for kind, number in POINTS.items())
    about = {"version": kdnotes.__version__, "count": len(chapters), "points": points}
    write_text(output / "NOTE.md", NOTE.format(first=chapters[0].name, **about))
    return written


def converted(notebook: Any) -> Any:
    """The notebook as nbgrader's source, without outputs, in place.

    Raises:
        ValueError: a solution does not stand behind its question.
    """
    for question, solution in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cells.is_solution(solution):
            _pair(question, solution)
    for cell in notebook.cells:
        cells.keep_for_students(cell)
        if "nbgrader" not in cell.metadata and not _asks_for_a_guess(cell):
            _mark(cell, locked=True)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _pair(question: Any, solution: Any) -> None:
    """Make an answer's cell of a question, with the solution in it, and of the solution a test."""
    answered = cells.asked(solution.source)
    asked = cells.asked(question.source) if question.cell_type == "code" else []
    if len(asked) != 1 or [(one.kind, one.number) for one in answered] != [
        (one.kind, one.number) for one in asked
    ]:
        raise ValueError(f"the solution in cell {solution.id} does not stand behind its question")
    name = _name(asked[0])
    question.source = _answer_cell(question.source, asked[0], solution.source, answered[0], name)
    _mark(question, solution=True)
    arguments = ", ".join([f'"{asked[0].number}"', name, *asked[0].further])
    what = "the quiz" if asked[0].kind == "quiz" else f"exercise {asked[0].number}"
    points = POINTS[asked[0].kind]
    test = TEST.format(points=points, what=what, kind=asked[0].kind, arguments=arguments)
    solution.source, solution.metadata = test.rstrip(), copy.deepcopy(question.metadata)
    # "Run all" goes on behind an answer that is still missing.
    solution.metadata["tags"] = ["raises-exception"]
    _mark(solution, grade=True, locked=True, points=points)


def _name(asked: Asked) -> str:
    """What the answer is called: the function's name, or one that holds the number."""
    if asked.kind == "exercise":
        return asked.answer
    return f"{'quiz' if asked.kind == 'quiz' else 'answer'}_{asked.number.replace('.', '_')}"


def _answer_cell(source: str, asked: Asked, solution: str, answered: Asked, name: str) -> str:
    """The stub, the solution between its marks, and the check: without the middle, the chapter's
    own cell, in which what is not a function has got a name.
    """
    lines = source.splitlines()
    before, behind = lines[: asked.line], lines[asked.end :]
    solved = [*solution.splitlines()[: answered.line], f"{name} = {answered.answer}"]
    if asked.kind == "exercise":
        check = lines[asked.line : asked.end]
        before = before[:-1] if before[-1:] == [""] else before  # nbgrader leaves an empty line
    else:
        comment = lines[asked.end - 1].partition("  # ")
        before.append(f"{name} = {asked.answer}{''.join(comment[1:])}")
        further = ", ".join([f'"{asked.number}"', name, *asked.further])
        check = [f"solved = check.{asked.kind}({further})"]
    return "\n".join([*before, BEGIN, *solved, END, *check, *behind])


def _asks_for_a_guess(cell: Any) -> bool:
    return cell.cell_type == "code" and "check.predict(" in cell.source


def _mark(cell: Any, **told: Any) -> None:
    """Nbgrader's metadata; its ids must not hold a dot, which cell ids do not."""
    about = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    cell.metadata["nbgrader"] = about | {"grade_id": cell.id} | told
