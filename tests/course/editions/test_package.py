"""The copy of the package without answers: what is in no file of it, and that it runs chapters."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

import kdnotes
from kdnotes.course import chapters, order
from kdnotes.course.attempt import sentence
from kdnotes.course.editions import package, student
from kdnotes.course.questions import RIGHT
from kdnotes.course.ungraded import CHECKED

ROOT = Path(__file__).parents[3]
EVERYTHING = chapters.find(ROOT / "notebooks")
EXERCISES = {
    name: importlib.import_module(f"kdnotes.course.exercises.{name}") for name in order.CHAPTERS
}
TABLES = ("EXERCISES", "BY_HAND", "READINGS", "DESIGNS")


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed-out")
    student.write(EVERYTHING, EVERYTHING, folder, answers=False)
    return folder


def one_line(text: str) -> str:
    return " ".join(text.split())


def secrets() -> set[str]:
    """Sentences that only those have who know what is wrong: of traps, hints and quizzes."""
    found = set()
    for module in EXERCISES.values():
        specs = [spec for name in TABLES for spec in getattr(module, name, {}).values()]
        found |= {one_line(sentence(trap)) for spec in specs for trap in getattr(spec, "traps", [])}
        found |= {spec.hint for spec in specs if hasattr(spec, "hint")}
        found |= {why for item in module.QUIZ for why in item.choices.values() if why != RIGHT}
    # Shorter ones, such as ``Question``'s own hint, are what any sentence may say.
    return {text[1:] for text in found if len(text) > 25}


def test_no_file_holds_a_trap_a_hint_or_a_reason(handed_out):
    known = secrets()
    assert len(known) > 300
    for path in sorted((handed_out / "kdnotes").rglob("*")):
        if path.suffix in {".py", ".toml", ".md", ".json", ".txt", ".html", ".ipynb"}:
            text = one_line(path.read_text(encoding="utf-8"))
            assert [one for one in known if one in text] == [], path


def test_the_exercises_define_nothing_and_ask_what_they_asked(handed_out):
    folder = handed_out / "kdnotes" / "course" / "exercises"
    names = {path.stem for path in folder.glob("*.py")}
    assert names == {"__init__", *order.CHAPTERS}
    for name, module in EXERCISES.items():
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        kinds = {type(one) for one in ast.parse(source).body}
        assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}
        there: dict = {}
        exec(source, there)
        for table in TABLES:
            specs = getattr(module, table, {})
            assert list(there.get(table, {})) == list(specs)
            if table in ("BY_HAND", "READINGS"):
                asked = {place: spec.judge(None, ()) for place, spec in specs.items()}
                assert {p: one.judge(None, ()) for p, one in there[table].items()} == asked
        asked = [item.asked(1) for item in module.QUIZ]
        assert [item.asked(1) for item in there["QUIZ"]] == asked


def test_all_other_files_are_the_package(handed_out):
    package_of = Path(kdnotes.__file__).parent

    def files(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
            and "exercises" not in path.parts
        }  # fmt: skip

    assert files(handed_out / "kdnotes") == files(package_of)


def test_it_can_be_installed(handed_out):
    project = tomllib.loads((handed_out / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [line.partition(">")[0] for line in ours["dependencies"]]
    assert [line.partition(">")[0] for line in project["dependencies"]] == names
    for key in ("name", "version", "requires-python", "scripts"):
        assert project[key] == ours[key]
    assert (handed_out / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_it_is_replaced_but_never_the_package_itself(handed_out, tmp_path):
    shutil.copytree(handed_out / "kdnotes" / "course", tmp_path / "kdnotes" / "course")
    (tmp_path / "kdnotes" / "old.py").write_text("")
    package.write(tmp_path)
    assert not (tmp_path / "kdnotes" / "old.py").exists()
    assert (tmp_path / "kdnotes" / "cli.py").exists() or (tmp_path / "kdnotes" / "cli").exists()
    assert not list(tmp_path.glob(".kdnotes-*"))
    with pytest.raises(ValueError, match="is no copy without answers"):
        package.write(Path(kdnotes.__file__).parents[1])
    (tmp_path / "other" / "kdnotes").mkdir(parents=True)
    with pytest.raises(ValueError, match="without a kdnotes of its own"):
        package.write(tmp_path / "other")


def test_nothing_is_written_if_nobody_knows_what_it_needs(tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(ValueError, match="kdnotes is not installed"):
        package.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


ANSWERS = {
    "c01-007": ('"01.5", None', '"01.5", 99'),
    "c01-042": ("...  # your code", "return 1"),
    "c01-057": ("{}", '{1: "a"}'),
}


def test_a_chapter_runs_on_the_copy_and_says_who_checks(handed_out, session_cache, tmp_path):
    path = handed_out / EVERYTHING[0].path.name
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(*ANSWERS.get(cell.id, ("", "")))
    course = tmp_path / "mine"
    course.mkdir()
    nbformat.write(notebook, course / path.name)
    options = ["--profile", "smoke", "--notebooks", str(course), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "kdnotes.cli", "run", "1", *options],
        capture_output=True, text=True, check=False, cwd=handed_out,
        env=os.environ | {"PYTHONPATH": str(handed_out)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    cells = nbformat.read(tmp_path / "out" / path.name, 4).cells
    text = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    for number in ("01.1", "01.5"):
        assert f"Exercise {number}: {CHECKED}" in text
    assert "Exercise 01.2: todo\n" in text and f"   → {CHECKED}\n" in text
