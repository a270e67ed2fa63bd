"""Every method from equal starts: the study of its chapter and of ``kdnotes compare``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdnotes import metrics, study, teachers
from kdnotes.course import order
from kdnotes.course.candidates import ALPHA, BASELINE, TEMPERATURE, candidates
from kdnotes.course.profiles import Settings
from kdnotes.data import Splits
from kdnotes.methods import KD, CrossEntropy
from kdnotes.metrics import Interval, mean_interval
from kdnotes.study import Arm, Study
from kdnotes.teachers import Teacher
from kdnotes.training import Run

__all__ = ["ALPHA", "BASELINE", "TEMPERATURE", "Comparison", "candidates", "compare_methods"]

LARGEST = "always the largest class"


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
        """Name → difference of two methods; *all* intervals hold (``Study.differences``)."""
        arms = {name: tuple(map(self.arm, pair)) for name, pair in pairs.items()}
        return self.study.differences(arms, metric)

    def gains(self) -> dict[str, Interval]:
        """Method → difference of test accuracy from the baseline; *all* hold at 95 %."""
        others = [method for method in self.settings if method != BASELINE]
        return self.differences({method: (method, BASELINE) for method in others})

    @property
    def shared(self) -> str:
        """What all differences from the baseline have in common, for whoever reads the table."""
        count = len(self._runs(BASELINE))
        first, last = map(order.number, ("standard_distillation", "many_teachers"))
        return (
            f"Every difference from {BASELINE} subtracts the same {count} runs of it, here and in "
            f"chapters {first} to {last}, so their luck is in all of them."
        )

    def agreement(self, method: str) -> Interval:
        """Share of the test images to which student and teacher give one class (2106.05945)."""
        theirs, runs = self.teacher.logits(self.data.test), self._runs(method)
        return mean_interval([metrics.agreement(run.test_logits, theirs) for run in runs])

    def balanced_accuracy(self, method: str) -> Interval:
        """Mean over the classes of the share of their test images that are recognised."""
        targets, runs = self.data.test.targets, self._runs(method)
        return mean_interval([metrics.balanced_accuracy(run.test_logits, targets) for run in runs])

    def _runs(self, method: str) -> list[Run]:
        arm = self.arm(method)
        return [run for (name, _), run in self.study.runs.items() if name == arm]

    def numbers(self) -> pd.DataFrame:
        """One row a method, fractions and seconds; intervals at 95 %, and corrected.

        With the balanced accuracy where the data's classes are unequal.
        """
        return pd.DataFrame([self._row(method) for method in self.settings]).set_index("method")

    def _row(self, method: str) -> dict[str, Any]:
        arm = self.arm(method)
        row = {"method": method, "setting": self.chosen[method]}
        row["settings tried"] = len(self.settings[method])
        parts = {"accuracy": self.study.interval(arm), "agreement": self.agreement(method)}
        if not self.data.equal_classes:
            parts["balanced accuracy"] = self.balanced_accuracy(method)
        if method != BASELINE:
            parts["difference"] = self.difference(method, BASELINE)
            parts["corrected"] = self.gains()[method]
        for name, interval in parts.items():
            row |= {name: interval.mean, f"{name} low": interval.low, f"{name} high": interval.high}
        row |= {name: self.study.values(arm, f"test_{name}").mean() for name in ("nll", "ece")}
        before = self.first_seconds.get(method, 0.0)
        return row | {"seconds": _seconds(self.study, arm), "seconds before": before}

    def table(self) -> pd.DataFrame:
        """The same for reading: per cent and points, mean ± half-width.

        The differences from the baseline are judged together (``gains``); "taken alone" is their 95
        % half-width. Where classes are unequal, the last row is what always answering the largest
        class of the test images gives.
        """
        rows, unequal, gains = [], not self.data.equal_classes, self.gains()
        for method, row in self.numbers().iterrows():
            gain, alone = gains.get(method), self.difference(method, BASELINE)
            tried = row["settings tried"]
            shown = {
                "method": method,
                "setting": row["setting"] + (f" (of {tried})" if tried > 1 else ""),
                "accuracy %": self.study.interval(self.arm(method)).points(signed=False),
            }
            if unequal:
                shown["balanced %"] = self.balanced_accuracy(method).points(signed=False)
            rows.append(
                shown
                | {
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
            share, balanced = 100 * self.data.largest_class(), 100 / self.data.num_classes
            largest = {"accuracy %": f"{share:.2f}", "balanced %": f"{balanced:.2f}"}
            rows.append({"method": LARGEST} | largest)
        return pd.DataFrame(rows).fillna("").set_index("method")


def compare_methods(
    s: Settings,
    *,
    workers: int | None = None,
    engine: str | None = None,
    fresh: bool | None = None,
    report: Callable[[str], None] | None = print,
) -> Comparison:
    """Train every method with every setting, and choose each method's setting on validation.

    Args:
        s: profile, data set and number of seeds (``profiles.settings``).
        workers, engine, fresh, report: as in ``study.compare``.
    """
    data, first, more = s.splits(), s.teacher(), s.more_teachers()
    shared = {"student": s.student(), "data": data, "config": s.config()}
    shared |= {"workers": workers, "engine": engine, "fresh": fresh}
    methods = candidates(s, first, tuple(more.values()), _born_again(range(s.seeds), shared))
    names, arms = {}, {}
    for method, settings in methods.items():
        names[method] = {setting: f"{method}, {setting}" for setting in settings}
        arms |= {names[method][setting]: arm for setting, arm in settings.items()}
    result = study.compare(arms, s.seeds, **shared, report=report)
    chosen = {}
    for method, named in names.items():
        best = result.best(among=list(named.values()))
        chosen[method] = next(setting for setting, arm in named.items() if arm == best)
    everyone = {"first": first, **more}
    used = {method: methods[method][setting].method for method, setting in chosen.items()}
    before = _teacher_seconds(used, everyone)
    older = [names[BASELINE]["labels alone"], *names["born again"].values()]
    generations = older[: older.index(names["born again"][chosen["born again"]])]
    before["born again"] = sum(_seconds(result, arm) for arm in generations)
    comparison = Comparison(
        study=result,
        settings=names,
        chosen=chosen,
        data=data,
        teacher=first,
        teachers=everyone,
        first_seconds=before,
    )
    if report is not None:
        report(comparison.shared)
    return comparison


def _born_again(seeds: Sequence[int], shared: dict[str, Any]) -> dict[str, Arm]:
    """Two generations (1805.04770): seed s is taught by the one before it of the next seed."""
    arms, previous = {}, Arm(CrossEntropy())
    following = dict(zip(seeds, [*seeds[1:], seeds[0]], strict=True))
    for generation in (1, 2):
        runs = study.compare({"previous": previous}, seeds, **shared, report=None).runs
        previous = Arm(functools.partial(_next_generation, runs, previous, shared, following))
        arms[f"generation {generation}"] = previous
    return arms


def _next_generation(
    runs: dict[tuple[str, int], Any],
    previous: Arm,
    shared: dict[str, Any],
    following: dict[int, int],
    seed: int,
) -> KD:
    other = following[seed]
    method = previous.method(other) if callable(previous.method) else previous.method
    config = dataclasses.replace(shared["config"], seed=other)
    run, student, data = runs["previous", other], shared["student"], shared["data"]
    return KD(teachers.from_run(run, student, data, config, method), TEMPERATURE, ALPHA)


def _teacher_seconds(used: dict[str, Any], everyone: dict[str, Teacher]) -> dict[str, float]:
    """Seconds of the teachers of each method that has some."""
    seconds = {}
    for method, one in used.items():
        if hasattr(one, "teacher"):
            seconds[method] = everyone["first"].record["seconds"]
        elif hasattr(one, "teachers"):
            seconds[method] = sum(teacher.record["seconds"] for teacher in everyone.values())
    return seconds


def _seconds(result: Study, arm: str) -> float:
    """Of the fastest seed: whatever else the machine does can only make a run slower."""
    return float(result.values(arm, "seconds").min())
