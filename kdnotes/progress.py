"""How far a training is and what remains, for whoever waits: one line, and only after ten seconds.

Whoever trains says so (``task``); the line is shown where somebody looks: on a terminal, or in a
notebook whose front end can ask its reader something (JupyterLab allows a kernel to ask; nbclient,
papermill and nbval, which execute notebooks without a reader, do not). It disappears when the work
is done. Elsewhere nothing is written, neither to an output nor to stderr. A process that trains for
another one writes to a file (``reporting``), which the other one reads (``Task.parts``).
KDNOTES_PROGRESS=0 shows nothing at all; an absolute path is such a file.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Task", "clock", "is_watched", "read", "reporting", "silent", "task"]

QUICK = 10.0  # seconds; what is done before is not worth a line
PERIOD = 1.0  # seconds between two looks, each of about a millisecond


class Front(Protocol):
    """Where the line is shown."""

    quick: float  # seconds before the first line

    def show(self, line: str, share: float) -> None: ...

    def clear(self) -> None: ...


@dataclass
class Task:
    """Work that goes on.

    Args:
        what: what it is, such as "study".
        total: how many ``units``, such as "trainings", it has.
        work: the size of all of them together, in whatever unit the parts are measured.
        done, worked: so many of them are done, of this size.
        live: how much of ``work`` is done beyond that, asked whenever somebody looks.
        parts: files in which other processes say how far they are → the size of their share.
        inner, outer: the task within this one, and the one around it. In equal units the inner one
            is a part of the outer one.
    """

    what: str
    total: int
    units: str
    work: float
    done: int = 0
    worked: float = 0.0
    live: Callable[[], float] = lambda: 0.0
    parts: dict[Path, float] = field(default_factory=dict)
    inner: Task | None = None
    outer: Task | None = None

    def advance(self, count: int = 1, work: float | None = None, part: Path | None = None) -> None:
        """So many more units are done, of this size; they were in ``part``, if in any."""
        self.done += count
        self.worked += count if work is None else work
        self.parts.pop(part, None)

    def skip(self, count: int, work: float) -> None:
        """So many units need no work, as they are stored: they tell nothing of the others' time."""
        self.total, self.work = self.total - count, self.work - work
        if self.is_part:
            self.outer.skip(count, work)

    @property
    def is_part(self) -> bool:
        return self.outer is not None and self.outer.units == self.units

    def share(self) -> float:
        """The fraction that is done, 0 … 1."""
        worked = self.worked + self.live()
        worked += sum(size * read(path)[0] for path, size in list(self.parts.items()))
        if self.inner and self.inner.is_part:
            worked += self.inner.share() * self.inner.work
        return min(worked / self.work, 1.0) if self.work > 0 else 0.0

    def line(self) -> str:
        """Such as "study, 12 of 40 trainings", with what goes on inside."""
        inner = self.inner.line() if self.inner else ""
        inside = self.inner.done if self.inner and self.inner.is_part else 0
        done = self.done + inside + int(self.live())
        said = [f"{self.what}, {min(done, self.total)} of {self.total} {self.units}", inner]
        said += [next((text for text in (read(path)[1] for path in list(self.parts)) if text), "")]
        return "; ".join(text for text in said if text)


class _Watch:
    """A thread that looks at a task and shows how far it is."""

    def __init__(self, root: Task, front: Front) -> None:
        self.tasks, self.front, self.owner = [root], front, threading.get_ident()
        self.began = self.moved = time.monotonic()
        self.over, shown = threading.Event(), contextvars.copy_context()  # of the cell that trains
        self.thread = threading.Thread(target=shown.run, args=(self._look,), daemon=True)
        self.thread.start()

    def _look(self) -> None:
        with contextlib.suppress(Exception):  # of a screen that is gone: the training goes on
            while not self.over.wait(PERIOD):
                share, now = self.tasks[0].share(), time.monotonic()
                if share == 0:  # what is prepared before the first step tells nothing of the rest
                    self.moved = now
                if now - self.began >= self.front.quick:
                    self.front.show(f"{self._times(share, now)}: {self.tasks[0].line()}", share)

    def _times(self, share: float, now: float) -> str:
        text = f"{clock(now - self.began)} elapsed"
        if share < 0.005 or now - self.moved < 3 * PERIOD:
            return text
        return f"{text}, about {clock((now - self.moved) * (1 - share) / share)} left"

    def end(self) -> None:
        self.over.set()
        self.thread.join()
        with contextlib.suppress(Exception):
            self.front.clear()


@dataclass
class _Scope:
    """Who shows what this process does (``None``: whatever is found), and the task, if any."""

    front: Front | None
    found: bool = True
    watch: _Watch | None = None


_scopes = [_Scope(None, found=False)]


@contextlib.contextmanager
def task(what: str, total: int, units: str, work: float | None = None) -> Iterator[Task]:
    """Work that begins here; inside another task's it is shown behind that one.

    Args:
        what, total, units, work: of the ``Task``; ``work`` is ``total`` unless given.
    """
    mine, scope = Task(what, total, units, total if work is None else work), _scopes[-1]
    watch = scope.watch
    if watch is None:
        front = scope.front if scope.found else _find_front()
        if front is None:
            yield mine
            return
        scope.watch = _Watch(mine, front)
        try:
            yield mine
        finally:
            scope.watch.end()
            scope.watch = None
    elif watch.owner != threading.get_ident():  # of two threads' work one line tells nothing
        yield mine
    else:
        outer = mine.outer = watch.tasks[-1]
        outer.inner = mine
        watch.tasks.append(mine)
        try:
            yield mine
            if mine.is_part:
                outer.advance(mine.total, mine.work)
        finally:
            watch.tasks.pop()
            outer.inner = None


def is_watched() -> bool:
    """Whether somebody would see a task's line."""
    scope = _scopes[-1]
    return scope.watch is not None or (scope.front if scope.found else _find_front()) is not None


@contextlib.contextmanager
def reporting(path: Path | None) -> Iterator[None]:
    """Say what is done inside to a file, for ``read`` of another process; ``None``: to nobody."""
    _scopes.append(_Scope(path and _File(path, quick=0.0)))
    try:
        yield
    finally:
        _scopes.pop()


def silent() -> contextlib.AbstractContextManager[None]:
    """Say nothing of what is done inside."""
    return reporting(None)


def read(path: Path) -> tuple[float, str]:
    """What another process says: the fraction that is done, and the line; 0 and "" if nothing."""
    try:
        share, line = json.loads(path.read_text(encoding="utf-8"))
        return float(share), str(line)
    except (OSError, ValueError, TypeError):
        return 0.0, ""


def clock(seconds: float) -> str:
    """A time such as 4:05 or 1:04:05, in hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _find_front() -> Front | None:
    setting = os.environ.get("KDNOTES_PROGRESS", "")
    if setting == "0":
        return None
    if os.path.isabs(setting):  # "1" is no file to write to
        return _File(Path(setting), QUICK)
    if "IPython" in sys.modules and (kernel := _kernel()) is not None:
        # ipykernel's own note of whether whoever executes this cell could answer a question
        return _Notebook() if getattr(kernel, "_allow_stdin", False) else None
    streams = [one for one in (sys.stdout, sys.stderr) if one is not None and one.isatty()]
    return _Terminal(streams[0]) if streams else None


def _kernel() -> Any:
    return getattr(sys.modules["IPython"].get_ipython(), "kernel", None)


class _File:
    """For another process: written whole, and never waited for."""

    def __init__(self, path: Path, quick: float) -> None:
        self.path, self.quick = path, quick

    def show(self, line: str, share: float) -> None:
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # Windows: while it is read it cannot be replaced
            beside.write_text(json.dumps([share, line]), encoding="utf-8")
            beside.replace(self.path)

    def clear(self) -> None:
        self.show("", 1.0)


class _Notebook:
    """An output of the running cell, which is emptied."""

    quick, handle = QUICK, None

    def show(self, line: str, share: float) -> None:
        from IPython.display import display

        data = {"text/plain": line}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)

    def clear(self) -> None:
        if self.handle is not None:
            self.handle.update({}, raw=True)


class _Terminal:
    """The last line of the screen; what is printed meanwhile stays above it."""

    quick, live = QUICK, None

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def show(self, line: str, share: float) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        shown = Text(line, no_wrap=True, overflow="ellipsis")
        if self.live is None:
            console = Console(file=self.stream)
            self.live = Live(
                shown, console=console, auto_refresh=False, transient=True,
                redirect_stdout=self.stream is sys.stdout, redirect_stderr=False,
            )  # fmt: skip
            self.live.start(refresh=True)
        self.live.update(shown, refresh=True)

    def clear(self) -> None:
        if self.live is not None:
            self.live.stop()
