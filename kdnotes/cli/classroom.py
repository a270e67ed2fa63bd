"""Commands for whoever teaches: editions of the course, grading, a store for a whole class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdnotes.cli.options import NOTEBOOKS, Chapters, Notebooks, count, option, seconds
from kdnotes.course import arguments

KINDS = ("student", "nbgrader", "slides")


def edition(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="student, nbgrader or slides.")],
    chapters: Chapters = None,
    output: Annotated[Path | None, option("Folder to write; default: editions/KIND.")] = None,
    answers: Annotated[
        str,
        option(
            "For the student edition: all (default), or none: write also a copy of the package "
            "without reference answers.",
            metavar="all|none",
        ),
    ] = "all",
    notebooks: Notebooks = NOTEBOOKS,
) -> None:
    """Write chapters for a classroom: without solutions, for nbgrader, or as slides."""
    from kdnotes.course import chapters as course

    arguments.check_edition(kind, KINDS, answers)
    everything = course.find(notebooks)
    chosen = course.choose(everything, chapters or [])
    folder = Path("editions", kind) if output is None else output
    arguments.check_folder(folder)
    if kind == "student":
        from kdnotes.course.editions import student

        written = student.write(chosen, everything, folder, answers=answers == "all")
        said = (
            "The package that students install holds the reference answers (--answers none)"
            if answers == "all"
            else f"{folder / 'kdnotes'} is the package without answers: students install it there, "
            "and you grade with your own"
        )
    elif kind == "nbgrader":
        from kdnotes.course.editions import nbgrader

        written = nbgrader.write(chosen, folder)
        said = f"How to go on: {folder / 'NOTE.md'}"
    else:
        from kdnotes.course.editions import slides

        written = slides.write(chosen, folder)
        said = (
            "Open one in a browser: S shows the notes; with ?print-pdf behind its address it prints"
        )
    print("\n".join(map(str, written)))
    print(said)


def grade(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Submissions: notebooks, or folders of them.")
    ],
    output: Annotated[
        Path | None, option("CSV file to write: a row a submission and exercise.")
    ] = None,
    readings: Annotated[
        str | None,
        option(
            "Grade answers about results by those of a run here, in this profile: smoke, lesson or "
            "full (what is not stored is trained first)."
        ),
    ] = None,
    timeout: Annotated[
        str | None, seconds("Seconds on the processor for an exercise; default 20.")
    ] = None,
    memory: Annotated[
        str | None, count("MB for a submission, beyond torch's own; default 2048.")
    ] = None,
    workers: Annotated[
        str | None, count("Submissions at a time; default: the number of cores.")
    ] = None,
    notebooks: Notebooks = NOTEBOOKS,
) -> None:
    """Grade a folder of submissions with this copy's checks; each runs in a process of its own."""
    from kdnotes.course.grading import grades

    if output is not None:
        arguments.check_file(output)
    given = {"timeout": timeout, "memory": memory}
    result = grades.grade(
        folder, output, notebooks=notebooks, readings=readings, workers=workers,
        tell=lambda rows: print(grades.line(rows), flush=True),
        **{name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    print(f"\n{result.summary()}\n")
    print("\n".join(result.limits))
    print(grades.UNPROTECTED)
    if output is not None:
        print(f"All rows: {output}")


def pack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    chapters: Chapters = None,
    runs: Annotated[Path, option("Folder of kdnotes run, whose chapters are packed.")] = Path(
        "runs"
    ),
    everything: Annotated[
        bool, option("Pack all of one's own store, of whatever code.", "--all")
    ] = False,
    notebooks: Notebooks = NOTEBOOKS,
) -> None:
    """Pack the stored runs that executed chapters used, as one file for KDNOTES_STORE."""
    from kdnotes.course import chapters as course
    from kdnotes.course import sharing

    arguments.check_file(file, "FILE")
    if everything and chapters:
        raise ValueError(f"CHAPTER cannot go with --all, which packs everything, not {chapters}")
    if everything:
        print(sharing.pack_all(file))
    else:
        print(sharing.pack(file, runs, course.choose(course.find(notebooks), chapters or [])))
