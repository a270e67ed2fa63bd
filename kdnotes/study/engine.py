"""Where runs are computed: in the processes of joblib, each run in one thread.

Nothing in a run relies on shared memory or on the caller's state, so that another joblib backend
can be chosen with ``joblib.parallel_config``, if it uses processes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from kdnotes import store
from kdnotes.machine import single_thread
from kdnotes.study.arms import Arm
from kdnotes.study.stacks import Job, stacked
from kdnotes.training import Run

Result = TypeVar("Result")


def finish(arms: dict[Job, Arm], fresh: bool, workers: int) -> Iterator[tuple[Job, Run]]:
    """Runs as they finish: first the stored ones, which need no worker, then those of the pool."""
    keys = {job: _key(arm) for job, arm in arms.items()}
    _check_backend(workers)
    stored = [] if fresh else [job for job, key in keys.items() if store.is_stored(key)]
    for job in stored:
        yield from _run([job], *_parts([job], arms, keys), fresh)
    missing = {job: arm for job, arm in arms.items() if job not in stored}
    if missing:  # the whole pool shares one import of torch a worker
        groups = stacked(missing, workers)
        work = [delayed(_run)(group, *_parts(group, arms, keys), fresh) for group in groups]
        for finished in Parallel(n_jobs=workers, return_as="generator_unordered")(work):
            yield from finished


def _parts(
    group: list[Job], arms: dict[Job, Arm], keys: dict[Job, str]
) -> tuple[list[store.Training], list[str]]:
    chosen = [arms[job] for job in group]
    trainings = [store.Training(one.student, one.method, one.data, one.config) for one in chosen]
    return trainings, [keys[job] for job in group]


def each(
    work: Callable[..., Result], cases: Iterable[tuple], workers: int | None = None
) -> list[Result]:
    """``[work(*case) for case in cases]``, by the processes that ``compare`` uses, a thread each.

    Args:
        work: may be written in a notebook. It and the cases are copied to the processes, and its
            results back.
        cases: the arguments of each call.
        workers: as for ``compare``.
    """
    jobs = [delayed(_on_one_thread)(work, case) for case in cases]
    return Parallel(n_jobs=number_of_workers(workers))(jobs)


def number_of_workers(workers: int | None) -> int:
    """What is asked for, or KDNOTES_WORKERS, or the number of cores."""
    value = workers
    if value is None:
        value = os.environ.get("KDNOTES_WORKERS") or os.cpu_count() or 1
    if not str(value).isdecimal() or int(value) < 1:
        raise ValueError(
            f"workers (KDNOTES_WORKERS) must be a whole number of at least 1, not {value!r}"
        )
    return int(value)


def _on_one_thread(work: Callable[..., Result], case: tuple) -> Result:
    with single_thread():
        return work(*case)


def _key(arm: Arm) -> str:
    return store.run_key(arm.student, arm.method, arm.data, arm.config)


def _run(
    group: list[Job], trainings: list[store.Training], keys: list[str], fresh: bool
) -> list[tuple[Job, Run]]:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        # ``compare`` has said it, for all processes.
        warnings.simplefilter("ignore", store.NotStoredWarning)
        try:
            runs = store.cached_runs(trainings, fresh=fresh, keys=keys)
        except Exception as error:
            error.add_note(f"in arm {group[0][0]!r}")
            raise
    return list(zip(group, runs, strict=True))


def _check_backend(workers: int) -> None:
    """Threads of one process would share torch's generators (``machine.alone``)."""
    backend, _ = get_active_backend()
    if workers > 1 and getattr(backend, "supports_sharedmem", False):
        raise ValueError(
            f"workers={workers} must be processes, not threads ({type(backend).__name__} of "
            "joblib.parallel_config), which share torch's random numbers: one training at a time "
            "in "
            'a process. Use joblib.parallel_config("loky"), or workers=1'
        )
