"""What tests of the command share: small courses, the command in a process, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = 'profile = None\ndataset = "fashion-mnist"\nseeds = None'


def write(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A chapter with a heading, a promise, a parameters cell and these code cells."""
    folder.mkdir(exist_ok=True)
    title, promise = (
        f"# {int(name[:2])}. The {name[3:]} chapter",
        f"**Promise.** You see *{name[3:]}*.",
    )
    first = f"{title}\n\n{promise}\n\nTime: none."
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell(first), tagged, *map(new_code_cell, cells)])
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(name="course", scope="module")
def course_of_three(tmp_path_factory):
    """A course of three chapters, the second of which fails."""
    folder = tmp_path_factory.mktemp("course")
    write(folder, "01_first", "print('profile', profile, 'seeds', seeds)", "1 + 1")
    write(
        folder,
        "02_broken",
        "def f():\n    raise ValueError('T must be above 0')",
        "x = 1\nf()",
        "print('never')",
    )
    write(folder, "03_last", "print('rate', rate)", parameters=PARAMETERS + "\nrate = 0.5")
    return folder


def command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdnotes.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | variables,
    )  # fmt: skip


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    """The command as a shell starts it; its background jobs, as tests may be, ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "kdnotes.cli", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def results(output: Path) -> dict[str, dict]:
    return {
        entry["chapter"]: entry
        for entry in json.loads((output / "results.json").read_text())["chapters"]
    }


def printed(path: Path, word: str) -> str:
    """The line that starts with ``word`` among a notebook's printed output."""
    cells = nbformat.read(path, 4).cells
    text = "\n".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    return next(line for line in text.splitlines() if line.startswith(word))


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def tagged_processes(tag: str) -> list[psutil.Process]:
    """Living processes with KDNOTES_TEST=tag: the command, chapters, kernels and workers."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("KDNOTES_TEST") == tag
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
