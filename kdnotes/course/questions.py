"""Exercises that ask for no function: a number by hand, an answer read from a result, a design, and
the three questions of a quiz.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kdnotes import checks
from kdnotes.course.attempt import sentence
from kdnotes.lab import Design
from kdnotes.lab.sides import Sides

__all__ = ["RIGHT", "Comparison", "Item", "Question", "wrapped"]

RIGHT = "right"
LETTERS = "abcdef"
WIDTH = 88
CLOSE = 5  # times the tolerance


class Question:
    """A question with one answer: a number, a name, or a set of names.

    A subclass defines ``expected``; for names also ``choices``. Its methods ``wrong_…`` are known
    wrong answers, with the arguments of ``expected``; the docstring is what the learner is told.

    Attributes:
        asks: what is to be given, with its unit, such as "a share between 0 and 1".
        hint: where to look, said of a wrong answer that is not recognised; it follows "not yet: ".
        absolute, relative: how far a number may be off. (0 and 0: it must be exact.)
    """

    asks = "a number"
    hint = "compute it again"
    absolute = 0.0
    relative = 0.0

    def expected(self, *results: Any) -> Any:
        """The right answer, computed from the results that the chapter passes."""
        raise NotImplementedError

    def choices(self, *results: Any) -> Collection[str]:
        """The names that an answer may hold."""
        return ()

    @property
    def traps(self) -> list[Callable[..., Any]]:
        return [getattr(self, name) for name in vars(type(self)) if name.startswith("wrong_")]

    @property
    def tolerance(self) -> str:
        """How far a number may be off, in words."""
        parts = [f"{self.absolute:g}"] if self.absolute else []
        parts += [f"{100 * self.relative:g} %"] if self.relative else []
        return f", give or take {' or '.join(parts)}" if parts else ""

    def judge(self, answer: Any, results: tuple[Any, ...]) -> str:
        """The verdict: "correct", "todo …" or "not yet: …".

        Raises:
            TypeError, ValueError: the answer is of another kind, or no name that can be meant.
        """
        if answer is None or answer is ...:
            return f"todo ({self.asks}{self.tolerance})"
        expected = self.expected(*results)
        if isinstance(expected, (str, set, frozenset)):
            return self._judge_names(answer, expected, self.choices(*results))
        answer = answer.item() if hasattr(answer, "item") else answer
        wanted = f"{self.asks}{self.tolerance}, or None"
        checks.instance(float, int, said=wanted)("answer", answer)
        if self._accepts(answer, expected):
            return "correct"
        return f"not yet: {self._named(answer, expected, results)}"

    def _accepts(self, answer: float, expected: float) -> bool:
        if not math.isfinite(expected):
            return answer == expected or (math.isnan(answer) and math.isnan(expected))
        return abs(answer - expected) <= self._allowed(expected)

    def _allowed(self, expected: float) -> float:
        rounding = 1e-9 * abs(expected)  # an answer that was computed another way is exact, too
        return max(self.absolute, self.relative * abs(expected), rounding)

    def _named(self, answer: float, expected: float, results: tuple[Any, ...]) -> str:
        """What is wrong with a number."""
        for trap in self.traps:
            if self._accepts(answer, trap(*results)):
                return sentence(trap)
        if abs(expected) > self._allowed(expected):  # near 0 every small number is both
            if self._accepts(-answer, expected):
                return "the size is right, the sign is not"
            for factor, size in ((100, "small"), (0.01, "large")):
                if self._accepts(factor * answer, expected):
                    return f"100 times too {size}: asked for is {self.asks}"
        if self.tolerance and abs(answer - expected) <= CLOSE * self._allowed(expected):
            return f"close, but off by more than {self.tolerance.removeprefix(', give or take ')}"
        return self.hint

    def _judge_names(self, answer: Any, expected: Any, allowed: Collection[str]) -> str:
        is_one = isinstance(expected, str)
        if not isinstance(answer, str if is_one else (set, frozenset, list, tuple)):
            raise TypeError(f"answer must be {self.asks}, not {answer!r}")
        names, right = {answer} if is_one else set(answer), {expected} if is_one else set(expected)
        for name in names - set(allowed):
            raise ValueError(f"answer must be {self.asks}, of {list(allowed)}, not {name!r}")
        if names == right:
            return "correct"
        if is_one:
            return f"not yet: {self.hint}"
        extra, missing = len(names - right), len(right - names)
        return f"not yet: {extra} too many, {missing} missing; {self.hint}"


class Comparison:
    """An exercise that asks for a design; any that answers the question unconfounded is right.

    Attributes:
        kind: what is to be given, ``Design`` or, of language models, ``StringDesign``.
        factor: what is to differ (see ``lab.Design.faults``); ``None``: one thing, whatever it is.
        least_seeds: how many seeds the report takes at least.
        metrics: what may be reported.
        is_tuned_alike: whether both sides must have settings to choose from, or neither.
    """

    kind: type[Sides] = Design
    factor: str | None = None
    least_seeds = 2
    metrics = ("test_accuracy", "test_nll", "test_ece")
    is_tuned_alike = False

    def misses(self, design: Any) -> str | None:
        """Why the design answers another question, if it does; it follows "not yet: "."""

    @staticmethod
    def sides(design: Sides) -> tuple[list[Any], list[Any]]:
        """The methods of the treatments, and those of the baselines."""
        treatments, baselines = (
            [design.method(name) for name in side] for side in (design.treatments, design.baselines)
        )
        return treatments, baselines

    def judge(self, design: Any) -> list[str]:
        """All that is wrong with the design, the most telling first; of a right one nothing.

        Raises:
            TypeError: it is no design, or one of other data.
        """
        said = f"an experiment.{self.kind.__name__}, or None"
        checks.instance(self.kind, said=said)("design", design)
        found = [self.misses(design), *design.faults(self.factor)]
        if design.metric not in self.metrics:
            scores = " or ".join(self.metrics)
            found.insert(
                0, f"report {scores}: of test {design.samples}, on which nothing was chosen"
            )
        sizes = len(design.treatments), len(design.baselines)
        if self.is_tuned_alike and min(sizes) == 1 < max(sizes):
            found.append(
                "one side has settings to choose from, the other has not: tune both or neither"
            )
        count = len(set(design.report_seeds))
        if 1 < count < self.least_seeds:
            found.append(f"{count} seeds give a wide interval: take {self.least_seeds} or more")
        return [one for one in found if one]


@dataclass(frozen=True)
class Item:
    """One question of a quiz.

    Args:
        text: the question.
        choices: the answers in the order shown, each with why it is wrong, in one sentence, or with
            ``RIGHT``.
    """

    text: str
    choices: Mapping[str, str]

    def asked(self, number: int) -> str:
        """The question and its answers, lettered, as text of at most 88 columns."""
        pairs = [(f"{number}. ", self.text)]
        pairs += [
            (f"   {letter}) ", text) for letter, text in zip(LETTERS, self.choices, strict=False)
        ]
        return "\n".join(wrapped(mark, text) for mark, text in pairs)

    def judge(self, number: int, answer: Any) -> str:
        """The verdict of a letter.

        Raises:
            ValueError: it is none of the letters.
        """
        if answer is None or answer is ...:
            return "todo"
        reasons = dict(zip(LETTERS, self.choices.values(), strict=False))
        letter = answer.strip().lower().removesuffix(")") if isinstance(answer, str) else answer
        if not isinstance(letter, str) or letter not in reasons:
            allowed = ", ".join(map(repr, reasons))
            raise ValueError(f"answer {number} must be one of {allowed}, or None, not {answer!r}")
        reason = reasons[letter]
        return "correct" if reason == RIGHT else f"not yet: {letter}) {reason}"


def wrapped(mark: str, text: str) -> str:
    """Text of at most 88 columns behind a mark."""
    indents = {"initial_indent": mark, "subsequent_indent": " " * len(mark)}
    return textwrap.fill(text, WIDTH, **indents, break_on_hyphens=False)
