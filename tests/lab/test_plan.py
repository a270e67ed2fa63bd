"""What a plan accepts, what it says of a study, and what it draws."""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np
import pytest
from made_up import PLAN, own_loss, own_loss_to_do, study_of

from kdnotes import methods
from kdnotes.lab.plan import Experiment
from kdnotes.lab.verdict import seeds_needed


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"smallest_difference": 0.0}, "smallest_difference"),
        ({"smallest_difference": float("nan")}, "smallest_difference"),
        ({"smallest_difference": 0.5}, "0.005 for 0.5 points"),
        ({"smallest_difference": "0.1"}, "smallest_difference"),
        ({"hypothesis": " "}, "hypothesis"), ({"question": 3}, "question"),
        ({"baseline": "new"}, "two arms"), ({"metric": "test_speed"}, "larger_is_better"),
        ({"larger_is_better": 1}, "larger_is_better"),
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(change, names):
    with pytest.raises((ValueError, TypeError), match=names):
        dataclasses.replace(PLAN, **change)


def test_a_plan_counts_seeds_by_the_spread_of_its_paired_differences():
    new, old = np.array([0.50, 0.71, 0.62, 0.40]), np.array([0.49, 0.69, 0.62, 0.38])
    needed = PLAN.seeds_needed(study_of(new=list(new), old=list(old)), 0.9)
    assert needed.sd == pytest.approx(np.std(new - old, ddof=1))
    assert needed.seeds == seeds_needed(new - old, 0.005, 0.9).seeds
    assert "0.5 points" in str(needed) and "90 %" in str(needed)


def test_the_verdict_of_a_study_and_its_direction():
    better = study_of(old=[0.80, 0.81, 0.79], new=[0.81, 0.822, 0.80])
    assert PLAN.verdict(better).word == "gain of δ or more shown"
    assert "+1.07 ± " in str(PLAN.verdict(better)) and "points" in str(PLAN.verdict(better))
    lower = study_of("test_nll", old=[0.70, 0.71, 0.69], new=[0.60, 0.612, 0.59])
    nll = Experiment("Q?", "H.", "P.", "new", "old", metric="test_nll", smallest_difference=0.02)
    assert nll.verdict(lower).word == "gain of δ or more shown"
    for said in ("δ is 0.02 nats.", "A gain is shown: the interval lies wholly below 0.",
                 "A gain of δ or more is excluded: it lies wholly above −0.02 nats"):  # fmt: skip
        assert said in nll.rule()
    assert "A gain of δ or more is shown: it lies wholly above +0.5 points" in PLAN.rule()
    worse = Experiment("Q?", "H.", "P.", "old", "new", metric="test_nll", smallest_difference=0.02)
    assert worse.verdict(lower).word == "loss shown" and "other way" in str(worse.verdict(lower))
    with pytest.raises(ValueError, match="arm must be one of"):
        Experiment("Q?", "H.", "P.", "newer", "old").verdict(better)


def test_a_plan_with_a_todo_gets_no_verdict():
    plan = Experiment("TODO", "H.", "P.", "new", "old")
    verdict = plan.verdict(study_of(old=[0.5, 0.6, 0.5], new=[0.9, 0.91, 0.9]))
    assert verdict.word == "not filled in" and "question" in str(verdict) and not verdict.filled_in
    assert not re.search(r"exactly the same|0\.", str(verdict))  # nothing of the result
    same = plan.verdict(study_of(old=[0.5, 0.6, 0.5], new=[0.5, 0.6, 0.5]))
    assert "both arms gave exactly the same values" in str(same)
    assert PLAN.verdict(study_of(old=[0.5, 0.6, 0.5], new=[0.9, 0.91, 0.9])).filled_in


ARMS = {
    "old": methods.CrossEntropy(),
    "new": methods.OwnLoss(functools.partial(own_loss, strength=0.5)),
}


def test_a_todo_in_a_loss_keeps_the_verdict_back_where_the_arms_are_given():
    unfinished = ARMS | {"new": methods.OwnLoss(functools.partial(own_loss_to_do))}
    result = study_of(old=[0.5, 0.6, 0.5], new=[0.9, 0.91, 0.9])
    verdict = PLAN.verdict(result, unfinished)
    assert not verdict.filled_in and "the function own_loss_to_do still to do" in str(verdict)
    assert PLAN.verdict(result, ARMS).filled_in and PLAN.to_do(ARMS) == []


@pytest.mark.parametrize(
    ("change", "arms", "error", "message"),
    [
        ({"treatment": "nwe"}, {}, ValueError, "treatment must be one of the arms ['old', 'new'],"),
        ({"baseline": "control"}, {}, ValueError, "baseline must be one of the arms"),
        ({"metric": "val_accuracy"}, {}, ValueError, "metric must be one of test_accuracy, "),
        ({}, {"new": own_loss}, TypeError, "such as OwnLoss(own_loss, teacher), not a loss"),
        ({}, {"new": functools.partial(own_loss, strength=1.0)}, TypeError, "must be a method"),
    ],
)
def test_arms_that_do_not_fit_the_plan_are_refused_before_training(change, arms, error, message):
    PLAN.check_arms(ARMS)
    with pytest.raises(error, match=re.escape(message)):
        dataclasses.replace(PLAN, **change).check_arms(ARMS | arms)


def test_one_seed_and_a_metric_in_nats_can_be_drawn():
    one = study_of("test_nll", old=[0.7], new=[0.6], other=[0.65])
    plan = Experiment("Q?", "H.", "P.", "new", "old", metric="test_nll", smallest_difference=0.02)
    _, alt = plan.figure(one)
    assert "−0.1000 ± ∞ nats" in alt and plan.verdict(one).word == "not resolved"
