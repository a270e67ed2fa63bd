"""Starts the processes of submissions: on Linux forks of a ``nursery``, elsewhere one by one."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple

import kdnotes
from kdnotes.course.grading import fence, nursery, student

__all__ = ["Child", "Forked", "Started", "start", "variables"]


class Child:
    """A process that was started for one submission.

    Attributes:
        pid: its number.
        target, source: what it reads, and what it writes.
    """

    pid: int
    target: BinaryIO
    source: BinaryIO

    def end(self) -> str:
        """End it with all that it has started; how it has ended, such as "with code 0"."""
        if os.name == "posix":
            for kill in (os.kill, os.killpg):  # it may have no group yet
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)
        code = self._code()
        with contextlib.suppress(OSError):  # what it was to read is lost
            self.target.close()
        return f"by signal {-code}" if code < 0 else f"with code {code}"

    def _code(self) -> int:
        raise NotImplementedError


class Started(Child):
    """A process of its own."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [*fence.command(), sys.executable, "-m", student.__name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=home, env=_environment() | variables(home), start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
        self.pid = self.process.pid
        self.target, self.source = self.process.stdin, self.process.stdout

    def _code(self) -> int:
        if os.name != "posix":
            self.process.kill()
        return self.process.wait()


class Forked(Child):
    """A fork of the nursery."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        (read, target), (source, write) = os.pipe(), os.pipe()
        socket.send_fds(control, [nursery.START], [read, write])
        os.close(read)
        os.close(write)
        self.target, self.source = os.fdopen(target, "wb"), os.fdopen(source, "rb")
        self.pid = int(control.recv(64))

    def _code(self) -> int:
        self.control.send(str(self.pid).encode())
        return os.waitstatus_to_exitcode(int(self.control.recv(64)))


def start(home: Path) -> Child:
    """A process that waits for its first request, in a folder of its own."""
    if sys.platform != "linux":
        return Started(home)
    try:
        return Forked(_nursery().control)
    except (OSError, ValueError):  # somebody ended it
        _nursery.cache_clear()
    try:
        return Forked(_nursery().control)
    except (OSError, ValueError) as error:
        raise OSError("no process for submissions can be started") from error


class _Nursery(NamedTuple):
    control: socket.socket
    process: subprocess.Popen


@functools.cache
def _nursery() -> _Nursery:
    """The nursery of this process, which ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [*fence.command(), sys.executable, "-m", nursery.__name__],
            stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=_environment(), start_new_session=True,
        )  # fmt: skip
    return _Nursery(ours, process)


def _environment() -> dict[str, str]:
    """None of the caller's variables that is not needed, so that no secret is among them."""
    kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
    package = Path(kdnotes.__file__).resolve().parents[1]
    paths = [str(package), *(str(Path(one).resolve()) for one in sys.path if one)]
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "KDNOTES_PROFILE": "smoke",
        "KDNOTES_WORKERS": "1",
    }


def variables(home: Path) -> dict[str, str]:
    """The variables that name a submission's own folder."""
    names = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "IPYTHONDIR", "MPLCONFIGDIR")
    return dict.fromkeys(names, str(home)) | {"KDNOTES_CACHE": str(home / "cache")}
