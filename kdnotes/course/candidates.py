"""The methods of the comparison, the settings that are tried of each, and what papers claim.

The settings are those of the methods' own chapters, whose stored runs are used again.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdnotes import models, study, teachers, training
from kdnotes.course import baseline
from kdnotes.course.profiles import Settings
from kdnotes.methods import (
    AT,
    BYOT,
    CAMKD,
    CRD,
    CTKD,
    DIST,
    DKD,
    DML,
    ESKD,
    KD,
    PSKD,
    RKD,
    SP,
    AnnealedKD,
    CrossEntropy,
    FitNets,
    GatedKD,
    LabelSmoothing,
    Method,
    MultiTeacherKD,
    StandardizedKD,
    UncertaintyKD,
)
from kdnotes.study import Arm
from kdnotes.teachers import Teacher
from kdnotes.training import Run

BASELINE, STANDARD, SMOOTHING = "CE", "KD", "label smoothing"
LABELS, ONE, SEVERAL = "labels", "one teacher", "several teachers"
# These are also trained for twice the epochs: what the time of a teacher may be spent on instead.
LONGER = (BASELINE, SMOOTHING, STANDARD)

# What papers say: (claim, method, what it is to be better than).
CLAIMS = (
    ("KD beats the labels alone (1503.02531)", STANDARD, BASELINE),
    ("KD beats label smoothing (cf. 1909.11723)", STANDARD, SMOOTHING),
    ("PS-KD beats the labels alone (2006.12000)", "previous epoch (PS-KD)", BASELINE),
    ("born again beats the labels alone (1805.04770)", "born again", BASELINE),
    ("peers beat the labels alone (1706.00384)", "mutual learning (DML)", BASELINE),
    (
        "own teacher beats deep supervision (1905.08094)",
        "own teacher (exits)",
        "deep supervision (exits)",
    ),
    ("DKD beats KD (2203.08679)", "decoupled (DKD)", STANDARD),
    ("standardised logits beat KD (2403.01427)", "standardised logits", STANDARD),
    ("DIST beats KD (2205.10536)", "correlations (DIST)", STANDARD),
    ("curriculum T beats KD (2211.16231)", "curriculum T (CTKD)", STANDARD),
    ("early stop beats KD (1910.01348)", "early stop (ESKD)", STANDARD),
    ("hints beat KD (1412.6550)", "hints (FitNets)", STANDARD),
    ("attention adds to KD (1612.03928)", "attention (AT)", STANDARD),
    ("distances and angles add to KD (1904.05068)", "relations (RKD)", STANDARD),
    ("similarities add to KD (1907.09682)", "similarities (SP)", STANDARD),
    ("contrast adds to KD (1910.10699)", "contrast (CRD)", STANDARD),
    ("an assistant beats direct KD (1902.03393)", "assistant", STANDARD),
    (
        "CA-MKD's weights beat the average (2201.00007)",
        "teachers by confidence (CA-MKD)",
        "teachers averaged",
    ),
)


@dataclass(frozen=True)
class Family:
    """A method with the settings that are tried of it.

    Args:
        settings: name → arm; where there are several, one is chosen.
        uses: ``LABELS``, ``ONE`` or ``SEVERAL``: what the student learns from.
        trainings: how many trainings of about a student's cost one student takes.
        before: seconds of what must be trained before the student can be.
    """

    settings: dict[str, Arm]
    uses: str
    trainings: int = 1
    before: float = 0.0


def families(s: Settings, **options: Any) -> dict[str, Family]:
    """Method → family, from plain to involved.

    What teaches one seed alone (an older generation, an assistant) is trained here, for the seeds
    of the choice and of the report. Smoke tries two settings of a method, at most.

    Args:
        s: sizes, data set, student and seeds.
        options: workers, engine and fresh, as in ``study.compare``.
    """
    first, more = s.teacher(), tuple(s.more_teachers().values())
    shared = {"student": s.student(), "data": s.splits(), "config": s.config(), "report": None}
    seeds = Seeds(range(s.seeds), choice_seeds(s))
    found = {
        **_from_labels(s, seeds, shared | options),
        **_from_one(s, first, seeds, shared | options),
        **_from_several(first, more),
    }
    few = {name: _shortened(one) for name, one in found.items()}
    return s.pick(smoke=few, lesson=found, full=found)


def _shortened(family: Family) -> Family:
    """With the first and the last setting alone: each has been tried in its method's chapter."""
    items = list(family.settings.items())
    return dataclasses.replace(family, settings=dict([items[0], items[-1]]))


def choice_seeds(s: Settings) -> range:
    """The seeds that ``study.choose`` takes for ``s.choice_seeds``."""
    return range(study.FIRST_CHOICE_SEED, study.FIRST_CHOICE_SEED + s.choice_seeds)


@dataclass(frozen=True)
class Seeds:
    """The seeds of the report and those of the choice."""

    report: Sequence[int]
    choice: Sequence[int]

    def __iter__(self) -> Iterator[int]:
        yield from self.report
        yield from self.choice

    def following(self, seed: int) -> int:
        """The next seed of the same kind; after the last the first."""
        ring = self.report if seed in self.report else self.choice
        return ring[(ring.index(seed) + 1) % len(ring)]


def _from_labels(s: Settings, seeds: Seeds, shared: dict[str, Any]) -> dict[str, Family]:
    exits = functools.partial(models.MultiExitStudent, s.student())
    student = s.student()
    pair = functools.partial(models.Cohort, (student, student))
    older, seconds = _earlier(seeds, Arm(CrossEntropy()), shared)

    def by_older(seed: int) -> KD:
        return _taught_by(older, seeds.following(seed), CrossEntropy(), s, s.student())

    def family(settings: Mapping[str, Method | Arm], **cost: Any) -> Family:
        return Family(_arms(settings), LABELS, **cost)

    return {
        BASELINE: family({"": CrossEntropy()}),
        SMOOTHING: family({f"ε = {e:g}": LabelSmoothing(e) for e in (0.1, 0.2)}),
        "deep supervision (exits)": family({"": Arm(BYOT(3.0, 0.0, 0.0), student=exits)}),
        "own teacher (exits)": family(
            {
                "α = 0.7, hint": Arm(BYOT(3.0, 0.3, 0.03), student=exits),
                "α = 0.5": Arm(BYOT(3.0, 0.5, 0.0), student=exits),
            }
        ),
        "previous epoch (PS-KD)": family({f"λ = {past:g}": PSKD(past) for past in (0.3, 0.8)}),
        "born again": family({"1 generation": Arm(by_older)}, trainings=2, before=seconds),
        "mutual learning (DML)": family(
            {f"w = {w:g}": Arm(DML(weight=w), student=pair) for w in (0.5, 1.0, 2.0)}, trainings=2
        ),
    }


def _from_one(
    s: Settings, teacher: Teacher, seeds: Seeds, shared: dict[str, Any]
) -> dict[str, Family]:
    T, a = baseline.TEMPERATURE, baseline.ALPHA
    pairs = models.stages_of_equal_size(training.build(s.student(), 0), teacher.model)
    middle, last = pairs[len(pairs) // 2 : len(pairs) // 2 + 1], pairs[-1:]
    before = teacher.record["seconds"]
    wide = s.student(
        s.pick(
            smoke=functools.partial(models.ResidualStudent, width=6),
            lesson=functools.partial(models.ResidualStudent, width=18),
            full=functools.partial(models.StudentNet, width=48),
        )
    )
    kd = baseline.kd(teacher).method
    assistants, seconds = _earlier(seeds, Arm(kd, student=wide), shared)

    def by_assistant(seed: int) -> KD:
        return _taught_by(assistants, seed, kd, s, wide)

    settings = {
        STANDARD: {baseline.setting(): baseline.kd(teacher)},
        "decoupled (DKD)": {
            f"β = {beta:g}": DKD(teacher, T, 1.0, beta) for beta in (0.25, 0.5, 1.0, 2.0, 8.0)
        },
        "standardised logits": {
            **{f"T = {t:g}": StandardizedKD(teacher, t, a) for t in (1.0, 2.0)},
            "T = 2, α = 0.01": StandardizedKD(teacher, 2.0, 0.01),
        },
        "correlations (DIST)": {f"β = γ = {w:g}": DIST(teacher, 1.0, w, w) for w in (1.0, 2.0)},
        "uncertainty": {
            "weights": UncertaintyKD(teacher, T, a),
            "selected half": UncertaintyKD(teacher, T, a, keep_share=0.5),
        },
        "annealed T or α": {
            "T 4 → 1": AnnealedKD(teacher, (4.0, 1.0), (a, a)),
            "T 1 → 4": AnnealedKD(teacher, (1.0, 4.0), (a, a)),
            "α 0 → 0.5": AnnealedKD(teacher, (T, T), (0.0, 0.5)),
            "α 0.5 → 0": AnnealedKD(teacher, (T, T), (0.5, 0.0)),
        },
        "early stop (ESKD)": {f"u = {u:g}": ESKD(teacher, T, a, until=u) for u in (0.5, 0.75)},
        "curriculum T (CTKD)": {f"T from {T:g}": CTKD(teacher, T, a)},
        "hints (FitNets)": {
            **{f"w = {w:g}": FitNets(teacher, T, a, middle, w) for w in (1.0, 10.0, 100.0)},
            "two phases": FitNets(teacher, T, a, middle, 10.0, alone=1 / 3),
        },
        "attention (AT)": {
            f"β = {beta:g}": AT(teacher, T, a, pairs, beta) for beta in (1.0, 10.0, 100.0, 1000.0)
        },
        "relations (RKD)": {
            f"×{k:g}": RKD(teacher, T, a, last, 25 * k, 50 * k) for k in (0.04, 1.0)
        },
        "similarities (SP)": {f"w = {w:g}": SP(teacher, T, a, last, w) for w in (10.0, 100.0, 3e3)},
        "contrast (CRD)": {f"w = {w:g}": CRD(teacher, T, a, last, w) for w in (0.1, 0.8)},
    }
    found = {name: Family(_arms(named), ONE, before=before) for name, named in settings.items()}
    chain = Family({"": Arm(by_assistant)}, ONE, trainings=2, before=before + seconds)
    return found | {"assistant": chain}


def _from_several(first: Teacher, more: tuple[Teacher, ...]) -> dict[str, Family]:
    T, a, team = baseline.TEMPERATURE, baseline.ALPHA, (first, *more)
    before = sum(teacher.record["seconds"] for teacher in team)
    settings = {
        "teachers averaged": {"": MultiTeacherKD(team, T, a)},
        "teachers by confidence (CA-MKD)": {"": CAMKD(team, T, a)},
        "teachers by a gate": {
            by: GatedKD(team, T, a, train_gate_by=by) for by in ("labels", "imitation")
        },
    }
    return {name: Family(_arms(named), SEVERAL, before=before) for name, named in settings.items()}


def _arms(settings: Mapping[str, Method | Arm]) -> dict[str, Arm]:
    return {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in settings.items()}


def _earlier(seeds: Seeds, arm: Arm, shared: dict[str, Any]) -> tuple[dict[int, Run], float]:
    """Seed → run of the networks that teach, and the seconds of the fastest.

    Whatever else the machine does can only make a run slower.
    """
    done = study.compare({"earlier": arm}, list(seeds), **shared)
    runs = {seed: done.runs["earlier", seed] for seed in seeds}
    return runs, float(done.values("earlier", "seconds").min())


def _taught_by(runs: dict[int, Run], seed: int, method: Method, s: Settings, network: Any) -> KD:
    teacher = teachers.from_run(runs[seed], network, s.splits(), s.config(seed=seed), method)
    return KD(teacher, baseline.TEMPERATURE, baseline.ALPHA)
