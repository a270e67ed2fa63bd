"""The chapter on language models: an unbiased target, places, arms above CE, who writes."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import pandas as pd
import pytest
import torch
from lab.made_up import study_of
from language.language_helpers import ALL as EVERYTHING
from language.language_helpers import SCHEDULE, STUDENT, P, corpus, teacher
from sweep import ALL, checked

from kdnotes import language as lm
from kdnotes.course import check, order
from kdnotes.course.diagrams import language as drawn
from kdnotes.lab import Design, StringDesign
from kdnotes.methods import CrossEntropy
from kdnotes.models import Decoder

CHAPTER = f"{order.number('language_models'):02d}"


def said(capsys, judge, place, *arguments) -> str:
    """The verdict that a check prints, without the number of the exercise."""
    judge(f"{CHAPTER}.{place}", *arguments)
    return capsys.readouterr().out.partition(": ")[2].strip()


# Functions


def expectation(answer, p_t, q, count) -> torch.Tensor:
    """Of the targets, over all ways to draw."""
    total = torch.zeros_like(p_t)
    for one in itertools.product(range(p_t.shape[1]), repeat=count):
        drawn = torch.tensor([one])
        total += q[0, drawn[0]].prod() * answer(p_t, q, drawn)
    return total


def test_the_targets_from_draws_are_unbiased_and_those_of_the_traps_are_not():
    p_t, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.3, 0.3, 0.4]])
    spec = ALL["DrawnTargets"]
    torch.testing.assert_close(expectation(spec.reference, p_t, q, 3), p_t)
    for trap in spec.traps:
        assert (expectation(trap, p_t, q, 3) - p_t).abs().max() > 0.01, trap


def test_padding_that_holds_anything_reaches_neither_value_nor_gradient():
    spec = ALL["MaskedKL"]
    for case in spec.extremes():
        student = case[0].requires_grad_()
        loss = spec.reference(student, *case[1:])
        loss.backward()
        assert loss.isfinite() and student.grad.isfinite().all()
        assert (student.grad[~case[2]] == 0).all()


def test_the_mask_of_one_batch_begins_with_a_prompt_and_one_has_no_padding():
    masks = [mask for _, _, mask, _ in ALL["MaskedKL"].cases()]
    assert any(mask.all() for mask in masks) and any(not mask[:, 0].all() for mask in masks)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda s, t, m, T: ALL["MaskedKL"].reference(s.detach(), t, m, T), "no gradient reaches"),
        (lambda s, t, m, T: ALL["MaskedKL"].reference(t, s, m, T), "the wrong way round"),
        (lambda s, t, m, T: ALL["MaskedKL"].reference(s, t, m, T) / T**2, "too small by T²"),
        (
            lambda s, t, m, T: ALL["MaskedKL"].reference(s, t, m, T) / s.shape[2],
            "too small by the number of classes",
        ),
        (
            lambda s, t, m, T: ALL["MaskedKL"].reference(s, t, torch.ones_like(m), T),
            "does not depend on `m`",
        ),
    ],
)
def test_what_other_losses_get_wrong_is_named_here_too(answer, message, capsys):
    assert not checked("MaskedKL", answer)
    assert message in capsys.readouterr().out


# A number by hand, readings


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (0.6884, "correct"), (0.69, "correct"), (0.68, "close"), (0.6686, "then their mean"),
        (0.9986, "the ends are left out"), (0.5991, "counted as tokens"),
        (1.1473, "each end is a token too"), (1.721, "a mean over the strings"),
        (3.442, "the sum over all"), (0.7675, "the first string alone"), (0.9932, "these are bits"),
        (0.299, "base 10"), (1.9905, "the perplexity"), (0.5944, "the row of A"),
        (0.032, "the probability of both"), (-0.6884, "the sign is not"), (5.0, "write down what"),
    ],
)  # fmt: skip
def test_the_nll_by_hand(answer, verdict, capsys):
    assert verdict in said(capsys, check.by_hand, 3, answer)


def table() -> pd.DataFrame:
    """An exposure: the last place errs most often, and few strings come so far."""
    return pd.DataFrame(
        {
            "place": range(4),
            "reached": (1.0, 0.9, 0.8, 0.7), "reached_by_model": (1.0, 0.9, 0.5, 0.05),
            "error_given_data": (0.1, 0.1, 0.3, 0.2), "error_given_own": (0.1, 0.3, 0.2, 0.9),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (45, "correct"), (44.4, "correct"), (47, "close"), (900, "come so far"),
        (50, "come so far"),
        (5, "that many go on"), (0.045, "that is a share"), (3, "the number of the place"),
        (240, "after the data's prefixes"), (515, "at any place"), (700, "a share leaves there"),
    ],
)  # fmt: skip
def test_how_many_leave(answer, verdict, capsys):
    assert verdict in said(capsys, check.read, 4, answer, table())


def test_how_many_leave_is_read_from_the_table_of_a_real_model_in_any_order(capsys):
    written = lm.exposure(teacher().model, EVERYTHING, P)
    row = written.loc[written["error_given_own"].idxmax()]
    answer = 1000 * row["reached_by_model"] * row["error_given_own"]
    for shown in (written, written.sample(frac=1.0, random_state=0)):
        assert said(capsys, check.read, 4, answer, shown) == "correct"


def test_in_nats_the_arms_that_lie_above_ce_are_worse(capsys):
    apart = [0.02, 0.021, 0.019, 0.022, 0.018]
    ce = [2.5, 2.51, 2.49, 2.5, 2.52]
    scores = {
        "CE": ce,
        "better": [a - b for a, b in zip(ce, apart, strict=True)],
        "worse": [a + b for a, b in zip(ce, apart, strict=True)],
        "open": [a + b for a, b in zip(ce, (0.01, -0.01, 0.02, -0.02, 0.0), strict=True)],
    }
    study = study_of(**scores)
    study = dataclasses.replace(
        study, frame=study.frame.rename(columns={"test_accuracy": "test_nll"})
    )
    assert said(capsys, check.read, 5, ["worse"], study) == "correct"
    for wrong in ([], ["better"], ["worse", "open"], ["better", "worse"]):
        assert said(capsys, check.read, 5, wrong, study).startswith("not yet")


# Designs


def kd(temperature=1.0, alpha=0.0):
    return lm.TokenKD(teacher(), temperature, alpha)


def on_policy(grading=None, share=1.0):
    return lm.OnPolicy(grading or kd(), share)


@dataclasses.dataclass(eq=False)
class DataFirst(lm.OnPolicy):
    """The data's strings in the first steps, then its own: as in the chapter."""

    first: int = 0

    def strings(self, student, given, positions, step):
        if step.number < self.first:
            return given, positions
        return super().strings(student, given, positions, step)


@dataclasses.dataclass(eq=False)
class TeacherWrites(lm.OnPolicy):
    """An OnPolicy in which the teacher writes."""

    def strings(self, student, given, positions, step):
        return self.grading.teacher.write(len(given), step.number), None


def judged(capsys, treatment, baseline, **changes):
    shared = {"student": STUDENT, "corpus": corpus(), "schedule": SCHEDULE, "seeds": 5}
    arms = {"on-policy": treatment, "KD": baseline}
    options = shared | {"equal": "steps"} | changes
    return said(capsys, check.design, 6, StringDesign(arms, "on-policy", "KD", **options))


def of_steps(method, steps, **changes):
    return lm.StringArm(method, schedule=dataclasses.replace(SCHEDULE, steps=steps, **changes))


COSTS = {"on-policy": 0.06, "KD": 0.015}


@pytest.mark.parametrize(
    ("treatment", "baseline", "changes"),
    [
        (on_policy, kd, {}),
        (on_policy, kd, {"metric": "test_accuracy", "seeds": range(10, 20)}),
        (lambda: on_policy(share=0.5), lambda: on_policy(share=0.0), {}),
        (lambda: DataFirst(kd(), first=6), kd, {}),
        (lambda: of_steps(on_policy(), 2000), lambda: of_steps(kd(), 2000), {}),
        (lambda: on_policy(kd(2.0)), lambda: kd(2.0), {}),
        (lambda: on_policy(lm.ReverseKD(teacher())), lambda: lm.ReverseKD(teacher()), {}),
        (on_policy, lambda: of_steps(kd(), 48), {"equal": "seconds", "seconds_a_step": COSTS}),
        (lambda: of_steps(on_policy(), 3), kd, {"equal": "seconds", "seconds_a_step": COSTS}),
    ],
)
def test_the_same_distillation_with_another_writer_is_right(treatment, baseline, changes, capsys):
    assert judged(capsys, treatment(), baseline(), **changes) == "correct"


def test_settings_may_be_chosen_on_both_sides(capsys):
    arms = {f"{name} {t:g}": make(t) for name, make in (
        ("KD", kd), ("on-policy", lambda t: on_policy(kd(t)))) for t in (1.0, 2.0)}  # fmt: skip
    sides = [[f"{name} {t}" for t in (1, 2)] for name in ("on-policy", "KD")]
    choice = {"choose_by": "validation_nll", "choose_seeds": range(1000, 1003)}
    shared = {"student": STUDENT, "corpus": corpus(), "schedule": SCHEDULE, "equal": "steps"}
    design = StringDesign(arms, *sides, **choice, **shared)
    assert said(capsys, check.design, 6, design) == "correct"
    design = dataclasses.replace(design, choose_by="test_nll")
    assert "test_nll chooses" in said(capsys, check.design, 6, design)


def of_corpus(other):
    return lambda: lm.StringArm(kd(), corpus=other)


WIDER = functools.partial(Decoder, classes=5, context=7, width=16, depth=1, heads=2)
OTHER_HEADS = functools.partial(Decoder, classes=5, context=7, width=8, depth=1, heads=4)


@pytest.mark.parametrize(
    ("treatment", "baseline", "changes", "message"),
    [
        (kd, kd, {}, "the treatment must be OnPolicy"),
        (lambda: on_policy(share=0.01), kd, {}, "20% of the steps"),
        (lambda: DataFirst(kd(), first=11), kd, {}, "20% of the steps"),
        (lambda: TeacherWrites(kd()), kd, {}, "20% of the steps"),
        (on_policy, lm.NextToken, {}, "the baseline must ask the teacher"),
        (on_policy, lambda: lm.SequenceKD(teacher()), {}, "the baseline must ask the teacher"),
        (on_policy, lambda: kd(alpha=1.0), {}, "with α = 1 no teacher is asked"),
        (on_policy, lambda: on_policy(share=0.3), {}, "the student writes too"),
        (on_policy, kd, {"equal": None}, "equal steps are not equal seconds"),
        (on_policy, lambda: kd(alpha=0.5), {}, "alpha too (0 against 0.5)"),
        (on_policy, lambda: kd(2.0), {}, "temperature too (1 against 2)"),
        (on_policy, lambda: lm.ReverseKD(teacher()), {}, "loss too"),
        (on_policy, lambda: lm.TopAnswersKD(teacher(), count=2), {}, "loss too"),
        (on_policy, lambda: lm.TokenKD(teacher(1)), {}, "teacher too"),
        (on_policy, of_corpus(corpus(seed=1)), {}, "training strings too"),
        (on_policy, of_corpus(corpus(20)), {}, "number of training strings too (40 against 20)"),
        (
            on_policy,
            of_corpus(dataclasses.replace(corpus(), test=corpus().validation)),
            {},
            "not measured on the same strings",
        ),
        (
            on_policy,
            kd,
            {"corpus": dataclasses.replace(corpus(), train=corpus().test)},
            "are train",
        ),
        (on_policy, lambda: of_steps(kd(), 48), {}, "steps too (12 against 48)"),
        (on_policy, lambda: of_steps(kd(), 12, batch_size=8), {}, "batch size too"),
        (on_policy, lambda: of_steps(kd(), 12, learning_rate=1e-3), {}, "learning rate too"),
        (
            on_policy,
            lambda: of_steps(kd(), 12, validate_every=4, keep_best=True),
            {},
            "early stopping too",
        ),
        (on_policy, lambda: lm.StringArm(kd(), student=WIDER), {}, "network too"),
        (on_policy, lambda: lm.StringArm(kd(), student=OTHER_HEADS), {}, "network too"),
        (on_policy, lambda: lm.StringArm(kd(), chosen_on=(3, 1000)), {}, "was chosen on seeds"),
        (on_policy, kd, {"seeds": 1}, "there is one seed"),
        (on_policy, kd, {"seeds": 3}, "take 5 or more"),
        (on_policy, kd, {"seeds": (1, 1, 2, 3, 4)}, "more than once"),
        (
            on_policy,
            kd,
            {"metric": "validation_nll"},
            "report test_nll or test_accuracy: of test st",
        ),
        (on_policy, kd, {"equal": "seconds"}, "seconds_a_step has no 'on-policy'"),
        (
            on_policy,
            kd,
            {"equal": "seconds", "seconds_a_step": COSTS},
            "on-policy 0.72 s, KD 0.18 s a run",
        ),
        (
            on_policy,
            kd,
            {"equal": "seconds", "seconds_a_step": {"on-policy": 1, "KD": 1}},
            "as measured",
        ),
        (
            on_policy,
            kd,
            {"equal": "seconds", "seconds_a_step": {"on-policy": 1.05, "KD": 1}},
            "as measured",
        ),
    ],
)
def test_a_design_that_cannot_show_it_is_refused(treatment, baseline, changes, message, capsys):
    line = judged(capsys, treatment(), baseline(), **changes)
    assert line.startswith("not yet: ") and message in line


def test_a_design_without_a_baseline_is_refused(capsys):
    design = StringDesign(
        {"a": on_policy()}, "a", student=STUDENT, corpus=corpus(), schedule=SCHEDULE, equal="steps"
    )
    assert "there is no baseline" in said(capsys, check.design, 6, design)


def test_a_design_of_images_is_no_design_of_strings():
    with pytest.raises(TypeError, match=r"an experiment\.StringDesign, or None, not"):
        check.design(f"{CHAPTER}.6", object.__new__(Design))
    with pytest.raises(TypeError, match="method of arm 'b'"):
        StringDesign(
            {"a": on_policy(), "b": CrossEntropy()}, "a", "b",
            student=STUDENT, corpus=corpus(), schedule=SCHEDULE,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"equal": "time"}, ValueError, "equal must be 'steps'"),
        (
            {"equal": "seconds", "seconds_a_step": {"KF": 1.0}},
            ValueError,
            "an arm of seconds_a_step",
        ),
        ({"equal": "seconds", "seconds_a_step": {"KD": 0.0}}, ValueError, "seconds_a_step of 'KD'"),
        ({"equal": "seconds", "seconds_a_step": 3.0}, TypeError, "seconds_a_step must be"),
        ({"metric": "test_ece"}, ValueError, "metric must be 'test_nll'"),
        ({"corpus": None}, TypeError, "corpus of arm"),
    ],
)
def test_what_a_design_of_strings_refuses(changes, error, message):
    shared = {"student": STUDENT, "corpus": corpus(), "schedule": SCHEDULE} | changes
    with pytest.raises(error, match=message):
        StringDesign({"on-policy": on_policy(), "KD": kd()}, "on-policy", "KD", **shared)


# The drawings


def test_the_means_of_the_drawing_are_those_of_its_numbers():
    names = [torch.tensor(values[: len(name) + 1]) for name, values in drawn.NAMES.items()]
    expected = (
        torch.cat(names).mean(),
        torch.stack([one.mean() for one in names]).mean(),
        torch.tensor(list(drawn.NAMES.values())).mean(),
    )
    assert drawn.means() == pytest.approx([float(one) for one in expected])
    assert len({f"{one:.2f}" for one in drawn.means()}) == 3
