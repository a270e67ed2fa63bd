"""The command ``kdnotes``: one function a command, without logic of its own.

Wrong input ends with one line on stderr and exit code 2; a chapter that does not pass with code 1.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import kdnotes
from kdnotes.cli import classroom, course, elsewhere, training
from kdnotes.cli.options import option

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in (
    course.run, course.list_chapters, course.times, course.lab, training.train_teacher,
    training.compare, training.propose, training.bench, classroom.edition, classroom.grade,
    elsewhere.runtimes, elsewhere.libraries,
):  # fmt: skip
    app.command(command.__name__.removesuffix("_chapters").replace("_", "-"))(command)
store = typer.Typer(rich_markup_mode=None, help="The store of finished runs, for a whole class.")
store.command()(classroom.pack)
app.add_typer(store, name="store")


@app.callback(invoke_without_command=True)
def main_options(
    context: typer.Context,
    version: Annotated[bool, option("Print the version.", "--version")] = False,
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
