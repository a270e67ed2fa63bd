"""The floors of the package: imports point down, no module is long, none reaches into another."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kdnotes"
# Each floor may import those before it; what stands together may not import one another.
FLOORS = (
    ("checks", "files", "progress"),
    ("machine", "intervals"),
    ("losses", "models", "data", "costs"),
    ("assets", "metrics"),
    ("methods",),
    ("training",),
    ("store",),
    ("teachers",),
    ("study",),
    ("show",),
    ("edge", "language"),
    ("libraries", "lab"),
    ("course",),
    ("cli",),
)
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a module imports, those in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & NAMES | ({node.module} if inside - NAMES else set())
    return {name for name in found if name.partition(".")[0] == "kdnotes"} - {"kdnotes"}


def faults(path: Path, imported: set[str]) -> list[str]:
    """Imports that point up, or to a room beside one's own."""
    room = name_of(path).split(".")[1] if path != PACKAGE / "__init__.py" else ""
    rooms = {name.split(".")[1] for name in imported} - {room}
    return [other for other in sorted(rooms) if not room or HEIGHT[other] >= HEIGHT[room]]


def test_every_room_has_a_floor():
    rooms = {name.split(".")[1] for name in NAMES if "." in name}
    assert rooms == set(HEIGHT)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    assert faults(path, imports_of(path)) == []


@pytest.mark.parametrize(
    "upward", ["kdnotes.course.check", "kdnotes.training.loop", "kdnotes.methods"]
)
def test_an_arrow_upwards_is_seen(upward):
    assert faults(PACKAGE / "losses" / "logits.py", {upward}) == [upward.split(".")[1]]


def test_no_circle():
    graph = {name_of(path): imports_of(path) - {name_of(path)} for path in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_read_in_one_sitting(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines), default=0) <= 100 or path.name == "pages.py"  # its style sheet


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_reaches_into_another(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kdnotes")
        for alias in node.names
        if is_private(alias.name)
    ]
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if f"{node.module}.{alias.name}" in NAMES
    }
    taken += [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and is_private(node.attr)
    ]
    assert taken == []


VALIDATION = re.compile(r"isinstance\([\w.]+, bool\)")


def test_arguments_are_checked_in_one_place():
    elsewhere = {
        name_of(path)
        for path in MODULES
        if not path.is_relative_to(PACKAGE / "checks")
        and VALIDATION.search(path.read_text(encoding="utf-8"))
    }
    # These ask what a value is, and refuse none.
    assert elsewhere <= {
        "kdnotes.course.answers",
        "kdnotes.course.chapters",
        "kdnotes.data.sources",
    }


def imported_by_chapters() -> list[str]:
    lines = set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                tree = ast.parse(cell.source)
                kinds = (ast.Import, ast.ImportFrom)
                found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kinds)]
                lines |= {line for line in found if "kdnotes" in line}
    return sorted(lines)


def test_what_chapters_import_is_there_and_is_the_same_module():
    lines = imported_by_chapters()
    assert len(lines) > 20
    same = "assert kdnotes.course.check is check and kdnotes.lab is experiment"
    short = ["from kdnotes import check, experiment", "import kdnotes.course.check, kdnotes.lab"]
    code = "\n".join([*lines, *short, same])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_module_under_its_short_name_knows_its_own():
    for name in ("cache", "check", "diagrams", "experiment", "plots", "profiles"):
        module = importlib.import_module(f"kdnotes.{name}")
        assert module.__spec__.name == module.__name__ != f"kdnotes.{name}"


def shadows(tree: ast.Module) -> set[str]:
    """Names of a module's functions and classes that a function in it uses for something else."""
    known = {one.name for one in tree.body if isinstance(one, (ast.FunctionDef, ast.ClassDef))}
    found = set()
    for function in (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)):
        given = function.args
        found |= {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        names = (one for one in ast.walk(function) if isinstance(one, ast.Name))
        found |= {one.id for one in names if isinstance(one.ctx, ast.Store)}
    return found & known


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_name_shadows_another_of_its_module(path):
    found = shadows(ast.parse(path.read_text(encoding="utf-8")))
    assert found <= {"signed"}  # an argument of ``Interval.points`` that chapters use


def test_a_shadow_is_seen():
    assert shadows(ast.parse("def each(): ...\ndef f(x):\n    for each in x: ...")) == {"each"}


def test_no_two_modules_of_the_tests_have_one_name():
    """pytest imports them by their names alone: of two, one hides the other."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []
