"""The comparison of all methods: what is trained, chosen and reported; on tiny data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers import CONFIG, STUDENT, TinySettings, study, tiny_data

from kdnotes import metrics, teachers
from kdnotes.course import comparison, order
from kdnotes.course.comparison import BASELINE
from kdnotes.methods import KD, CrossEntropy
from kdnotes.study import Arm, Study
from kdnotes.training import build, state_key


@pytest.fixture(scope="module")
def result(session_cache):
    return comparison.compare_methods(TinySettings(), workers=1, report=None)


def arms_of(result):
    return [arm for settings in result.settings.values() for arm in settings.values()]


def test_every_setting_of_every_method_is_trained_once_for_each_seed(result):
    assert sorted(result.study.runs) == sorted(
        (arm, seed) for arm in arms_of(result) for seed in range(2)
    )
    assert next(iter(result.settings)) == BASELINE
    assert len(arms_of(result)) == len(set(arms_of(result)))


def test_all_arms_see_the_same_batches_and_start_from_the_same_backbone(result):
    for seed in range(2):
        runs = {arm: result.study.runs[arm, seed] for arm in arms_of(result)}
        assert len({run.order for run in runs.values()}) == 1
        plain = {run.start for arm, run in runs.items() if "exits" not in arm}
        assert plain == {state_key(build(STUDENT, seed).to(memory_format=torch.channels_last))}


def test_each_setting_is_the_best_of_its_method_on_validation(result):
    for method, settings in result.settings.items():
        means = {
            setting: result.study.values(arm, "validation_accuracy").mean()
            for setting, arm in settings.items()
        }
        assert means[result.chosen[method]] == max(means.values())


def test_a_generation_is_taught_by_the_one_before_it_of_the_next_seed(result):
    for seed in range(2):
        before = result.study.runs[result.settings[BASELINE]["labels alone"], (seed + 1) % 2]
        teacher = teachers.from_run(before, STUDENT, tiny_data(), CONFIG, CrossEntropy())
        again = study({"again": Arm(lambda _, teacher=teacher: KD(teacher, 2.0, 0.1))})
        stored = result.study.runs[result.settings["born again"]["generation 1"], seed]
        assert torch.equal(again.runs["again", seed].test_logits, stored.test_logits)
        assert not torch.equal(again.runs["again", 1 - seed].test_logits, stored.test_logits)


def test_the_numbers_are_those_of_the_study(result):
    numbers = result.numbers()
    assert list(numbers.index) == list(result.settings)
    for method, row in numbers.iterrows():
        arm = result.arm(method)
        assert row["accuracy"] == result.study.values(arm).mean()
        runs = [run for (name, _), run in result.study.runs.items() if name == arm]
        theirs = result.teacher.logits(result.data.test).argmax(1)
        shares = [float((run.test_logits.argmax(1) == theirs).double().mean()) for run in runs]
        assert row["agreement"] == pytest.approx(np.mean(shares))
        if method != BASELINE:
            difference = result.study.values(arm) - result.study.values(result.arm(BASELINE))
            assert row["difference"] == pytest.approx(difference.mean())
            assert row["corrected low"] <= row["difference low"]
            assert row["difference high"] <= row["corrected high"]


def test_the_correction_is_bonferronis_over_all_methods_but_the_baseline(result):
    gains = result.gains()
    assert list(gains) == list(result.settings)[1:]
    for method, gain in gains.items():
        assert gain == result.difference(
            method, BASELINE, level=1 - 0.05 / (len(result.settings) - 1)
        )
    pairs = {"a": ("KD", "label smoothing"), "b": ("KD", BASELINE)}
    expected = {name: result.difference(*pair, level=1 - 0.05 / 2) for name, pair in pairs.items()}
    assert result.differences(pairs) == expected


def test_what_must_be_trained_before_is_counted(result):
    before = result.numbers()["seconds before"]
    assert before["KD"] == before["annealed"] == 100.0
    assert before["teachers averaged"] == before["teachers by a gate"] == 111.0
    assert before[BASELINE] == before["label smoothing"] == before["previous epoch (PS-KD)"] == 0.0
    generations = [
        result.settings[BASELINE]["labels alone"],
        result.settings["born again"]["generation 1"],
    ]
    count = int(result.chosen["born again"][-1])
    expected = sum(result.study.values(arm, "seconds").min() for arm in generations[:count])
    assert before["born again"] == pytest.approx(expected) and expected > 0


def test_the_table_says_whether_a_difference_survives_the_correction(result):
    table, numbers = result.table(), result.numbers()
    assert table.loc[BASELINE, "resolved"] == ""
    assert set(table["resolved"]) <= {"", "yes", "no", "only uncorrected"}
    for method in table.index.drop(BASELINE):
        row = numbers.loc[method]
        corrected, alone = result.gains()[method], result.difference(method, BASELINE)
        assert table.loc[method, f"minus {BASELINE}"] == corrected.points(), (
            "the corrected interval leads"
        )
        assert table.loc[method, "taken alone"] == f"± {100 * alone.half_width:.2f}"
        assert (row["corrected low"], row["corrected high"]) == (corrected.low, corrected.high)
        survives = corrected.has_spread and (corrected.low > 0 or corrected.high < 0)
        assert (table.loc[method, "resolved"] == "yes") == survives


def test_what_all_differences_share_is_said_once_whoever_asks(session_cache):
    lines = []
    found = comparison.compare_methods(TinySettings(), workers=1, report=lines.append)
    first, last = order.number("standard_distillation"), order.number("many_teachers")
    said = "Every difference from CE subtracts the same 2 runs of it, here and in chapters "
    assert found.shared.startswith(f"{said}{first} to {last}, so their luck is in all")
    assert lines.count(found.shared) == 1 and lines[-1] == found.shared


def test_a_method_that_is_ahead_by_the_same_amount_in_every_seed_is_not_resolved(result):
    frame = result.study.frame.copy()
    for method, ahead in ((BASELINE, 0.0), ("KD", 0.0125)):
        accuracies = [0.7785 + 0.0125 * seed + ahead for seed in (0, 1)]
        frame.loc[frame["arm"] == result.arm(method), "test_accuracy"] = accuracies
    table = dataclasses.replace(result, study=Study(frame, result.study.runs)).table()
    assert table.loc["KD", f"minus {BASELINE}"] == "+1.25 ± 0.00"
    assert table.loc["KD", "resolved"] == "no"


def test_equal_classes_need_no_balanced_accuracy(result):
    names = [*result.numbers().columns, *result.table().columns]
    assert not any("balanced" in name for name in names)
    assert list(result.table().index) == list(result.settings)


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
    assert list(table.index) == [*result.settings, comparison.LARGEST]
    largest = table.loc[comparison.LARGEST]
    assert (largest["accuracy %"], largest["balanced %"]) == ("76.92", "25.00")
    for method, row in numbers.iterrows():
        own = [run.test_logits for (name, _), run in runs.items() if name == result.arm(method)]
        expected = np.mean([metrics.balanced_accuracy(logits, few.targets) for logits in own])
        assert row["balanced accuracy"] == pytest.approx(expected)
        low, high = row["balanced accuracy low"], row["balanced accuracy high"]
        assert low - 1e-12 <= expected <= high + 1e-12
        assert table.loc[method, "balanced %"].startswith(f"{100 * expected:.2f} ± ")


def test_an_unknown_method_is_refused(result):
    with pytest.raises(ValueError, match=r"method must be one of .*not 'dark magic'"):
        result.difference("dark magic", BASELINE)
