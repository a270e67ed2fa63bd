"""Which method to choose for a goal: a rule that sees validation scores of the choice seeds alone.

Of all methods that the goal admits, it takes the one of the least effort whose mean lies within a
margin of the best. The margin is what a score is worth to whoever chooses; the rule has no other
setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdnotes.course.candidates import LABELS, ONE, SEVERAL, Family
from kdnotes.intervals import Metric
from kdnotes.study import Study

KINDS = (LABELS, ONE, SEVERAL)  # what a student learns from, the plainest first
MARGINS = {"accuracy": 0.005, "calibrated_nll": 0.01}


@dataclass(frozen=True)
class Goal:
    """What somebody wants.

    Args:
        name: in the reader's words.
        has: the most that there is to learn from, of ``KINDS``.
        trainings: how many trainings of a student there is time for.
        score: without the part of the data, of ``MARGINS``.
    """

    name: str
    has: str
    trainings: int = 2
    score: str = "accuracy"

    def admits(self, family: Family) -> bool:
        plain_enough = KINDS.index(family.uses) <= KINDS.index(self.has)
        return plain_enough and family.trainings <= self.trainings


GOALS = (
    Goal("accuracy, labels, twice", LABELS),
    Goal("accuracy, a teacher, once", ONE, trainings=1),
    Goal("accuracy, a teacher, twice", ONE),
    Goal("accuracy, several teachers", SEVERAL),
    Goal("NLL, labels", LABELS, score="calibrated_nll"),
    Goal("NLL, a teacher", ONE, score="calibrated_nll"),
)


@dataclass(frozen=True)
class Answer:
    """What the rule says: the method to choose, and the one that leads on validation."""

    method: str
    leader: str


def answers(
    families: Mapping[str, Family],
    validation: Study,
    goals: Sequence[Goal] = GOALS,
    margins: Mapping[str, float] = MARGINS,
) -> dict[str, Answer]:
    """Goal → answer.

    Args:
        families: method → what it takes, from plain to involved.
        validation: a study whose arms are the methods, on seeds that no report uses.
        margins: score → how far behind the best a method may lie.
    """
    return {goal.name: _answer(goal, families, validation, margins) for goal in goals}


def _answer(
    goal: Goal, families: Mapping[str, Family], validation: Study, margins: Mapping[str, float]
) -> Answer:
    metric = Metric.named(f"validation_{goal.score}")
    admitted = [name for name, family in families.items() if goal.admits(family)]
    means = np.array([validation.values(name, metric.name).mean() for name in admitted])
    scores = (metric.sign * means).round(12)  # equal on paper may differ by rounding
    close = [
        name
        for name, score in zip(admitted, scores, strict=True)
        if score >= scores.max() - margins[goal.score]
    ]
    return Answer(min(close, key=lambda name: _effort(families, name)), admitted[scores.argmax()])


def _effort(families: Mapping[str, Family], name: str) -> tuple[int, int, int]:
    """First trainings of a student, then teachers to ask, then the order of the methods."""
    family = families[name]
    return family.trainings, KINDS.index(family.uses), list(families).index(name)
