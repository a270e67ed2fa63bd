"""What a submission's process may do: limits of the system where it has them, and a guard.

- ``command``: on Linux ``unshare`` takes the network away, if it may.
- ``keep_files``: on Linux (5.13 or later) Landlock refuses to write outside a folder, in whatever
  language, to connect by TCP (6.7 or later) and to end other processes (6.12 or later).
- ``limit``: memory, time on the processor and the size of files, where there is ``resource``, which
  Windows lacks; macOS does not keep to the memory.
- ``guard``: everywhere, Python's audit hook refuses to write outside the folder, to read the other
  submissions, to open a socket and to start or end a process. Native code does not ask it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["command", "described", "end_with_parent", "guard", "keep_files", "limit"]

UNSHARE = ("unshare", "--user", "--map-current-user", "--net", "--")
LARGEST_FILE = 64 * 2**20  # bytes
# Landlock's system calls, alike on all processors, and what its version handles.
CREATE, ADD, RESTRICT = 444, 445, 446
VERSION_ONLY, NO_NEW_PRIVILEGES, DEATH_SIGNAL = 1, 38, 1
WRITES = 0b1_1111_1111_0010  # write a file; remove or make whatever a folder holds
REFER, TRUNCATE, SIGNALS, TCP = 1 << 13, 1 << 14, 1 << 1, 0b11


@functools.cache
def command() -> list[str]:
    """What comes before the command of a process that is to have no network; [] if nothing can."""
    if not shutil.which(UNSHARE[0]):
        return []
    try:
        trial = subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if trial.returncode else list(UNSHARE)


def described() -> list[str]:
    """What holds on this computer, a line for each kind of limit."""
    network = "refused by the guard in Python"
    if _landlock() >= 4:
        network = "TCP refused by the system (Landlock), the rest by the guard in Python"
    if command():
        network = "taken away by the system (unshare)"
    kept = "refused by the system (Landlock)" if _landlock() else "refused by the guard in Python"
    memory = "limited" if sys.platform == "linux" else "not limited on this system"
    return [f"network: {network}", f"writing outside its folder: {kept}", f"memory: {memory}"]


def end_with_parent() -> None:
    """On Linux this process ends when the one that started it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, 9, 0, 0, 0)


def _landlock() -> int:
    """The version of Landlock, 0 if there is none."""
    if sys.platform != "linux":
        return 0
    return max(ctypes.CDLL(None).syscall(CREATE, None, 0, VERSION_ONLY), 0)


class _Rules(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scoped")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def keep_files(folder: Path) -> None:
    """From now on this process writes in the folder and to /dev/null alone, if Landlock is there;
    nor does it use TCP or end others.

    It holds for threads that start later, and is called before there are any.
    """
    version = _landlock()
    if not version:
        return
    system = ctypes.CDLL(None).syscall
    handled = WRITES | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    rules = _Rules(handled, TCP if version >= 4 else 0, SIGNALS if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    made = system(CREATE, ctypes.byref(rules), size, 0)
    of_file = handled & (TRUNCATE | 0b10)
    for path, allowed in ((str(folder), handled), (os.devnull, of_file)):
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        system(ADD, made, 1, ctypes.byref(_Beneath(allowed, opened)), 0)
        os.close(opened)
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if system(RESTRICT, made, 0):
        raise OSError("Landlock refuses its rules")
    os.close(made)


def limit(memory: int, seconds: int) -> None:
    """Limits from now on, where the system has them.

    Args:
        memory: bytes beyond what the process has now.
        seconds: on the processor, in all.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    wanted = {"CPU": seconds, "FSIZE": LARGEST_FILE, "CORE": 0}
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted["AS"] = pages * resource.getpagesize() + memory
    for name, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):  # a lower one holds already
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


STARTS = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "os.forkpty", "os.startfile", "pty.spawn",
)  # fmt: skip
NATIVE = ("ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle")
ENDS = ("os.kill", "os.killpg")
# Events that change files, and the places of the paths among their arguments.
CHANGES = {
    "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.truncate": (0,), "os.chmod": (0,),
    "os.chown": (0,), "os.utime": (0,), "os.rename": (0, 1), "os.link": (0, 1),
    "os.symlink": (1,), "shutil.rmtree": (0,), "shutil.move": (0, 1),
}  # fmt: skip
READS = ("os.listdir", "os.scandir")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def guard(folder: Path, private: Sequence[Path]) -> None:
    """From now on Python refuses what a submission has no business to do, for good.

    Args:
        folder: where it may write.
        private: folders that it may not read.
    """
    inside, hidden = os.path.realpath(folder), [os.path.realpath(one) for one in private]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket.") or event in STARTS or event in NATIVE:
            raise PermissionError(f"{event} is refused while grading")
        if event in ENDS and arguments[0] != os.getpid():
            raise PermissionError("to end another process is refused while grading")
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & WRITING) if isinstance(flags, int) else "r" not in str(mode)
            _look(path, [] if writes else hidden, inside if writes else None)
        elif event in READS:
            _look(arguments[0], hidden, None)
        for place in CHANGES.get(event, ()):
            _look(arguments[place], [], inside)

    sys.addaudithook(hook)


def _look(path: Any, hidden: Sequence[str], inside: str | None) -> None:
    """``PermissionError`` for a path in one of these folders, or outside that one."""
    if path is None or isinstance(path, int) or path == os.devnull:
        return
    real = os.path.realpath(os.fsdecode(path))
    if any(_is_in(real, one) for one in hidden):
        raise PermissionError(f"to read {real} is refused while grading")
    if inside is not None and not _is_in(real, inside):
        raise PermissionError(f"to change {real} is refused while grading")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
