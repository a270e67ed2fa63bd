"""What a fenced process may not do, by the system where it helps, and by the guard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kdnotes.course.grading import fence

OF_SYSTEM = pytest.mark.skipif(
    "Landlock" not in fence.described()[1], reason="this system has no Landlock"
)


def tried(folder: Path, fences: str, action: str) -> str:
    """What an action in a process behind some fences comes to."""
    code = (
        "import os, socket, shutil, subprocess, threading; from pathlib import Path\n"
        "from kdnotes.course.grading import fence\n"
        f"folder = Path({str(folder / 'work')!r}); outside = {str(folder)!r}; {fences}\n"
        f"try:\n    {action}\n    print('done')\n"
        "except (OSError, MemoryError) as error:\n    print(type(error).__name__)\n"
    )
    (folder / "work").mkdir(exist_ok=True)
    (folder / "other").mkdir(exist_ok=True)
    (folder / "kept").write_text("kept")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (folder / "kept").read_text() == "kept", run.stderr
    return run.stdout.strip() or run.stderr


WRITES = (
    "open(outside + '/new', 'w')",
    "open(outside + '/kept', 'w')",
    "os.remove(outside + '/kept')",
    "os.rename(outside + '/kept', folder / 'mine')",
    "os.truncate(outside + '/kept', 0)",
    "os.mkdir(outside + '/new')",
    "os.symlink('x', outside + '/new')",
)


@OF_SYSTEM
@pytest.mark.parametrize("action", [*WRITES, "os.kill(os.getppid(), 0)"])
def test_the_system_refuses(tmp_path, action):
    assert tried(tmp_path, "fence.keep_files(folder)", action) == "PermissionError"


@pytest.mark.parametrize(
    "action",
    [
        *WRITES,
        "os.kill(os.getppid(), 0)",
        "shutil.rmtree(outside)",
        "open(outside + '/other/x')",
        "os.listdir(outside + '/other')",
        "subprocess.run(['true'])",
        "os.system('true')",
        "socket.socket()",
        "socket.getaddrinfo('localhost', 80)",
    ],
)
def test_the_guard_refuses(tmp_path, action):
    guard = "fence.guard(folder, [Path(outside, 'other')])"
    assert tried(tmp_path, guard, action) == "PermissionError"


@pytest.mark.parametrize(
    "action",
    [
        "(folder / 'x').write_text('x'); os.rename(folder / 'x', folder / 'y')",
        "open(outside + '/kept').read(); open(os.devnull, 'w').write('x')",
        "os.chdir(folder); os.mkdir('d'); open('d/x', 'w').close(); shutil.rmtree('d')",
        "threading.Thread(target=print).start()",
    ],
)
def test_what_is_allowed(tmp_path, action):
    fences = "fence.keep_files(folder); fence.guard(folder, [Path(outside, 'other')])"
    assert tried(tmp_path, fences, action).endswith("done")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
@pytest.mark.parametrize("megabytes", [100, 400])
def test_memory_is_limited(tmp_path, megabytes):
    came = tried(tmp_path, "fence.limit(200 * 2**20, 60)", f"bytearray({megabytes} * 2**20)")
    assert came == ("done" if megabytes < 200 else "MemoryError")
