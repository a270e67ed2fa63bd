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

__all__ = ["latency", "macs", "processor", "throughput", "timings"]

WARM_UP = 5
UNTIMED = 3


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
    """Milliseconds of each turn of each call, on one thread, the warm-up left out.

    The calls take turns, so that a slow moment of the machine hits all of them. Each timed call follows three untimed
    ones of the same kind: else it would pay for the processor's caches that the call before it, a larger network
    perhaps, has filled with its own. (After one untimed call a small network still took a fifth longer behind a large
    one than elsewhere in the list.)

    Args:
        calls: name → function without arguments, as for ``macs``.
        repeats: number of timed turns, 1 or more.
    """
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"repeats must be a whole number of at least 1, not {repeats!r}")
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


def processor() -> str:
    """The processor's kind, such as its model name, or at least its architecture; no host name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def throughput(calls: Mapping[str, Callable[[], object]], images: int, repeats: int = 5) -> dict[str, float]:
    """Images a second of calls that work on a batch of ``images`` each: from the median time, measured like latency."""
    if isinstance(images, bool) or not isinstance(images, int) or images < 1:
        raise ValueError(f"images must be a whole number of at least 1, not {images!r}")
    return {name: 1000 * images / milliseconds for name, milliseconds in latency(calls, repeats).items()}
