"""Executes one chapter in a process of its own: ``python -m kdnotes.course.execute JOB``.

The runner holds the other end of this process's input. When that ends, on an interruption or
because the runner was killed, so do the kernel, all that it started, and this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from kdnotes.course import chapters
from kdnotes.files import write_text


def execute(path: Path, home: str, timeout: float | None, chapter_timeout: float | None) -> None:
    """Execute a notebook in place; its status and error go to the file with the suffix .json.

    Args:
        path: the notebook, alone in a folder of its own.
        home: the kernel's working folder.
        timeout, chapter_timeout: seconds for one cell, and for all of them (``None``: no limit).
    """
    began = time.monotonic()
    manager = _start_kernel(path, home)
    threading.Thread(target=_end_with_input, args=(path,), daemon=True).start()
    from jupyter_core.utils import run_sync  # these take as long as the kernel's beginning
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    def limit(cell: Any) -> float | None:
        left = chapter_timeout and max(chapter_timeout - (time.monotonic() - began), 0.01)
        return min((seconds for seconds in (timeout, left) if seconds), default=None)

    notebook, status, error = chapters.read(path), "passed", ""
    client = NotebookClient(
        notebook, km=manager, timeout_func=limit, iopub_timeout=60, raise_on_iopub_timeout=True,
        on_cell_start=lambda **_: print(".", end="", flush=True),  # the runner counts them
    )  # fmt: skip
    try:
        client.execute()
    except CellTimeoutError as caught:
        over = chapter_timeout is not None and time.monotonic() - began >= chapter_timeout
        option, seconds = ("--chapter-timeout", chapter_timeout) if over else ("--timeout", timeout)
        status = "timeout"
        error = f"stopped after {seconds:g} s ({option})" if seconds else str(caught)
    except CellExecutionError as caught:
        status, error = "failed", _shorten(caught, notebook)
    except DeadKernelError:
        status, error = "failed", "DeadKernelError: the kernel died (out of memory?)"
    chapters.write(path, notebook)
    _report(path, status, error)
    run_sync(manager.shutdown_kernel)()


def _report(path: Path, status: str, error: str) -> None:
    write_text(path.with_suffix(".json"), json.dumps([status, error]))


def _start_kernel(path: Path, home: str) -> Any:
    """A kernel of this interpreter, whatever ``python3`` means elsewhere.

    Its sockets lie beside the notebook: no port that another user could reach, no network. Their
    paths may have about a hundred characters.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    manager = AsyncKernelManager(
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
        connection_file=str(path.with_name("kernel.json")),
        transport="ipc" if os.name == "posix" and len(str(path.parent)) < 80 else "tcp",
        # Half of it passes at a shutdown: the kernel waits for joblib's resource tracker.
        shutdown_wait_time=0.4,
    )
    no_file = ["--HistoryManager.hist_file=:memory:"]
    start = run_sync(manager.start_kernel)
    start(cwd=home, extra_arguments=no_file, stdout=subprocess.DEVNULL)  # not of its cells
    path.with_name("kernel.pid").write_text(str(manager.provisioner.pid))
    return manager


def _end_with_input(path: Path) -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would keep this process from its own end
        pass
    end_kernel(path)
    shutil.rmtree(path.parent, ignore_errors=True)
    os._exit(1)


def end_kernel(path: Path) -> None:
    """End the kernel beside a notebook and all that it started, as far as they have not ended.

    Without this, joblib's workers would stay for five minutes.
    """
    with contextlib.suppress(OSError, psutil.Error):
        pid = int(path.with_name("kernel.pid").read_text())
        if os.name == "posix":
            os.killpg(pid, signal.SIGKILL)
        else:
            kernel = psutil.Process(pid)
            for process in [*kernel.children(recursive=True), kernel]:
                process.kill()


def _shorten(error: Any, notebook: Any) -> str:
    """Exception name, message, and the line of the cell that raised it."""
    cell = [cell for cell in notebook.cells if cell.get("execution_count")][-1]
    where = re.compile(rf"Cell In\[{cell.execution_count}\], line (\d+)")
    found = where.search(re.sub(r"\x1b\[[0-9;]*m", "", error.traceback))
    lines = cell.source.splitlines()
    line = lines[int(found[1]) - 1].strip() if found and int(found[1]) <= len(lines) else lines[0]
    text = (str(error.evalue).splitlines() or [""])[0][:300]
    number = f", line {found[1]}" if found else ""
    return f"{error.ename}: {text}\n  in [{cell.execution_count}]{number}: {line}"


def main(job: str) -> None:
    options = json.loads(job)
    path = Path(options.pop("path"))
    try:
        execute(path, **options)
    except Exception as error:  # no kernel, or no room for a file
        _report(path, "failed", f"{type(error).__name__}: {error}")
    finally:
        end_kernel(path)
    os._exit(0)  # nothing waits for threads that watch over an ended kernel


if __name__ == "__main__":
    main(sys.argv[1])
