"""Commands about other software: runtimes that execute a student, libraries that distil."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdnotes.cli.options import Dataset, Profile, count, option
from kdnotes.course import arguments


def runtimes(
    profile: Profile = None,
    dataset: Dataset = None,
    only: Annotated[
        list[str] | None, option("A runtime's name, such as openvino; can be repeated.")
    ] = None,
    repeats: Annotated[str, count("Timed calls of each file.")] = "100",
    output: Annotated[Path | None, option("CSV file to write, with all columns.")] = None,
) -> None:
    """Is the lesson's student still the same in each edge runtime that is installed?"""
    if output is not None:
        arguments.check_file(output)
    options = {"profile": profile, "dataset": dataset, "seeds": None}
    given = arguments.parameters(options, [])
    arguments.check_store()
    arguments.describe(given, download=False)
    from kdnotes.course import elsewhere, profiles
    from kdnotes.files import write_text

    chosen = elsewhere.chosen_runtimes(only or ())
    table, others = elsewhere.students(profiles.settings(**given), chosen, int(repeats))
    if output is not None:  # first: what is printed may go to a pipe that closes
        write_text(output, table.to_csv(index=False))
    print(elsewhere.shown_students(table), *others, sep="\n")


def libraries(
    library: Annotated[str | None, option("One library, such as timm; default: all.")] = None,
    output: Annotated[Path | None, option("CSV file to write.")] = None,
) -> None:
    """Measure the distillation losses of installed libraries against the recorded table.

    Ends with code 1 if a library that is installed does not behave as recorded.
    """
    if output is not None:
        arguments.check_file(output)
    from kdnotes.course import elsewhere
    from kdnotes.files import write_text

    table, changed = elsewhere.losses(library)
    if output is not None:
        write_text(output, table.to_csv())
    print(table.to_string(na_rep="–", float_format="{:.4g}".format))
    if changed:
        raise typer.Exit(1)
