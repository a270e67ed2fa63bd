"""The student edition: the chapters without solutions, and without what an experiment found.

A chapter asks for a guess, runs an experiment, and shows the guess beside the outcome. A notebook
that is opened with its outputs shows the outcome above the guess, and its last figures before the
first cell has run; so all outputs go that were measured. Kept are drawings of an idea, words of the
glossary, and what a cell asks, the questions of a quiz among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kdnotes
from kdnotes.course import chapters as files
from kdnotes.course.chapters import Chapter
from kdnotes.course.editions import cells, package
from kdnotes.course.editions import output as place
from kdnotes.files import write_text

__all__ = ["stripped", "write"]

NOTE = """# kdnotes {version}: the chapters for students

{count} of {total} chapters:

{listed}

## How to start
{install}
2. If you were given a store of finished runs, say where it lies: `export KDNOTES_STORE=FILE`
   (PowerShell: `$env:KDNOTES_STORE="FILE"`). Then, in this folder and the same terminal:
   `kdnotes lab --notebooks .`
3. Run the cells from the top. Where a chapter asks for a guess, write it down *before* you run the
   experiment: what you expected beside what came is worth more than the figure alone.
4. Write your answers into the cells that say `# your code` or `# your number`; each has a check.

An experiment is computed once; when you run the chapter again, it is there at once. For a first
look with small networks (a minute a chapter; figures that mean little), write `profile = "smoke"`
in a chapter's second cell. A link to a chapter that is not in this folder opens as soon as it is.

## What is not in here
The solutions, and all that an experiment prints or draws: run it, and you see it. {checks}
"""
INSTALL = {
    True: """1. Install kdnotes {version}, if your lecturer has not done so, from a copy of the
   course in FOLDER: `python -m pip install -r FOLDER/requirements.lock`, then `python -m pip
   install FOLDER`.""",
    False: """1. In this folder: `python -m pip install .` (in a virtual environment; Python 3.11 or
   newer). It installs the package `kdnotes` that lies here, and what that needs.""",
}
CHECKS = {
    True: """The checks
compare your answer with a reference, which is part of the package and can be found there. Nobody
hides it from you; a reference that you have read before you tried teaches less than a wrong answer.
(For lecturers: where that will not do, `kdnotes edition student --answers none`.)""",
    False: """Nor are the
reference answers: a check says what is still to do, and that your lecturer checks the rest. Write
your answers into the cells that are there, and hand in the notebook.""",
}


def write(
    chapters: list[Chapter], everything: list[Chapter], output: Path, *, answers: bool = True
) -> list[Path]:
    """Write chapters for students, and ``NOTE.md`` with the version and how to start.

    Cell ids stay, so that a submission can be graded by them. What stands in ``output`` under the
    same names is replaced.

    Args:
        chapters: those to be handed out, at least one.
        everything: all chapters of the course, for the note.
        output: a folder, made if it is not there.
        answers: whether the package that students use may hold the reference answers, as the
            installed one does; if not, a copy of it without them is written beside the notebooks,
            with a ``pyproject.toml`` (``editions.package``).

    Returns:
        The notebooks that were written.

    Raises:
        ValueError: no chapter; ``output`` is the folder of the chapters themselves, or holds a
            ``kdnotes`` with the answers in it.
        OSError: a file cannot be written.
    """
    place.check(chapters, output)
    notebooks = [stripped(files.read(chapter.path)) for chapter in chapters]
    output.mkdir(parents=True, exist_ok=True)
    if not answers:
        package.write(output)
    written = [output / chapter.path.name for chapter in chapters]
    for path, notebook in zip(written, notebooks, strict=True):
        files.write(path, notebook)
    write_text(output / "NOTE.md", _note(chapters, everything, answers))
    return written


def stripped(notebook: Any) -> Any:
    """The notebook without solutions and without outputs that give something away, in place."""
    notebook.cells = [cell for cell in notebook.cells if not cells.is_solution(cell)]
    for cell in notebook.cells:
        cells.keep_for_students(cell)
        if cell.cell_type == "code":
            cell.execution_count = None
            if not cells.gives_nothing_away(cell.source):
                cell.outputs = []
            for output in cell.outputs:  # of what is kept; a count would belong to no run
                if "execution_count" in output:
                    output.execution_count = None
    return notebook


def _note(chapters: list[Chapter], everything: list[Chapter], answers: bool) -> str:
    version = kdnotes.__version__
    return NOTE.format(
        version=version,
        count=len(chapters),
        total=len(everything),
        listed="\n".join(f"- `{one.path.name}`: {one.title}" for one in chapters),
        install=INSTALL[answers].format(version=version),
        checks=CHECKS[answers],
    )
