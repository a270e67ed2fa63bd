"""The chapter on other libraries: settings that are none, arms below KD, designs of a reversal."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher
from lab.made_up import study_of
from sweep import ALL, checked

from kdnotes import losses
from kdnotes.course import check, diagrams, order, switches
from kdnotes.course.diagrams import libraries as drawn
from kdnotes.lab import Design
from kdnotes.methods import KD, CrossEntropy, OwnLoss

CHAPTER = f"{order.number('libraries'):02d}"


def said(capsys, judge, *arguments) -> str:
    """The verdict that a check prints, without the number of the exercise."""
    judge(*arguments)
    return capsys.readouterr().out.partition(": ")[2].strip()


# The losses on which an audit is tried


def test_a_made_loss_is_ours_up_to_what_its_name_says():
    z_s, z_t = switches.drawn(3, 6, 5)
    ours, swapped = losses.kd_loss(z_s, z_t, 3.0), losses.kd_loss(z_t, z_s, 3.0)
    for positions, expected in {
        (2, "forward", "images", 1.0): ours,
        (0, "forward", "elements", 1.0): ours / 9 / 5,
        (1, "reverse", "sum", 0.5): swapped / 3 * 6 / 2,
    }.items():
        torch.testing.assert_close(switches.made(*positions)(z_s, z_t, 3.0), expected)


def test_the_cases_of_an_audit_tell_every_position_apart():
    """All directions with all means: no switch can be guessed by another."""
    found = [ALL["Audit"].reference(*case) for case in ALL["Audit"].cases()]
    assert len(set(found)) == len(found)
    assert {one[1:] for one in found} == {
        (direction, mean) for direction in ("forward", "reverse") for mean in switches.MEANS
    }
    assert {one[0] for one in found} == {0, 1, 2}


def test_the_two_libraries_of_the_settings_are_those_of_the_record():
    """With the right settings both terms are ours; what is left out is the library's default."""
    z_s, z_t, y = switches.Z_S, switches.Z_T, switches.Y
    hard, soft = F.cross_entropy(z_s, y), losses.kd_loss(z_s, z_t, 1.0)
    torch.testing.assert_close(switches.timm(), (hard, soft))
    torch.testing.assert_close(switches.timm(1.0, 0.25), (0.25 * hard, 0.75 * soft))
    torch.testing.assert_close(switches.timm(1.0, None, 0.25), (hard, 0.25 * soft))
    torch.testing.assert_close(switches.modelopt(), (hard / 2, soft / 5 / 2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temp": 2.0}, "the settings must be of"),
        ({"temperature": 2.0, "reduction": "none"}, "reduction must be"),
    ],
)
def test_settings_that_no_library_has_are_named(settings, message, capsys):
    assert not checked("LibrarySettings", lambda *case: settings)
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task_loss_weight": 0.5, "kd_loss_weight": 0.5}, "not yet"),
        ({"temperature": -1.0}, "not yet"),
        ({}, "not yet"),
        ([("temperature", 2.0)], "not yet"),
    ],
)
def test_settings_of_two_libraries_or_of_none_are_wrong(settings, message, capsys):
    assert not checked("LibrarySettings", lambda *case: settings)
    assert message in capsys.readouterr().out


# A number by hand, a reading


def test_both_factors_count_by_hand(capsys):
    assert said(capsys, check.by_hand, f"{CHAPTER}.4", 16 / 16.9) == "correct"
    assert "T² is missing as well" in said(capsys, check.by_hand, f"{CHAPTER}.4", 0.526)
    assert "the teacher's share" in said(capsys, check.by_hand, f"{CHAPTER}.4", 0.0533)


def test_only_arms_whose_whole_interval_lies_below_kd_are_below_it(capsys):
    kd = [0.8, 0.81, 0.79, 0.8, 0.82]
    apart = [0.02, 0.021, 0.019, 0.022, 0.018]
    scores = {
        "KD": kd,
        "better": [a + b for a, b in zip(kd, apart, strict=True)],
        "worse": [a - b for a, b in zip(kd, apart, strict=True)],
        "open": [a + b for a, b in zip(kd, (0.01, -0.01, 0.02, -0.02, 0.0), strict=True)],
    }
    study = study_of(**scores)
    assert said(capsys, check.read, f"{CHAPTER}.5", ["worse"], study) == "correct"
    for wrong in ([], ["better"], ["worse", "open"], ["better", "worse"]):
        assert said(capsys, check.read, f"{CHAPTER}.5", wrong, study).startswith("not yet")


# Designs


def weighed(batch, given, alpha, temperature, forward=0.0, squared=True):
    z_s, z_t = batch.student_logits, given.logits
    soft = (1 - forward) * losses.kd_loss(z_t, z_s, temperature)
    soft = soft + forward * losses.kd_loss(z_s, z_t, temperature)
    hard = F.cross_entropy(z_s, batch.targets)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft / (1 if squared else temperature**2)}


def by_weights_of_seven(batch, given, alpha, temperature):
    """The same loss seven times as large: the ratio is what counts."""
    return sum(7 * one for one in weighed(batch, given, alpha, temperature).values())


def by_detached_logits(batch, given, alpha, temperature):
    """The values are right, and the soft term teaches nothing."""
    terms = weighed(batch, given, alpha, temperature)
    return terms | {"soft": terms["soft"].detach()}


def by_drifting_weights(batch, given, alpha, temperature):
    """Right in the middle of the training alone."""
    return weighed(batch, given, alpha + 0.2 * (batch.progress - 0.5), temperature)


def needs_a_feature(batch, given):
    return batch.features["stage1"].mean()


def own(loss=weighed, teacher=True, **options):
    given = {"temperature": 2.0} | options if loss is not needs_a_feature else {}
    return OwnLoss(functools.partial(loss, **given), tiny_teacher() if teacher else None)


def side(method, **options):
    return lambda alphas: [method(alpha=a, **options) for a in alphas]


def kd(alpha, temperature=2.0):
    return KD(tiny_teacher(), temperature, alpha)


def judged(capsys, treatment, baseline, tried=(0.1, 0.5), others=(0.1, 0.5), **changes):
    sides = {f"t{i}": one for i, one in enumerate(treatment(tried))}
    controls = {f"b{i}": one for i, one in enumerate(baseline(others))}
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "seeds": 5}
    choice = {"choose_by": "validation_accuracy", "choose_seeds": range(1000, 1003)}
    options = shared | (choice if len(tried) + len(others) > 2 else {}) | changes
    design = Design(sides | controls, list(sides), list(controls), **options)
    return said(capsys, check.design, f"{CHAPTER}.6", design)


@pytest.mark.parametrize("treatment", [side(own), side(own, loss=by_weights_of_seven)])
def test_the_reversed_loss_and_kd_tuned_over_the_same_weights(treatment, capsys):
    assert judged(capsys, treatment, side(kd)) == "correct"
    assert judged(capsys, treatment, side(kd), (0.0, 0.1, 0.9), (0.9, 0.1, 0.0)) == "correct"


@pytest.mark.parametrize(
    ("treatment", "baseline", "options", "message"),
    [
        (side(own), lambda _: [CrossEntropy()] * 2, {}, "the baseline is KD"),
        (side(kd), side(kd), {}, "the treatment is an OwnLoss"),
        (side(own, forward=1.0), side(kd), {}, "the direction alone differs"),
        (side(own, forward=0.5), side(kd), {}, "the direction alone differs"),
        (side(own, temperature=4.0), side(kd), {}, "the direction alone differs"),
        (side(own, loss=by_detached_logits), side(kd), {}, "the direction alone differs"),
        (side(own, loss=by_drifting_weights), side(kd), {}, "the direction alone differs"),
        (side(own, squared=False), side(kd), {}, "must try the same α"),
        (lambda alphas: [own(needs_a_feature)] * 2, side(kd), {}, "the direction alone differs"),
        (side(own, teacher=False), side(kd), {}, "an OwnLoss with the teacher"),
        (side(own), side(kd), {"tried": (0.1,), "others": (0.1,)}, "several to choose from"),
        (side(own), side(kd), {"tried": (0.1,)}, "several to choose from"),
        (side(own), side(kd), {"tried": (0.1, 0.9)}, "must try the same α"),
        (side(own), side(kd), {"tried": (1.0, 0.5), "others": (1.0, 0.5)}, "the direction alone"),
        (side(own), side(kd), {"seeds": 3}, "take 5 or more"),
        (side(own), side(kd), {"metric": "test_nll"}, "report test_accuracy"),
        (side(own), side(kd), {"choose_by": "test_accuracy"}, "test_accuracy chooses"),
        (side(own), side(kd), {"choose_seeds": range(5)}, "seed"),
        (
            side(own),
            lambda alphas: [kd(a, t) for a, t in zip(alphas, (2.0, 4.0), strict=True)],
            {},
            "keep one temperature",
        ),
    ],
)
def test_a_design_that_cannot_show_it_is_refused(treatment, baseline, options, message, capsys):
    line = judged(capsys, treatment, baseline, **options)
    assert line.startswith("not yet: ") and message in line


# The drawing


def test_the_numbers_of_the_drawing_are_those_of_the_loss():
    assert "switches" in diagrams.__all__
    pairs = drawn.flipped()
    ours = float(losses.kd_loss(torch.tensor([drawn.STUDENT]), torch.tensor([drawn.TEACHER]), 2.0))
    assert [before for before, _ in pairs[:4]] == pytest.approx([ours] * 4)
    assert [after for _, after in pairs[2:4]] == pytest.approx([ours / 3, ours / 4])
    assert pairs[0][1] == pytest.approx(2 * 16.118, rel=1e-3)
