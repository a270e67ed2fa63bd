"""Runs chapters, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdnotes import progress
from kdnotes.course import chapters as files
from kdnotes.course import execute, reading, results, sharing
from kdnotes.course.chapters import Chapter
from kdnotes.course.progress import Progress

__all__ = ["Execution", "run"]


class Execution:
    """A chapter in a process of its own, which ends, with its kernel, when its input does.

    After ``ended()`` it has ``status`` ("passed", "failed" or "timeout"), ``seconds``, ``error``
    ("" if none), ``notebook``, as far as it was executed, and ``used``: names of entries of the
    store.
    """

    def __init__(self, chapter: Chapter, parameters: dict[str, Any], **limits: Any) -> None:
        self.chapter, self.name, self.began = chapter, chapter.name, time.monotonic()
        self.source = chapter.path.read_bytes()
        self.folder = tempfile.TemporaryDirectory(prefix="kdnotes-", ignore_cleanup_errors=True)
        self.path = Path(self.folder.name, chapter.path.name)
        self.total = files.prepare(chapter, parameters, self.path)
        job = {"path": str(self.path), "home": str(chapter.path.parent.resolve())} | limits
        with open(self.path.with_name("cells"), "wb") as cells:
            self.process = subprocess.Popen(
                [sys.executable, "-m", execute.__name__, json.dumps(job)],
                stdin=subprocess.PIPE, stdout=cells, stderr=subprocess.DEVNULL,
                env={
                    "KDNOTES_PROGRESS": str(self.path.with_name("progress")),
                    **os.environ,
                    "KDNOTES_USED": str(self.path.with_name("used")),
                },
                # What interrupts a terminal's processes is to reach the runner alone.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )  # fmt: skip

    @property
    def done(self) -> int:
        """The number of cells that are done."""
        return max(self.path.with_name("cells").stat().st_size - 1, 0)

    @property
    def training(self) -> str:
        """How far that is which trains in this cell for more than ten seconds, or ""."""
        return progress.read(self.path.with_name("progress"))[1]

    def ended(self) -> bool:
        if self.process.poll() is None:
            return False
        self.seconds = round(time.monotonic() - self.began, 1)
        try:
            said = self.path.with_suffix(".json").read_text(encoding="utf-8")
        except FileNotFoundError:
            code = self.process.returncode
            said = json.dumps(["failed", f"its process ended with code {code} (out of memory?)"])
        self.status, self.error = json.loads(said)
        self.notebook = files.read(self.path)
        used = self.path.with_name("used")
        self.used = sorted(path.relative_to(used).as_posix() for path in used.glob("*/*"))
        self.stop()
        return True

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode:  # it was killed, and did not end its kernel
            execute.end_kernel(self.path)
        self.folder.cleanup()


def run(
    chapters: list[Chapter], everything: list[Chapter], output: Path, parameters: dict[str, Any],
    about: dict[str, Any], *, update: bool = False, jobs: int = 1, **limits: float | None,
) -> bool:  # fmt: skip
    """Execute chapters and keep ``output`` complete after each; return whether all passed.

    SIGINT and SIGTERM end all that runs, then raise ``KeyboardInterrupt``.

    Args:
        everything: all chapters of the course, for the index.
        about: profile, dataset, seeds, and so on, for results.json.
        update: write the outputs of a chapter that passed back to its source.
        jobs: chapters at a time; they begin in the order of ``chapters``.
        limits: ``timeout`` of a cell and ``chapter_timeout``, in seconds (``None``: none).
    """
    entries = results.read(output, everything)
    like = {"status": "passed", "profile": about["profile"]}
    seconds = {name: e["seconds"] for name, e in entries.items() if like.items() <= e.items()}
    shown = Progress([chapter.name for chapter in chapters], seconds, jobs)
    passed, waiting, running = True, list(chapters), []
    with _signals() as signals, shown.live:
        try:
            while waiting or running:
                ended = [one for one in running if one.ended()]
                running = [one for one in running if one not in ended]
                while waiting and len(running) < jobs:
                    running.append(Execution(waiting.pop(0), parameters, **limits))
                shown.show(running)
                for one in ended:
                    entry = {"status": one.status, "seconds": one.seconds, "error": one.error}
                    minutes = {"minutes": round(reading.count(one.notebook).total.minutes)}
                    entries[one.name] = {"chapter": one.name} | entry | minutes | about
                    results.write_chapter(output, everything, one.chapter, one.notebook, one.status)
                    results.write(output, everything, entries, about, one.chapter)
                    if one.status == "passed":
                        sharing.note(output, one.chapter, one.used)
                    if update and one.status == "passed":
                        results.update(one.chapter, one.source, one.notebook)
                    passed &= one.status == "passed"
                    shown.end(one.name, **entry)
                if signals:
                    raise KeyboardInterrupt
                time.sleep(0.05)
        finally:
            for one in running:
                one.stop()
    return passed


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of the signals to end that have come: none cuts short what this process does."""
    came: list[int] = []
    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as a shell's background job has it
        numbers.append(signal.SIGINT)
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
