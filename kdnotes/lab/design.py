"""A comparison on paper: who against whom, on which score, with which seeds, and what confounds it.

A difference between two arms is the effect of what differs between them, of all of it. ``Design``
holds the very objects that ``study.compare`` trains, so that nothing is judged by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from kdnotes import checks
from kdnotes.data import Splits
from kdnotes.lab.aspects import Aspects, aspects, differing, shared_images, why
from kdnotes.lab.plan import METRICS
from kdnotes.methods import Method
from kdnotes.study import Arm, PerSeed
from kdnotes.study.arms import at_seed, complete
from kdnotes.training import Config

__all__ = ["Design"]

VALIDATION = tuple(metric for metric in METRICS if metric.startswith("validation_"))


@dataclass(frozen=True)
class Design:
    """A comparison before it is run.

    Args:
        arms: name → ``Method`` or ``study.Arm``, as for ``study.compare``.
        treatment: the name of an arm; or several names, its settings, one of which is chosen.
        baseline: what it is compared with, in the same way; ``None``: nothing.
        metric: the score that is reported, such as "test_accuracy".
        seeds: of the report, a number (0 … n − 1) or the seeds themselves.
        choose_by: the score by which one of several settings is chosen.
        choose_seeds: the seeds of that choice, as ``seeds``.
        student, data, config: what the arms share.

    Raises:
        ValueError: an unknown arm or metric; no seed.
        TypeError: something is missing of an arm, or of the wrong kind.
    """

    arms: Mapping[str, Method | Arm]
    treatment: str | Sequence[str]
    baseline: str | Sequence[str] | None = None
    metric: str = "test_accuracy"
    seeds: int | Sequence[int] = 5
    choose_by: str | None = None
    choose_seeds: int | Sequence[int] | None = None
    student: Callable[[], nn.Module] | PerSeed | None = None
    data: Splits | None = None
    config: Config | None = None

    def __post_init__(self) -> None:
        checks.one_of(*METRICS)("metric", self.metric)
        if self.choose_by is not None:
            checks.one_of(*METRICS)("choose_by", self.choose_by)
        sides = self.treatments, self.baselines
        for name, side in zip(("treatment", "baseline"), sides, strict=True):
            for arm in side:
                if arm not in self.complete_arms:
                    raise ValueError(f"{name} must be of the arms {list(self.arms)}, not {arm!r}")
        if not self.treatments:
            raise ValueError("treatment must name at least one arm, not none")
        for name in ("seeds", "choose_seeds"):
            _seeds(name, getattr(self, name))

    @property
    def treatments(self) -> tuple[str, ...]:
        return _names("treatment", self.treatment)

    @property
    def baselines(self) -> tuple[str, ...]:
        return _names("baseline", self.baseline)

    @property
    def report_seeds(self) -> tuple[int, ...]:
        return _seeds("seeds", self.seeds)

    @property
    def complete_arms(self) -> dict[str, Arm]:
        return complete(self.arms, student=self.student, data=self.data, config=self.config)

    def method(self, name: str) -> Method:
        """The method of an arm, at the first seed of the report."""
        return at_seed(name, self.complete_arms[name], self.report_seeds[0]).method

    def faults(self, factor: str | None = None) -> list[str]:
        """What would be reported as an effect and may be none, a sentence each; none if all is
        well.

        Networks are built, and images compared; nothing is trained, unless an arm's method or
        student is a function of the seed that trains.

        Args:
            factor: what is to differ between treatment and baseline: "method", or a setting by its
                name, such as "temperature" or "epochs". ``None``: the method if it differs, else
                the one thing that does.
        """
        names = dict.fromkeys((*self.treatments, *self.baselines))
        arms = {name: self.complete_arms[name] for name in names}
        described = {name: aspects(name, arm, self.report_seeds) for name, arm in arms.items()}
        found = [*self._of_sides(described, factor), *self._of_seeds(described)]
        splits = {id(arm.data): arm.data for arm in arms.values()}
        found += [*self._of_choice(), *map(shared_images, splits.values())]
        return list(dict.fromkeys(one for one in found if one))

    def _of_sides(self, described: dict[str, Aspects], factor: str | None) -> list[str]:
        """The baseline, and all that differs from it."""
        if not self.baselines:
            return ["there is no baseline: a score alone says nothing of what caused it"]
        if both := set(self.treatments) & set(self.baselines):
            return [f"{sorted(both)[0]!r} is on both sides, and cannot differ from itself"]
        treatments, baselines = (
            [described[name] for name in side] for side in (self.treatments, self.baselines)
        )
        found = differing(treatments, baselines)
        factor = (factor or ("method" if "method" in found else "")).replace("_", " ")
        if not found:
            return ["treatment and baseline do not differ in anything but their names"]
        if not factor:
            listed = ", ".join(found)
            several = f"several things change at once, {listed}: any of them may be the cause"
            return [several] if len(found) > 1 else []
        untested = [] if factor in found else [f"the {factor} does not differ: nothing tests it"]
        return untested + [
            f"not only the {factor} differs but {name} too{values}: {why(name, factor)}"
            for name, values in found.items()
            if name != factor
        ]

    def _of_seeds(self, described: dict[str, Aspects]) -> list[str]:
        seeds = self.report_seeds
        if len(set(seeds)) == 1:
            return ["there is one seed: the luck of a seed cannot be told from an effect"]
        if len(set(seeds)) < len(seeds):
            return ["a seed is counted more than once, as if its runs were independent"]
        for aspect in described.values():
            (starts,) = (value for (name, _), value in aspect.items() if name == "initial weights")
            if len(set(starts)) < len(starts):
                return ["seeds start from the same weights: they are no repetitions"]
        return []

    def _of_choice(self) -> list[str]:
        """How one of several settings is chosen."""
        found = []
        for name in (*self.treatments, *self.baselines):
            known = set(self.complete_arms[name].chosen_on or ()) & set(self.report_seeds)
            if known:
                listed = ", ".join(map(str, sorted(known)))
                found.append(
                    f"{name!r} was chosen on seeds that report it ({listed}): the luck that got it "
                    "chosen is reported as its gain"
                )
        if self.choose_by is not None and self.choose_by not in VALIDATION:
            found.append(
                f"{self.choose_by} chooses: a score that chose is no measurement any more; choose "
                "by one of the validation images"
            )
        if max(len(self.treatments), len(self.baselines)) == 1:
            return found
        if self.choose_by is None:
            found.append("several settings, and nothing that chooses among them (choose_by)")
        if self.metric in VALIDATION:
            found.append(f"{self.metric} is reported: the images that chose measure again")
        chosen_on = _seeds("choose_seeds", self.choose_seeds)
        if not chosen_on:
            found.append("no seeds for the choice (choose_seeds): it needs seeds of its own")
        if len(set(chosen_on)) == 1:
            found.append("one seed chooses by its luck: give the choice two of them or more")
        if shared := sorted(set(chosen_on) & set(self.report_seeds)):
            listed = ", ".join(map(str, shared))
            found.append(
                f"seeds both choose and report ({listed}): the luck that got a setting chosen is "
                "reported as its gain"
            )
        return found


def _names(name: str, value: Any) -> tuple[str, ...]:
    """The names of a side."""
    if value is None or isinstance(value, str):
        return () if value is None else (value,)
    checks.instance(tuple, list, said="the name of an arm, or a tuple of names")(name, value)
    return tuple(value)


def _seeds(name: str, value: Any) -> tuple[int, ...]:
    """The seeds that a number, or the seeds themselves, or ``None`` stand for."""
    if value is None:
        return ()
    if not isinstance(value, (range, tuple, list)):
        checks.count(name, value)
        return tuple(range(value))
    for seed in value:
        checks.at_least(0)(name, seed)
    checks.count(f"the number of {name}", len(value))
    return tuple(value)
