"""The candidates of the comparison: every method, with the settings among which one is chosen."""

from __future__ import annotations

import inspect

import pytest
import torch
from helpers import STUDENT, TinySettings, study, tiny_data

from kdnotes import methods, teachers
from kdnotes.course import candidates
from kdnotes.course.candidates import BASELINE, CLAIMS, LABELS, LONGER, ONE, SEVERAL, STANDARD
from kdnotes.methods import KD, CrossEntropy, GatedKD, Method
from kdnotes.study import Arm


class LessonSettings(TinySettings):
    @staticmethod
    def pick(*, smoke, lesson, full):
        return lesson


@pytest.fixture(scope="module")
def families(session_cache):
    return candidates.families(LessonSettings(), workers=1)


def methods_of(family):
    found = [arm.method for arm in family.settings.values()]
    return [one if isinstance(one, Method) else one(0) for one in found]


def test_every_method_of_the_package_enters(families):
    entered = {type(one) for family in families.values() for one in methods_of(family)}
    named = [getattr(methods, name) for name in methods.__all__]
    kinds = {one for one in named if inspect.isclass(one) and issubclass(one, Method)}
    # Those of the chapter on transformers need one, or are compared there.
    elsewhere = {methods.DeiT, methods.HardKD, methods.TwoClassTokens}
    assert kinds - entered == {Method, methods.OwnLoss} | elsewhere


def test_the_baseline_is_first_and_all_that_is_named_is_there(families):
    assert next(iter(families)) == BASELINE
    named = {BASELINE, STANDARD, *LONGER, *(name for _, *pair in CLAIMS for name in pair)}
    assert named <= set(families)


def test_no_setting_is_there_twice(families):
    settings = [repr(one) for family in families.values() for one in methods_of(family)]
    assert len(set(settings)) == len(settings)


def test_smoke_tries_the_first_and_the_last_setting_of_every_method(families):
    few = candidates.families(TinySettings(), workers=1)
    assert list(few) == list(families)
    for name, family in families.items():
        settings = list(family.settings)
        assert list(few[name].settings) == settings[:1] + settings[1:][-1:]
    assert len(families["attention (AT)"].settings) == 4


def test_all_three_teachers_are_used_by_the_methods_with_many(families):
    gate = families["teachers by a gate"].settings["labels"].method
    assert isinstance(gate, GatedKD) and len(gate.teachers) == 3


def test_what_a_method_learns_from_is_what_its_loss_holds(families):
    for family in families.values():
        for method in methods_of(family):
            uses = SEVERAL if hasattr(method, "teachers") else LABELS
            if getattr(method, "teacher", None) is not None:
                uses = ONE
            own_kind = family.uses == LABELS and family.trainings > 1  # taught by its own kind
            assert family.uses == uses or own_kind


def test_what_must_be_trained_before_is_counted(families):
    before = {name: family.before for name, family in families.items()}
    assert before["KD"] == before["annealed T or α"] == before["hints (FitNets)"] == 100.0
    assert before["teachers averaged"] == before["teachers by a gate"] == 111.0
    assert before[BASELINE] == before["label smoothing"] == before["mutual learning (DML)"] == 0.0
    assert 0 < before["born again"] < 100 < before["assistant"] < 200


@pytest.mark.parametrize("seed", [0, 1, 1000])
def test_born_again_is_taught_by_the_next_seed_of_the_same_kind(families, seed):
    """In turn: the last seed by the first."""
    following = {0: 1, 1: 0, 1000: 1000}[seed]
    runs = study({"CE": CrossEntropy()}, [following]).runs
    config = TinySettings().config(seed=following)
    teacher = teachers.from_run(runs["CE", following], STUDENT, tiny_data(), config, CrossEntropy())
    again = study({"again": Arm(lambda _: KD(teacher, 2.0, 0.1))}, [seed]).runs["again", seed]
    entered = study({"again": families["born again"].settings["1 generation"]}, [seed])
    assert torch.equal(entered.runs["again", seed].test_logits, again.test_logits)


def test_an_assistant_has_the_seed_of_its_student_and_the_teacher_of_kd(families):
    small = families["assistant"].settings[""].method
    for seed in (0, 1, 1000):
        record = small(seed).teacher.record
        assert (record["config"]["seed"], record["method"]) == (seed, "KD")
    assert small(0).teacher.key != small(1).teacher.key


def test_the_seeds_of_choice_and_report_never_meet():
    s = TinySettings()
    assert not set(candidates.choice_seeds(s)) & set(range(s.seeds))
    assert len(candidates.choice_seeds(s)) == s.choice_seeds
