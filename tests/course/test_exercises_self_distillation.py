"""The exercises on self-distillation that ask for no function: right answers, and wrong ones."""

from __future__ import annotations

import functools

import pytest
from helpers import CONFIG, STUDENT, tiny_data

from kdnotes.course.exercises.self_distillation import BY_HAND, DESIGNS, READINGS
from kdnotes.intervals import mean_interval
from kdnotes.lab import Design
from kdnotes.methods import BYOT, CrossEntropy
from kdnotes.models import MultiExitStudent
from kdnotes.study import Arm

EXITS = functools.partial(MultiExitStudent, STUDENT)
MISTRUST, READ, DESIGN = BY_HAND[4], READINGS[5], DESIGNS[6]


def test_the_first_epoch_that_mistrusts_the_label_is_counted_out():
    other = [(1 - 0.8 * e / 40) + 0.8 * e / 40 * 0.1 < 0.8 * e / 40 * 0.9 for e in range(1, 41)]
    assert MISTRUST.expected() == other.index(True) + 1
    assert MISTRUST.judge(28, ()) == "correct"
    for wrong in (0, 1, 26, 27, 29, 40, 0.56, 28.5):
        assert MISTRUST.judge(wrong, ()).startswith("not yet: ")


def test_exits_are_read_whatever_the_sign_of_their_difference():
    gains = {
        "better": mean_interval([0.02, 0.03, 0.025]),
        "worse": mean_interval([-0.02, -0.03, -0.025]),
        "unclear": mean_interval([-0.02, 0.03, 0.01]),
        "no spread": mean_interval([0.02, 0.02, 0.02]),
    }
    assert READ.judge(["better", "worse"], (gains,)) == "correct"
    for wrong in ([], ["better"], list(gains), ["better", "worse", "no spread"]):
        assert READ.judge(wrong, (gains,)).startswith("not yet: ")


def planned(**changes):
    arms = {
        "taught": BYOT(3.0, 0.5, 0.0),
        "taught more": BYOT(3.0, 0.8, 0.0),
        "taught, hint": BYOT(3.0, 0.5, 0.03),
        "hint": BYOT(3.0, 0.0, 0.03),
        "labels": BYOT(3.0, 0.0, 0.0),
        "T = 4": BYOT(4.0, 0.5, 0.0),
        "CE": Arm(CrossEntropy(), student=STUDENT),
        "CE, exits": CrossEntropy(),
    }
    given = {"treatment": "taught", "baseline": "labels", "seeds": 5, "student": EXITS}
    return Design(arms, **(given | {"data": tiny_data(), "config": CONFIG} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"treatment": "taught more", "seeds": range(10)},
        {"treatment": "taught, hint", "baseline": "hint"},
        {"metric": "test_nll"},
        {
            "treatment": ("taught", "taught more"), "choose_by": "validation_accuracy",
            "choose_seeds": range(1000, 1003),
        },
    ],
)  # fmt: skip
def test_right_designs(changes):
    assert DESIGN.judge(planned(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "CE"}, "the baseline must train exits, too"),
        ({"baseline": "CE, exits"}, "the baseline must train exits, too"),
        ({"baseline": "taught more"}, "the probabilities must not teach"),
        ({"treatment": "labels", "baseline": "hint"}, "teach nobody"),
        ({"treatment": "CE"}, "the treatment must be BYOT"),
        ({"treatment": "taught, hint"}, "not only the alpha differs but hint too"),
        ({"treatment": "T = 4"}, "not only the alpha differs but temperature too"),
        ({"treatment": ("taught", "taught more")}, "nothing that chooses"),
        (
            {"metric": "validation_accuracy"},
            "report test_accuracy or test_nll or test_ece: of test",
        ),
        ({"metric": "seconds"}, "report test_accuracy or test_nll or test_ece: of test"),
        ({"baseline": None}, "there is no baseline"),
        ({"seeds": 1}, "there is one seed"),
        ({"seeds": 3}, "3 seeds give a wide interval"),
    ],
)
def test_a_design_that_misses_or_is_confounded_is_told_so(changes, said):
    assert any(said in fault for fault in DESIGN.judge(planned(**changes)))
