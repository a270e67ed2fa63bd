"""A copy of the package in which the exercises have no answers, to be handed out."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import kdnotes
from kdnotes.course import exercises, order
from kdnotes.course.questions import Item, Question
from kdnotes.files import write_text

__all__ = ["write"]

ABOUT = '''"""The exercises, one module a chapter, without the answers: the lecturer has these."""
'''
MODULE = '''"""What is asked in a chapter, without the answers."""

from kdnotes.course.ungraded import Ungraded, UngradedItem

'''
TABLES = ("EXERCISES", "BY_HAND", "READINGS", "DESIGNS")
PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "kdnotes"
version = "{version}"
description = "kdnotes without the answers to its exercises"
requires-python = "{python}"
license = "MIT"
license-files = ["LICENSE"]
dependencies = [
{requirements}
]

[project.scripts]
kdnotes = "kdnotes.cli:main"

[tool.setuptools.packages.find]
include = ["kdnotes*"]

[tool.setuptools.package-data]
kdnotes = ["**/*"]
"""


def write(output: Path) -> None:
    """Write ``output/kdnotes``, and beside it what ``pip install output`` needs; an earlier copy is
    replaced.

    References, expected values, traps, and what is wrong with which letter of a quiz are in no file
    of it; ``check`` says there that the lecturer checks the answer. The losses and methods that the
    course teaches are in it, as its chapters run them.

    Raises:
        ValueError: the folder holds another ``kdnotes``, such as this package itself, or the
            package is not installed, so that nobody knows what it requires.
    """
    target = output / "kdnotes"
    if target.exists() and not _is_copy(target):
        raise ValueError(
            f"--output must be a folder without a kdnotes of its own, and {output} has one that is "
            "no copy without answers"
        )
    about = _distribution()
    source = Path(kdnotes.__file__).parent
    with tempfile.TemporaryDirectory(prefix=".kdnotes-", dir=output) as folder:
        copy = Path(folder, "kdnotes")
        shutil.copytree(source, copy, ignore=_left_out)
        _write_exercises(copy.joinpath(*exercises.__name__.split(".")[1:]))
        if target.exists():
            shutil.rmtree(target)
        copy.replace(target)
    write_text(output / "LICENSE", about.read_text("licenses/LICENSE") or "")
    write_text(output / "pyproject.toml", _project(about))


def _is_copy(folder: Path) -> bool:
    about = folder.joinpath(*exercises.__name__.split(".")[1:], "__init__.py")
    return about.is_file() and about.read_text(encoding="utf-8") == ABOUT


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What is not copied: files that Python compiled, and all exercises, which are written anew."""
    if Path(folder) == Path(exercises.__file__).parent:
        return set(names)
    return {name for name in names if name == "__pycache__"}


def _write_exercises(folder: Path) -> None:
    write_text(folder / "__init__.py", ABOUT)
    for name in order.CHAPTERS:
        module = importlib.import_module(f"{exercises.__name__}.{name}")
        write_text(folder / f"{name}.py", MODULE + _tables(module))


def _tables(module: ModuleType) -> str:
    """The source of a chapter's tables: what is asked, and no more."""
    parts = [_table(name, getattr(module, name)) for name in TABLES if hasattr(module, name)]
    return "\n".join([*parts, _listed("QUIZ = (", map(_item, module.QUIZ), ")")])


def _table(name: str, specs: Mapping[int, object]) -> str:
    lines = (f"{place}: Ungraded({_asks(spec)})" for place, spec in specs.items())
    return _listed(f"{name} = {{", lines, "}")


def _listed(opening: str, items: Iterable[str], closing: str) -> str:
    return "\n".join([opening, *(f"    {one}," for one in items), closing, ""])


def _asks(spec: object) -> str:
    return repr(spec.asks + spec.tolerance) if isinstance(spec, Question) else ""


def _item(item: Item) -> str:
    return f"UngradedItem({item.text!r}, {dict.fromkeys(item.choices, '')!r})"


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("kdnotes")
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(
            "--answers none copies the requirements of the installed package, and kdnotes is not "
            "installed: python -m pip install the folder of its pyproject.toml"
        ) from None


def _project(about: importlib.metadata.Distribution) -> str:
    """A ``pyproject.toml`` with the requirements of the package that runs."""
    needed = [one for one in about.requires or [] if "extra ==" not in one]
    return PROJECT.format(
        version=kdnotes.__version__,
        python=about.metadata["Requires-Python"],
        requirements="\n".join(f"    {one!r}," for one in needed),
    )
