"""What a run prints: a line a chapter, and on a terminal one that says what is running."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console

from kdnotes.progress import clock

__all__ = ["Progress"]


class Progress:
    """Elapsed and remaining time, the latter from earlier runs, or from the share of cells done.

    Args:
        names: the chapters of this run, in order.
        seconds: how long some of them took in an earlier run.
        jobs: chapters at a time.
    """

    def __init__(self, names: list[str], seconds: dict[str, float], jobs: int) -> None:
        self.left = {name: f"[{n}/{len(names)}] {name}" for n, name in enumerate(names, 1)}
        self.seconds, self.jobs, self.began, self.running = seconds, jobs, time.monotonic(), []
        self.live = Console(force_terminal=sys.stdout.isatty()).status("")

    def show(self, running: list[Any]) -> None:
        """Say what is running: its ``name``, when it ``began``, cells ``done`` and ``total``, and
        what its cell is ``training``.
        """
        self.running = list(running)
        cells = [f"{self.left[one.name]} cell {one.done + 1}/{one.total}" for one in running]
        cells = [
            f"{cell} ({one.training})" if one.training else cell
            for cell, one in zip(cells, running, strict=True)
        ]
        self.live.update("; ".join([*cells, self._times()]))

    def end(self, name: str, status: str, seconds: float, error: str) -> None:
        self.seconds[name] = seconds
        print(f"{self.left.pop(name)} {status} in {seconds:.1f} s; {self._times()}", flush=True)
        if error:
            print("  " + error.replace("\n", "\n  "), file=sys.stderr, flush=True)

    def _times(self) -> str:
        now = time.monotonic()
        spent = {one.name: now - one.began for one in self.running}
        shares = {one.name: one.done / one.total for one in self.running if one.done}
        known = {name: spent[name] / share for name, share in shares.items()} | self.seconds
        text = f"{clock(now - self.began)} elapsed"
        if not self.left or not known:
            return text
        mean = sum(known.values()) / len(known)
        rest = sum(known.get(name, mean) - spent.get(name, 0) for name in self.left)
        return f"{text}, about {clock(max(rest, 0) / self.jobs)} left"
