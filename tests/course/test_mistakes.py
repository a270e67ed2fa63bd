"""Each mistake that exercises share is named by its own sentence, on two exercises or more."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings

import pytest
import torch.nn.functional as F
from sweep import ALL, checked

from kdnotes import losses
from kdnotes.course import mistakes, slips

R = {name: spec.reference for name, spec in ALL.items()}


def scaled(name, factor):
    """The reference times ``factor(case)``."""
    return lambda *case: R[name](*case) * factor(case)


def exchanged(name, i, j):
    return lambda *case: R[name](
        *(case[j] if k == i else case[i] if k == j else one for k, one in enumerate(case))
    )


def with_soft(name, change):
    """The labels' term and ``change(soft, case)``, where the soft term belongs."""
    one = ALL[name]
    return lambda *case: one.hard(*case) + change(one.soft, case)


def naive(name):
    """The logarithm of a softmax."""

    def answer(*case):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(F, "log_softmax", lambda z, dim=1: F.softmax(z, dim=dim).log())
            return R[name](*case)

    return answer


def guarded(name):
    def answer(*case):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(F, "log_softmax", lambda z, dim=1: (F.softmax(z, dim=dim) + 1e-12).log())
            return R[name](*case)

    return answer


BATCH, CLASSES = (lambda case: float(case[0].shape[0])), (lambda case: float(case[0].shape[1]))

NAMED = {
    mistakes.NOT_FINITE: [("SoftLoss", naive("SoftLoss")), ("GateLoss", naive("GateLoss"))],
    mistakes.CUT_OFF: [("SoftLoss", guarded("SoftLoss")), ("WholeLoss", guarded("WholeLoss"))],
    "the value is right, but no gradient reaches z": [
        ("SoftLoss", lambda z, z_t, t: R["SoftLoss"](z, z_t, t).detach()),
        ("PeerLosses", lambda z, y: [one.detach() for one in R["PeerLosses"](z, y)]),
        ("NonTargetPart", lambda z, z_t, y, t: R["NonTargetPart"](z, z_t, y, t).item()),
    ],
    mistakes.REVERSED: [
        ("SoftLoss", lambda *case: 2 * R["SoftLoss"](*case).detach() - R["SoftLoss"](*case)),
        ("Hint", lambda *case: 2 * R["Hint"](*case).detach() - R["Hint"](*case)),
    ],
    "a gradient reaches teacher: detach it, a constant here": [
        ("Hint", lambda student, teacher, weight, bias: (
            ALL["Hint"].difference(student, teacher, weight, bias).square().mean())),
    ],
    "the soft term is missing": [
        ("WholeLoss", with_soft("WholeLoss", lambda soft, case: 0.0)),
        ("LossWithStop", with_soft("LossWithStop", lambda soft, case: 0.0)),
    ],
    "the soft term sends no gradient to ": [
        ("WholeLoss", with_soft("WholeLoss", lambda soft, case: soft(*case).detach())),
        ("LossWithStop", with_soft("LossWithStop", lambda soft, case: soft(*case).detach())),
    ],
    "is too small by T²: with T²": [
        ("SoftLoss", scaled("SoftLoss", lambda case: case[2] ** -2)),
        ("WholeLoss", with_soft("WholeLoss", lambda soft, case: soft(*case) / case[3] ** 2)),
        ("WeightedTeachers", scaled("WeightedTeachers", lambda case: case[3] ** -2)),
    ],
    "is too small by T: count": [
        ("SoftLoss", scaled("SoftLoss", lambda case: 1 / case[2])),
        ("SoftGradient", scaled("SoftGradient", lambda case: 1 / case[2])),
    ],
    "is too large by T: count": [
        ("SoftLoss", scaled("SoftLoss", lambda case: case[2])),
        ("SoftGradient", scaled("SoftGradient", lambda case: case[2])),
    ],
    "is too large by T²: count its factors": [
        ("NonTargetPart", scaled("NonTargetPart", lambda case: case[3] ** 2)),
        ("LossWithStop", with_soft("LossWithStop", lambda soft, case: soft(*case) * case[7] ** 2)),
    ],
    "the result is too large by the batch size: take the mean": [
        ("SoftLoss", scaled("SoftLoss", BATCH)),
        ("Entropy", scaled("Entropy", BATCH)),
        ("SoftGradient", scaled("SoftGradient", BATCH)),
    ],
    "is too small by the batch size": [
        ("SoftGradient", scaled("SoftGradient", lambda case: 1 / BATCH(case))),
        ("Weights", scaled("Weights", lambda case: 1 / BATCH(case))),
    ],
    "the result is too large by the number of classes": [
        ("Limit", scaled("Limit", CLASSES)), ("Entropy", scaled("Entropy", CLASSES)),
    ],
    "is too small by the number of classes: sum over them": [
        ("SoftLoss", scaled("SoftLoss", lambda case: 1 / CLASSES(case))),
        ("WholeLoss", with_soft("WholeLoss", lambda soft, case: soft(*case) / CLASSES(case))),
    ],
    "the result has the wrong sign": [
        ("SoftGradient", scaled("SoftGradient", lambda case: -1)),
        ("Entropy", scaled("Entropy", lambda case: -1)),
    ],
    "the result is twice as large": [
        ("Limit", scaled("Limit", lambda case: 2)),
        ("AttentionDistance", scaled("AttentionDistance", lambda case: 2)),
    ],
    "the result is half as large": [
        ("Hint", scaled("Hint", lambda case: 0.5)),
        ("McNemar", scaled("McNemar", lambda case: 0.5)),
    ],
    "in per cent: return a fraction": [
        ("Gap", scaled("Gap", lambda case: 100)),
        ("Disagreement", scaled("Disagreement", lambda case: 100)),
    ],
    "in the result the student's and the teacher's logits are exchanged": [
        ("SoftLoss", exchanged("SoftLoss", 0, 1)),
        ("Terms", exchanged("Terms", 0, 1)),
        ("NonTargetPart", exchanged("NonTargetPart", 0, 1)),
    ],
    "in the soft term the student's and the teacher's logits are exchanged": [
        ("WholeLoss", with_soft("WholeLoss", lambda soft, case: soft(case[1], case[0], *case[2:]))),
        ("LossWithStop", with_soft(
            "LossWithStop", lambda soft, case: soft(case[1], case[0], *case[2:]))),
    ],
    "in the result z_s should be divided by T before": [
        ("SoftLoss", lambda z_s, z_t, t: R["SoftLoss"](t * z_s, z_t, t)),
        ("WeightedTeachers", lambda z_s, z_t, w, t: R["WeightedTeachers"](t * z_s, z_t, w, t)),
    ],
    "in the result z_s and z_t should be divided by T before": [
        ("SoftGradient", lambda z_s, z_t, t: R["SoftGradient"](t * z_s, t * z_t, t)),
        ("Terms", lambda z_s, z_t, y, t: R["Terms"](t * z_s, t * z_t, y, t)),
    ],
    "should be divided by T, not multiplied": [
        ("Entropy", lambda z, t: R["Entropy"](t**2 * z, t)),
        ("SoftLoss", lambda z_s, z_t, t: R["SoftLoss"](t**2 * z_s, z_t, t)),
    ],
    "in the labels' term z_s should not be divided by T": [
        ("WholeLoss", lambda z_s, z_t, y, t, alpha: (
            ALL["WholeLoss"].hard(z_s / t, z_t, y, t, alpha)
            + ALL["WholeLoss"].soft(z_s, z_t, y, t, alpha))),
        ("DKD", lambda z_s, z_t, y, t, *rest: R["DKD"](z_s, z_t, y, t, *rest)
         - F.cross_entropy(z_s, y) + F.cross_entropy(z_s / t, y)),
    ],
    "these are the values of the samples: return their mean": [
        ("SoftLoss", lambda z_s, z_t, t: losses.kd_loss(z_s, z_t, t, reduction="none")),
        ("Terms", lambda *case: losses.decoupled_terms(*case, reduction="none")),
    ],
    "this is the mean over the samples": [
        ("Limit", lambda *case: R["Limit"](*case).mean()),
        ("ConfidenceWeights", lambda *case: R["ConfidenceWeights"](*case).mean(0)),
    ],
    "the axes are exchanged: return the transpose": [
        ("ConfidenceWeights", lambda *case: R["ConfidenceWeights"](*case).T),
        ("Standardised", lambda *case: R["Standardised"](*case).T),
    ],
    "the numbers are right, but in another shape": [
        ("Weights", lambda z: R["Weights"](z)[:, None]),
        ("AttentionMap", lambda f: R["AttentionMap"](f).view(len(f), *f.shape[2:])),
    ],
    "right, but return them in the other order": [
        ("Terms", lambda *case: R["Terms"](*case)[::-1]),
        ("Leave", lambda *case: R["Leave"](*case)[::-1]),
    ],
    "the numbers are right, but in another order": [
        ("Holm", lambda p: sorted(R["Holm"](p))),
        ("Limit", lambda *case: R["Limit"](*case).roll(1)),
    ],
    "computed in half precision": [
        ("SoftGradient", lambda *case: R["SoftGradient"](*case).half()),
        ("ConfidenceWeights", lambda *case: R["ConfidenceWeights"](*case).bfloat16()),
    ],
    "`alpha` and `beta` are exchanged": [
        ("DKD", lambda z_s, z_t, y, t, alpha, beta, epoch, warmup: R["DKD"](
            z_s, z_t, y, t, beta, alpha, epoch, warmup)),
    ],
    "`first` and `last` are exchanged": [
        ("Schedule", lambda step, steps, first, last: R["Schedule"](step, steps, last, first)),
        ("AlphaOfStep",
         lambda e, b, es, bs, first, last: R["AlphaOfStep"](e, b, es, bs, last, first)),
    ],
    "`alpha` and 1 − `alpha` are exchanged": [
        ("WholeLoss", lambda z_s, z_t, y, t, alpha: R["WholeLoss"](z_s, z_t, y, t, 1 - alpha)),
        ("Smoothing", lambda alpha, classes: R["Smoothing"](1 - alpha, classes)),
    ],
    "this is 1 minus the right result": [
        ("CopiedMistakes", lambda *case: 1 - R["CopiedMistakes"](*case)),
        ("Disagreement", lambda z: 1 - R["Disagreement"](z)),
        ("EquivalentAlpha", lambda *case: 1 - R["EquivalentAlpha"](*case)),
    ],
    "off by one: the number is too large by 1": [
        ("Seeds", lambda *case: R["Seeds"](*case) + 1),
        ("Leave", lambda *case: (R["Leave"](*case)[0] + 1, R["Leave"](*case)[1] + 1)),
    ],
    "off by one: the number is too small by 1": [
        ("Seeds", lambda *case: R["Seeds"](*case) - 1),
        ("Parameters", lambda *case: R["Parameters"](*case) - 1),
    ],
    "off by one: this is right for `epoch` + 1": [
        ("AlphaOfStep", lambda epoch, *rest: R["AlphaOfStep"](epoch + 1, *rest)),
        ("DKD", lambda z_s, z_t, y, t, alpha, beta, epoch, warmup: R["DKD"](
            z_s, z_t, y, t, alpha, beta, epoch + 1, warmup)),
    ],
    "off by one: this is right for `epoch` − 1": [
        ("AlphaOfStep", lambda epoch, *rest: R["AlphaOfStep"](epoch - 1, *rest)),
        ("SelfDistillationStep",
         lambda previous, positions, y, z, alpha, epoch, epochs: R["SelfDistillationStep"](
             previous, positions, y, z, alpha, epoch - 1, epochs)),
    ],
    "this is rounded: return the number as it is": [
        ("Gap", lambda *case: round(R["Gap"](*case), 2)),
    ],
    "your result does not depend on `temperature`": [
        ("EquivalentAlpha", lambda alpha, temperature: alpha),
    ],
    "your result does not depend on `strength`": [
        ("CurriculumStep", lambda theta, slope, strength, rate: (
            R["CurriculumStep"](theta, slope, 1.0, rate))),
    ],
    "your result does not depend on `batch`": [
        ("AlphaOfStep", lambda epoch, batch, *rest: R["AlphaOfStep"](epoch, 0, *rest)),
    ],
    "your result does not depend on `warm_up`": [
        ("Latencies", lambda times, warm_up: R["Latencies"](times, 0)),
    ],
    "your result does not depend on `y`": [
        ("ConfidenceWeights", lambda z_t, y: R["ConfidenceWeights"](z_t, z_t.argmax(2)[0])),
        ("Terms", lambda z_s, z_t, y, t: R["Terms"](z_s, z_t, z_t.argmax(1), t)),
    ],
}  # fmt: skip


@functools.cache
def line(text, place):
    """What is printed of one of the answers."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), warnings.catch_warnings(action="error"):
        assert not checked(*NAMED[text][place])
    return output.getvalue()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param(text, place, id=f"{name}-{text[:40]}")
        for text, found in NAMED.items()
        for place, (name, _) in enumerate(found)
    ],
)
def test_a_shared_mistake_is_named_by_its_own_sentence(text, place):
    assert text in line(text, place)


OF_TABLES = (
    mistakes.SOFTENINGS,
    mistakes.TEMPERATURE_POWERS,
    mistakes.SIZE_POWERS,
    mistakes.FACTORS,
)
SENTENCES = [text for table in OF_TABLES for text in table.values()] + [
    text for text, *_ in slips.FORMS
]


@pytest.mark.parametrize("sentence", [*SENTENCES, mistakes.DIRECTION, mistakes.REVERSED])
def test_it_is_met_on_two_exercises(sentence):
    pattern = re.sub(r"(\\{)+\w+(\\})+", ".*", re.escape(sentence))
    lines = {line(text, place) for text in NAMED for place in range(len(NAMED[text]))}
    assert len({one[:14] for one in lines if re.search(pattern, one)}) >= 2


def test_what_a_learner_prints_is_printed_once_a_case(capsys):
    def answer(alpha, temperature):
        print("called")
        return 3 * alpha

    checked("EquivalentAlpha", answer)
    assert capsys.readouterr().out.count("called") == len(ALL["EquivalentAlpha"].cases())


def test_a_lost_gradient_is_missed_where_one_belongs(capsys):
    """The teacher of a hint needs none."""
    assert not checked("Hint", lambda student, teacher, weight, bias: (
        R["Hint"](student, teacher, weight, bias).detach()))  # fmt: skip
    assert "no gradient reaches student or weight or bias: do not" in capsys.readouterr().out
