"""Our end of a submission's process: requests, replies, and how long it may take."""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import psutil

from kdnotes.course.grading import starting, student, wire

__all__ = ["Ended", "Limits", "Process", "RemoteError", "plain", "printable"]

START = 60  # seconds on the processor until it has imported torch
PATIENCE = 5  # times as long on the clock, for a process that waits, or on a busy machine
STEP = 0.2  # seconds between two looks at the time that it has taken
LONGEST_MESSAGE = 300  # characters


class Limits(NamedTuple):
    """What a submission may take.

    Attributes:
        seconds: for each of its exercises, on the processor; five times that on the clock.
        memory: MB beyond what torch itself takes.
    """

    seconds: float
    memory: float


class Ended(BaseException):
    """The process is gone. No ``Exception``: what judges a function takes these for its own.

    Attributes:
        word: "timeout" or "killed".
    """

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


class RemoteError(Exception):
    """What a learner's code raised, as a class of the same name."""


class Process:
    """A submission's process, in a folder of its own that is removed with it.

    Args:
        cells: see ``student.Session``.
        private: folders that it is not to read.
    """

    def __init__(
        self, cells: list[tuple[bool, str]], limits: Limits, private: list[Path], count: int
    ) -> None:
        self.limits = limits
        self.folder = tempfile.TemporaryDirectory(prefix="kdnotes-", ignore_cleanup_errors=True)
        home = Path(self.folder.name).resolve()
        self.cache = home / "cache"
        self.child = starting.start(home)
        self.begin(START)
        self.replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._write(
            {
                "folder": str(home),
                "memory": int(limits.memory * 2**20),
                "seconds": int(START + limits.seconds * count + 1),
                "private": [str(one) for one in private],
                "cells": cells,
                "variables": starting.variables(home),
            }
        )
        self._reply()

    def begin(self, seconds: float) -> None:
        """The time for an exercise begins; it has this many seconds on the processor."""
        self.seconds, self.began = seconds, (self._processor(), time.monotonic())

    def _processor(self) -> float:
        """Seconds on the processor until now."""
        with contextlib.suppress(psutil.Error):
            return sum(psutil.Process(self.child.pid).cpu_times()[:2])
        return 0.0

    def _is_late(self) -> bool:
        processor, clock = self.began
        waited = time.monotonic() - clock > PATIENCE * self.seconds
        return waited or self._processor() - processor > self.seconds

    def ask(self, name: str, *arguments: Any, attach: Any = None) -> Any:
        """The answer to a request.

        Raises:
            RemoteError: the submission's code raised an exception.
            Ended: there is no answer.
        """
        self._write((name, *arguments))
        return self._reply(attach)

    def _write(self, request: Any) -> None:
        message = cloudpickle.dumps(request)
        try:
            self.child.target.write(student.SIZE.pack(len(message)) + message)
            self.child.target.flush()
        except OSError:
            raise self._gone() from None

    def _read(self) -> None:
        with self.child.source as source:
            while (message := student.received(source, wire.LARGEST)) is not None:
                self.replies.put(message)
        self.replies.put(None)

    def _message(self) -> bytes | None:
        while True:
            with contextlib.suppress(queue.Empty):
                return self.replies.get(timeout=STEP)
            if self._is_late():
                self.stop()
                raise Ended("timeout", f"stopped after {self.seconds:g} s")

    def _reply(self, attach: Any = None) -> Any:
        message = self._message()
        if message is None:
            raise self._gone()
        try:
            word, *rest = wire.unpack(message, attach)
            if word == "error":
                name, text = rest
                raise _error(name, text)
            (value,) = rest
        except (ValueError, TypeError) as error:
            self.stop()
            raise Ended("killed", str(error)) from error
        return value

    def _gone(self) -> Ended:
        how = self.stop()
        return Ended("killed", f"its process ended {how} (out of memory, or by its own doing)")

    def stop(self) -> str:
        """End the process and all that it started, remove its folder, and say how it ended."""
        how = self.child.end()
        self.folder.cleanup()
        return how


def plain(text: Any) -> str:
    """A text from a submission as one line without control characters, not too long."""
    return printable(next(iter(str(text).splitlines()), ""))[:LONGEST_MESSAGE]


def printable(text: str) -> str:
    """A text of which no character moves a terminal's cursor."""
    return "".join(one if one.isprintable() else " " for one in text)


def _error(name: Any, text: Any) -> RemoteError | NotImplementedError:
    if name == "NotImplementedError":
        return NotImplementedError(plain(text))
    known = isinstance(name, str) and name.isidentifier() and len(name) <= 60
    return type(name if known else "Exception", (RemoteError,), {})(plain(text))
