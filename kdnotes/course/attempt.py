"""An exercise, and an attempt at it: what a learner's function makes of the cases."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kdnotes.course import answers
from kdnotes.course.answers import Graded, Tolerance

__all__ = ["Attempt", "Exercise", "sentence", "stretched"]

CHANGED = "changed what it was given"
LARGEST_LOGIT = 1e4  # of the rule of all exercises: finite for logits of ±10⁴

Function = Callable[..., Any]


class Exercise:
    """A subclass defines ``reference`` and ``cases``, what else it needs, and the traps.

    A trap is a method ``wrong_…``, a known wrong answer with the arguments of the reference; traps
    are tried in their order, and the docstring is what the learner is told.

    Attributes:
        tolerance: relative; ``absolute`` holds near zero.
        gradient_of: places of the arguments, tensors or lists of them, whose gradients count too.
        logits: places of the arguments that are logits, the student's first; with ``temperature``,
            the place of the temperature, the mistakes that all such functions share are looked for.
    """

    tolerance = 1e-4
    absolute = 1e-6
    gradient_of: tuple[int, ...] = ()
    logits: tuple[int, ...] = ()
    temperature: int | None = None

    def reference(self, *case: Any) -> Any:
        """The right answer."""
        raise NotImplementedError

    def cases(self) -> list[tuple]:
        """The argument tuples to compare on."""
        raise NotImplementedError

    def extremes(self) -> list[tuple]:
        """More of them, with the logits at ±10⁴: an answer that fails there alone is told so."""
        if not self.logits:
            return []
        return [
            tuple(stretched(one) if i in self.logits else one for i, one in enumerate(case))
            for case in self.cases()
        ]

    def parts(self) -> dict[str, Function]:
        """Terms, by name, that add up to a loss: a mistake in one of them alone is named."""
        return {}

    def observe(self, outcome: Any) -> Any:
        """What is compared of an answer's result (with ``gradient_of``: of its ``Graded``)."""
        return outcome

    def kept(self, *case: Any) -> Any:
        """What a call must not change; an outcome says so if it did."""
        return ()

    @property
    def traps(self) -> list[Function]:
        return [getattr(self, name) for name in vars(type(self)) if name.startswith("wrong_")]


def stretched(logits: Any) -> Any:
    """The tensor, or each of a list, multiplied so that its largest entry has the size 10⁴."""
    if isinstance(logits, list):
        return [stretched(one) for one in logits]
    return logits * (LARGEST_LOGIT / logits.abs().max())


def sentence(trap: Function) -> str:
    """The docstring of a trap as one line, to be read after "not yet: "."""
    text = " ".join(trap.__doc__.split()).removesuffix(".")
    is_word = text[1].islower() or text.startswith("A ")
    return text[0].lower() + text[1:] if is_word else text


@dataclass(frozen=True)
class Attempt:
    """A learner's function for an exercise, what is expected of it and what it gives."""

    spec: Exercise
    answer: Function

    @cached_property
    def ordinary(self) -> int:
        """How many cases come before the extremes."""
        return len(self.spec.cases())

    @cached_property
    def _arguments(self) -> list[tuple]:
        return [*self.spec.cases(), *self.spec.extremes()]

    @cached_property
    def expected(self) -> list[Any]:
        """What is compared of the reference, case by case."""
        return [self.outcome(self.spec.reference, case) for case in self.cases()]

    @cached_property
    def given(self) -> list[Any]:
        """What is compared of the answer, case by case.

        Raises:
            Exception: whatever the learner's code does.
        """
        return list(self.outcomes(self.answer))

    @cached_property
    def is_graded(self) -> bool:
        """Whether all outcomes are values with gradients."""
        return all(isinstance(one, Graded) for one in (*self.given, *self.expected))

    @cached_property
    def right_on_ordinary_cases(self) -> bool:
        return self.equal(self.given[: self.ordinary], self.expected)

    def cases(self) -> list[tuple]:
        """The argument tuples, the extremes last; copies, as a function may change them."""
        return copy.deepcopy(self._arguments)

    def outcomes(self, function: Function) -> Iterator[Any]:
        """What is compared of a function, case by case, in the reference's form if it can be."""
        pairs = zip(self.cases(), self.expected, strict=True)
        return (self.outcome(function, *pair) for pair in pairs)

    def outcome(self, function: Function, case: tuple, expected: Any = None) -> Any:
        """What is compared of a function for one argument tuple, in the form of ``expected``."""
        spec = self.spec
        case = [answers.leaf(one) if i in spec.gradient_of else one for i, one in enumerate(case)]
        before = copy.deepcopy(spec.kept(*case))
        value = function(*case)
        if value is None or value is ...:
            return value
        if spec.gradient_of:
            form = expected.value if isinstance(expected, Graded) else None
            value = answers.graded(value, [case[place] for place in spec.gradient_of], form)
        value = spec.observe(value)
        is_kept = answers.same(spec.kept(*case), before, Tolerance(0.0, 0.0))
        return value if is_kept else (value, CHANGED)

    def quietly(self, case: tuple, expected: Any) -> Any:
        """The answer's outcome for one more case, without what it prints; None where it fails."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            return self.outcome(self.answer, case, expected)

    def same(self, value: Any, expected: Any) -> bool:
        """Equal within the exercise's tolerance."""
        return answers.same(value, expected, Tolerance(self.spec.tolerance, self.spec.absolute))

    def equal(self, outcomes: list[Any], expected: Iterable[Any]) -> bool:
        """Whether all of these outcomes are those expected of the first cases."""
        return all(self.same(*pair) for pair in zip(outcomes, expected, strict=False))

    def makes(self, wrong: Function) -> bool:
        """Whether the answer is this wrong one.

        The ordinary cases decide, so that a mistake is recognised in arithmetic that fails at the
        extremes too; what is right there is compared at the extremes as well.
        """
        compared = self.given if self.right_on_ordinary_cases else self.given[: self.ordinary]
        try:
            return self.equal(compared, self.outcomes(wrong))
        except Exception:  # what is wrong may also be impossible for some arguments
            return False

    def name(self, place: int) -> str:
        """What the learner calls the argument."""
        try:
            parameters = list(inspect.signature(self.answer).parameters.values())[: place + 1]
        except (TypeError, ValueError):
            parameters = []
        if len(parameters) <= place or any(one.kind is one.VAR_POSITIONAL for one in parameters):
            return f"argument {place + 1}"
        return parameters[place].name
