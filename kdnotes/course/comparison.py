"""Every method of chapters 3 to 8 from equal starts: the study of chapter 9 and of the command
``kdnotes compare``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdnotes import metrics, models, study, teachers
from kdnotes.course.profiles import Settings
from kdnotes.data import Splits
from kdnotes.methods import (
    BYOT,
    CAMKD,
    CTKD,
    DKD,
    KD,
    PSKD,
    AnnealedKD,
    CrossEntropy,
    GatedKD,
    LabelSmoothing,
    MultiTeacherKD,
    StandardizedKD,
    UncertaintyKD,
)  # fmt: skip
from kdnotes.metrics import Interval, mean_interval
from kdnotes.study import Arm, Study
from kdnotes.teachers import Teacher
from kdnotes.training import Run

__all__ = ["BASELINE", "Comparison", "candidates", "compare_methods"]

BASELINE = "CE"
LARGEST = "always the largest class"
TEMPERATURE, ALPHA = (
    2.0,
    0.1,
)  # the same for all methods and data sets; T = 2 is what chapter 3 chooses in the lesson


def candidates(
    s: Settings, first: Teacher, more: tuple[Teacher, ...], born_again: dict[str, Arm]
) -> dict[str, dict[str, Arm]]:
    """Method → setting → arm: all are tried in chapters 4 to 8 as well, whose stored runs are used
    again.

    Args:
        s: sizes, data set and student.
        first: the teacher of all methods with one teacher.
        more: further teachers for the methods with many.
        born_again: generation → arm.
    """
    T, a = TEMPERATURE, ALPHA
    many = (first, *more)
    exits = functools.partial(models.MultiExitStudent, s.student())
    methods = {
        BASELINE: {"labels alone": CrossEntropy()},
        "label smoothing": {f"ε = {e:g}": LabelSmoothing(e) for e in (0.1, 0.2)},
        "KD": {f"α = {alpha:g}": KD(first, T, alpha) for alpha in (0.0, 0.1, 0.5)}
        | {"T = 3": KD(first, 3.0, a)},
        "decoupled (DKD)": {
            f"β = {beta:g}": DKD(first, T, 1.0, beta) for beta in (0.25, 0.5, 1.0, 2.0, 8.0)
        },
        "uncertainty": {
            "weights": UncertaintyKD(first, T, a),
            "selected half": UncertaintyKD(first, T, a, keep_share=0.5),
        },
        "annealed": {
            "T 4 → 1": AnnealedKD(first, (4.0, 1.0), (a, a)),
            "T 1 → 4": AnnealedKD(first, (1.0, 4.0), (a, a)),
            "α 0 → 0.5": AnnealedKD(first, (T, T), (0.0, 0.5)),
        },
        "standardised logits": {f"T = {t:g}": StandardizedKD(first, t, a) for t in (1.0, 2.0)},
        "curriculum T (CTKD)": {f"T from {T:g}": CTKD(first, T, a)},
        "previous epoch (PS-KD)": {f"λ = {past:g}": PSKD(past) for past in (0.3, 0.8)},
        "born again": born_again,
        "own teacher (exits)": {
            "α = 0.7, hint": Arm(BYOT(3.0, 0.3, 0.03), student=exits),
            "α = 0.5": Arm(BYOT(3.0, 0.5, 0.0), student=exits),
        },
        "deep supervision (exits)": {"labels alone": Arm(BYOT(3.0, 0.0, 0.0), student=exits)},
        "teachers averaged": {"equal weights": MultiTeacherKD(many, T, a)},
        "teachers by confidence (CA-MKD)": {"from labels": CAMKD(many, T, a)},
        "teachers by a gate": {
            by: GatedKD(many, T, a, train_gate_by=by) for by in ("labels", "imitation")
        },
    }
    return {
        method: {
            setting: arm if isinstance(arm, Arm) else Arm(arm) for setting, arm in settings.items()
        }
        for method, settings in methods.items()
    }


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods after their choice of settings on validation.

    Args:
        study: the runs of every method with every setting.
        settings: method → setting → name of its arm in the study.
        chosen: method → the setting with the highest mean validation accuracy.
        data: the splits.
        teacher: the first teacher.
        teachers: all of them, by name.
        first_seconds: method → seconds of what must be trained before a student can be (teachers,
            older generations).
    """

    study: Study
    settings: dict[str, dict[str, str]]
    chosen: dict[str, str]
    data: Splits
    teacher: Teacher
    teachers: dict[str, Teacher]
    first_seconds: dict[str, float]

    def arm(self, method: str) -> str:
        """The name in ``study`` of a method's chosen arm."""
        if method not in self.settings:
            raise ValueError(f"method must be one of {list(self.settings)}, not {method!r}")
        return self.settings[method][self.chosen[method]]

    def difference(
        self, method: str, other: str, metric: str = "test_accuracy", *, level: float = 0.95
    ) -> Interval:
        """Paired difference of two methods at their chosen settings (``Study.difference``)."""
        return self.study.difference(self.arm(method), self.arm(other), metric, level=level)

    def differences(
        self, pairs: Mapping[str, tuple[str, str]], metric: str = "test_accuracy"
    ) -> dict[str, Interval]:
        """Name → difference of two methods, of which *all* intervals hold at 95 %
        (``Study.differences``).
        """
        return self.study.differences(
            {name: tuple(map(self.arm, pair)) for name, pair in pairs.items()}, metric
        )

    def gains(self) -> dict[str, Interval]:
        """Method → difference of test accuracy from the baseline; *all* of these intervals hold at
        95 %.
        """
        return self.differences(
            {method: (method, BASELINE) for method in self.settings if method != BASELINE}
        )

    @property
    def shared(self) -> str:
        """What all differences from the baseline have in common, in one sentence for whoever reads
        the table.
        """
        return (
            f"Every difference from {BASELINE} subtracts the same {len(self._runs(BASELINE))} runs of it, here and in "
            "chapters 4 to 8, so their luck is in all of them."
        )

    def agreement(self, method: str) -> Interval:
        """Share of the test images on which student and first teacher give the same class
        (2106.05945's top-1).
        """
        theirs = self.teacher.logits(self.data.test)
        return mean_interval(
            [metrics.agreement(run.test_logits, theirs) for run in self._runs(method)]
        )

    def balanced_accuracy(self, method: str) -> Interval:
        """Mean over the classes of the share of their test images that are recognised."""
        targets = self.data.test.targets
        return mean_interval(
            [metrics.balanced_accuracy(run.test_logits, targets) for run in self._runs(method)]
        )

    def _runs(self, method: str) -> list[Run]:
        arm = self.arm(method)
        return [run for (name, _), run in self.study.runs.items() if name == arm]

    def numbers(self) -> pd.DataFrame:
        """One row a method, fractions and seconds; intervals at 95 %, and corrected for the number
        of methods.

        With the balanced accuracy where the data's classes are unequal.
        """
        return pd.DataFrame([self._row(method) for method in self.settings]).set_index("method")

    def _row(self, method: str) -> dict[str, Any]:
        arm = self.arm(method)
        row = {
            "method": method,
            "setting": self.chosen[method],
            "settings tried": len(self.settings[method]),
        }
        parts = {"accuracy": self.study.interval(arm), "agreement": self.agreement(method)}
        if not self.data.equal_classes:
            parts["balanced accuracy"] = self.balanced_accuracy(method)
        if method != BASELINE:
            parts["difference"] = self.difference(method, BASELINE)
            parts["corrected"] = self.gains()[method]
        for name, interval in parts.items():
            row |= {name: interval.mean, f"{name} low": interval.low, f"{name} high": interval.high}
        row |= {name: self.study.values(arm, f"test_{name}").mean() for name in ("nll", "ece")}
        return row | {
            "seconds": _seconds(self.study, arm),
            "seconds before": self.first_seconds.get(method, 0.0),
        }

    def table(self) -> pd.DataFrame:
        """The same for reading: per cent and points, mean ± half-width.

        The differences from the baseline are judged together (``gains``); "taken alone" is their 95
        % half-width. Where classes are unequal, the last row is what always answering the largest
        class of the test images gives.
        """
        rows, unequal, gains = [], not self.data.equal_classes, self.gains()
        for method, row in self.numbers().iterrows():
            gain, alone = gains.get(method), self.difference(method, BASELINE)
            rows.append(
                {
                    "method": method,
                    "setting": row["setting"]
                    + (f" (of {row['settings tried']})" if row["settings tried"] > 1 else ""),
                    "accuracy %": self.study.interval(self.arm(method)).points(signed=False),
                    **(
                        {"balanced %": self.balanced_accuracy(method).points(signed=False)}
                        if unequal
                        else {}
                    ),
                    f"minus {BASELINE}": gain.points() if gain else "",
                    "resolved": study.in_words(gain, alone) if gain else "",
                    "taken alone": alone.points().split(" ", 1)[1] if gain else "",
                    "agreement %": f"{100 * row['agreement']:.1f}",
                    "NLL": f"{row['nll']:.3f}",
                    "ECE %": f"{100 * row['ece']:.1f}",
                    "seconds": f"{row['seconds']:.1f}",
                    "before": f"{row['seconds before']:.0f}" if row["seconds before"] else "",
                }
            )
        if unequal:
            share, balanced = self.data.largest_class(), 1 / self.data.num_classes
            rows.append(
                {
                    "method": LARGEST,
                    "accuracy %": f"{100 * share:.2f}",
                    "balanced %": f"{100 * balanced:.2f}",
                }
            )
        return pd.DataFrame(rows).fillna("").set_index("method")


def compare_methods(
    s: Settings,
    *,
    workers: int | None = None,
    fresh: bool | None = None,
    report: Callable[[str], None] | None = print,
) -> Comparison:
    """Train every method with every setting from equal starts, and choose each method's setting on
    validation.

    Args:
        s: profile, data set and number of seeds (``profiles.settings``).
        workers, fresh, report: as in ``study.compare``.
    """
    data, first, more = s.splits(), s.teacher(), s.more_teachers()
    shared = {
        "student": s.student(),
        "data": data,
        "config": s.config(),
        "workers": workers,
        "fresh": fresh,
    }
    born_again = _born_again(s.seeds, shared)
    methods = candidates(s, first, tuple(more.values()), born_again)
    names = {
        method: {setting: f"{method}, {setting}" for setting in settings}
        for method, settings in methods.items()
    }
    arms = {
        names[method][setting]: arm
        for method, settings in methods.items()
        for setting, arm in settings.items()
    }
    result = study.compare(arms, s.seeds, **shared, report=report)
    chosen = {
        method: next(
            setting
            for setting, arm in named.items()
            if arm == result.best(among=list(named.values()))
        )
        for method, named in names.items()
    }
    everyone = {"first": first, **more}
    before = _seconds_before(methods, chosen, names, result, first, everyone)
    comparison = Comparison(result, names, chosen, data, first, everyone, before)
    if report is not None:
        report(comparison.shared)
    return comparison


def _born_again(seeds: int, shared: dict[str, Any]) -> dict[str, Arm]:
    """Two generations (1805.04770): that of seed s is taught by the one before it of the next seed,
    cyclically.
    """
    arms, previous = {}, Arm(CrossEntropy())
    for generation in (1, 2):
        runs = study.compare({"previous": previous}, seeds, **shared, report=None).runs
        arms[f"generation {generation}"] = previous = Arm(
            functools.partial(_next_generation, runs, previous, shared)
        )
    return arms


def _next_generation(
    runs: dict[tuple[str, int], Any], previous: Arm, shared: dict[str, Any], seed: int
) -> KD:
    other = (seed + 1) % len(runs)
    method = previous.method(other) if callable(previous.method) else previous.method
    config = dataclasses.replace(shared["config"], seed=other)
    teacher = teachers.from_run(
        runs["previous", other], shared["student"], shared["data"], config, method
    )
    return KD(teacher, TEMPERATURE, ALPHA)


def _seconds_before(
    methods: dict[str, dict[str, Arm]],
    chosen: dict[str, str],
    names: dict[str, dict[str, str]],
    result: Study,
    first: Teacher,
    everyone: dict[str, Teacher],
) -> dict[str, float]:
    seconds = {}
    for method, setting in chosen.items():
        used = methods[method][setting].method
        if hasattr(used, "teacher"):
            seconds[method] = first.record["seconds"]
        elif hasattr(used, "teachers"):
            seconds[method] = sum(teacher.record["seconds"] for teacher in everyone.values())
    older = [names[BASELINE]["labels alone"], *names["born again"].values()]
    generations = older[: older.index(names["born again"][chosen["born again"]])]
    return seconds | {"born again": sum(_seconds(result, arm) for arm in generations)}


def _seconds(result: Study, arm: str) -> float:
    """Of the fastest seed: whatever else the machine does can only make a run slower."""
    return float(result.values(arm, "seconds").min())
