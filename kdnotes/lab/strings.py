"""A comparison of language models on paper: who writes what is learned from, and its price."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kdnotes import checks
from kdnotes.data import Corpus, Strings
from kdnotes.lab.aspects import MANY, Aspects, of_networks, plain, said
from kdnotes.lab.sides import Sides
from kdnotes.language import OnPolicy, Schedule, SequenceKD, StringArm, StringMethod
from kdnotes.language.study import complete
from kdnotes.models import Decoder

__all__ = ["StringDesign"]

PARTS = {"train": "training strings", "validation": "validation strings", "test": "test strings"}
METRICS = ("test_nll", "test_accuracy", "validation_nll", "validation_accuracy")
BUDGETS = ("steps", "seconds")
NEAR = 1.1  # seconds of the two sides that count as equal: the ratio


@dataclass(frozen=True)
class StringDesign(Sides):
    """A comparison of language models before it is run.

    An on-policy method differs from the same distillation of the data in its *writer* alone; its
    steps take longer, so that equal steps are not equal seconds: ``equal`` says which of them the
    sides have.

    Args:
        arms: name → ``StringMethod`` or ``StringArm``, as for ``language.compare``.
        treatment: the name of an arm; or several names, its settings, one of which is chosen.
        baseline: what it is compared with, in the same way; ``None``: nothing.
        metric: the score that is reported, such as "test_nll".
        seeds: of the report, a number (0 … n − 1) or the seeds themselves.
        choose_by: the score by which one of several settings is chosen.
        choose_seeds: the seeds of that choice, as ``seeds``.
        student, corpus, schedule: what the arms share.
        equal: what the sides have alike, "steps" or "seconds"; ``None``: not said.
        seconds_a_step: arm → seconds, as measured; needed where the seconds are to be equal.

    Raises:
        ValueError: an unknown arm, metric or budget; no seed; a time that is none.
        TypeError: something is missing of an arm, or of the wrong kind.
    """

    arms: Mapping[str, StringMethod | StringArm]
    metric: str = "test_nll"
    student: Callable[[], Decoder] | None = None
    corpus: Corpus | None = None
    schedule: Schedule | None = None
    equal: str | None = None
    seconds_a_step: Mapping[str, float] | None = None

    samples: ClassVar[str] = "strings"
    metrics: ClassVar[Sequence[str]] = METRICS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.equal is not None:
            checks.one_of(*BUDGETS)("equal", self.equal)
        costs = {} if self.seconds_a_step is None else self.seconds_a_step
        checks.instance(Mapping, said="a mapping of arms to seconds")("seconds_a_step", costs)
        for name, seconds in costs.items():
            checks.one_of(*self.arms)("an arm of seconds_a_step", name)
            checks.positive(f"seconds_a_step of {name!r}", seconds)

    @property
    def complete_arms(self) -> dict[str, StringArm]:
        shared = {"student": self.student, "corpus": self.corpus, "schedule": self.schedule}
        return complete(self.arms, **shared)

    def method(self, name: str) -> StringMethod:
        return self.complete_arms[name].method

    def described(self) -> dict[str, Aspects]:
        return {name: self._aspects(arm) for name, arm in self.compared.items()}

    def shared_samples(self) -> list[str | None]:
        corpora = {id(arm.corpus): arm.corpus for arm in self.compared.values()}
        return list(map(shared_strings, corpora.values()))

    def faults(self, factor: str | None = None) -> list[str]:
        return [*super().faults(factor), *self._of_budget()]

    def _of_budget(self) -> list[str]:
        """Whether the sides take equal seconds, if they are to."""
        if self.equal != "seconds" or not self.baselines:
            return []
        costs = self.seconds_a_step or {}
        if unknown := [name for name in self.compared if name not in costs]:
            return [f"equal seconds cannot be seen: seconds_a_step has no {unknown[0]!r}"]
        taken = {name: costs[name] * arm.schedule.steps for name, arm in self.compared.items()}
        if max(taken.values()) <= NEAR * min(taken.values()):
            return []
        listed = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in taken.items())
        return [f"the seconds are not equal: {listed} a run; change the steps of one side"]

    def _aspects(self, arm: StringArm) -> Aspects:
        found = dict(_of_schedule(arm.schedule, self.equal))
        for part, words in PARTS.items():
            found[words, ""] = _SameStrings(getattr(arm.corpus, part))
        found["number of training strings", ""] = len(arm.corpus.train)
        found |= of_networks([arm.student] * len(self.report_seeds), self.report_seeds)
        return found | dict(_of_method(arm.method))


@dataclass(frozen=True, eq=False)
class _SameStrings:
    """Strings, equal to the same ones in the same order."""

    strings: Strings

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _SameStrings):
            return NotImplemented
        return self.strings is other.strings or self.strings.text() == other.strings.text()


def _of_schedule(schedule: Schedule, equal: str | None) -> Iterator[tuple[tuple[str, str], Any]]:
    """What of it makes a difference; with equal seconds, the steps follow from what they cost."""
    left_out = {"seed", "validate_every", "keep_best"} | (
        {"steps"} if equal == "seconds" else set()
    )
    for field in dataclasses.fields(Schedule):
        if field.name not in left_out:
            yield (said(field.name), ""), getattr(schedule, field.name)
    yield ("early stopping", ""), schedule.validate_every if schedule.keep_best else 0


def _of_method(method: StringMethod) -> Iterator[tuple[tuple[str, str], Any]]:
    """Who writes what is learned from; then the kind of the loss, and its settings."""
    writer: Any = "the data"
    if isinstance(method, SequenceKD):
        writer = "the teacher"
    elif isinstance(method, OnPolicy):
        if method.share:
            when = {name: value for name, value in _settings(method) if name != "grading"}
            writer = (type(method), *when.items())
        method = method.grading
    yield ("writer", ""), writer
    yield ("loss", ""), type(method)
    for name, value in _settings(method):
        yield (said(name), _owner(type(method), name)), value
        if name == "teacher":
            yield ("teacher", ""), value


def _settings(method: StringMethod) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(method) if dataclasses.is_dataclass(method) else ():
        yield field.name, plain(getattr(method, field.name))


def _owner(kind: type, name: str) -> str:
    """The class that declares a field: α of two that do not inherit it may be two things."""
    return next(one for one in kind.__mro__ if name in inspect.get_annotations(one)).__name__


def shared_strings(corpus: Corpus) -> str | None:
    """What is wrong with a corpus, if many strings of one part are in another.

    Strings that are drawn by their probability come again, within a part and in another one: of
    these only a part that is the other is wrong.
    """
    texts = {part: getattr(corpus, part).text() for part in PARTS}
    for part, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
        own, others = texts[part], set(texts[other])
        share = sum(one in others for one in own) / max(len(own), 1)
        is_drawn = len(set(own)) < len(own)
        if own == texts[other] or (share > MANY and not is_drawn):
            return f"{share:.0%} of the {PARTS[part]} are {PARTS[other]} too: they measure nothing"
    return None
