"""What a training of each arm costs, measured here and now, so that the arms can be compared.

The seconds of a stored run tell what else the machine did when it was computed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from kdnotes import progress, training
from kdnotes.data import Split, Splits
from kdnotes.study import Arm
from kdnotes.study.arms import at_seed, complete

__all__ = ["seconds", "seconds_of"]

ROUNDS, EPOCHS, IMAGES = 3, 3, 20


def seconds_of(arms: Mapping[str, Arm], *, rounds: int = ROUNDS, **shared: Any) -> dict[str, float]:
    """Arm → seconds of one training of it alone on one core: the median of a few epochs, times the
    number of its epochs. The arms take turns, and of each the fastest turn counts: the machine may
    be slower for a while, and not for all arms alike.

    Args:
        arms: as in ``study.compare``.
        rounds: turns of each arm.
        shared: student, data and config.
    """
    ready = {name: at_seed(name, one, 0) for name, one in complete(arms, **shared).items()}
    fastest = dict.fromkeys(ready, math.inf)
    with progress.task("the cost of a training", rounds * len(ready), "measurements") as task:
        for name, arm in list(ready.items()) * rounds:
            fastest[name] = min(fastest[name], _epoch(arm))
            task.advance()
    return {name: fastest[name] * arm.config.epochs for name, arm in ready.items()}


def seconds(call: Callable[[], object]) -> float:
    """Of the fastest of a few calls."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


def _epoch(arm: Arm) -> float:
    few = dataclasses.replace(arm.config, epochs=min(EPOCHS, arm.config.epochs))
    student = training.build(arm.student, 0)
    run = training.fit(student, arm.method, _hardly_evaluated(arm.data), few)
    return float(run.history["seconds"].median())


def _hardly_evaluated(data: Splits) -> Splits:
    """With few images to evaluate on, which is no part of the training."""
    return dataclasses.replace(data, validation=_few(data.validation), test=_few(data.test))


def _few(split: Split) -> Split:
    return split.take(torch.arange(min(IMAGES, len(split))))
