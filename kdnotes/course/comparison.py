"""Every method from equal starts: the study of its chapter and of ``kdnotes compare``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdnotes import metrics, progress, study
from kdnotes.course import candidates, costing, goals, order
from kdnotes.course.calibration import CALIBRATED, with_calibrated
from kdnotes.course.candidates import BASELINE, CLAIMS, LONGER, STANDARD, Family
from kdnotes.course.profiles import Settings
from kdnotes.data import Splits
from kdnotes.intervals import Interval, mean_interval
from kdnotes.study import Arm, Choice, Study
from kdnotes.teachers import Teacher
from kdnotes.training import Run

__all__ = [
    "BASELINE", "STANDARD", "Comparison", "choose_settings", "compare_methods", "longer",
]  # fmt: skip

LARGEST = "always the largest class"
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods, each at the setting that was chosen for it.

    Args:
        study: the report; its arms are the methods. Its frame also has the NLL after one
            temperature (``calibrated``).
        validation: the same arms on the seeds of the choice, with validation scores alone.
        families: method → what it takes.
        chosen: method → setting.
        choices: of the methods with several settings.
        seconds: method → what one training takes alone on one core (``costing``).
        data: the splits.
        teacher: the first teacher.
    """

    study: Study
    validation: Study
    families: dict[str, Family]
    chosen: dict[str, str]
    choices: dict[str, Choice]
    seconds: dict[str, float]
    data: Splits
    teacher: Teacher

    @property
    def methods(self) -> list[str]:
        return list(self.families)

    def label(self, method: str) -> str:
        """With the setting, where one was chosen."""
        return f"{method}: {self.chosen[method]}" if method in self.choices else method

    @functools.cached_property
    def answers(self) -> dict[str, goals.Answer]:
        """Goal → which method to choose; no test score is looked at."""
        return goals.answers(self.families, self.validation)

    @functools.cached_property
    def pairs(self) -> list[Pair]:
        """Every (method, other) whose difference is shown: all from CE, all from KD, twice the
        epochs from once, the claims of the papers, and those that the advice names.
        """
        found = [(method, base) for base in (BASELINE, STANDARD) for method in self.methods]
        found += [(longer(name), name) for name in LONGER]
        found += [(method, other) for _, method, other in CLAIMS]
        for answer in self.answers.values():
            found += [(answer.leader, answer.method)]
        kept: list[Pair] = []
        for pair in found:
            if pair[0] != pair[1] and pair not in kept and pair[::-1] not in kept:
                kept.append(pair)
        return kept

    def judged(self, metric: str = "test_accuracy") -> dict[Pair, Interval]:
        """Differences of all ``pairs``, judged together: *all* intervals hold at 95 %."""
        if metric not in self._judged:
            pairs = {pair: pair for pair in self.pairs}
            self._judged[metric] = self.study.differences(pairs, metric)
        return self._judged[metric]

    @functools.cached_property
    def _judged(self) -> dict[str, dict[Pair, Interval]]:
        return {}

    def difference(
        self, method: str, other: str = BASELINE, metric: str = "test_accuracy"
    ) -> Interval:
        """The difference of two methods as it is judged among all ``pairs``."""
        found = self.judged(metric)
        if (method, other) in found:
            return found[method, other]
        if (other, method) not in found:
            raise ValueError(f"method and other must be a pair that is judged, not {method, other}")
        back = found[other, method]
        return Interval(-back.mean, -back.high, -back.low, back.n)

    def gains(self, base: str = BASELINE) -> dict[str, Interval]:
        """Method → its difference of test accuracy from ``BASELINE`` or ``STANDARD``."""
        return {method: self.difference(method, base) for method in self.methods if method != base}

    def claims(self) -> dict[str, Interval]:
        """Claim of a paper → the difference."""
        return {claim: self.difference(method, other) for claim, method, other in CLAIMS}

    @property
    def shared(self) -> str:
        """What all differences from CE have in common, for whoever reads the table."""
        first, last = map(order.number, ("standard_distillation", "mutual_learning"))
        count = len(self.runs(BASELINE))
        return (
            f"Every difference from {BASELINE} subtracts the same {count} runs of it, here and in "
            f"chapters {first} to {last}, so their luck is in all of them."
        )

    @property
    def origin(self) -> str:
        """How many trainings there are, and how many of them were computed now."""
        tried = [choice.study.frame for choice in self.choices.values()]
        return "\n".join(
            f"{name}: {len(frame)} trainings, {int((~frame['cached']).sum())} computed now, "
            f"{frame['seconds'].sum() / 60:.0f} minutes of one core"
            for name, frame in {"choice": pd.concat(tried), "report": self.study.frame}.items()
        )

    def runs(self, method: str) -> list[Run]:
        """The runs of a method, by seed."""
        if method not in self.families:
            raise ValueError(f"method must be one of {self.methods}, not {method!r}")
        return [run for (name, _), run in self.study.runs.items() if name == method]

    def agreement(self, method: str) -> Interval:
        """Share of the test images to which student and teacher give one class (2106.05945)."""
        theirs = self.teacher.logits(self.data.test)
        return mean_interval(
            [metrics.agreement(run.test_logits, theirs) for run in self.runs(method)]
        )

    def balanced_accuracy(self, method: str) -> Interval:
        """Mean over the classes of the share of their test images that are recognised."""
        targets, runs = self.data.test.targets, self.runs(method)
        return mean_interval([metrics.balanced_accuracy(run.test_logits, targets) for run in runs])

    def numbers(self) -> pd.DataFrame:
        """One row a method, fractions and seconds; intervals at 95 %, and corrected.

        With the balanced accuracy where the data's classes are unequal.
        """
        return pd.DataFrame([self._row(method) for method in self.methods]).set_index("method")

    def _row(self, method: str) -> dict[str, Any]:
        family = self.families[method]
        row = {"method": method, "setting": self.chosen[method]}
        row |= {"settings tried": len(family.settings), "uses": family.uses}
        parts = {"accuracy": self.study.interval(method), "agreement": self.agreement(method)}
        if not self.data.equal_classes:
            parts["balanced accuracy"] = self.balanced_accuracy(method)
        for base in (BASELINE, STANDARD):
            if method != base:
                parts[f"minus {base}"] = self.study.difference(method, base)
                parts[f"minus {base}, corrected"] = self.difference(method, base)
        for name, interval in parts.items():
            row |= {name: interval.mean, f"{name} low": interval.low, f"{name} high": interval.high}
        for name in ("nll", "ece", CALIBRATED):
            row[name.replace("_", " ")] = self.study.values(method, f"test_{name}").mean()
        row["seconds"] = self.seconds[method]
        return row | {"seconds before": family.before, "trainings": family.trainings}

    def table(self) -> pd.DataFrame:
        """The same for reading: per cent and points, mean ± half-width.

        All differences are judged together (``judged``); ``resolved`` tells from which of the two
        baselines a method is told apart, and on which side. Where classes are unequal, the last
        row is what always answering the largest class of the test images gives.
        """
        rows, unequal = [], not self.data.equal_classes
        for method, row in self.numbers().iterrows():
            tried = row["settings tried"]
            setting = row["setting"] + (f" (of {tried})" if tried > 1 else "")
            shown = {"method": method, "setting": setting}
            shown["accuracy %"] = self.study.interval(method).points(signed=False)
            if unequal:
                shown["balanced %"] = self.balanced_accuracy(method).points(signed=False)
            told_apart = []
            for base in (BASELINE, STANDARD):
                minus = None if base == method else self.difference(method, base)
                shown[f"minus {base}"] = minus.points() if minus else ""
                if minus and minus.resolved:
                    told_apart.append(f"{'>' if minus.above() else '<'} {base}")
            shown["resolved"] = ", ".join(told_apart)
            rows.append(shown)
        if unequal:
            share, balanced = 100 * self.data.largest_class(), 100 / self.data.num_classes
            largest = {"accuracy %": f"{share:.2f}", "balanced %": f"{balanced:.2f}"}
            rows.append({"method": LARGEST} | largest)
        return pd.DataFrame(rows).fillna("").set_index("method")


def choose_settings(
    families: Mapping[str, Family], s: Settings, **options: Any
) -> dict[str, Choice]:
    """Of each method with several settings the choice among them, on ``s.choice_seeds``."""
    several = {name: one.settings for name, one in families.items() if len(one.settings) > 1}
    return {name: study.choose(arms, s.choice_seeds, **options) for name, arms in several.items()}


def longer(name: str) -> str:
    """The name of a method for twice the epochs."""
    return f"{name}, 2× epochs"


def compare_methods(
    s: Settings,
    *,
    workers: int | None = None,
    engine: str | None = None,
    fresh: bool | None = None,
    report: Callable[[str], None] | None = print,
) -> Comparison:
    """Choose the setting of each method, then train it on the seeds of the report.

    Args:
        s: profile, data set and number of seeds (``profiles.settings``).
        workers, engine, fresh, report: as in ``study.compare``.
    """
    data = s.splits()
    options = {"workers": workers, "engine": engine, "fresh": fresh}
    alone = {"student": s.student(), "data": data, "config": s.config()}
    shared = alone | options
    families = candidates.families(s, **options)
    with progress.task("comparison", *_size(families, s)):
        choices = choose_settings(families, s, **shared, report=report)
        chosen = {name: next(iter(family.settings)) for name, family in families.items()}
        chosen |= {name: choice.name for name, choice in choices.items()}
        arms = {name: families[name].settings[setting] for name, setting in chosen.items()}
        arms |= {name: choice.arm for name, choice in choices.items()}
        for name in LONGER:
            families, arms = _with_longer(name, families, arms, s)
        chosen |= {longer(name): chosen[name] for name in LONGER}

        seen = {name: dataclasses.replace(arm, chosen_on=None) for name, arm in arms.items()}
        before = study.compare(seen, candidates.choice_seeds(s), **shared, report=None)
        validation = with_calibrated(before, data).frame
        hidden = [column for column in validation if column.startswith("test_")]
        reported = study.compare(arms, s.seeds, **shared, report=report)
    turns = s.pick(smoke=1, lesson=costing.ROUNDS, full=costing.ROUNDS)
    result = Comparison(
        study=with_calibrated(reported, data),
        validation=Study(validation.drop(columns=hidden), {}),
        families=families,
        chosen={name: chosen[name] for name in families},
        choices=choices,
        seconds=costing.seconds_of(arms, rounds=turns, **alone),
        data=data,
        teacher=s.teacher(),
    )
    if report is not None:
        report(result.shared)
    return result


def _size(families: Mapping[str, Family], s: Settings) -> tuple[int, str, int]:
    """Trainings of choice and report, and their epochs, for ``progress.task``."""
    epochs = s.config().epochs
    settings = [arm for one in families.values() if len(one.settings) > 1 for arm in one.settings]
    count = s.choice_seeds * len(settings) + (s.seeds + s.choice_seeds) * len(families)
    longer_ones = (s.seeds + s.choice_seeds) * len(LONGER)
    return count + longer_ones, "trainings", epochs * (count + 2 * longer_ones)


def _with_longer(
    name: str, families: dict[str, Family], arms: dict[str, Arm], s: Settings
) -> tuple[dict[str, Family], dict[str, Arm]]:
    """Both with the method for twice the epochs right behind it; its setting is the one chosen."""
    arm = dataclasses.replace(arms[name], config=s.config(epochs=2 * s.config().epochs))
    family = dataclasses.replace(families[name], settings={"": arm}, trainings=2)
    return _behind(families, name, family), _behind(arms, name, arm)


def _behind(named: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    items = list(named.items())
    at = list(named).index(name) + 1
    return dict([*items[:at], (longer(name), value), *items[at:]])
