"""The command ``kdnotes``: run, list, lab, compare, propose, bench and train-teacher.

Wrong input ends with one line on stderr and exit code 2; a chapter that does not pass with exit code 1.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import kdnotes

NOTEBOOKS = Path("notebooks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
Notebooks = Annotated[Path, typer.Option(help="Folder of the chapters.")]


@app.command()
def run(
    chapters: Annotated[
        list[str] | None, typer.Argument(metavar="[CHAPTER]...", help="Numbers or names; default: all.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="smoke, lesson or full; default KDNOTES_PROFILE, or lesson.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="fashion-mnist (default), cifar10 or folder:PATH.")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N", help="Paired seeds of each comparison; default: the profile's.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter of the chapters."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of what is written.")] = Path("runs"),
    timeout: Annotated[str | None, typer.Option(metavar="S", help="Seconds for one cell.")] = None,
    chapter_timeout: Annotated[str | None, typer.Option(metavar="S", help="Seconds for one chapter.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore stored runs.")] = False,
    workers: Annotated[
        str | None, typer.Option(metavar="N", help="Processes; default: the number of cores, in smoke 1.")
    ] = None,
    jobs: Annotated[
        str | None, typer.Option(metavar="N", help="Chapters at a time; default: 1, in smoke one a core, at most 4.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Download cifar10 first if it is missing.")] = False,
    notebooks: Notebooks = NOTEBOOKS,
    update: Annotated[
        bool, typer.Option("--update", help="Write the outputs back to the notebooks (lesson profile).")
    ] = False,
) -> None:
    """Execute chapters; write notebooks, HTML pages, index.html and results.json to the output folder."""
    from kdnotes.course import runner

    limits = {
        "timeout": _number("--timeout", timeout, float),
        "chapter_timeout": _number("--chapter-timeout", chapter_timeout, float),
    }
    workers, seeds = _number("--workers", workers, int), _number("--seeds", seeds, int)
    jobs = _number("--jobs", jobs, int)
    everything = runner.find(notebooks)
    chosen = runner.choose(everything, chapters or [])
    options = {"profile": profile, "dataset": dataset, "seeds": seeds}
    parameters = _parameters({key: value for key, value in options.items() if value is not None}, parameter or [])
    _check_update(update, parameters)
    runner.check_parameters(chosen, parameters)
    _check_store()
    about = _about(parameters, download)
    _check_output(output)
    os.environ |= {"KDNOTES_FRESH": "1"} if fresh else {}
    if about["profile"] == "smoke":  # runs of a tenth of a second are over before a second process has imported torch
        workers = workers or os.environ.get("KDNOTES_WORKERS") or 1
        jobs = jobs or min(os.cpu_count() or 1, 4)
    os.environ |= {"KDNOTES_WORKERS": str(workers)} if workers else {}
    about["jobs"] = jobs = min(jobs or 1, len(chosen))
    if jobs > 1:  # a kernel's threads that wait for each other on cores that another kernel uses are slow
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"{len(chosen)} of {len(everything)} chapters, profile {about['profile']}, into {output}", flush=True)
    passed = runner.run(chosen, everything, output, parameters, about, update=update, jobs=jobs, **limits)
    print(f"Pages: {output / 'index.html'}")
    raise typer.Exit(0 if passed else 1)


@app.command("list")
def list_chapters(notebooks: Notebooks = NOTEBOOKS) -> None:
    """Number, name, title and promise of each chapter."""
    from kdnotes.course import runner

    for chapter in runner.find(notebooks):
        print(f"{chapter.name[:2]}  {chapter.name[3:]}: {chapter.title}\n    {chapter.promise}")


@app.command()
def lab(
    notebooks: Notebooks = NOTEBOOKS,
    port: Annotated[str, typer.Option(metavar="N")] = "8888",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    further: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTION...]", help="Options for JupyterLab, behind two dashes.")
    ] = None,
) -> None:
    """Open JupyterLab on the notebooks, reachable from this computer only."""
    from kdnotes.course import runner

    runner.find(notebooks)
    further = further or []
    if further and not further[0].startswith("-"):
        raise ValueError(f"OPTION must be one of JupyterLab's, as in kdnotes lab -- --allow-root, not {further[0]!r}")
    options = [
        "--ip=127.0.0.1",
        f"--port={_number('--port', port, int, 65535)}",
        *([] if browser else ["--no-browser"]),
        str(notebooks),
        *further,
    ]
    code = subprocess.call([sys.executable, "-m", "jupyterlab", *options])
    if code and not any("allow" in option for option in further) and getattr(os, "geteuid", lambda: None)() == 0:
        print("kdnotes: JupyterLab runs as root only if told so: kdnotes lab -- --allow-root", file=sys.stderr)
    raise typer.Exit(code)


@app.command("train-teacher")
def train_teacher(
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("teacher.safetensors"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Train even if this training is stored.")] = False,
) -> None:
    """Train the lesson teacher again, and say whether its weights equal the shipped ones bit for bit."""
    if not output.parent.is_dir():
        raise ValueError(f"--output: the folder {output.parent} does not exist")
    _check_store()
    from kdnotes import store as cache
    from kdnotes import teachers, training

    shipped = training.state_key(teachers.lesson_teacher().model) if teachers.SHIPPED.is_file() else None
    record = teachers.train_lesson_teacher(output, fresh=fresh).record
    written = training.state_key(teachers.lesson_teacher(output).model)
    values = {name.removeprefix("test_"): value for name, value in record["metrics"].items() if "test_" in name}
    print(f"test accuracy {values['accuracy']:.2%}, NLL {values['nll']:.4f} nats, ECE {values['ece']:.2%}")
    print(f"trained in {record['seconds']:.0f} s on {record['created']}, cache folder {cache.cache_folder()}")
    equal = "equal" if written == shipped else "differ from"
    print(f"{output}: the weights {equal} the shipped ones" + (" bit for bit" if written == shipped else ""))


@app.command()
def compare(
    profile: Annotated[
        str | None, typer.Option(help="smoke, lesson or full; default KDNOTES_PROFILE, or lesson.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="fashion-mnist, cifar10 or folder:PATH.")] = "fashion-mnist",
    seeds: Annotated[str | None, typer.Option(metavar="N", help="Paired seeds; default: the profile's.")] = None,
    output: Annotated[Path | None, typer.Option(help="CSV file to write, with all intervals.")] = None,
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; default: the number of cores.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore stored runs.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Download cifar10 first if it is missing.")] = False,
) -> None:
    """Compare all methods of the course, as chapter 9 does, and print the table."""
    if output is not None and (output.is_dir() or not output.parent.is_dir()):
        why = f"{output} is a folder, not a file" if output.is_dir() else f"the folder {output.parent} does not exist"
        raise ValueError(f"--output: {why}")
    workers, seeds = _number("--workers", workers, int), _number("--seeds", seeds, int)
    chosen = {"profile": profile, "dataset": dataset, "seeds": seeds}
    _check_store()
    _about(chosen, download)
    from kdnotes.course import comparison, profiles
    from kdnotes.course.runner import write_text

    result = comparison.compare_methods(profiles.settings(**chosen), workers=workers, fresh=fresh or None)
    if output is not None:  # first: what is printed may go to a pipe that closes
        write_text(output, result.numbers().to_csv())
    print(result.table().to_string())
    if output is not None:
        print(f"All intervals: {output}")


@app.command()
def propose(
    name: Annotated[str, typer.Argument(metavar="NAME", help="attention, hints, progressive, mutual or blank.")],
    output: Annotated[Path, typer.Option(help="Folder to write the notebook to.")] = Path("."),
) -> None:
    """Write a lab notebook for an experiment of your own, ready to run (see chapter 14)."""
    from kdnotes.lab import proposals

    if name in proposals.PROPOSALS:  # an unknown name makes no folder
        _check_output(output)
    path = proposals.write(name, output)
    print(f"{path}: open it in JupyterLab and run all cells; its report goes to {path.parent / 'reports'}")


@app.command()
def bench(
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: a check, not a measurement.")] = False,
) -> None:
    """Measure the course's speed against a plain training loop, and print the table."""
    from kdnotes.course import bench as module

    module.run(quick=quick, output=output)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """kdnotes: the executable course on knowledge distillation."""
    if context.invoked_subcommand is None:
        print(f"kdnotes {kdnotes.__version__}" if version else context.get_help())


def _number(option: str, text: str | None, kind: type, most: float = float("inf")) -> Any:
    """The number that an option gives, above 0 (``None`` stays)."""
    try:
        if text is None or (0 < kind(text) <= most and kind(text) < float("inf")):
            return text and kind(text)
    except ValueError:
        pass
    what = "a number of seconds above 0" if kind is float else "a whole number of at least 1"
    limit = f", at most {most:g}" if most < float("inf") else ""
    raise ValueError(f"{option} must be {what}{limit}, not {text!r}")


def _parameters(given: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    """The options and NAME=VALUE pairs as parameters; a value is a Python literal, or else a string."""
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--parameter must be NAME=VALUE, not {pair!r}")
        if name in given:
            raise ValueError(f"--parameter: {name!r} is given twice")
        try:
            given[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            given[name] = text
    return given


def _check_update(update: bool, parameters: dict[str, Any]) -> None:
    profile = os.environ.get("KDNOTES_PROFILE") or "lesson"
    if update and (parameters or profile != "lesson"):
        named = ", ".join(parameters) or f"KDNOTES_PROFILE={profile}"
        raise ValueError(f"--update writes the default outputs, so it cannot go with {named}")


def _about(parameters: dict[str, Any], download: bool) -> dict[str, Any]:
    """Validate profile, data set and seeds, and record them with the versions."""
    import torch

    from kdnotes import data
    from kdnotes.course import profiles

    dataset = parameters.get("dataset", "fashion-mnist")
    chosen = profiles.settings(parameters.get("profile"), dataset, parameters.get("seeds"))
    if isinstance(dataset, str) and dataset.startswith("folder:"):  # a chapter runs in another folder than the caller
        parameters["dataset"] = f"folder:{Path(dataset.removeprefix('folder:')).expanduser().resolve()}"
    try:
        data.load(dataset, download=download)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--dataset: {error}") from error
    return {
        "profile": chosen.profile.name,
        "dataset": dataset,
        "seeds": chosen.seeds,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kdnotes": kdnotes.__version__,
        "torch": torch.__version__,
    }


def _check_store() -> None:
    """Say at once, in one line, if results cannot be stored; ``OSError`` if there is no folder to store them in.

    A chapter runs in another folder than the caller: a relative KDNOTES_CACHE is made to mean the same there.
    """
    from kdnotes import store as cache

    if folder := os.environ.get("KDNOTES_CACHE"):
        os.environ["KDNOTES_CACHE"] = str(Path(folder).absolute())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cache.check_store()
    for one in said:
        print(f"kdnotes: {one.message}", file=sys.stderr)


def _check_output(output: Path) -> None:
    from kdnotes.course.runner import write_text

    try:
        output.mkdir(parents=True, exist_ok=True)
        write_text(output / ".writable", "")
        (output / ".writable").unlink()
    except OSError as error:
        raise ValueError(f"--output: {output} must be a folder to write to ({error.strerror or error})") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code, and no traceback reaches the user."""
    for stream in (sys.stdout, sys.stderr):  # no character stops a command, whatever a redirect on Windows can write
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="kdnotes", standalone_mode=False) or 0
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
