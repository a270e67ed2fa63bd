"""Comparisons of language models: arms × seeds, paired, in parallel, stored; and choices.

The summary is that of images: ``study.Study``, whose metrics here are ``test_nll`` (nats a token)
and ``test_accuracy``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdnotes import checks, store, study
from kdnotes.data import Corpus
from kdnotes.language.loop import Schedule, StringRun, fit
from kdnotes.language.methods import StringMethod
from kdnotes.models import Decoder
from kdnotes.store.folder import load_or_make
from kdnotes.study.arms import check_fresh
from kdnotes.study.seeds import FIRST_CHOICE_SEED, seeds_of
from kdnotes.training import build

METRIC = "validation_nll"


@dataclass(frozen=True)
class StringArm:
    """One side of a comparison; what is ``None`` is taken from ``compare``'s arguments.

    Args:
        method: how the student is trained.
        student: builds the student, such as ``functools.partial(Decoder, 27, 14, heads=2)``.
        corpus: the strings.
        schedule: its seed is replaced by each seed of the study.
        chosen_on: the seeds on which ``choose`` chose this arm.
    """

    method: StringMethod
    student: Callable[[], Decoder] | None = None
    corpus: Corpus | None = None
    schedule: Schedule | None = None
    chosen_on: Sequence[int] | None = None


@dataclass(frozen=True, eq=False)
class StringChoice:
    """The arm that was chosen by its validation NLL.

    Args:
        name: of the arm.
        arm: as it was given; ``compare`` refuses to report it on the seeds of the choice.
        seeds: of the choice.
        study: all arms on these seeds, without any test metric.
    """

    name: str
    arm: StringArm
    seeds: tuple[int, ...]
    study: study.Study

    def __str__(self) -> str:
        mean = self.study.interval(self.name, METRIC).mean
        count = len(self.study.arms)
        return f"{self.name} is chosen: validation NLL {mean:.4f}, the lowest of {count} arms"


def trained(factory: Callable[[], Decoder], run: StringRun) -> Decoder:
    """The model as a run left it, in eval mode."""
    model = build(factory, 0)
    model.load_state_dict(run.state)
    return model.eval()


def run_key(
    factory: Callable[[], Decoder], method: StringMethod, corpus: Corpus, schedule: Schedule
) -> str:
    """The key under which ``cached_run`` stores this run."""
    numbers = [torch.__version__, torch.get_default_dtype(), store.product_precision()]
    return store.fingerprint([fit, build, *numbers, factory, method, corpus, schedule])


def cached_run(
    factory: Callable[[], Decoder],
    method: StringMethod,
    corpus: Corpus,
    schedule: Schedule,
    *,
    fresh: bool = False,
) -> StringRun:
    """``fit`` of a newly built student, or its stored result (then ``run.cached``)."""
    return load_or_make(
        store.Entry("runs", run_key(factory, method, corpus, schedule)),
        _run_of,
        lambda: fit(build(factory, schedule.seed), method, corpus, schedule),
        _write_run,
        fresh=fresh,
    )


def compare(
    arms: Mapping[str, StringMethod | StringArm],
    seeds: int | Sequence[int] = 5,
    *,
    student: Callable[[], Decoder] | None = None,
    corpus: Corpus | None = None,
    schedule: Schedule | None = None,
    workers: int | None = None,
    fresh: bool | None = None,
    report: Callable[[str], None] | None = print,
) -> study.Study:
    """Train every arm with every seed; arms of a seed share initial weights and batches.

    Args:
        arms: name → ``StringMethod`` or ``StringArm``.
        seeds: a number, for 0 … number − 1; or the seeds themselves.
        student, corpus, schedule: what the arms share.
        workers: processes, a thread each; by default the number of cores, or KDNOTES_WORKERS.
        fresh: ignore stored runs; by default KDNOTES_FRESH=1.
        report: called with one line an arm when all is finished (``None``: silent).

    Raises:
        ValueError: there is no arm, or one was chosen on one of the seeds.
        TypeError: something of an arm is missing, or of the wrong kind.
        NotPairedError: arms of equal architecture started from other weights, or arms of equal data
            and schedule saw other batches.
    """
    named = complete(arms, student=student, corpus=corpus, schedule=schedule)
    seeds = seeds_of("seeds", seeds)
    check_fresh(named, seeds)
    fresh = os.environ.get("KDNOTES_FRESH") == "1" if fresh is None else fresh
    store.check_store()
    jobs = {(name, seed): _case(arm, seed, fresh) for seed in seeds for name, arm in named.items()}
    there = {job for job, case in jobs.items() if not fresh and store.is_stored(run_key(*case[:4]))}
    missing = [job for job in jobs if job not in there]
    found = {job: _finish(*jobs[job]) for job in there}
    if missing:
        computed = study.each(_finish, [jobs[job] for job in missing], workers)
        found |= dict(zip(missing, computed, strict=True))
    runs = {(name, seed): found[name, seed] for name in named for seed in seeds}
    _check_paired(named, runs)
    rows = [
        {"arm": name, "seed": seed, **run.metrics, "seconds": run.seconds}
        | {"created": run.created, "cached": run.cached}
        for (name, seed), run in runs.items()
    ]
    for name in named if report else ():
        _report(name, [run for (arm, _), run in runs.items() if arm == name], report)
    return study.Study(pd.DataFrame(rows), runs)


def choose(
    arms: Mapping[str, StringMethod | StringArm], seeds: int | Sequence[int] = 3, **options: Any
) -> StringChoice:
    """Train every arm, and choose the one with the lowest mean validation NLL.

    Args:
        arms: name → ``StringMethod`` or ``StringArm``, at least two.
        seeds: so many from 1000 on, or the seeds themselves: none that a report uses.
        options: as in ``compare``.
    """
    given = _as_arms(arms)
    if len(given) < 2:
        raise ValueError(f"arms must be at least 2 to choose from, not {list(given)}")
    own = seeds_of("seeds", seeds, FIRST_CHOICE_SEED)
    anew = {name: dataclasses.replace(arm, chosen_on=None) for name, arm in given.items()}
    frame = compare(anew, own, **options).frame
    seen = study.Study(frame.drop(columns=[one for one in frame if one.startswith("test_")]), {})
    name = min(given, key=lambda arm: round(seen.values(arm, METRIC).mean(), 12))
    before = given[name].chosen_on or ()
    arm = dataclasses.replace(given[name], chosen_on=tuple(dict.fromkeys((*before, *own))))
    return StringChoice(name, arm, own, seen)


def _case(arm: StringArm, seed: int, fresh: bool) -> tuple:
    schedule = dataclasses.replace(arm.schedule, seed=seed)
    return arm.student, arm.method, arm.corpus, schedule, fresh


def _finish(
    factory: Callable[[], Decoder], method: StringMethod, corpus: Corpus, schedule: Schedule,
    fresh: bool,
) -> StringRun:  # fmt: skip
    return cached_run(factory, method, corpus, schedule, fresh=fresh)


def _as_arms(arms: Mapping[str, StringMethod | StringArm]) -> dict[str, StringArm]:
    if not isinstance(arms, Mapping) or not arms:
        raise ValueError(f"arms must be a non-empty mapping of names to methods, not {arms!r}")
    return {n: one if isinstance(one, StringArm) else StringArm(one) for n, one in arms.items()}


def complete(arms: Mapping[str, StringMethod | StringArm], **shared: Any) -> dict[str, StringArm]:
    """Every arm with what all share, checked.

    Raises:
        ValueError: there is no arm.
        TypeError: something of an arm is missing, or of the wrong kind.
    """
    named = {}
    for name, arm in _as_arms(arms).items():
        missing = {key: value for key, value in shared.items() if getattr(arm, key) is None}
        arm = dataclasses.replace(arm, **missing)
        checks.instance(StringMethod)(f"method of arm {name!r}", arm.method)
        checks.builder(f"student of arm {name!r}", arm.student)
        checks.instance(Corpus, said="a kdnotes.data.Corpus")(f"corpus of arm {name!r}", arm.corpus)
        checks.instance(Schedule)(f"schedule of arm {name!r}", arm.schedule)
        named[name] = arm
    return named


def _check_paired(arms: dict[str, StringArm], runs: dict[tuple[str, int], StringRun]) -> None:
    seen: dict[object, tuple[str, str]] = {}
    for (name, seed), run in runs.items():
        shapes = tuple((key, tuple(tensor.shape)) for key, tensor in run.state.items())
        schedule, count = arms[name].schedule, len(arms[name].corpus.train)
        batches = (schedule.steps, schedule.batch_size, count)
        for identity, value, what in (
            (("start", seed, shapes), run.start, "start from other weights"),
            (("order", seed, batches), run.order, "see other batches"),
        ):
            first, known = seen.setdefault(identity, (name, value))
            if known != value:
                raise study.NotPairedError(
                    f"arms {first!r} and {name!r} {what} at seed {seed}: their difference is no "
                    "effect"
                )


def _report(name: str, runs: list[StringRun], report: Callable[[str], None]) -> None:
    stored = [run.created for run in runs if run.cached]
    origin = f"{len(stored)} of {len(runs)} cached, computed {min(stored)}" if stored else ""
    seconds = sum(run.seconds for run in runs)
    report(f"{name}: {len(runs)} runs, {seconds:.1f} s ({origin or 'computed now'})")


def _write_run(path: Path, run: StringRun) -> None:
    named = ("metrics", "seconds", "start", "order", "created")
    record = {name: getattr(run, name) for name in named}
    record["history"] = run.history.astype(object).where(run.history.notna(), None).to_dict("list")
    store.write(path, run.state, record)


def _run_of(tensors: dict[str, Tensor], record: dict[str, Any], shared: bool) -> StringRun:
    history = pd.DataFrame(record.pop("history")).astype(float).astype({"step": int})
    return StringRun(history=history, state=tensors, cached=True, **record)
