"""Commands about the chapters: run, list, time and open them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from kdnotes.cli.options import (
    NOTEBOOKS,
    Chapters,
    Dataset,
    Download,
    Engine,
    Fresh,
    Notebooks,
    Profile,
    Seeds,
    Workers,
    count,
    number,
    option,
    seconds,
)
from kdnotes.course import arguments


def run(
    chapters: Chapters = None,
    profile: Profile = None,
    dataset: Dataset = None,
    seeds: Seeds = None,
    parameter: Annotated[
        list[str] | None,
        option("Set a parameter of the chapters.", "--parameter", "-p", metavar="NAME=VALUE"),
    ] = None,
    output: Annotated[Path, option("Folder of what is written.")] = Path("runs"),
    timeout: Annotated[str | None, seconds("Seconds for one cell.")] = None,
    chapter_timeout: Annotated[str | None, seconds("Seconds for one chapter.")] = None,
    fresh: Fresh = False,
    workers: Workers = None,
    engine: Engine = None,
    jobs: Annotated[
        str | None, count("Chapters at a time; default: 1, in smoke one a core, at most 4.")
    ] = None,
    download: Download = False,
    notebooks: Notebooks = NOTEBOOKS,
    update: Annotated[
        bool, option("Write the outputs back to the notebooks (lesson profile).", "--update")
    ] = False,
) -> None:
    """Execute chapters; write notebooks, pages, index.html and results.json to a folder."""
    from kdnotes.course import chapters as course
    from kdnotes.course import estimates, profiles, runner

    everything = course.find(notebooks)
    chosen = course.choose(everything, chapters or [])
    options = {"profile": profile, "dataset": dataset, "seeds": seeds}
    parameters = arguments.parameters(options, parameter or [])
    arguments.check_update(update, parameters)
    course.check_parameters(chosen, parameters)
    arguments.check_store()
    of_images = [chapter.name for chapter in chosen if not course.reads_strings(chapter)]
    about = arguments.describe(parameters, download, of_images)
    arguments.check_engine(engine)
    arguments.check_folder(output)
    jobs = arguments.share_cores(about["profile"], len(chosen), workers, jobs)
    os.environ |= {"KDNOTES_FRESH": "1"} if fresh else {}
    os.environ |= {"KDNOTES_ENGINE": engine} if engine else {}
    count = f"{len(chosen)} of {len(everything)} chapters"
    print(f"{count}, profile {about['profile']}, into {output}", flush=True)
    named = {name: parameters[name] for name in options if name in parameters}
    names = [chapter.name[3:] for chapter in chosen]
    if said := estimates.before_chapters(profiles.settings(**named), names, workers):
        print(said, flush=True)
    passed = runner.run(
        chosen, everything, output, parameters, about | {"jobs": jobs}, update=update, jobs=jobs,
        timeout=timeout, chapter_timeout=chapter_timeout,
    )  # fmt: skip
    print(f"Pages: {output / 'index.html'}")
    raise typer.Exit(0 if passed else 1)


def list_chapters(notebooks: Notebooks = NOTEBOOKS) -> None:
    """Number, name, title and promise of each chapter."""
    from kdnotes.course import chapters

    for chapter in chapters.find(notebooks):
        print(f"{chapter.name[:2]}  {chapter.name[3:]}: {chapter.title}\n    {chapter.promise}")


def times(chapters: Chapters = None, notebooks: Notebooks = NOTEBOOKS) -> None:
    """Count words, code, output and exercises of the chapters, and the minutes that they take.

    Of a single chapter by section, with the limits that it breaks.
    """
    from kdnotes.course import chapters as course
    from kdnotes.course import reading

    chosen = course.choose(course.find(notebooks), chapters or [])
    print(reading.report({one.name: reading.count(course.read(one.path)) for one in chosen}))


def lab(
    notebooks: Notebooks = NOTEBOOKS,
    port: Annotated[str, typer.Option(metavar="N", callback=number(int, 65535))] = "8888",
    browser: Annotated[bool, option("Open a browser.")] = True,
    further: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION...]", help="Options for JupyterLab, behind two dashes."),
    ] = None,
) -> None:
    """Open JupyterLab on the first chapter, reachable from this computer only."""
    from kdnotes.course import opening

    further = further or []
    if further and not further[0].startswith("-"):
        raise ValueError(
            "OPTION must be one of JupyterLab's, as in kdnotes lab -- --allow-root, "
            f"not {further[0]!r}"
        )
    options = ["--ip=127.0.0.1", f"--port={port}", *([] if browser else ["--no-browser"])]
    options += opening.lab_options(notebooks, further)
    arguments.check_store()
    command = [sys.executable, "-m", "jupyterlab", *options, *further]
    code = subprocess.call(command)
    root = getattr(os, "geteuid", lambda: None)() == 0
    if code and root and not any("allow" in option for option in further):
        hint = "JupyterLab runs as root only if told so: kdnotes lab -- --allow-root"
        print(f"kdnotes: {hint}", file=sys.stderr)
    raise typer.Exit(code)
