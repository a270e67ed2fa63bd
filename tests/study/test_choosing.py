"""Choices: on validation, on seeds of their own, which the chosen arm remembers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from helpers import CONFIG, equal_states, study, tiny_teacher

from kdnotes.methods import KD, CrossEntropy, LabelSmoothing
from kdnotes.study import FIRST_CHOICE_SEED, Arm, Study, choosing
from kdnotes.study.choosing import highest

pytestmark = pytest.mark.usefixtures("own_cache")
ARMS = {"ce": CrossEntropy(), "smooth": Arm(LabelSmoothing(0.2)), "kd": KD(tiny_teacher(), 2, 0.5)}


def choose(arms, seeds=2, **changes):
    return study(arms, seeds, by=choosing.choose, **changes)


@pytest.fixture
def given(monkeypatch):
    """Results that are given, not trained: arm → validation accuracies; test accuracies go the
    other way.
    """

    def give(**columns):
        def compare(arms, seeds, **options):
            rows = [
                {"arm": arm, "seed": seed, "validation_accuracy": value, "test_accuracy": 1 - value}
                for arm in arms
                for seed, value in zip(seeds, columns[arm], strict=True)
            ]
            return Study(pd.DataFrame(rows), {})

        monkeypatch.setattr(choosing, "compare", compare)
        return choosing.choose(dict.fromkeys(columns, CrossEntropy()), len(columns["a"]))

    return give


def test_the_arm_with_the_best_validation_mean_is_chosen(given):
    choice = given(a=[0.5, 0.6], b=[0.9, 0.4], c=[0.6, 0.6])
    assert choice.name == "b"
    assert str(choice).startswith("b is chosen: validation accuracy 65.00 ± ")
    assert str(choice).endswith(" %, the highest of 3 arms (seeds 1000, 1001)")
    table = choice.table()
    assert table["validation_accuracy %"]["a"].startswith("55.00 ± ")
    assert table["difference from b"]["c"].startswith("−5.00 ± ")


def test_of_equal_means_the_first_arm_counts_whatever_rounding_says(given):
    up, down = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert sum(up) != sum(down)
    assert given(a=up, b=down).name == given(a=down, b=up).name == "a"
    means = [[0.1 + 0.2, 0.3, 0.1], [0.3, 0.1 + 0.2, 0.1], [0.3, 0.1 + 0.2, 0.4]]
    assert highest(np.array(means)).tolist() == [0, 0, 2]


def test_no_test_score_can_be_reached():
    choice = choose(ARMS)
    assert not [name for name in choice.study.frame if "test" in name]
    assert choice.study.runs == {}
    for ask in (choice.study.values, choice.study.interval):
        with pytest.raises(ValueError, match=r"metric must be one of .*not 'test_accuracy'"):
            ask("ce")


def test_a_choice_has_seeds_of_its_own_and_the_arm_remembers_them():
    choice = choose(ARMS, 3)
    assert choice.seeds == tuple(range(FIRST_CHOICE_SEED, FIRST_CHOICE_SEED + 3))
    assert choice.study.values("ce", "validation_nll").index.tolist() == list(choice.seeds)
    assert choice.arm.chosen_on == choice.seeds
    original = ARMS[choice.name]
    assert choice.arm.method is getattr(original, "method", original)
    assert choice.arm.data is choice.arm.config is choice.arm.student is None  # as it was given


@pytest.mark.parametrize("seeds", [[5, 1001], range(1001, 1005), 1001])
def test_a_report_on_seeds_of_the_choice_is_refused_before_anything_is_trained(seeds, own_cache):
    arm = Arm(CrossEntropy(), chosen_on=range(1000, 1002))
    message = "seeds must be others than those on which arm 'chosen' was chosen, .*both have 100"
    with pytest.raises(ValueError, match=message):
        study({"plain": CrossEntropy(), "chosen": arm}, seeds)
    assert not own_cache.exists()


def test_a_changed_arm_still_remembers():
    arm = choose(ARMS, [4, 5]).arm
    longer = dataclasses.replace(arm, config=dataclasses.replace(CONFIG, epochs=4))
    with pytest.raises(ValueError, match="both have 4"):
        study({"twice the epochs": longer}, 5)
    assert study({"twice the epochs": longer}, 2).arms == ["twice the epochs"]


def test_an_arm_that_was_chosen_twice_remembers_both_choices():
    first = choose(ARMS, [4, 5])
    second = choose({"first": first.arm, "again": first.arm}, [5, 6])
    assert second.name == "first" and second.arm.chosen_on == (4, 5, 6)


def test_memory_changes_no_run_and_no_key(own_cache):
    plain = study({"arm": CrossEntropy()})
    chosen = study({"arm": Arm(CrossEntropy(), chosen_on=(1000, 1001))})
    assert chosen.frame["cached"].all()
    assert len(list((own_cache / "runs").glob("*.safetensors"))) == 2
    for job, run in chosen.runs.items():
        assert equal_states(run.state, plain.runs[job].state)


def test_a_choice_uses_the_runs_that_a_comparison_stored():
    study(ARMS, range(1000, 1002))
    assert choose(ARMS).study.frame["cached"].all()


def test_of_one_arm_there_is_nothing_to_choose(own_cache):
    with pytest.raises(ValueError, match=r"arms must be at least 2 to choose from, not \['ce'\]"):
        choose({"ce": CrossEntropy()})
    assert not own_cache.exists()
