"""What is said of a training that cannot be: terms, weights and images that are not finite."""

from __future__ import annotations

import dataclasses
import math
import types

import pytest
import torch
import torch.nn.functional as F
from helpers import COHORT, CONFIG, PAIRS, STUDENT, Scaled, tiny_data, tiny_teacher, train

from kdnotes import checks, losses, training
from kdnotes.methods import DML, KD, CrossEntropy, FitNets, Method
from kdnotes.training import build, fit

pytestmark = pytest.mark.usefixtures("own_cache")


class Diverging(CrossEntropy):
    def terms(self, batch):
        return {
            "hard": super().terms(batch)["hard"] * (float("nan") if batch.progress > 0.5 else 1)
        }


class Detached(CrossEntropy):
    def terms(self, batch):
        return {"hard": super().terms(batch)["hard"].detach()}


class Broken(CrossEntropy):
    """Its derivative is NaN where its value is not: that of √x at 0."""

    def terms(self, batch):
        return {"hard": super().terms(batch)["hard"] + (0 * batch.student_logits).sum().sqrt()}


class Unlucky(Scaled):
    """Its own parameter is NaN after the first step."""

    def terms(self, batch):
        if batch.progress:
            self.scale.data.fill_(float("nan"))
        return super().terms(batch)


class Vector(CrossEntropy):
    def terms(self, batch):
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets, reduction="none")}


class Nothing(Method):
    def terms(self, batch):
        return {}


class Bare(Method):
    def terms(self, batch):
        return F.cross_entropy(batch.student_logits, batch.targets)


@pytest.mark.parametrize(
    ("method", "fragment"),
    [
        (
            Diverging(),
            r"the term 'hard' of Diverging became nan in epoch 1 \(step 6 of 8\): look at what it "
            r"is comput",
        ),
        (
            Detached(),
            "terms of Detached must depend on the student's weights, but none has a gradient",
        ),
        (
            Broken(),
            r"finite in epoch 0 \(step 2 of 8\) through the gradient of the step before, .* Broken "
            r"has no finite d",
        ),
        (
            Unlucky(),
            r"parameters of Unlucky itself became NaN or infinite in epoch 0 \(step 2 of 8\): "
            r"lower learning",
        ),
        (Vector(), r"terms of Vector must be scalar tensors, but 'hard' has shape \[16\]"),
        (Nothing(), "terms of Nothing must be"),
        (Bare(), "terms of Bare must be"),
    ],
)
def test_methods_that_cannot_be_minimised_are_named(method, fragment):
    states = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises((TypeError, ValueError), match=fragment):
        train(method)
    assert torch.equal(torch.get_rng_state(), states[0]) and torch.get_num_threads() == states[1]


@pytest.mark.parametrize("method", ["CE", "KD", "hints", "peers"])
def test_a_student_that_diverges_is_told_to_learn_more_slowly(method):
    made = {
        "CE": CrossEntropy,
        "KD": lambda: KD(tiny_teacher(), 2.0, 0.5),
        "hints": lambda: FitNets(tiny_teacher(), pairs=PAIRS),
        "peers": DML,
    }[method]()
    student = COHORT if method == "peers" else STUDENT
    message = r"in epoch 0 \(step [23] of 8\): .*lower learning_rate \(1e\+30\)"
    with pytest.raises(ValueError, match=message):
        train(made, dataclasses.replace(CONFIG, learning_rate=1e30), student)


def test_images_that_are_not_finite_are_not_blamed_on_the_learning_rate():
    data = tiny_data()
    images = data.train.images.clone()
    images[30] = float("nan")
    train_part = dataclasses.replace(data.train, images=images)
    message = r"images of data\.train are NaN or infinite, seen in epoch 0"
    with pytest.raises(ValueError, match=message):
        train(data=dataclasses.replace(data, train=train_part))
    test_part = dataclasses.replace(data.test, images=data.test.images * float("inf"))
    message = r"logits on data\.test became NaN or infinite: as its images are"
    with pytest.raises(ValueError, match=message):
        train(data=dataclasses.replace(data, test=test_part))


def test_the_check_before_a_training_leaves_no_trace():
    """The student is asked in training mode, too: on a copy, so that no running statistic moves."""
    student = build(STUDENT, 0)
    run = fit(student, CrossEntropy(), tiny_data(), CONFIG)
    assert run.start == training.state_key(student)
    assert run.state["stages.stem.1.num_batches_tracked"] == 8


class Watched(KD):
    """Counts how often its losses look at all numbers of a tensor, step by step."""

    looks, counts = [], []

    def terms(self, batch):
        before = len(Watched.looks)
        terms = super().terms(batch)
        self.counts.append(len(Watched.looks) - before)
        return terms


def test_losses_look_at_all_numbers_in_the_first_step_of_each_epoch(monkeypatch):
    def isfinite(number):
        Watched.looks.append(number)
        return math.isfinite(number)

    monkeypatch.setattr(Watched, "looks", [])
    monkeypatch.setattr(Watched, "counts", [])
    monkeypatch.setattr(checks.tensors, "math", types.SimpleNamespace(isfinite=isfinite))
    train(Watched(tiny_teacher()))
    assert Watched.counts == [2, 0, 0, 0, 2, 0, 0, 0]


class WarmUp(KD):
    """Its loss is first called in the second epoch, with what it refuses."""

    def terms(self, batch):
        if not batch.epoch:
            return CrossEntropy().terms(batch)
        return {"soft": self.wrong(batch.student_logits, self.teacher_logits(batch), batch)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z_s, z_t, b: losses.kd_loss(z_s, z_t[:1]), "teacher_logits must have the shape of"),
        (lambda z_s, z_t, b: losses.soft_cross_entropy(z_s, z_t), "target_probabilities must "),
        (lambda z_s, z_t, b: losses.kd_loss(z_s, z_t, reduction="sum"), "reduction must be"),
        (lambda z_s, z_t, b: losses.kd_loss(z_s, z_t, 4 - 6 * b.progress), "temperature must be"),
    ],
)
def test_a_loss_that_is_wrong_later_is_refused(wrong, message):
    method = WarmUp(tiny_teacher())
    method.wrong = wrong
    with pytest.raises(ValueError, match=message):
        train(method)


class LateNaN(KD):
    """Its teacher's logits are NaN from the second epoch on, of a student that is sound."""

    def teacher_logits(self, batch):
        return super().teacher_logits(batch) * (float("nan") if batch.epoch else 1)


def test_an_argument_that_becomes_nan_later_is_named_though_it_is_no_longer_checked():
    with pytest.raises(ValueError, match=r"teacher_logits must be finite, but \d+ of") as caught:
        train(LateNaN(tiny_teacher()))
    assert caught.value.__notes__ == ["in epoch 1 (step 5 of 8)", "with seed 0"]


def test_what_is_not_looked_at_inside_is_looked_at_again_outside():
    nan = torch.full((2, 3), float("nan"))
    with checks.trusted():
        checks.finite(logits=nan)
        with pytest.raises(ZeroDivisionError), checks.trusted():
            raise ZeroDivisionError
        checks.finite(logits=nan)
        with pytest.raises(ValueError, match="temperature must be"):
            checks.positive("temperature", -1)
    with pytest.raises(ValueError, match="logits must be finite"):
        checks.finite(logits=nan)
