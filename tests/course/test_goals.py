"""The rule that names a method for a goal: validation alone, a margin, the least effort."""

from __future__ import annotations

import pandas as pd
import pytest

from kdnotes.course.candidates import LABELS, ONE, SEVERAL, Family
from kdnotes.course.goals import Answer, Goal, answers
from kdnotes.study import Study

FAMILIES = {
    "CE": Family({}, LABELS),
    "twice": Family({}, LABELS, trainings=2),
    "KD": Family({}, ONE),
    "involved": Family({}, ONE),
    "many": Family({}, SEVERAL),
}
ALL = Goal("all", SEVERAL)


def made_up(**scores: float) -> Study:
    """Two seeds whose mean is the score; a test score would mislead."""
    rows = [
        {"arm": arm, "seed": seed, "validation_accuracy": score + (-0.1, 0.1)[seed],
         "validation_calibrated_nll": 1 - score}
        for arm, score in scores.items()
        for seed in (0, 1)
    ]  # fmt: skip
    return Study(pd.DataFrame(rows), {})


FAR = {"CE": 0.70, "twice": 0.72, "KD": 0.74, "involved": 0.742, "many": 0.76}
BY_NLL = {"score": "calibrated_nll"}


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal("labels", LABELS, trainings=1), Answer("CE", "CE")),
        (Goal("labels, time", LABELS), Answer("twice", "twice")),
        (Goal("one", ONE), Answer("KD", "involved")),  # within the margin, and plainer
        (ALL, Answer("many", "many")),
        (Goal("nll", ONE, **BY_NLL), Answer("KD", "involved")),
        (Goal("nll, labels", LABELS, **BY_NLL), Answer("twice", "twice")),
    ],
)
def test_what_a_goal_admits_and_the_least_effort_within_the_margin(goal, expected):
    assert answers(FAMILIES, made_up(**FAR), [goal]) == {goal.name: expected}


@pytest.mark.parametrize(
    ("margin", "method"), [(0.0, "many"), (0.019, "involved"), (0.021, "KD"), (0.07, "CE")]
)
def test_the_margin_decides(margin, method):
    found = answers(FAMILIES, made_up(**FAR), [ALL], {"accuracy": margin})
    assert found["all"] == Answer(method, "many")


def test_fewer_trainings_come_before_fewer_teachers():
    alike = made_up(**dict.fromkeys(FAMILIES, 0.7) | {"CE": 0.5})
    assert answers(FAMILIES, alike, [ALL])["all"].method == "KD"  # not "twice"


def test_rounding_does_not_choose():
    close = made_up(**dict.fromkeys(FAMILIES, 0.7) | {"many": 0.7 + 1e-15})
    assert answers(FAMILIES, close, [ALL], {"accuracy": 0.0})["all"] == Answer("CE", "CE")
