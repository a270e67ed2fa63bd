"""Comparisons: arms × seeds, paired, run in parallel, cached, and summarised with intervals."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from torch import nn

from kdnotes import store as cache
from kdnotes.data import Splits
from kdnotes.methods import Method
from kdnotes.metrics import Interval, mean_interval
from kdnotes.training import Config, Run, single_thread

__all__ = ["Arm", "NotPairedError", "PerSeed", "Study", "compare", "each", "in_words", "together"]

Result = TypeVar("Result")


class NotPairedError(RuntimeError):
    """Arms of one comparison started from different weights, or saw different batches."""


@dataclass(frozen=True)
class PerSeed:
    """A student that depends on the seed, such as one that starts from an earlier run of the same seed.

    Args:
        build: function from the seed to the function that builds the student.
    """

    build: Callable[[int], Callable[[], nn.Module]]

    def __call__(self) -> nn.Module:
        raise TypeError("PerSeed needs a seed: it is for the student of study.Arm")


@dataclass(frozen=True)
class Arm:
    """One side of a comparison; what is ``None`` is taken from ``compare``'s arguments.

    Args:
        method: how the student is trained; or a function from the seed to it, where each seed has a teacher of its own.
        student: builds the student, such as ``functools.partial(StudentNet, in_channels=1, width=16)``; or ``PerSeed``.
        data: the splits.
        config: the schedule; its seed is replaced by each seed of the study.
    """

    method: Method | Callable[[int], Method]
    student: Callable[[], nn.Module] | PerSeed | None = None
    data: Splits | None = None
    config: Config | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """Finished runs of a comparison.

    Args:
        frame: one row a run: arm, seed, the run's metrics (fractions and nats), seconds, created, cached.
        runs: the ``Run`` of each (arm, seed).
    """

    frame: pd.DataFrame
    runs: dict[tuple[str, int], Run]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(self.frame["arm"]))

    def values(self, arm: str, metric: str = "test_accuracy") -> pd.Series:
        """The metric of an arm, indexed by seed."""
        if arm not in self.arms:
            raise ValueError(f"arm must be one of {self.arms}, not {arm!r}")
        if metric not in self.frame.columns:
            raise ValueError(f"metric must be one of {list(self.frame.columns[2:])}, not {metric!r}")
        return self.frame[self.frame["arm"] == arm].set_index("seed")[metric]

    def interval(self, arm: str, metric: str = "test_accuracy") -> Interval:
        """Mean of an arm over seeds, with the 95 % interval of Student's t."""
        return mean_interval(self.values(arm, metric))

    def difference(self, arm: str, baseline: str, metric: str = "test_accuracy", *, level: float = 0.95) -> Interval:
        """Mean of (arm − baseline) seed by seed, with the interval of the paired t-test at ``level``.

        It unpacks as ``mean, low, high``; ``.resolved`` tells whether 0 lies outside.
        """
        return mean_interval(self.values(arm, metric) - self.values(baseline, metric), level)

    def table(self, baseline: str, metric: str = "test_accuracy", *, level: float | None = None) -> pd.DataFrame:
        """One row an arm: the metric at 95 %, and the paired difference from ``baseline``, in points.

        The differences of the table are judged together (``differences``). Where they belong to a larger group,
        ``level`` is that of one difference of the group; the columns then name it. "only uncorrected" is a difference
        that its 95 % interval alone would resolve.
        """
        at = "" if level is None else f" ({100 * level:.1f} %)"
        level = 1 - 0.05 / max(len(self.arms) - 1, 1) if level is None else level
        rows = []
        for arm in self.arms:
            difference = None if arm == baseline else self.difference(arm, baseline, metric, level=level)
            alone = self.difference(arm, baseline, metric)
            rows.append(
                {
                    "arm": arm,
                    f"{metric} %": self.interval(arm, metric).points(signed=False),
                    f"difference from {baseline}{at}": difference.points() if difference else "",
                    f"resolved{at}": in_words(difference, alone) if difference else "",
                }
            )
        return pd.DataFrame(rows).set_index("arm")

    def best(self, metric: str = "validation_accuracy", among: list[str] | None = None) -> str:
        """The arm with the highest mean of a *validation* metric: settings are never chosen on the test set."""
        if metric.startswith("test_"):
            raise ValueError(f"metric must not be a test metric, but {metric!r} is: choose on validation")
        if among is not None and not among:
            raise ValueError(f"among must name at least one of {self.arms}, or be None, not {among!r}")
        return max(among or self.arms, key=lambda arm: self.values(arm, metric).mean())

    def differences(self, pairs: Mapping[str, tuple[str, str]], metric: str = "test_accuracy") -> dict[str, Interval]:
        """Paired differences that are judged together: *all* of their intervals hold at 95 % (``together``).

        Args:
            pairs: name → (arm, baseline).
        """
        return together(
            {name: self.values(arm, metric) - self.values(other, metric) for name, (arm, other) in pairs.items()}
        )


def together(samples: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Intervals of differences that are judged together, so that *all* of them hold at 95 % (Bonferroni).

    Of n differences each has the level 1 − 0.05/n.

    Args:
        samples: name → one paired difference a seed; the numbers of seeds may differ.
    """
    return {name: mean_interval(values, 1 - 0.05 / len(samples)) for name, values in samples.items()}


def in_words(corrected: Interval, alone: Interval) -> str:
    """Whether a difference is resolved among those judged with it: "yes", "only uncorrected" or "no"."""
    return "yes" if corrected.resolved else "only uncorrected" if alone.resolved else "no"


def compare(
    arms: Mapping[str, Method | Arm],
    seeds: int = 5,
    *,
    student: Callable[[], nn.Module] | None = None,
    data: Splits | None = None,
    config: Config | None = None,
    workers: int | None = None,
    fresh: bool | None = None,
    report: Callable[[str], None] | None = print,
) -> Study:
    """Train every arm with every seed 0 … seeds − 1; the arms of a seed start from equal weights and see equal batches.

    Runs go through joblib, each in one thread, so that the result is bit-equal whatever ``workers`` is, and another
    joblib backend can be chosen with ``joblib.parallel_config``, if it uses processes. Finished runs are stored, and
    reused unless ``fresh``.

    Args:
        arms: name → ``Method`` or ``Arm``.
        seeds: number of seeds.
        student, data, config: what the arms share.
        workers: processes; by default the number of cores, or KDNOTES_WORKERS.
        fresh: ignore stored runs; by default KDNOTES_FRESH=1.
        report: called with one line an arm, in the order of ``arms``, when it is finished (``None``: silent).

    Raises:
        ValueError: the workers would be threads of one process.
        OSError: there is no cache folder, and none can be made.
        NotPairedError: arms of equal architecture started from other weights, or arms of equal data and schedule saw
            other batches.
    """
    complete = {name: _complete(name, arm, student, data, config) for name, arm in _check_arms(arms, seeds).items()}
    each = {(name, seed): _at_seed(name, arm, seed) for name, arm in complete.items() for seed in range(seeds)}
    fresh = os.environ.get("KDNOTES_FRESH") == "1" if fresh is None else fresh
    cache.check_store()
    jobs = [(name, seed) for seed in range(seeds) for name in complete]
    runs: dict[tuple[str, int], Run] = {}
    waiting = list(complete)
    for job, run in _finished({job: each[job] for job in jobs}, fresh, _workers(workers)):
        runs[job] = run
        while waiting and all((waiting[0], seed) in runs for seed in range(seeds)):
            _report_arm(waiting.pop(0), runs, report)
    runs = {job: runs[job] for job in sorted(jobs, key=lambda job: (list(complete).index(job[0]), job[1]))}
    _check_paired(complete, runs)
    return Study(_frame(runs), runs)


def _finished(arms: dict[tuple[str, int], Arm], fresh: bool, workers: int) -> Iterator[tuple[tuple[str, int], Run]]:
    """Runs as they finish: first the stored ones, which need no worker, then those of the pool."""
    keys = {job: _key(arm) for job, arm in arms.items()}
    _check_backend(workers)
    stored = [] if fresh else [job for job, key in keys.items() if cache.is_stored(key)]
    for job in stored:
        yield _run(job, arms[job], fresh, keys[job])
    missing = [job for job in arms if job not in stored]
    missing.sort(key=lambda job: -arms[job].config.epochs)  # the longest first, so that no worker waits long at the end
    if missing:  # the whole pool shares one import of torch a worker
        work = [delayed(_run)(job, arms[job], fresh, keys[job]) for job in missing]
        yield from Parallel(n_jobs=workers, return_as="generator_unordered")(work)


def each(work: Callable[..., Result], cases: Iterable[tuple], workers: int | None = None) -> list[Result]:
    """``[work(*case) for case in cases]``, by the processes that ``compare`` uses, each call on one thread.

    Args:
        work: may be written in a notebook. It and the cases are copied to the processes, and its results back.
        cases: the arguments of each call.
        workers: as for ``compare``.
    """
    return Parallel(n_jobs=_workers(workers))(delayed(_on_one_thread)(work, case) for case in cases)


def _on_one_thread(work: Callable[..., Result], case: tuple) -> Result:
    with single_thread():
        return work(*case)


def _at_seed(name: str, arm: Arm, seed: int) -> Arm:
    method = arm.method if isinstance(arm.method, Method) else arm.method(seed)
    if not isinstance(method, Method):
        raise TypeError(f"method of arm {name!r} must give a Method for each seed, not {type(method).__name__}")
    student = arm.student.build(seed) if isinstance(arm.student, PerSeed) else arm.student
    _check_student(name, student)
    return dataclasses.replace(arm, method=method, student=student, config=dataclasses.replace(arm.config, seed=seed))


def _key(arm: Arm) -> str:
    return cache.run_key(arm.student, arm.method, arm.data, arm.config)


def _run(job: tuple[str, int], arm: Arm, fresh: bool, key: str) -> tuple[tuple[str, int], Run]:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", cache.NotStoredWarning)  # ``compare`` has said it, for all processes
        try:
            return job, cache.cached_run(arm.student, arm.method, arm.data, arm.config, fresh=fresh, key=key)
        except Exception as error:
            error.add_note(f"in arm {job[0]!r} with seed {job[1]}")
            raise


def _check_backend(workers: int) -> None:
    """Trainings share torch's generators where they are threads of one process (``training.alone``)."""
    backend, _ = get_active_backend()
    if workers > 1 and getattr(backend, "supports_sharedmem", False):
        raise ValueError(
            f"workers={workers} must be processes, not threads ({type(backend).__name__} of joblib.parallel_config), "
            "which share torch's random numbers: one training at a time in a process. Use "
            'joblib.parallel_config("loky"), or workers=1'
        )


def _complete(name: str, arm: Method | Arm, student, data, config) -> Arm:
    arm = arm if isinstance(arm, Arm) else Arm(arm)
    if not isinstance(arm.method, Method) and (not callable(arm.method) or isinstance(arm.method, (type, nn.Module))):
        raise TypeError(f"method of arm {name!r} must be a Method, not {_kind(arm.method)}")
    defaults = {"student": student, "data": data, "config": config}
    arm = dataclasses.replace(arm, **{key: value for key, value in defaults.items() if getattr(arm, key) is None})
    for key, kind in (("data", Splits), ("config", Config)):
        if not isinstance(getattr(arm, key), kind):
            raise TypeError(f"{key} of arm {name!r} must be a {kind.__name__}, not {type(getattr(arm, key)).__name__}")
    _check_student(name, arm.student)
    return arm


def _check_student(name: str, student: object) -> None:
    if not callable(student) or isinstance(student, nn.Module):
        raise TypeError(
            f"student of arm {name!r} must be a function that builds the network, such as "
            f"functools.partial(StudentNet, width=16), not {type(student).__name__}"
        )


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _check_arms(arms: Mapping[str, Method | Arm], seeds: int) -> Mapping[str, Method | Arm]:
    if not isinstance(arms, Mapping) or not arms:
        raise ValueError(f"arms must be a non-empty mapping of names to methods, not {arms!r}")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"seeds must be a whole number of at least 1, not {seeds!r}")
    return arms


def _workers(workers: int | None) -> int:
    value = workers if workers is not None else os.environ.get("KDNOTES_WORKERS") or os.cpu_count() or 1
    text = str(value)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"workers (KDNOTES_WORKERS) must be a whole number of at least 1, not {value!r}")
    return int(text)


def _report_arm(name: str, runs: dict[tuple[str, int], Run], report: Callable[[str], None] | None) -> None:
    if report is None:
        return
    mine = [run for (arm, _), run in runs.items() if arm == name]
    stored = [run.created for run in mine if run.cached]
    origin = f"{len(stored)} of {len(mine)} cached, computed {min(stored)}" if stored else "computed now"
    report(f"{name}: {len(mine)} runs, {sum(run.seconds for run in mine):.1f} s ({origin})")


def _check_paired(arms: dict[str, Arm], runs: dict[tuple[str, int], Run]) -> None:
    starts: dict[object, tuple[str, str]] = {}
    orders: dict[object, tuple[str, str]] = {}
    for (name, seed), run in runs.items():
        arm = arms[name]
        shapes = tuple((key, tuple(tensor.shape)) for key, tensor in run.state.items())
        schedule = (arm.config.epochs, arm.config.batch_size, arm.config.views, len(arm.data.train))
        for seen, identity, value, what in (
            (starts, (seed, shapes), run.start, "start from other weights"),
            (orders, (seed, schedule), run.order, "see other batches"),
        ):
            other, known = seen.setdefault(identity, (name, value))
            if known != value:
                raise NotPairedError(
                    f"arms {other!r} and {name!r} {what} at seed {seed}: their difference is no effect"
                )


def _frame(runs: dict[tuple[str, int], Run]) -> pd.DataFrame:
    rows = [
        {"arm": name, "seed": seed, **run.metrics, "seconds": run.seconds, "created": run.created, "cached": run.cached}
        for (name, seed), run in runs.items()
    ]
    return pd.DataFrame(rows)
