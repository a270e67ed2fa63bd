"""The comparison of all methods: what is trained, what is chosen, what is reported; on tiny data."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from helpers import CLASSES, CONFIG, STUDENT, tiny_data, tiny_teacher
from kdnotes.comparison import BASELINE

from kdnotes import comparison, metrics, study, teachers
from kdnotes.methods import KD, CrossEntropy, GatedKD
from kdnotes.models import StudentNet
from kdnotes.study import Study
from kdnotes.training import build, state_key


class TinySettings:
    """Stands for ``profiles.Settings``, with the data of the tests."""

    seeds = 2

    def splits(self):
        return tiny_data()

    def student(self):
        return STUDENT

    def config(self):
        return CONFIG

    def teacher(self):
        return timed(tiny_teacher(0), 100.0)

    def more_teachers(self):
        wide = functools.partial(StudentNet, num_classes=CLASSES, in_channels=1, width=4)
        return {"wide": timed(teachers.Teacher(build(wide, 1), {}), 10.0), "third": timed(tiny_teacher(2), 1.0)}


def timed(teacher, seconds):
    teacher.record["seconds"] = seconds
    return teacher


@pytest.fixture(scope="module")
def result(session_cache):
    return comparison.compare_methods(TinySettings(), workers=1, report=None)


def arms_of(result):
    return [arm for settings in result.settings.values() for arm in settings.values()]


def test_every_setting_of_every_method_is_trained_once_for_each_seed(result):
    assert sorted(result.study.runs) == sorted((arm, seed) for arm in arms_of(result) for seed in range(2))
    assert next(iter(result.settings)) == BASELINE and len(arms_of(result)) == len(set(arms_of(result)))


def test_all_arms_see_the_same_batches_and_start_from_the_same_backbone(result):
    for seed in range(2):
        runs = {arm: result.study.runs[arm, seed] for arm in arms_of(result)}
        assert len({run.order for run in runs.values()}) == 1
        plain = {run.start for arm, run in runs.items() if "exits" not in arm}
        assert plain == {state_key(build(STUDENT, seed).to(memory_format=torch.channels_last))}


def test_each_setting_is_the_best_of_its_method_on_validation(result):
    for method, settings in result.settings.items():
        means = {setting: result.study.values(arm, "validation_accuracy").mean() for setting, arm in settings.items()}
        assert means[result.chosen[method]] == max(means.values())


def test_a_generation_is_taught_by_the_one_before_it_of_the_next_seed(result):
    for seed in range(2):
        before = result.study.runs[result.settings[BASELINE]["labels alone"], (seed + 1) % 2]
        teacher = teachers.from_run(before, STUDENT, tiny_data(), CONFIG, CrossEntropy())
        again = study.compare(
            {"again": study.Arm(lambda _, teacher=teacher: KD(teacher, 2.0, 0.1))},
            2, student=STUDENT, data=tiny_data(), config=CONFIG, workers=1, report=None,
        )  # fmt: skip
        stored = result.study.runs[result.settings["born again"]["generation 1"], seed]
        assert torch.equal(again.runs["again", seed].test_logits, stored.test_logits)
        assert not torch.equal(again.runs["again", 1 - seed].test_logits, stored.test_logits)


def test_the_numbers_are_those_of_the_study(result):
    numbers = result.numbers()
    assert list(numbers.index) == list(result.settings)
    for method, row in numbers.iterrows():
        arm = result.arm(method)
        assert row["accuracy"] == result.study.values(arm).mean()
        own = [run.test_logits.argmax(1) for (name, _), run in result.study.runs.items() if name == arm]
        theirs = result.teacher.logits(result.data.test).argmax(1)
        assert row["agreement"] == pytest.approx(np.mean([float((a == theirs).double().mean()) for a in own]))
        if method != BASELINE:
            difference = result.study.values(arm) - result.study.values(result.arm(BASELINE))
            assert row["difference"] == pytest.approx(difference.mean())
            assert row["corrected low"] <= row["difference low"] <= row["difference high"] <= row["corrected high"]


def test_the_correction_is_bonferronis_over_all_methods_but_the_baseline(result):
    gains = result.gains()
    assert list(gains) == list(result.settings)[1:]
    for method, gain in gains.items():
        assert gain == result.difference(method, BASELINE, level=1 - 0.05 / (len(result.settings) - 1))
    pairs = {"a": ("KD", "label smoothing"), "b": ("KD", BASELINE)}
    expected = {name: result.difference(*pair, level=1 - 0.05 / 2) for name, pair in pairs.items()}
    assert result.differences(pairs) == expected


def test_what_must_be_trained_before_is_counted(result):
    before = result.numbers()["seconds before"]
    assert before["KD"] == before["annealed"] == 100.0
    assert before["teachers averaged"] == before["teachers by a gate"] == 111.0
    assert before[BASELINE] == before["label smoothing"] == before["previous epoch (PS-KD)"] == 0.0
    generations = [result.settings[BASELINE]["labels alone"], result.settings["born again"]["generation 1"]]
    count = int(result.chosen["born again"][-1])
    expected = sum(result.study.values(arm, "seconds").min() for arm in generations[:count])
    assert before["born again"] == pytest.approx(expected) and expected > 0


def test_the_table_says_whether_a_difference_survives_the_correction(result):
    table, numbers = result.table(), result.numbers()
    assert table.loc[BASELINE, "resolved"] == "" and set(table["resolved"]) <= {"", "yes", "no", "only uncorrected"}
    for method in table.index.drop(BASELINE):
        row = numbers.loc[method]
        corrected, alone = result.gains()[method], result.difference(method, BASELINE)
        assert table.loc[method, f"minus {BASELINE}"] == corrected.points(), "the corrected interval leads"
        assert table.loc[method, "taken alone"] == f"± {100 * alone.half_width:.2f}"
        assert (row["corrected low"], row["corrected high"]) == (corrected.low, corrected.high)
        survives = corrected.has_spread and (corrected.low > 0 or corrected.high < 0)
        assert (table.loc[method, "resolved"] == "yes") == survives


def test_what_all_differences_share_is_said_once_whoever_asks(session_cache):
    lines = []
    found = comparison.compare_methods(TinySettings(), workers=1, report=lines.append)
    said = (
        "Every difference from CE subtracts the same 2 runs of it, here and in chapters 4 to 8, so their luck is in all"
    )
    assert found.shared.startswith(said) and lines.count(found.shared) == 1 and lines[-1] == found.shared


def test_a_method_that_is_ahead_by_the_same_amount_in_every_seed_is_not_resolved(result):
    frame = result.study.frame.copy()
    for method, ahead in ((BASELINE, 0.0), ("KD", 0.0125)):
        frame.loc[frame["arm"] == result.arm(method), "test_accuracy"] = [
            0.7785 + 0.0125 * seed + ahead for seed in (0, 1)
        ]
    table = dataclasses.replace(result, study=Study(frame, result.study.runs)).table()
    assert table.loc["KD", f"minus {BASELINE}"] == "+1.25 ± 0.00" and table.loc["KD", "resolved"] == "no"


def test_all_three_teachers_are_used_by_the_methods_with_many():
    s = TinySettings()
    methods = comparison.candidates(s, s.teacher(), tuple(s.more_teachers().values()), {})
    gate = methods["teachers by a gate"]["labels"].method
    assert isinstance(gate, GatedKD) and len(gate.teachers) == 3


def test_equal_classes_need_no_balanced_accuracy(result):
    assert not any("balanced" in name for frame in (result.numbers(), result.table()) for name in frame.columns)
    assert list(result.table().index) == list(result.settings)


def test_where_classes_are_unequal_the_largest_and_the_balanced_accuracy_are_shown(result):
    few = tiny_data().test.take(torch.tensor([*range(0, 40, 4), 1, 2, 3]))  # 10, 1, 1 and 1 images
    unequal = dataclasses.replace(result.data, test=few)
    runs = {
        key: dataclasses.replace(run, test_logits=run.test_logits[few.index]) for key, run in result.study.runs.items()
    }
    seen = dataclasses.replace(result, data=unequal, study=dataclasses.replace(result.study, runs=runs))
    numbers, table = seen.numbers(), seen.table()
    assert list(table.index) == [*result.settings, comparison.LARGEST]
    assert (
        table.loc[comparison.LARGEST, "accuracy %"] == "76.92"
        and table.loc[comparison.LARGEST, "balanced %"] == "25.00"
    )
    for method, row in numbers.iterrows():
        own = [run.test_logits for (name, _), run in runs.items() if name == result.arm(method)]
        expected = np.mean([metrics.balanced_accuracy(logits, few.targets) for logits in own])
        assert row["balanced accuracy"] == pytest.approx(expected)
        assert row["balanced accuracy low"] <= expected + 1e-12 and expected - 1e-12 <= row["balanced accuracy high"]
        assert table.loc[method, "balanced %"].startswith(f"{100 * expected:.2f} ± ")


def test_an_unknown_method_is_refused(result):
    with pytest.raises(ValueError, match=r"method must be one of .*not 'dark magic'"):
        result.difference("dark magic", BASELINE)
