"""Where runs are computed: in the processes of joblib, or by Dask; each run in one thread.

Nothing in a run relies on shared memory or on the caller's state, so that another joblib backend
can be chosen with ``joblib.parallel_config``, if it uses processes. Dask (``study.cluster``) is for
the processes of other machines.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from joblib import Parallel, cpu_count, delayed
from joblib.parallel import get_active_backend

from kdnotes import progress, store
from kdnotes.machine import single_thread
from kdnotes.study.arms import Arm
from kdnotes.study.stacks import Job, stacked, told, trainings
from kdnotes.training import Run

Result = TypeVar("Result")


def finish(
    arms: dict[Job, Arm], fresh: bool, engine: str, workers: int, report: Callable[[str], None],
    task: progress.Task,
) -> Iterator[tuple[Job, Run]]:  # fmt: skip
    """Runs as they finish: first the stored ones, which need no worker, then those of the pool.

    Args:
        engine: as ``chosen`` gives it.
        report: told what happens to the workers.
        task: told how far it is; its work is measured in epochs.
    """
    keys = {job: store.run_key(*trainings([job], arms)[0]) for job in arms}
    if engine == "local":
        _check_backend(workers)
    stored = [] if fresh else [job for job, key in keys.items() if store.is_stored(key)]
    for job in stored:
        yield from _run([job], trainings([job], arms), [keys[job]], fresh)[0]
    missing = {job: arm for job, arm in arms.items() if job not in stored}
    task.skip(len(stored), epochs_of(arms[job] for job in stored))
    if not missing:
        return
    if engine != "local":
        from kdnotes.study import cluster

        for job, run in cluster.finish(missing, keys, engine, workers, report):
            task.advance(1, epochs_of([arms[job]]))
            yield job, store.keep(run, keys[job], fresh=fresh)
        return
    groups = stacked(missing, workers)
    with _places(len(groups)) as places:
        # The whole pool shares one import of torch a worker.
        work = [
            delayed(_run)(group, trainings(group, arms), [keys[job] for job in group], fresh, place)
            for group, place in zip(groups, places, strict=True)
        ]
        sizes = [epochs_of(arms[job] for job in group) for group in groups]
        task.parts = {place: size for place, size in zip(places, sizes, strict=True) if place}
        for finished, place in Parallel(n_jobs=workers, return_as="generator_unordered")(work):
            runs = dict(finished)
            task.advance(len(runs), epochs_of(arms[job] for job in runs), place)
            yield from finished


def epochs_of(arms: Iterable[Arm]) -> int:
    """How many epochs these trainings have together."""
    return sum(arm.config.epochs for arm in arms)


@contextlib.contextmanager
def _places(count: int) -> Iterator[list[Path | None]]:
    """Files in which processes say how far they are, if anybody looks."""
    if not progress.is_watched():
        yield [None] * count
        return
    with tempfile.TemporaryDirectory(prefix="kdnotes-", ignore_cleanup_errors=True) as folder:
        yield [Path(folder, str(number)) for number in range(count)]


def chosen(engine: str | None, name: str = "engine (KDNOTES_ENGINE)") -> str:
    """What is asked for, or KDNOTES_ENGINE, or "local".

    Raises:
        ValueError: there is no such engine, or its package is not installed.
    """
    value = (os.environ.get("KDNOTES_ENGINE") or "local") if engine is None else engine
    address = r"dask:([a-z]+://)?[^\s/]+:\d+"
    if value not in ("local", "dask") and not re.fullmatch(address, str(value)):
        known = "'local', 'dask' or 'dask:ADDRESS' (such as dask:tcp://127.0.0.1:8786)"
        raise ValueError(f"{name} must be {known}, not {value!r}")
    if value != "local" and importlib.util.find_spec("distributed") is None:
        raise ValueError(
            f"{name} {value!r} needs the package distributed: install the extra kdnotes[dask] "
            "(in the project's folder: pip install -e '.[dask]'), or choose 'local'"
        )
    return value


def each(
    work: Callable[..., Result], cases: Iterable[tuple], workers: int | None = None
) -> list[Result]:
    """``[work(*case) for case in cases]``, by processes of this computer, a thread each.

    Args:
        work: may be written in a notebook. It and the cases are copied to the processes, and its
            results back.
        cases: the arguments of each call.
        workers: as for ``compare``.
    """
    cases = list(cases)
    what = getattr(work, "__name__", "work").strip("_<>").replace("_", " ")
    with progress.task(what, len(cases), "calls") as task, _places(len(cases)) as places:
        task.parts = {place: 0 for place in places if place}  # for what they say; how far they are:
        task.live = lambda: sum(progress.read(place)[0] for place in list(task.parts))
        jobs = [
            delayed(_on_one_thread)(work, case, place)
            for case, place in zip(cases, places, strict=True)
        ]
        return Parallel(n_jobs=number_of_workers(workers))(jobs)


def number_of_workers(workers: int | None) -> int:
    """What is asked for, or KDNOTES_WORKERS, or the number of cores that this process may use: of a
    container, say, that has two of a computer's sixty-four.
    """
    value = workers
    if value is None:
        value = os.environ.get("KDNOTES_WORKERS") or cpu_count()
    if not str(value).isdecimal() or int(value) < 1:
        raise ValueError(
            f"workers (KDNOTES_WORKERS) must be a whole number of at least 1, not {value!r}"
        )
    return int(value)


def _on_one_thread(work: Callable[..., Result], case: tuple, place: Path | None) -> Result:
    with single_thread(), progress.reporting(place):
        return work(*case)


def _run(
    group: list[Job], parts: list[store.Training], keys: list[str], fresh: bool,
    place: Path | None = None,
) -> tuple[list[tuple[Job, Run]], Path | None]:  # fmt: skip
    with warnings.catch_warnings(), told(group), progress.reporting(place):
        warnings.simplefilter("default")
        # ``compare`` has said it, for all processes.
        warnings.simplefilter("ignore", store.NotStoredWarning)
        warnings.simplefilter("ignore", store.SharedStoreWarning)
        runs = store.cached_runs(parts, fresh=fresh, keys=keys)
    return list(zip(group, runs, strict=True)), place


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
