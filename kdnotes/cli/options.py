"""The options that several commands have, and how an option is declared."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from kdnotes.course import arguments


def number(kind: type, most: float = math.inf) -> Callable[..., Any]:
    """A number above 0, whole or not."""

    def convert(given: typer.CallbackParam, text: str | None) -> Any:
        return arguments.number(given.opts[0], text, kind, most)

    return convert


def option(text: str, *names: str, **more: Any) -> Any:
    """An option with its help text."""
    return typer.Option(*names, help=text, **more)


def count(text: str) -> Any:
    """A whole number of at least 1."""
    return option(text, metavar="N", callback=number(int))


def seconds(text: str) -> Any:
    """Seconds, above 0."""
    return option(text, metavar="S", callback=number(float))


Chapters = Annotated[
    list[str] | None, typer.Argument(metavar="[CHAPTER]...", help="Numbers or names; default: all.")
]
Notebooks = Annotated[Path, option("Folder of the chapters.")]
Profile = Annotated[
    str | None, option("smoke, lesson or full; default KDNOTES_PROFILE, or lesson.")
]
Dataset = Annotated[
    str | None, option("fashion-mnist (default), cifar10, folder:PATH, or text:PATH for strings.")
]
Seeds = Annotated[str | None, count("Paired seeds of each comparison; default: the profile's.")]
Workers = Annotated[str | None, count("Processes; default: the number of cores, in smoke 1.")]
Engine = Annotated[
    str | None,
    option("Where the processes are: local (default), dask or dask:ADDRESS, of a scheduler."),
]
Fresh = Annotated[bool, option("Ignore stored runs.", "--fresh")]
Download = Annotated[bool, option("Download cifar10 first if it is missing.", "--download")]
NOTEBOOKS = Path("notebooks")
