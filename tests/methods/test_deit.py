"""Hard labels of a teacher, the distillation token, and its control."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    CONFIG,
    STUDENT,
    TRANSFORMER,
    batch_of,
    equal_states,
    tiny_data,
    tiny_teacher,
    train,
)
from method_helpers import CPU, close, given_logits, outputs, prepared

from kdnotes import losses
from kdnotes.methods import KD, CrossEntropy, DeiT, HardKD, TwoClassTokens
from kdnotes.models import VisionTransformer
from kdnotes.training import build, trained

pytestmark = pytest.mark.usefixtures("own_cache")


def token_batch(**changes):
    logits = torch.randn(6, 2, CLASSES, generator=torch.Generator().manual_seed(1))
    return batch_of(view=1, features={"tokens": logits}, **changes)


def test_hard_kd_weighs_labels_and_the_teachers_answers():
    method = prepared(HardKD(*outputs(), alpha=0.3))
    batch = batch_of(view=1)
    answers = given_logits(method, batch)[0].argmax(1)
    terms = method.terms(batch)
    close(terms["hard"], 0.3 * F.cross_entropy(batch.student_logits, batch.targets))
    close(terms["answers"], 0.7 * F.cross_entropy(batch.student_logits, answers))


def test_the_first_token_learns_the_labels_and_the_second_from_the_teacher():
    batch = token_batch()
    first, second = batch.features["tokens"].unbind(1)
    for target in ("hard", "soft"):
        method = prepared(DeiT(*outputs(), target, 2.0, 0.3), build(TRANSFORMER, 0))
        teacher = given_logits(method, batch)[0]
        terms = method.terms(batch)
        close(terms["hard"], 0.3 * F.cross_entropy(first, batch.targets))
        if target == "soft":
            close(terms["soft"], 0.7 * losses.kd_loss(second, teacher, 2.0))
        else:
            close(terms["answers"], 0.7 * F.cross_entropy(second, teacher.argmax(1)))


def test_the_control_gives_both_tokens_the_labels():
    batch = token_batch()
    both = [F.cross_entropy(one, batch.targets) for one in batch.features["tokens"].unbind(1)]
    terms = prepared(TwoClassTokens(), build(TRANSFORMER, 0)).terms(batch)
    close(terms["hard"], (both[0] + both[1]) / 2)


def test_where_the_teacher_weighs_nothing_hard_kd_is_cross_entropy():
    plain = train(CrossEntropy())
    assert equal_states(train(HardKD(tiny_teacher(), 1.0)).state, plain.state)


def test_where_the_teacher_weighs_nothing_its_classifier_gets_no_gradient():
    config = dataclasses.replace(CONFIG, weight_decay=0.0)
    start = build(TRANSFORMER, 0).state_dict()
    for target in ("hard", "soft"):
        state = train(DeiT(tiny_teacher(), target, alpha=1.0), config).state
        kept = {name for name in state if torch.equal(state[name], start[name])}
        assert kept == {f"stages.tokens.tokens.1.classifier.{part}" for part in ("weight", "bias")}


def test_a_soft_target_that_is_sure_is_a_hard_one():
    """T = 1, and a teacher whose softmax is a one-hot vector: KL is the cross-entropy."""
    (teacher,), batch = outputs(scale=1e4), token_batch()
    student = build(TRANSFORMER, 0)
    hard, soft = (prepared(DeiT(teacher, one, 1.0, 0.0), student) for one in ("hard", "soft"))
    close(hard.terms(batch)["answers"], soft.terms(batch)["soft"])


def test_a_distilled_transformer_predicts_the_mean_of_its_two_softmaxes():
    run = train(DeiT(tiny_teacher()))
    network = trained(TRANSFORMER, run)
    with torch.inference_mode():
        both = network.stages(tiny_data().test.images)
    assert both.shape == (40, 2, CLASSES)
    close(run.test_logits.softmax(1), both.softmax(2).mean(1))


@pytest.mark.parametrize("method", [DeiT(tiny_teacher()), TwoClassTokens()])
def test_a_student_without_two_tokens_is_refused_before_training(method):
    with pytest.raises(
        TypeError, match=r"student must be a models\.VisionTransformer with tokens=2"
    ):
        train(method, student=STUDENT)
    one = TRANSFORMER(tokens=1)
    with pytest.raises(ValueError, match=r"student must have two tokens \(tokens=2\), not 1"):
        method.prepare(one, None, CONFIG.views, CPU)


def test_the_teachers_answer_is_that_to_the_very_view():
    first, second = outputs()[0].logits.argmax(2)
    assert not torch.equal(first, second)
    method = prepared(HardKD(*outputs()))
    logits = torch.zeros(6, CLASSES).requires_grad_(True)
    for view, answers in enumerate((first, second)):
        batch = batch_of(view=view, student_logits=logits)
        assert torch.equal(method.teacher_logits(batch).argmax(1), answers[batch.positions])


def test_kd_of_the_course_is_the_papers_soft_distillation():
    """(1 − λ)·CE + λ·T²·KL with λ = 0.1 and T = 3 (its equation 2)."""
    method, batch = prepared(KD(*outputs(), 3.0, 0.9)), batch_of(view=1)
    teacher = given_logits(method, batch)[0]
    p_s, p_t = ((one / 3).log_softmax(1) for one in (batch.student_logits, teacher))
    soft = 9 * F.kl_div(p_s, p_t, log_target=True, reduction="batchmean")
    expected = 0.9 * F.cross_entropy(batch.student_logits, batch.targets) + 0.1 * soft
    close(sum(method.terms(batch).values()), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: HardKD(None), "teacher must be a kdnotes.teachers.Teacher, not NoneType"),
        (lambda t: HardKD(t, 1.5), "alpha must lie in [0, 1], not 1.5"),
        (lambda t: DeiT(t, "both"), "target must be 'hard' or 'soft', not 'both'"),
        (lambda t: DeiT(t, temperature=0), "temperature must be a finite number above 0, not 0"),
        (lambda t: DeiT(t, alpha=True), "alpha must be a number, not bool"),
        (
            lambda t: DeiT(VisionTransformer),
            "teacher must be a kdnotes.teachers.Teacher, not the c",
        ),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        make(tiny_teacher())
    assert str(caught.value).startswith(message)
