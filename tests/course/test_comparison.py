"""The comparison of all methods: what is trained, chosen, judged and shown; on tiny data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers import STUDENT, TinySettings, tiny_data

from kdnotes import metrics
from kdnotes.course import candidates, comparison, order
from kdnotes.course.candidates import CLAIMS, LONGER
from kdnotes.course.comparison import BASELINE, STANDARD
from kdnotes.study import Study
from kdnotes.training import build, state_key

WITH_EXITS = {"own teacher (exits)", "deep supervision (exits)"}
COHORTS = {"mutual learning (DML)"}


@pytest.fixture(scope="module")
def result(session_cache):
    return comparison.compare_methods(TinySettings(), workers=1, report=None)


def test_every_method_is_reported_on_seeds_that_chose_nothing(result):
    expected = [(method, seed) for method in result.families for seed in range(2)]
    assert sorted(result.study.runs) == sorted(expected)
    for choice in result.choices.values():
        assert not set(choice.seeds) & {seed for _, seed in result.study.runs}


def test_the_setting_is_the_best_on_validation_of_the_choice_seeds(result):
    several = {name for name, one in result.families.items() if len(one.settings) > 1}
    assert set(result.choices) == several
    for name, choice in result.choices.items():
        means = {arm: choice.study.interval(arm, "validation_accuracy").mean
                 for arm in result.families[name].settings}  # fmt: skip
        assert result.chosen[name] == choice.name
        assert means[choice.name] == max(means.values())


def test_no_test_score_of_the_choice_seeds_is_there(result):
    assert not any(column.startswith("test_") for column in result.validation.frame)
    assert result.validation.arms == result.methods and not result.validation.runs


def test_twice_the_epochs_is_the_same_method_right_behind_it(result):
    for name in LONGER:
        longer = comparison.longer(name)
        assert result.methods[result.methods.index(name) + 1] == longer
        assert result.chosen[longer] == result.chosen[name]
        epochs = [len(result.runs(one)[0].history) for one in (name, longer)]
        assert epochs[1] == 2 * epochs[0]


def test_all_arms_of_a_length_see_the_same_batches_and_start_from_the_same_network(result):
    longer = {comparison.longer(name) for name in LONGER}
    plain = state_key(build(STUDENT, 0).to(memory_format=torch.channels_last))
    runs = {method: result.study.runs[method, 0] for method in result.methods}
    assert len({run.order for method, run in runs.items() if method not in longer}) == 1
    assert len({runs[method].order for method in longer}) == 1
    others = WITH_EXITS | COHORTS
    assert {run.start for method, run in runs.items() if method not in others} == {plain}


def test_the_numbers_are_those_of_the_study(result):
    numbers = result.numbers()
    assert list(numbers.index) == result.methods
    theirs = result.teacher.logits(result.data.test).argmax(1)
    for method, row in numbers.iterrows():
        assert row["accuracy"] == result.study.values(method).mean()
        shares = [float((run.test_logits.argmax(1) == theirs).double().mean())
                  for run in result.runs(method)]  # fmt: skip
        assert row["agreement"] == pytest.approx(np.mean(shares))
        for base in {BASELINE, STANDARD} - {method}:
            difference = result.study.values(method) - result.study.values(base)
            assert row[f"minus {base}"] == pytest.approx(difference.mean(), abs=1e-12)
            assert row[f"minus {base}, corrected low"] <= row[f"minus {base} low"]
            assert row[f"minus {base} high"] <= row[f"minus {base}, corrected high"]


def test_the_correction_is_bonferronis_over_all_pairs_that_are_shown(result):
    found = result.judged()
    assert list(found) == result.pairs and len(set(map(frozenset, result.pairs))) == len(found)
    level = 1 - 0.05 / len(found)
    for (method, other), interval in found.items():
        assert interval == result.study.difference(method, other, level=level)
    shown = {(method, base) for base in (BASELINE, STANDARD) for method in result.methods}
    shown |= {(comparison.longer(name), name) for name in LONGER}
    shown |= {(method, other) for _, method, other in CLAIMS}
    shown |= {(one.leader, one.method) for one in result.answers.values()}
    assert set(map(frozenset, result.pairs)) == {frozenset(p) for p in shown if p[0] != p[1]}


def test_a_difference_has_one_interval_wherever_it_is_shown(result):
    there, back = result.difference("KD", BASELINE), result.difference(BASELINE, "KD")
    assert (back.mean, back.low, back.high) == (-there.mean, -there.high, -there.low)
    assert result.gains()["KD"] == there == result.claims()[CLAIMS[0][0]]
    assert BASELINE not in result.gains() and STANDARD not in result.gains(STANDARD)
    nll = result.difference("KD", BASELINE, "test_calibrated_nll")
    assert nll != there


def test_what_is_not_judged_is_refused(result):
    for pair in (("dark magic", BASELINE), ("attention (AT)", "uncertainty"), ("KD", "KD")):
        with pytest.raises(ValueError, match="must be a pair that is judged"):
            result.difference(*pair)
    with pytest.raises(ValueError, match=r"method must be one of .*not 'dark magic'"):
        result.runs("dark magic")


def test_the_table_says_what_is_told_apart_from_both_baselines(result):
    frame = result.study.frame.copy()
    accuracies = {BASELINE: (0.5, 0.51), STANDARD: (0.6, 0.61001), "uncertainty": (0.55, 0.56001)}
    for method, values in accuracies.items():
        frame.loc[frame["arm"] == method, "test_accuracy"] = values
    made_up = dataclasses.replace(result, study=Study(frame, result.study.runs))
    table = made_up.table()
    assert table.loc[BASELINE, "resolved"] == "< KD" and table.loc[STANDARD, "resolved"] == "> CE"
    assert table.loc["uncertainty", "resolved"] == "> CE"  # from KD without spread
    assert table.loc[STANDARD, "minus KD"] == table.loc[BASELINE, "minus CE"] == ""
    assert table.loc["uncertainty", "minus KD"] == "−5.00 ± 0.00"
    assert table.loc["attention (AT)", "setting"].endswith("(of 2)")  # of smoke


def test_smoke_alone_measures_the_cost_of_each_method_in_one_turn(session_cache, monkeypatch):
    class Numbers(TinySettings):
        """Of another profile, but for what is no number."""

        @staticmethod
        def pick(*, smoke, lesson, full):
            return lesson if isinstance(lesson, int) else smoke

    def measured(arms, *, rounds, **shared):
        seen.append(rounds)
        return dict.fromkeys(arms, 1.0)

    seen = []
    monkeypatch.setattr(comparison.costing, "seconds_of", measured)
    for settings in (TinySettings(), Numbers()):
        comparison.compare_methods(settings, workers=1, report=None)
    assert seen == [1, comparison.costing.ROUNDS] and comparison.costing.ROUNDS > 1


def test_what_all_differences_share_is_said_once_whoever_asks(result, session_cache):
    lines = []
    found = comparison.compare_methods(TinySettings(), workers=1, report=lines.append)
    first, last = order.number("standard_distillation"), order.number("mutual_learning")
    said = "Every difference from CE subtracts the same 2 runs of it, here and in chapters "
    assert found.shared.startswith(f"{said}{first} to {last}, so their luck is in all")
    assert lines.count(found.shared) == 1 and lines[-1] == found.shared
    told = [line for line in found.origin.splitlines() if ", 0 computed now, " in line]
    assert len(told) == 2 and f"report: {2 * len(result.methods)} trainings" in found.origin


def test_equal_classes_need_no_balanced_accuracy(result):
    names = [*result.numbers().columns, *result.table().columns]
    assert not any("balanced" in name for name in names)
    assert list(result.table().index) == result.methods


def test_where_classes_are_unequal_the_largest_and_the_balanced_accuracy_are_shown(result):
    # 10, 1, 1 and 1 images
    few = tiny_data().test.take(torch.tensor([*range(0, 40, 4), 1, 2, 3]))
    unequal = dataclasses.replace(result.data, test=few)
    runs = {
        key: dataclasses.replace(run, test_logits=run.test_logits[few.index])
        for key, run in result.study.runs.items()
    }
    seen = dataclasses.replace(
        result, data=unequal, study=dataclasses.replace(result.study, runs=runs)
    )
    numbers, table = seen.numbers(), seen.table()
    assert list(table.index) == [*result.methods, comparison.LARGEST]
    largest = table.loc[comparison.LARGEST]
    assert (largest["accuracy %"], largest["balanced %"]) == ("76.92", "25.00")
    for method, row in numbers.iterrows():
        own = [run.test_logits for run in seen.runs(method)]
        expected = np.mean([metrics.balanced_accuracy(logits, few.targets) for logits in own])
        assert row["balanced accuracy"] == pytest.approx(expected)
        low, high = row["balanced accuracy low"], row["balanced accuracy high"]
        assert low - 1e-12 <= expected <= high + 1e-12
        assert table.loc[method, "balanced %"].startswith(f"{100 * expected:.2f} ± ")


def test_the_validation_study_is_of_the_choice_seeds(result):
    seeds = set(result.validation.frame["seed"])
    assert seeds == set(candidates.choice_seeds(TinySettings()))
