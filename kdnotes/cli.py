"""The command ``kdnotes``: run the course, list and time it, open it, train its teacher, compare,
measure.

Wrong input ends with one line on stderr and exit code 2; a chapter that does not pass with code 1.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import kdnotes
from kdnotes.course import arguments

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _number(kind: type, most: float = math.inf) -> Callable[..., Any]:
    def convert(option: typer.CallbackParam, text: str | None) -> Any:
        return arguments.number(option.opts[0], text, kind, most)

    return convert


def _option(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, **more)


def _count(text: str) -> Any:
    return _option(text, metavar="N", callback=_number(int))


def _seconds(text: str) -> Any:
    return _option(text, metavar="S", callback=_number(float))


Chapters = Annotated[
    list[str] | None, typer.Argument(metavar="[CHAPTER]...", help="Numbers or names; default: all.")
]
Notebooks = Annotated[Path, _option("Folder of the chapters.")]
Profile = Annotated[
    str | None, _option("smoke, lesson or full; default KDNOTES_PROFILE, or lesson.")
]
Dataset = Annotated[str | None, _option("fashion-mnist (default), cifar10 or folder:PATH.")]
Seeds = Annotated[str | None, _count("Paired seeds of each comparison; default: the profile's.")]
Workers = Annotated[str | None, _count("Processes; default: the number of cores, in smoke 1.")]
Engine = Annotated[
    str | None,
    _option("Where the processes are: local (default), dask or dask:ADDRESS, of a scheduler."),
]
Fresh = Annotated[bool, _option("Ignore stored runs.", "--fresh")]
Download = Annotated[bool, _option("Download cifar10 first if it is missing.", "--download")]
NOTEBOOKS = Path("notebooks")


@app.command()
def run(
    chapters: Chapters = None,
    profile: Profile = None,
    dataset: Dataset = None,
    seeds: Seeds = None,
    parameter: Annotated[
        list[str] | None,
        _option("Set a parameter of the chapters.", "--parameter", "-p", metavar="NAME=VALUE"),
    ] = None,
    output: Annotated[Path, _option("Folder of what is written.")] = Path("runs"),
    timeout: Annotated[str | None, _seconds("Seconds for one cell.")] = None,
    chapter_timeout: Annotated[str | None, _seconds("Seconds for one chapter.")] = None,
    fresh: Fresh = False,
    workers: Workers = None,
    engine: Engine = None,
    jobs: Annotated[
        str | None, _count("Chapters at a time; default: 1, in smoke one a core, at most 4.")
    ] = None,
    download: Download = False,
    notebooks: Notebooks = NOTEBOOKS,
    update: Annotated[
        bool, _option("Write the outputs back to the notebooks (lesson profile).", "--update")
    ] = False,
) -> None:
    """Execute chapters; write notebooks, pages, index.html and results.json to a folder."""
    from kdnotes.course import chapters as course
    from kdnotes.course import runner

    everything = course.find(notebooks)
    chosen = course.choose(everything, chapters or [])
    options = {"profile": profile, "dataset": dataset, "seeds": seeds}
    parameters = arguments.parameters(options, parameter or [])
    arguments.check_update(update, parameters)
    course.check_parameters(chosen, parameters)
    arguments.check_store()
    about = arguments.describe(parameters, download)
    arguments.check_engine(engine)
    arguments.check_folder(output)
    jobs = arguments.share_cores(about["profile"], len(chosen), workers, jobs)
    os.environ |= {"KDNOTES_FRESH": "1"} if fresh else {}
    os.environ |= {"KDNOTES_ENGINE": engine} if engine else {}
    count = f"{len(chosen)} of {len(everything)} chapters"
    print(f"{count}, profile {about['profile']}, into {output}", flush=True)
    passed = runner.run(
        chosen, everything, output, parameters, about | {"jobs": jobs}, update=update, jobs=jobs,
        timeout=timeout, chapter_timeout=chapter_timeout,
    )  # fmt: skip
    print(f"Pages: {output / 'index.html'}")
    raise typer.Exit(0 if passed else 1)


@app.command("list")
def list_chapters(notebooks: Notebooks = NOTEBOOKS) -> None:
    """Number, name, title and promise of each chapter."""
    from kdnotes.course import chapters

    for chapter in chapters.find(notebooks):
        print(f"{chapter.name[:2]}  {chapter.name[3:]}: {chapter.title}\n    {chapter.promise}")


@app.command()
def times(chapters: Chapters = None, notebooks: Notebooks = NOTEBOOKS) -> None:
    """Count words, code, output and exercises of the chapters, and the minutes that they take.

    Of a single chapter by section, with the limits that it breaks.
    """
    from kdnotes.course import chapters as course
    from kdnotes.course import reading

    chosen = course.choose(course.find(notebooks), chapters or [])
    print(reading.report({one.name: reading.count(course.read(one.path)) for one in chosen}))


@app.command()
def lab(
    notebooks: Notebooks = NOTEBOOKS,
    port: Annotated[str, typer.Option(metavar="N", callback=_number(int, 65535))] = "8888",
    browser: Annotated[bool, _option("Open a browser.")] = True,
    further: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION...]", help="Options for JupyterLab, behind two dashes."),
    ] = None,
) -> None:
    """Open JupyterLab on the notebooks, reachable from this computer only."""
    from kdnotes.course import chapters

    chapters.find(notebooks)
    further = further or []
    if further and not further[0].startswith("-"):
        raise ValueError(
            "OPTION must be one of JupyterLab's, as in kdnotes lab -- --allow-root, "
            f"not {further[0]!r}"
        )
    options = ["--ip=127.0.0.1", f"--port={port}", *([] if browser else ["--no-browser"])]
    command = [sys.executable, "-m", "jupyterlab", *options, str(notebooks), *further]
    code = subprocess.call(command)
    root = getattr(os, "geteuid", lambda: None)() == 0
    if code and root and not any("allow" in option for option in further):
        hint = "JupyterLab runs as root only if told so: kdnotes lab -- --allow-root"
        print(f"kdnotes: {hint}", file=sys.stderr)
    raise typer.Exit(code)


@app.command("train-teacher")
def train_teacher(
    output: Annotated[Path, _option("File to write.")] = Path("teacher.safetensors"),
    fresh: Annotated[bool, _option("Train even if this training is stored.", "--fresh")] = False,
) -> None:
    """Train the lesson teacher again; say whether it equals the shipped one bit for bit."""
    arguments.check_file(output)
    arguments.check_store()
    from kdnotes import store, teachers, training

    shipped = None
    if teachers.SHIPPED.is_file():
        shipped = training.state_key(teachers.lesson_teacher().model)
    record = teachers.train_lesson_teacher(output, fresh=fresh).record
    written = training.state_key(teachers.lesson_teacher(output).model)
    values = record["metrics"]
    print(
        f"test accuracy {values['test_accuracy']:.2%}, NLL {values['test_nll']:.4f} nats, "
        f"ECE {values['test_ece']:.2%}"
    )
    when = f"in {record['seconds']:.0f} s on {record['created']}"
    print(f"trained {when}, cache folder {store.cache_folder()}")
    equal = written == shipped
    said = "equal the shipped ones bit for bit" if equal else "differ from the shipped ones"
    print(f"{output}: the weights {said}")


@app.command()
def compare(
    profile: Profile = None,
    dataset: Dataset = None,
    seeds: Annotated[str | None, _count("Paired seeds; default: the profile's.")] = None,
    output: Annotated[Path | None, _option("CSV file to write, with all intervals.")] = None,
    workers: Annotated[str | None, _count("Processes; default: the number of cores.")] = None,
    engine: Engine = None,
    fresh: Fresh = False,
    download: Download = False,
) -> None:
    """Compare all methods of the course, as the chapter on it does, and print the table."""
    if output is not None:
        arguments.check_file(output)
    options = {"profile": profile, "dataset": dataset, "seeds": seeds}
    given = arguments.parameters(options, [])
    arguments.check_store()
    arguments.describe(given, download)
    arguments.check_engine(engine)
    from kdnotes.course import comparison, profiles
    from kdnotes.files import write_text

    settings = profiles.settings(**given)
    result = comparison.compare_methods(
        settings, workers=workers, engine=engine, fresh=fresh or None
    )
    if output is not None:  # first: what is printed may go to a pipe that closes
        write_text(output, result.numbers().to_csv())
    print(result.table().to_string())
    if output is not None:
        print(f"All intervals: {output}")


@app.command()
def propose(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="attention, hints, progressive, mutual or blank.")
    ],
    output: Annotated[Path, _option("Folder to write the notebook to.")] = Path("."),
) -> None:
    """Write a lab notebook for an experiment of your own, ready to run (see its chapter)."""
    from kdnotes.lab import proposals

    if name in proposals.PROPOSALS:  # an unknown name makes no folder
        arguments.check_folder(output)
    path = proposals.write(name, output)
    reports = path.parent / "reports"
    print(f"{path}: open it in JupyterLab and run all cells; its report goes to {reports}")


@app.command()
def bench(
    output: Annotated[Path | None, _option("JSON file to write.")] = None,
    quick: Annotated[bool, _option("Small sizes: a check, not a measurement.", "--quick")] = False,
) -> None:
    """Measure the course's speed against a plain training loop, and print the table."""
    from kdnotes.course import bench as module

    module.run(quick=quick, output=output)


@app.callback(invoke_without_command=True)
def main_options(
    context: typer.Context,
    version: Annotated[bool, _option("Print the version.", "--version")] = False,
) -> None:
    """kdnotes: the executable course on knowledge distillation."""
    if context.invoked_subcommand is None:
        print(f"kdnotes {kdnotes.__version__}" if version else context.get_help())


def main(words: list[str] | None = None) -> int:
    """Run the command; returns the exit code, and no traceback reaches the user."""
    for stream in (sys.stdout, sys.stderr):  # no character stops a command, also on Windows
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    try:
        code = command.main(words, prog_name="kdnotes", standalone_mode=False) or 0
        if code != 130:
            return code
        message = "interrupted"
    except (ValueError, TypeError, OSError) as error:
        message, code = str(error), 2
    except Exception as error:  # usage errors; typer and click have one class each for them
        if type(error).__name__ == "Abort":  # an interruption, in older versions of typer
            message, code = "interrupted", 130
        elif hasattr(error, "format_message"):
            message, code = error.format_message(), 2
        else:
            raise
    print(f"kdnotes: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
