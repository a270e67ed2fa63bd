"""What the command's arguments mean, and checks of them before anything runs."""

from __future__ import annotations

import ast
import math
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kdnotes
from kdnotes.files import write_text


def number(option: str, text: str | None, kind: type, most: float = math.inf) -> Any:
    """The number that an option gives, above 0 (``None`` stays)."""
    try:
        if text is None or (0 < kind(text) <= most and kind(text) < math.inf):
            return text and kind(text)
    except ValueError:
        pass
    what = "a number of seconds above 0" if kind is float else "a whole number of at least 1"
    limit = f", at most {most:g}" if most < math.inf else ""
    raise ValueError(f"{option} must be {what}{limit}, not {text!r}")


def parameters(options: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    """The options that are given and NAME=VALUE pairs; a value is a Python literal, or a string."""
    given = {name: value for name, value in options.items() if value is not None}
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


def check_update(update: bool, given: dict[str, Any]) -> None:
    profile = os.environ.get("KDNOTES_PROFILE") or "lesson"
    if update and (given or profile != "lesson"):
        named = ", ".join(given) or f"KDNOTES_PROFILE={profile}"
        raise ValueError(f"--update writes the default outputs, so it cannot go with {named}")


def describe(
    given: dict[str, Any], download: bool, of_images: Sequence[str] = ("this command",)
) -> dict[str, Any]:
    """Check profile, data set and seeds, and record them with the versions.

    A chapter runs in another folder than the caller: a data folder, or a text, is made to mean the
    same there.

    Args:
        given: the parameters.
        download: the data set if it is missing.
        of_images: what cannot use a text, such as the chapters that do not read strings.
    """
    import torch

    from kdnotes import data
    from kdnotes.course import profiles

    dataset = given.get("dataset", "fashion-mnist")
    chosen = profiles.settings(given.get("profile"), dataset, given.get("seeds"))
    kind, colon, place = str(dataset).partition(":")
    if colon and kind in ("folder", "text"):
        try:
            given["dataset"] = f"{kind}:{Path(place).expanduser().resolve()}"
        except (RuntimeError, ValueError) as error:  # no such user; a character that no path has
            raise ValueError(f"--dataset: {dataset!r} is no path: {error}") from error
    if kind == "text" and colon and of_images:
        raise ValueError(f"--dataset: {dataset} holds strings, and {of_images[0]} uses images")
    try:
        if kind == "text" and colon:
            chosen.corpus(1, 1, 1)
        else:
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


def check_store() -> None:
    """Say at once, in one line, if results cannot be stored, or not be found in the shared store.

    A relative KDNOTES_CACHE or KDNOTES_STORE is made to mean the same in a chapter's folder.

    Raises:
        OSError: no folder can be made for results.
        ValueError: KDNOTES_STORE names nothing that can be read.
    """
    from kdnotes import store

    for name in ("KDNOTES_CACHE", "KDNOTES_STORE"):
        if place := os.environ.get(name):
            os.environ[name] = str(Path(place).absolute())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        store.check_store()
    for one in said:
        print(f"kdnotes: {one.message}", file=sys.stderr)


def check_engine(engine: str | None) -> None:
    """``ValueError`` unless there is such an engine, or, where none is given, the variable's."""
    from kdnotes import study

    study.chosen(engine, "KDNOTES_ENGINE" if engine is None else "--engine")


def check_file(path: Path, name: str = "--output") -> None:
    """``ValueError`` unless ``path`` is in a folder, and not one itself."""
    if path.is_dir():
        raise ValueError(f"{name}: {path} is a folder, not a file")
    if not path.parent.is_dir():
        raise ValueError(f"{name}: the folder {path.parent} does not exist")


def check_edition(kind: str, kinds: tuple[str, ...], answers: str) -> None:
    """``ValueError`` unless there is such an edition, and ``answers`` means something for it."""
    if kind not in kinds:
        raise ValueError(f"KIND must be one of {', '.join(kinds)}, not {kind!r}")
    if answers not in ("all", "none"):
        raise ValueError(f"--answers must be all or none, not {answers!r}")
    if answers == "none" and kind != "student":
        raise ValueError(f"--answers none goes with the student edition, not with {kind!r}")


def check_folder(path: Path) -> None:
    """Make the folder; ``ValueError`` unless it can be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / ".writable", "")
        (path / ".writable").unlink()
    except OSError as error:
        why = error.strerror or error
        raise ValueError(f"--output: {path} must be a folder to write to ({why})") from error


def share_cores(profile: str, chapters: int, workers: int | None, jobs: int | None) -> int:
    """The chapters at a time; the processes of each are set for all that this process starts."""
    import joblib

    if profile == "smoke":  # its runs are over before a second process has imported torch
        workers = workers or os.environ.get("KDNOTES_WORKERS") or 1
        jobs = jobs or min(joblib.cpu_count(), 4)  # those of a container, if it has fewer
    if workers:
        os.environ["KDNOTES_WORKERS"] = str(workers)
    jobs = min(jobs or 1, chapters)
    if jobs > 1:  # a kernel's threads that wait for each other on another kernel's cores are slow
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    return jobs
