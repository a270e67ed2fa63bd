"""The set-up agrees with itself: pyproject.toml, requirements.lock, environment.yml, Makefile,
licences.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = {
    requirement.name: requirement.specifier
    for requirement in map(
        Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    )
}
CONDA_NAMES = {"matplotlib": "matplotlib-base", "nbconvert": "nbconvert-core", "seaborn": "seaborn-base", "torch": "pytorch"}  # noqa: E501  # fmt: skip


def locked() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def exact(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==" and "*" not in specifier.version, requirement
    return specifier.version


def test_the_lock_pins_every_dependency_within_its_range():
    for name, specifier in WANTED.items():
        pins = [requirement for requirement in locked() if requirement.name == name]
        assert pins, f"{name} is missing from requirements.lock"
        assert all(specifier.contains(exact(pin)) for pin in pins), name


def test_the_lock_is_exact_portable_and_holds_no_address():
    assert all(exact(requirement) and not requirement.url for requirement in locked())
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if re.search(r"^-|^\.|://|\s/", line)]
    names = {requirement.name for requirement in locked()}
    assert {"colorama", "appnope"} <= names, (
        "the lock must be universal (colorama: Windows, appnope: macOS)"
    )
    assert not [name for name in names if re.match("nvidia-|cuda-|triton", name)], (
        "torch pins these itself"
    )


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", ["3.11.7", "3.12.4", "3.13.1"])
def test_each_platform_gets_one_version_of_each_package(platform, python):
    names = [
        requirement.name
        for requirement in locked()
        if requirement.marker is None
        or requirement.marker.evaluate({
            "sys_platform": platform, "python_version": python[:4], "python_full_version": python,
            "os_name": "nt" if platform == "win32" else "posix", "implementation_name": "cpython",
        })
    ]  # fmt: skip
    assert len(names) == len(set(names))
    assert set(WANTED) <= set(names)


def test_the_running_environment_is_within_the_ranges():
    from importlib.metadata import version

    assert {
        name for name, specifier in WANTED.items() if not specifier.contains(version(name))
    } == set()


def test_the_conda_environment_has_the_same_ranges():
    lines = re.findall(
        r"^ +- ([a-z0-9-]+)([=>]\S*|)$", (ROOT / "environment.yml").read_text(), re.MULTILINE
    )
    conda = {name: ranges for name, ranges in lines if name not in ("conda-forge", "pip", "-e")}
    python = re.fullmatch(r"=(3\.\d+)", conda.pop("python"))
    assert python, "repo2docker would begin with its own default, a Python that is too old"
    assert SpecifierSet(PROJECT["requires-python"]).contains(python[1])
    assert conda == {
        CONDA_NAMES.get(name, name): str(specifier) for name, specifier in WANTED.items()
    }


def test_binder_builds_from_the_conda_environment_and_installs_the_package_from_the_clone():
    """Of repo2docker's files those that come before environment.yml are missing; where pip has a
    local line, the clone is copied first, and only from the root does the line mean the package.
    """
    folders, julia = ("binder", ".binder"), ("Project.toml", "JuliaProject.toml", "REQUIRE")
    others = ("Dockerfile", "default.nix", "runtime.txt", "install.R", "DESCRIPTION")
    assert [name for name in (*folders, *julia, *others) if (ROOT / name).exists()] == []
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    _, found, by_pip = text.partition("\n  - pip:\n")
    local = [line for line in by_pip.splitlines() if not re.fullmatch(r" +- [\w-]+[=>]\S+", line)]
    assert found and local == ["      - -e ."], "one local line for pip: of the clone"


def test_licences_are_there_and_packaged():
    notice = (ROOT / "kdnotes" / "assets" / "FASHION_MNIST_LICENSE.txt").read_text(encoding="utf-8")
    assert "2017 Zalando SE" in notice and "Permission is hereby granted" in notice
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]["kdnotes"]
    assert "assets/*.txt" in data


def test_no_file_holds_an_absolute_path_of_someones_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    private = re.compile(r"(?<![\w.~+/])/(?:home|root|Users|opt|work)/\w")
    found = []
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".npz", ".safetensors"} or not path.is_file() or path == Path(__file__):
            continue
        found += [name] if private.search(path.read_text(encoding="utf-8")) else []
    assert found == []


def test_every_finding_can_be_run_and_has_its_line():
    tracked = subprocess.run(
        ["git", "ls-files", "--stage", "findings/*.sh"], cwd=ROOT, capture_output=True, text=True
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    found = [line.split(maxsplit=3) for line in tracked.stdout.splitlines()]
    assert [name for mode, *_, name in found if mode != "100755"] == []
    lines = (ROOT / "findings/README.md").read_text(encoding="utf-8")
    assert [name for *_, name in found if f"`{Path(name).name}`" not in lines] == []


def test_importing_the_command_is_quick_and_loads_no_torch():
    heavy = "{'torch', 'papermill', 'nbconvert', 'numpy'}"
    code = f"import sys, kdnotes.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def dry(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.ready", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@make
def test_make_passes_its_variables_on():
    assert "kdnotes run 1 3 --profile smoke --seeds 3" in dry(
        "run", "PROFILE=smoke", "CHAPTERS=1 3", "ARGS=--seeds 3"
    )
    assert (
        "-m pytest" in dry("test")
        and "kdnotes lab" in dry("lab")
        and "kdnotes bench" in dry("bench")
    )


@make
def test_make_says_which_python_it_needs(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    for python, message in (
        ("./python-old", "is Python 3.9.2"),
        ("no-such-python", "there is no no-such-python"),
    ):
        done = subprocess.run(
            ["make", "setup", f"PYTHON={python}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (
            done.returncode
            and "Python 3.11 or later is needed" in done.stderr
            and message in done.stderr
        )
        assert not (tmp_path / ".venv").exists()


@make
def test_make_sets_up_again_only_after_a_change(tmp_path):
    """The stamp is newer than the lock: nothing to do; the lock is newer: the set-up runs again."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    for name in ("requirements.lock", "pyproject.toml", ".venv/.ready"):
        (tmp_path / name).touch()
    assert subprocess.run(["make", "-q", "setup"], cwd=tmp_path, check=False).returncode == 0
    stamp = (tmp_path / ".venv" / ".ready").stat().st_mtime
    os.utime(tmp_path / "requirements.lock", (stamp + 10, stamp + 10))
    assert subprocess.run(["make", "-q", "setup"], cwd=tmp_path, check=False).returncode == 1


def test_the_pipeline_runs_make_test():
    assert "make --no-print-directory test" in (ROOT / ".ci" / "run").read_text()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
