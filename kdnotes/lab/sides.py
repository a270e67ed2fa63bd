"""What all designs share: two sides, a score, seeds, a choice, and the faults of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kdnotes import checks
from kdnotes.lab.aspects import Aspects, differing, why
from kdnotes.lab.plan import METRICS

__all__ = ["Sides"]

VALIDATION = tuple(metric for metric in METRICS if metric.startswith("validation_"))


@dataclass(frozen=True)
class Sides:
    """A comparison before it is run; a subclass knows what its arms are made of.

    Args:
        arms: name → arm.
        treatment: the name of an arm; or several names, its settings, one of which is chosen.
        baseline: what it is compared with, in the same way; ``None``: nothing.
        metric: the score that is reported.
        seeds: of the report, a number (0 … n − 1) or the seeds themselves.
        choose_by: the score by which one of several settings is chosen.
        choose_seeds: the seeds of that choice, as ``seeds``.
        student: builds the students of arms that have none of their own.

    Raises:
        ValueError: an unknown arm or metric; no seed.
        TypeError: something is missing of an arm, or of the wrong kind.
    """

    arms: Mapping[str, Any]
    treatment: str | Sequence[str]
    baseline: str | Sequence[str] | None = None
    metric: str = "test_accuracy"
    seeds: int | Sequence[int] = 5
    choose_by: str | None = None
    choose_seeds: int | Sequence[int] | None = None
    student: Any = None

    samples: ClassVar[str] = "images"  # what the arms are trained on, in words
    metrics: ClassVar[Sequence[str]] = METRICS

    def __post_init__(self) -> None:
        checks.one_of(*self.metrics)("metric", self.metric)
        if self.choose_by is not None:
            checks.one_of(*self.metrics)("choose_by", self.choose_by)
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
    def complete_arms(self) -> dict[str, Any]:
        """The arms with what they share, checked."""
        raise NotImplementedError

    def method(self, name: str) -> Any:
        """The method of an arm."""
        raise NotImplementedError

    def described(self) -> dict[str, Aspects]:
        """The aspects of the arms of both sides, by name."""
        raise NotImplementedError

    def shared_samples(self) -> list[str | None]:
        """What is wrong with what the arms are trained and measured on."""
        raise NotImplementedError

    @property
    def compared(self) -> dict[str, Any]:
        """The arms of both sides, by name."""
        names = dict.fromkeys((*self.treatments, *self.baselines))
        return {name: self.complete_arms[name] for name in names}

    def faults(self, factor: str | None = None) -> list[str]:
        """What would be reported as an effect and may be none, a sentence each; none if all is
        well.

        Networks are built, and what they learn from is compared; nothing is trained, unless an
        arm's method or student is a function of the seed that trains.

        Args:
            factor: what is to differ between treatment and baseline: "method", or a setting by its
                name, such as "temperature" or "epochs". ``None``: the method if it differs, else
                the one thing that does.
        """
        described = self.described()
        found = [*self._of_sides(described, factor), *self._of_seeds(described)]
        found += [*self._of_choice(), *self.shared_samples()]
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
                f"by one of the validation {self.samples}"
            )
        if max(len(self.treatments), len(self.baselines)) == 1:
            return found
        if self.choose_by is None:
            found.append("several settings, and nothing that chooses among them (choose_by)")
        if self.metric in VALIDATION:
            found.append(f"{self.metric} is reported: the {self.samples} that chose measure again")
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
