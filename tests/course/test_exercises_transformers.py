"""The chapter on transformers: a loss of tokens, numbers by hand, a reading, doors compared."""

from __future__ import annotations

import dataclasses
import functools
from unittest import mock

import pandas as pd
import pytest
import torch
from helpers import CONFIG, STUDENT, TRANSFORMER, batch_of, tiny_data, tiny_teacher
from sweep import ALL, checked

from kdnotes import losses, methods, models, study, training
from kdnotes.course import check, order
from kdnotes.course.attempt import sentence
from kdnotes.course.exercises.transformers import BY_HAND
from kdnotes.intervals import Interval
from kdnotes.lab import Design
from kdnotes.methods import KD, CrossEntropy, DeiT, HardKD, TwoClassTokens
from kdnotes.models import VisionTransformer, count_parameters
from kdnotes.study import Arm, PerSeed

CHAPTER = f"{order.number('transformers'):02d}"
ONE = functools.partial(TRANSFORMER, tokens=1)


def said(capsys, judge, *arguments) -> str:
    """The verdict that a check prints, without the number of the exercise."""
    judge(*arguments)
    return capsys.readouterr().out.partition(": ")[2].strip()


# Functions


def test_the_loss_to_write_is_that_of_the_method():
    """The method's two terms, of the logits that an exercise's case has."""
    for first, second, z_t, y, alpha in ALL["TokenLoss"].cases():
        features = {"tokens": torch.stack([first, second], 1)}
        batch = batch_of(targets=y, student_logits=first, features=features)
        method = DeiT(tiny_teacher(), alpha=alpha)
        with mock.patch.object(DeiT, "teacher_logits", return_value=z_t):
            found = sum(method.terms(batch).values())
        torch.testing.assert_close(found, ALL["TokenLoss"].reference(first, second, z_t, y, alpha))


def test_the_answer_to_write_is_that_of_the_network():
    for (logits,) in ALL["JointAnswer"].cases():
        expected = ALL["JointAnswer"].reference(logits)
        torch.testing.assert_close(models.mean_of_softmaxes(logits), expected)


def named(capsys, name, answer) -> str:
    assert not checked(name, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda a, b, z, y, alpha: losses.kd_loss(b, z, 1.0), "not yet"),
        (lambda a, b, z, y, alpha: losses.hard_label_loss(b, z), "does not depend on `a`"),
        (lambda a, b, z, y, alpha: (alpha, 1 - alpha), "not yet"),
        (
            lambda first, second, z, y, alpha: ALL["TokenLoss"].reference(
                first, second, z, y, 1 - alpha
            ),
            "`alpha` and 1 − `alpha` are exchanged",
        ),
        (
            lambda first, second, z, y, alpha: ALL["TokenLoss"].reference(
                first, second.detach(), z, y, alpha
            ),
            "the teacher's answers sends no gradient to second",
        ),
        (
            lambda first, second, z, y, alpha: ALL["TokenLoss"].reference(first, second, z, y, 0.5),
            "alpha",
        ),
    ],
)
def test_a_wrong_loss_is_named(answer, message, capsys):
    assert message in named(capsys, "TokenLoss", answer)


def test_the_second_token_must_feel_the_joint_answer(capsys):
    """The value is right, and one of the tokens learns nothing of it."""

    def answer(z):
        return models.mean_of_softmaxes(torch.stack([z[:, 0], *z[:, 1:].detach().unbind(1)], 1))

    assert "not its gradient" in named(capsys, "JointAnswer", answer)


def test_numbers_without_a_gradient_are_refused_where_it_is_asked(capsys):
    assert "not yet" in named(capsys, "JointAnswer", lambda z: models.mean_of_softmaxes(z).tolist())
    assert "not yet" in named(
        capsys, "TokenLoss", lambda *case: ALL["TokenLoss"].reference(*case).tolist()
    )


# Numbers by hand


def test_three_digits_of_the_pairs_are_enough_and_two_are_not(capsys):
    for answer in (14.62, 14.6, 4225 / 289, torch.tensor(14.62)):
        assert said(capsys, check.by_hand, f"{CHAPTER}.3", answer) == "correct"
    assert "close" in said(capsys, check.by_hand, f"{CHAPTER}.3", 14.5)
    assert "the token is missing" in said(capsys, check.by_hand, f"{CHAPTER}.3", 16)


def test_the_parameters_by_hand_are_those_of_the_networks(capsys):
    counts = {
        (channels, patch): count_parameters(VisionTransformer(10, channels, patch=patch))
        for channels in (1, 3)
        for patch in (4, 8)
    }
    more = {channels: counts[channels, 8] - counts[channels, 4] for channels in (1, 3)}
    assert more[1] == 0 == BY_HAND[4].wrong_grey()
    assert said(capsys, check.by_hand, f"{CHAPTER}.4", more[3]) == "correct"
    for wrong in BY_HAND[4].traps:
        assert sentence(wrong) in said(capsys, check.by_hand, f"{CHAPTER}.4", wrong())
    assert "not yet" in said(capsys, check.by_hand, f"{CHAPTER}.4", more[3] + 1)


# A reading


def intervals(**ends):
    return {name: Interval((low + high) / 2, low, high, 8) for name, (low, high) in ends.items()}


def test_what_is_not_resolved_may_still_be_a_point(capsys):
    """Small and open, large and open, and resolved on either side of 0; the edge counts."""
    judged = intervals(
        small=(-0.004, 0.008), open=(-0.01, 0.02), edge=(-0.002, 0.01), loss=(-0.02, -0.001),
        gain=(0.001, 0.03), below=(-0.03, 0.005),
    )  # fmt: skip
    assert said(capsys, check.read, f"{CHAPTER}.5", ["edge", "open"], judged) == "correct"
    assert said(capsys, check.read, f"{CHAPTER}.5", ("open", "edge"), judged) == "correct"
    for wrong in ([], ["open"], ["open", "edge", "gain"], ["open", "edge", "small"], ["gain"]):
        assert said(capsys, check.read, f"{CHAPTER}.5", wrong, judged).startswith("not yet")
    with pytest.raises(ValueError, match="'KD'"):
        check.read(f"{CHAPTER}.5", ["KD"], judged)


def test_one_seed_excludes_nothing(capsys):
    """As in the profile that only tries whether all runs."""
    judged = study.together({name: pd.Series([-0.03]) for name in ("answers", "the door")})
    assert said(capsys, check.read, f"{CHAPTER}.5", list(judged), judged) == "correct"
    assert said(capsys, check.read, f"{CHAPTER}.5", [], judged).startswith("not yet")


# A design


@functools.cache
def _data():
    return tiny_data()


def deit(target="hard", alpha=0.5, temperature=3.0):
    return DeiT(tiny_teacher(), target, temperature, alpha)


def hard(alpha=0.5):
    return HardKD(tiny_teacher(), alpha)


def soft(temperature=3.0, alpha=0.5):
    return KD(tiny_teacher(), temperature, alpha)


def judged(capsys, treatment, baseline, **changes):
    """A method or an arm, or several, on each side."""
    sides = [one if isinstance(one, list) else [one] for one in (treatment, baseline)]
    arms = {f"{side}{i}": one for side, ones in zip("tb", sides, strict=True)
            for i, one in enumerate(ones)}  # fmt: skip
    names = [[name for name in arms if name[0] == side] for side in "tb"]
    shared = {"student": TRANSFORMER, "data": _data(), "config": CONFIG, "seeds": 5}
    return said(capsys, check.design, f"{CHAPTER}.6", Design(arms, *names, **(shared | changes)))


CHOICE = {"choose_by": "validation_accuracy", "choose_seeds": range(1000, 1003)}


@pytest.mark.parametrize(
    ("treatment", "baseline", "changes"),
    [
        (deit, hard, {}),
        (lambda: deit("soft"), soft, {}),
        (lambda: deit(alpha=0.1), lambda: hard(0.1), {"seeds": range(10, 18)}),
        (
            lambda: [deit(alpha=a) for a in (0.1, 0.5)],
            lambda: [hard(a) for a in (0.5, 0.1)],
            CHOICE,
        ),
        (
            lambda: [deit("soft", temperature=t) for t in (1.0, 3.0)],
            lambda: [soft(t) for t in (1.0, 3.0)],
            CHOICE,
        ),
        (deit, hard, {"student": functools.partial(TRANSFORMER, depth=3)}),
    ],
)
def test_the_same_answers_with_and_without_a_token_of_their_own(
    treatment, baseline, changes, capsys
):
    assert judged(capsys, treatment(), baseline(), **changes) == "correct"


def fewer():
    """The same data with half the training images."""
    return dataclasses.replace(_data(), train=_data().train.take(torch.arange(30)))


def _warm(seed):
    """Another start than that of this seed."""
    return functools.partial(training.build, TRANSFORMER, seed + 100)


def changed(method, **settings):
    return lambda: Arm(method(), config=dataclasses.replace(CONFIG, **settings))


@pytest.mark.parametrize(
    ("treatment", "baseline", "changes", "message"),
    [
        (deit, CrossEntropy, {}, "the baseline asks no teacher"),
        (deit, TwoClassTokens, {}, "the baseline asks no teacher"),
        (deit, lambda: Arm(hard(), student=ONE), {}, "one side has a token and a classifier more"),
        (deit, lambda: Arm(hard(), student=STUDENT), {}, "a token and a classifier more"),
        (deit, lambda: deit("soft"), {}, "a token for the teacher, too"),
        (deit, lambda: methods.PSKD(), {}, "the baseline is HardKD, or KD"),
        (hard, deit, {}, "the treatment must be DeiT"),
        (TwoClassTokens, hard, {}, "the treatment must be DeiT"),
        (lambda: Arm(deit(), student=ONE), hard, {}, "DeiT needs a student with two tokens"),
        (deit, soft, {}, "the other its probabilities"),
        (lambda: deit("soft"), hard, {}, "the other its probabilities"),
        (lambda: deit("soft"), lambda: soft(2.0), {}, "the same α (and T)"),
        (lambda: deit(alpha=0.1), hard, {}, "the same α (and T)"),
        (lambda: deit(alpha=1.0), lambda: hard(1.0), {}, "with α = 1 the teacher is asked nothing"),
        (lambda: deit(alpha=0.0), lambda: hard(0.0), {}, "with α = 0 nobody learns the labels"),
        (deit, lambda: HardKD(tiny_teacher(seed=1), 0.5), {}, "teacher too"),
        (lambda: [deit(alpha=a) for a in (0.1, 0.5)], hard, CHOICE, "the same α (and T)"),
        (  # as many of each, but otherwise paired
            lambda: [deit("hard", 0.1), deit("soft", 0.5)],
            lambda: [hard(0.5), soft(alpha=0.1)],
            CHOICE,
            "the same α (and T)",
        ),
        (
            lambda: [deit(alpha=a) for a in (0.1, 0.5)],
            lambda: [hard(a) for a in (0.1, 0.5)],
            CHOICE | {"choose_by": "test_accuracy"},
            "a score that chose is no measurement any more",
        ),
        (
            lambda: [deit(alpha=a) for a in (0.1, 0.5)],
            lambda: [hard(a) for a in (0.1, 0.5)],
            CHOICE | {"choose_seeds": range(3)},
            "seeds both choose and report",
        ),
        (deit, hard, {"seeds": 1}, "there is one seed"),
        (deit, hard, {"seeds": 3}, "take 5 or more"),
        (deit, hard, {"seeds": [1, 1, 2, 3, 4]}, "counted more than once"),
        (deit, hard, {"metric": "validation_accuracy"}, "of test images"),
        (deit, hard, {"metric": "test_nll"}, "report test_accuracy"),
        (
            deit,
            lambda: Arm(hard(), student=functools.partial(TRANSFORMER, depth=3)),
            {},
            "network too",
        ),
        (deit, changed(hard, epochs=4), {}, "epochs too"),
        (deit, changed(hard, learning_rate=0.1), {}, "learning rate too"),
        (deit, lambda: Arm(hard(), data=fewer()), {}, "training images too"),
        (deit, lambda: Arm(hard(), student=PerSeed(_warm)), {}, "initial weights too"),
        (deit, list, {}, "there is no baseline"),
    ],
)
def test_a_design_in_which_something_else_could_be_the_cause_is_refused(
    treatment, baseline, changes, message, capsys
):
    line = judged(capsys, treatment(), baseline(), **changes)
    assert line.startswith("not yet: ") and message in line
