"""The KD baseline: in one place, chosen among the arms that are listed, and used by all."""

from __future__ import annotations

import pytest
from helpers import TinySettings, study, tiny_teacher

from kdnotes.course import baseline, candidates
from kdnotes.methods import CrossEntropy


def test_the_baseline_is_one_of_the_arms_that_it_is_chosen_from():
    teacher = tiny_teacher()
    arms, arm = baseline.kd_arms(teacher), baseline.kd(teacher)
    assert len(arms) == len(baseline.TEMPERATURES) * len(baseline.ALPHAS)
    same = arms[baseline.setting()].method
    assert (same.temperature, same.alpha) == (arm.method.temperature, arm.method.alpha)
    assert arm.method.teacher is teacher
    assert baseline.setting(1.5, 0.0) == "T = 1.5, α = 0"


def test_the_baseline_is_not_reported_on_the_seeds_of_its_choice():
    arms = {"CE": CrossEntropy(), "KD": baseline.kd(tiny_teacher())}
    with pytest.raises(ValueError, match="those on which arm 'KD' was chosen"):
        study(arms, baseline.CHOICE_SEEDS)


def test_the_choice_is_made_on_seeds_of_the_baseline(session_cache):
    choice = baseline.choose_kd(TinySettings(), workers=1, report=None)
    assert choice.study.arms == list(baseline.kd_arms(tiny_teacher()))
    assert choice.seeds == tuple(baseline.CHOICE_SEEDS[:2])
    assert set(choice.arm.chosen_on) <= set(baseline.kd(tiny_teacher()).chosen_on)


def test_the_comparison_has_the_same_baseline():
    assert (candidates.TEMPERATURE, candidates.ALPHA) == (baseline.TEMPERATURE, baseline.ALPHA)
