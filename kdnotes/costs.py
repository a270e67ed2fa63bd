"""What a network costs to run: multiply-accumulates, latency and throughput."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from kdnotes import checks
from kdnotes.machine import single_thread

__all__ = ["latency", "macs", "paced", "throughput", "timings"]

WARM_UP = 5
UNTIMED = 3
STRETCH = 10  # paced calls of one kind before the next kind's turn
Calls = Mapping[str, Callable[[], object]]
Shape = Sequence[int]


def macs(call: Callable[[], object]) -> int:
    """Multiply-accumulates of one call (torch's counter takes a multiply and an add as two).

    Args:
        call: a function without arguments, such as ``functools.partial(network, images)``, the
            network in eval mode.
    """
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    with FlopCounterMode(display=False, custom_mapping=attention) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2


def _attention(query: Shape, key: Shape, value: Shape, *_: object, **named: object) -> int:
    """Of the CPU's attention kernel, which torch's counter leaves out (it knows the GPUs')."""
    return sdpa_flop_count(query, key, value)


def latency(calls: Calls, repeats: int = 40) -> dict[str, float]:
    """Median milliseconds of each call, on one thread, after a warm-up; see ``timings``."""
    return {name: statistics.median(times) for name, times in timings(calls, repeats).items()}


def throughput(calls: Calls, images: int, repeats: int = 5) -> dict[str, float]:
    """Images a second of calls that work on ``images`` each, from their ``latency``."""
    checks.count("images", images)
    return {name: 1000 * images / median for name, median in latency(calls, repeats).items()}


def timings(calls: Calls, repeats: int = 40) -> dict[str, list[float]]:
    """Milliseconds of each turn of each call, *back to back*, on one thread, without the warm-up.

    This is the number of a batch job, which always has a next image; a device that waits for its
    next image is slower (``paced``). The calls take turns, so that a slow moment of the machine
    hits all of them. Each timed call follows three untimed ones of the same kind: else it would pay
    for the processor's caches that the call before it, a larger network perhaps, has filled with
    its own. (After one untimed call a small network still took a fifth longer behind a large one
    than elsewhere in the list.)

    Args:
        calls: name → function without arguments, as for ``macs``.
        repeats: number of timed turns, 1 or more.
    """
    checks.count("repeats", repeats)
    found: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode(), single_thread():
        for _ in range(WARM_UP + repeats):
            for name, call in calls.items():
                for _ in range(UNTIMED):
                    call()
                found[name].append(_milliseconds(call))
    return {name: times[WARM_UP:] for name, times in found.items()}


def paced(calls: Calls, period: float, repeats: int = 40) -> dict[str, list[float]]:
    """Milliseconds of each call, one every ``period`` seconds as from a camera, on one thread.

    Between two calls the thread sleeps. The processor then lowers its clock or lends its caches to
    others, and the next call pays for it. No untimed call comes before a timed one: a camera has
    none. Each kind of call has stretches of ``STRETCH`` to itself, as a device runs one network;
    the first call of a stretch, which follows another network, is left out.

    Args:
        calls: name → function without arguments, as for ``macs``.
        period: seconds from one call's beginning to the next one's; a longer call delays the next.
        repeats: number of timed calls of each kind, 1 or more.
    """
    checks.count("repeats", repeats)
    checks.positive("period", period)
    found: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode(), single_thread():
        for done in range(0, repeats, STRETCH):
            for name, call in calls.items():
                for number in range(1 + min(STRETCH, repeats - done)):
                    taken = _milliseconds(call)
                    time.sleep(max(0.0, period - taken / 1000))
                    found[name] += [taken] if number else []
    return found


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)
