"""The reading and the design of the chapter on dynamic distillation."""

from __future__ import annotations

import pytest
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher
from lab.made_up import study_of

from kdnotes.course import check, order
from kdnotes.lab import Design
from kdnotes.methods import CTKD, KD, AnnealedKD, CrossEntropy

CHAPTER = f"{order.number('dynamic_distillation'):02d}"
READ, DESIGN = f"{CHAPTER}.6", f"{CHAPTER}.7"


def result():
    """Of the test NLL: A is below KD, B above, C not resolved, CE without spread."""
    nll = {
        "CE": [0.40, 0.41, 0.42, 0.43, 0.44],
        "KD": [0.50, 0.51, 0.52, 0.53, 0.54],
        "A": [0.40, 0.42, 0.41, 0.43, 0.45],
        "B": [0.60, 0.62, 0.61, 0.63, 0.65],
        "C": [0.40, 0.62, 0.41, 0.63, 0.52],
    }
    study = study_of(**nll)
    study.frame["test_nll"] = study.frame["test_accuracy"]
    return study


def test_lower_is_resolved_and_left_of_0(capsys):
    assert check.read(READ, ["A"], result())
    for wrong in ([], ["B"], ["A", "B"], ["A", "C"], ["CE"], ["A", "CE"]):
        assert not check.read(READ, wrong, result())
        assert "look for intervals that lie wholly left of 0" in capsys.readouterr().out
    with pytest.raises(ValueError, match="not 'KD'"):
        check.read(READ, ["KD"], result())


def planned(**changes):
    teacher, flat = tiny_teacher(), (0.1, 0.1)
    arms = {
        "up": AnnealedKD(teacher, (1.0, 4.0), flat),
        "down": AnnealedKD(teacher, (4.0, 1.0), flat),
        "1.4 to 2.8": AnnealedKD(teacher, (1.4, 2.8), flat),  # in floats not twice 2.1
        "T = 2.1": KD(teacher, 2.1, 0.1),
        "both move": AnnealedKD(teacher, (1.0, 4.0), (0.0, 0.5)),
        "still": KD(teacher, 2.5, 0.1),
        "flat": AnnealedKD(teacher, (2.5, 2.5), flat),
        "T = 2": KD(teacher, 2.0, 0.1),
        "α = 0.5": KD(teacher, 2.5, 0.5),
        "no teacher": KD(teacher, 2.5, 1.0),
        "moves without": AnnealedKD(teacher, (1.0, 4.0), (1.0, 1.0)),
        "other teacher": KD(tiny_teacher(seed=7), 2.5, 0.1),
        "CTKD": CTKD(teacher, 2.5, 0.1),
        "CE": CrossEntropy(),
    }
    given = {"treatment": "up", "baseline": "still", "seeds": 5, "student": STUDENT}
    return Design(arms, **(given | {"data": tiny_data(), "config": CONFIG} | changes))


CHOICE = {"choose_by": "validation_accuracy", "choose_seeds": [90, 91]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"treatment": "down"},
        {"baseline": "flat"},
        {"metric": "test_nll", "seeds": 10},
        {"treatment": "1.4 to 2.8", "baseline": "T = 2.1"},
        {"treatment": ("up", "down")} | CHOICE,
    ],
)
def test_every_right_design_is_accepted(changes):
    assert check.design(DESIGN, planned(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "T = 2"}, "the means of T differ"),
        ({"baseline": "α = 0.5"}, "α differs too"),
        ({"treatment": "both move"}, "α differs too"),
        ({"treatment": "both move", "baseline": "both move"}, "the baseline must hold T still"),
        ({"treatment": "moves without", "baseline": "no teacher"}, "below 1"),
        ({"treatment": "still", "baseline": "up"}, "the treatment must move T"),
        ({"baseline": "down"}, "the baseline must hold T still"),
        ({"baseline": "CTKD"}, "both sides must be AnnealedKD or KD"),
        ({"baseline": "CE"}, "both sides must be AnnealedKD or KD"),
        ({"treatment": "CTKD"}, "both sides must be AnnealedKD or KD"),
        ({"baseline": None}, "there is no baseline"),
        ({"baseline": "other teacher"}, "but teacher too"),
        ({"seeds": 1}, "there is one seed"),
        ({"seeds": 3}, "3 seeds give a wide interval"),
        ({"metric": "validation_accuracy"}, "report test_accuracy or test_nll: of test"),
        ({"metric": "seconds"}, "report test_accuracy or test_nll: of test"),
        ({"treatment": ("up", "down")}, "nothing that chooses"),
    ],
)
def test_a_design_that_misses_or_is_confounded_is_told_so(changes, said, capsys):
    assert not check.design(DESIGN, planned(**changes))
    line = capsys.readouterr().out
    assert "not yet: " in line and said in line
