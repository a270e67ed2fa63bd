"""Comparisons: arms × seeds, paired, run in parallel, stored, and summarised with intervals."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from torch import nn

from kdnotes import progress, store
from kdnotes.data import Splits
from kdnotes.methods import Method
from kdnotes.study.arms import Arm, at_seed, check_fresh, check_paired, complete
from kdnotes.study.engine import chosen, epochs_of, finish, number_of_workers
from kdnotes.study.results import Study
from kdnotes.study.seeds import seeds_of
from kdnotes.study.stacks import Job
from kdnotes.training import Config, Run


def compare(
    arms: Mapping[str, Method | Arm],
    seeds: int | Sequence[int] = 5,
    *,
    student: Callable[[], nn.Module] | None = None,
    data: Splits | None = None,
    config: Config | None = None,
    workers: int | None = None,
    engine: str | None = None,
    fresh: bool | None = None,
    report: Callable[[str], None] | None = print,
) -> Study:
    """Train every arm with every seed.

    The arms of a seed start from equal weights and see equal batches. Each run is in one thread, so
    that the result is bit-equal whatever ``workers`` is. Finished runs are stored, and reused
    unless ``fresh``.

    Args:
        arms: name → ``Method`` or ``Arm``.
        seeds: a number, for 0 … number − 1; or the seeds themselves, such as ``range(5, 15)``.
        student, data, config: what the arms share.
        workers: processes; by default the number of cores, or KDNOTES_WORKERS.
        engine: where they are: "local"; "dask", a Dask cluster on this computer for the time of the
            comparison; "dask:ADDRESS" of a scheduler, whose workers are all used, whatever
            ``workers`` is. By default KDNOTES_ENGINE, or "local". The results are equal.
        fresh: ignore stored runs; by default KDNOTES_FRESH=1.
        report: called with one line an arm, in the order of ``arms``, when it is finished, and
            with one where a worker is lost (``None``: silent).

    Raises:
        ValueError: an arm was chosen on one of the seeds; the workers would be threads of one
            process; there is no such engine; or KDNOTES_STORE names nothing that can be read.
        RuntimeError: a worker of Dask has another kdnotes, Python or torch; or a training ends
            whatever worker it is given to.
        OSError: there is no cache folder, and none can be made.
        NotPairedError: arms of equal architecture started from other weights, or arms of equal data
            and schedule saw other batches.
    """
    named = complete(arms, student=student, data=data, config=config)
    seeds = seeds_of("seeds", seeds)
    check_fresh(named, seeds)
    jobs = {(name, seed): at_seed(name, arm, seed) for name, arm in named.items() for seed in seeds}
    fresh = os.environ.get("KDNOTES_FRESH") == "1" if fresh is None else fresh
    store.check_store()
    by_seed = {(name, seed): jobs[name, seed] for seed in seeds for name in named}
    finished, waiting = {}, list(named)
    places = chosen(engine), number_of_workers(workers)
    with progress.task("study", len(jobs), "trainings", epochs_of(jobs.values())) as task:
        for job, run in finish(by_seed, fresh, *places, report or (lambda line: None), task):
            finished[job] = run
            while waiting and all((waiting[0], seed) in finished for seed in seeds):
                _report_arm(waiting.pop(0), finished, report)
    runs = {job: finished[job] for job in jobs}
    check_paired(named, runs)
    return Study(_frame(runs), runs)


def _report_arm(name: str, runs: dict[Job, Run], report: Callable[[str], None] | None) -> None:
    if report is None:
        return
    mine = [run for (arm, _), run in runs.items() if arm == name]
    stored = [run.created for run in mine if run.cached]
    origin = "computed now"
    if stored:
        origin = f"{len(stored)} of {len(mine)} cached, computed {min(stored)}"
        if shared := sum(isinstance(run, store.SharedRun) for run in mine):
            origin += f"; {shared} from the shared store"
    report(f"{name}: {len(mine)} runs, {sum(run.seconds for run in mine):.1f} s ({origin})")


def _frame(runs: dict[Job, Run]) -> pd.DataFrame:
    rows = []
    for (name, seed), run in runs.items():
        row = {"arm": name, "seed": seed, **run.metrics, "seconds": run.seconds}
        rows.append(row | {"created": run.created, "cached": run.cached})
    return pd.DataFrame(rows)
