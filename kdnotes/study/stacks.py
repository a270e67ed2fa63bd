"""Which runs are trained as one network, so that all workers are done at about the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping

from kdnotes import store, training
from kdnotes.study.arms import Arm

Job = tuple[str, int]  # arm and seed


def stacked(arms: Mapping[Job, Arm], workers: int) -> list[list[Job]]:
    """The runs in groups that are trained together, the longest group first.

    Together are seeds of one arm, as many as leave no worker idle: with a worker a run, each is
    alone. A run's numbers do not depend on its group (``training.is_exact``).
    """
    by_arm: dict[str, list[Job]] = {}
    for job in arms:
        by_arm.setdefault(job[0], []).append(job)
    largest = {name: _largest(arms, jobs, workers) for name, jobs in by_arm.items()}
    ways = [
        [part for name, jobs in by_arm.items() for part in _parts(jobs, min(size, largest[name]))]
        for size in range(training.STACKED, 0, -1)
    ]
    cost = functools.partial(_cost, arms)
    best = min(ways, key=lambda groups: _until_all_are_done(map(cost, groups), workers))
    return sorted(best, key=cost, reverse=True)


def trainings(group: list[Job], arms: Mapping[Job, Arm]) -> list[store.Training]:
    """What the runs of a group are computed from."""
    chosen = [arms[job] for job in group]
    return [store.Training(one.student, one.method, one.data, one.config) for one in chosen]


@contextlib.contextmanager
def told(group: list[Job]) -> Iterator[None]:
    """An error tells the arm in which it was raised."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in arm {group[0][0]!r}")
        raise


def _largest(arms: Mapping[Job, Arm], jobs: list[Job], workers: int) -> int:
    """How many seeds of an arm may be trained together."""
    if len(jobs) == 1 or workers >= len(arms):
        return 1
    arm = arms[jobs[0]]
    same = all(
        arms[job].data is arm.data
        and dataclasses.replace(arms[job].config, seed=arm.config.seed) == arm.config
        for job in jobs
    )
    count = min(len(jobs), training.STACKED)
    exact = same and training.is_exact(arm.student, arm.data, arm.config, count)
    return count if exact else 1


def _parts(jobs: list[Job], size: int) -> list[list[Job]]:
    """As few groups as this size allows, of nearly equal sizes."""
    number = -(-len(jobs) // size)
    bounds = [len(jobs) * k // number for k in range(number + 1)]
    return [jobs[low:high] for low, high in itertools.pairwise(bounds)]


def _cost(arms: Mapping[Job, Arm], group: list[Job]) -> float:
    """About how long it takes; of a stack's time some is spent once, whatever its size."""
    return arms[group[0]].config.epochs * (0.5 + 0.5 * len(group))


def _until_all_are_done(costs: Iterable[float], workers: int) -> float:
    """If each worker takes the longest of what is left."""
    busy = [0.0] * workers
    for one in sorted(costs, reverse=True):
        heapq.heapreplace(busy, busy[0] + one)
    return max(busy)
