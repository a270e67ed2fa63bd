"""The KD baseline: in one place, chosen among the arms that are listed, and used by all."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from helpers import TinySettings, study, tiny_teacher

from kdnotes.course import baseline, candidates
from kdnotes.methods import CrossEntropy
from kdnotes.study import Arm, Choice, Study


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


def test_the_comparison_has_the_same_baseline(session_cache):
    family = candidates.families(TinySettings(), workers=1)["KD"]
    (arm,) = family.settings.values()
    method = arm.method
    assert (method.temperature, method.alpha) == (baseline.TEMPERATURE, baseline.ALPHA)
    assert arm.chosen_on == baseline.CHOICE_SEEDS


def test_the_chapter_that_makes_the_choice_confirms_it_or_is_not_sure_of_another():
    """In the lesson profile, as stored: another machine rounds otherwise, and its luck may put a
    neighbour in front. A neighbour that is resolved to be better is another matter.
    """
    (path,) = (Path(__file__).parents[2] / "notebooks").glob("*_standard_distillation.ipynb")
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    (told,) = re.findall(r".* is chosen here.*", printed)
    confirmed = (
        told == f"{baseline.setting()} is chosen here, and is the KD baseline of the course."
    )
    assert confirmed or f"(not resolved) ahead of {baseline.setting()}, the KD" in told
    source = "".join(cell.source for cell in cells)
    assert "few = baseline.CHOICE_SEEDS[:" in source and "baseline.kd_arms(teacher)" in source
    assert "study.choose(arms, few" in source


@pytest.mark.parametrize("ahead", [0.0, 0.02])
def test_a_choice_confirms_the_baseline_or_says_by_how_much_another_is_ahead(ahead):
    mine, other = baseline.setting(), "T = 3, α = 0.3"
    accuracies = {mine: [0.80, 0.82, 0.81], other: [0.80 + ahead, 0.825 + ahead, 0.805 + ahead]}
    frame = pd.DataFrame(
        {"arm": arm, "seed": seed, "validation_accuracy": value}
        for arm, values in accuracies.items()
        for seed, value in enumerate(values)
    )
    name = other if ahead else mine
    choice = Choice(name, Arm(CrossEntropy()), (0, 1, 2), Study(frame, {}))
    assert baseline.confirmed(choice) == (
        f"{other} is chosen here; on validation it is +2.00 ± 1.24 points (resolved gain) ahead of "
        f"{mine}, the KD baseline of the course."
        if ahead
        else f"{mine} is chosen here, and is the KD baseline of the course."
    )
