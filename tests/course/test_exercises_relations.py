"""The chapter on relations: the arms above KD, and designs for "SP adds to KD"."""

from __future__ import annotations

import pytest
from helpers import CONFIG, PAIRS, STUDENT, tiny_data, tiny_teacher
from lab.made_up import study_of

from kdnotes.course import check, order
from kdnotes.lab import Design
from kdnotes.methods import CRD, KD, SP, CrossEntropy

CHAPTER = f"{order.number('relations'):02d}"
ABOVE = [0.02, 0.021, 0.019, 0.022, 0.018]


def said(capsys, judge, *arguments) -> str:
    """The verdict that a check prints, without the number of the exercise."""
    judge(*arguments)
    return capsys.readouterr().out.partition(": ")[2].strip()


def test_only_arms_whose_whole_interval_lies_above_kd_are_above_it(capsys):
    kd = [0.8, 0.81, 0.79, 0.8, 0.82]
    scores = {
        "KD": kd,
        "better": [a + b for a, b in zip(kd, ABOVE, strict=True)],
        "worse": [a - b for a, b in zip(kd, ABOVE, strict=True)],
        "open": [a + b for a, b in zip(kd, (0.01, -0.01, 0.02, -0.02, 0.0), strict=True)],
    }
    study = study_of(**scores)
    assert said(capsys, check.read, f"{CHAPTER}.5", ["better"], study) == "correct"
    for wrong in ([], ["worse"], ["better", "open"], ["better", "worse"]):
        assert said(capsys, check.read, f"{CHAPTER}.5", wrong, study).startswith("not yet")


def sp(weight=100.0, temperature=2.0, alpha=0.1):
    return SP(tiny_teacher(), temperature, alpha, PAIRS[-1:], weight)


def judged(capsys, treatment, baseline, **changes):
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "seeds": 5}
    arms = {"treatment": treatment, "baseline": baseline}
    design = Design(arms, "treatment", "baseline", **(shared | changes))
    return said(capsys, check.design, f"{CHAPTER}.6", design)


@pytest.mark.parametrize("baseline", [lambda: KD(tiny_teacher(), 2.0, 0.1), lambda: sp(0.0)])
def test_kd_or_sp_without_weight_is_the_right_baseline(baseline, capsys):
    assert judged(capsys, sp(), baseline()) == "correct"


@pytest.mark.parametrize(
    ("treatment", "baseline", "changes", "message"),
    [
        (sp, CrossEntropy, {}, "the baseline must be KD alone"),
        (lambda: sp(0.0), lambda: KD(tiny_teacher(), 2.0, 0.1), {}, "a weight that can be felt"),
        (
            lambda: CRD(tiny_teacher(), 2.0, 0.1, PAIRS[-1:]),
            sp,
            {},
            "the treatment must be KD with SP",
        ),
        (lambda: sp(alpha=1.0), lambda: KD(tiny_teacher(), 2.0, 1.0), {}, "SP without KD"),
        (sp, lambda: KD(tiny_teacher(), 4.0, 0.1), {}, "temperature too"),
        (sp, lambda: KD(tiny_teacher(), 2.0, 0.5), {}, "alpha too"),
        (sp, lambda: KD(tiny_teacher(), 2.0, 0.1), {"seeds": 3}, "take 5 or more"),
        (sp, lambda: KD(tiny_teacher(), 2.0, 0.1), {"metric": "validation_nll"}, "of test images"),
    ],
)
def test_a_design_that_cannot_show_it_is_refused(treatment, baseline, changes, message, capsys):
    line = judged(capsys, treatment(), baseline(), **changes)
    assert line.startswith("not yet: ") and message in line
