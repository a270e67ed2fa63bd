"""What a network costs to run: multiply-accumulates, latency and throughput."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from kdnotes.training import single_thread

__all__ = ["latency", "macs", "paced", "processor", "throughput", "timings"]

WARM_UP = 5
UNTIMED = 3
STRETCH = 10  # paced calls of one kind before the next kind's turn


def macs(call: Callable[[], object]) -> int:
    """Multiply-accumulates of one call (torch's counter takes a multiply and an add as two operations).

    Args:
        call: a function without arguments, such as ``functools.partial(network, images)``, the network in eval mode.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2


def latency(calls: Mapping[str, Callable[[], object]], repeats: int = 40) -> dict[str, float]:
    """Median milliseconds of each call, on one thread, after a warm-up; see ``timings``."""
    return {name: statistics.median(values) for name, values in timings(calls, repeats).items()}


def timings(calls: Mapping[str, Callable[[], object]], repeats: int = 40) -> dict[str, list[float]]:
    """Milliseconds of each turn of each call, *back to back*, on one thread, the warm-up left out.

    This is the number of a batch job, which always has a next image; a device that waits for its next image is slower
    (``paced``). The calls take turns, so that a slow moment of the machine hits all of them. Each timed call follows
    three untimed ones of the same kind: else it would pay for the processor's caches that the call before it, a larger
    network perhaps, has filled with its own. (After one untimed call a small network still took a fifth longer behind
    a large one than elsewhere in the list.)

    Args:
        calls: name → function without arguments, as for ``macs``.
        repeats: number of timed turns, 1 or more.
    """
    _check_count("repeats", repeats)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode(), single_thread():
        for _ in range(repeats + WARM_UP):
            for name, call in calls.items():
                for _ in range(UNTIMED):
                    call()
                began = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - began)
    return {name: [1000 * value for value in values[WARM_UP:]] for name, values in seconds.items()}


def paced(calls: Mapping[str, Callable[[], object]], period: float, repeats: int = 40) -> dict[str, list[float]]:
    """Milliseconds of each call where one comes every ``period`` seconds, as from a camera; on one thread.

    Between two calls the thread sleeps. The processor then lowers its clock or lends its caches to others, and the next
    call pays for it. No untimed call comes before a timed one: a camera has none. Each kind of call has stretches of
    ``STRETCH`` to itself, as a device runs one network; the first call of a stretch, which follows another network, is
    left out.

    Args:
        calls: name → function without arguments, as for ``macs``.
        period: seconds from the beginning of one call to that of the next; a call that takes longer delays the next.
        repeats: number of timed calls of each kind, 1 or more.
    """
    _check_count("repeats", repeats)
    if isinstance(period, bool) or not isinstance(period, (int, float)) or not 0 < period < float("inf"):
        raise ValueError(f"period must be a number of seconds above 0, not {period!r}")
    milliseconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode(), single_thread():
        for done in range(0, repeats, STRETCH):
            for name, call in calls.items():
                milliseconds[name] += _stretch(call, period, 1 + min(STRETCH, repeats - done))[1:]
    return milliseconds


def _stretch(call: Callable[[], object], period: float, count: int) -> list[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken = time.perf_counter() - began
        found.append(1000 * taken)
        time.sleep(max(0.0, period - taken))
    return found


def processor() -> str:
    """The processor's kind, such as its model name, or at least its architecture; no host name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def throughput(calls: Mapping[str, Callable[[], object]], images: int, repeats: int = 5) -> dict[str, float]:
    """Images a second of calls that work on a batch of ``images`` each: from the median time, measured like latency."""
    _check_count("images", images)
    return {name: 1000 * images / milliseconds for name, milliseconds in latency(calls, repeats).items()}


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
