"""The design of the chapter on progressive distillation: which comparisons are accepted."""

from __future__ import annotations

import pytest
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher

from kdnotes.course.exercises.progressive_distillation import DESIGNS
from kdnotes.lab import Design
from kdnotes.methods import ESKD, KD

CHOICE = {"choose_by": "validation_accuracy", "choose_seeds": range(1000, 1003)}


def planned(alpha=0.1, until=(0.5, 0.75), stays=None, **changes):
    teacher = tiny_teacher()
    arms = {f"u = {u:g}": ESKD(teacher, 2.0, alpha, until=u) for u in until}
    sides = {"treatment": list(arms), "baseline": "stays"}
    arms["stays"] = stays or KD(teacher, 2.0, alpha)
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "seeds": 5}
    return Design(arms, **sides | shared | CHOICE | changes)


def test_a_chosen_stop_against_none_is_accepted():
    assert DESIGNS[5].judge(planned()) == []
    assert DESIGNS[5].judge(planned(stays=ESKD(tiny_teacher(), 2.0, 0.1, until=1.0))) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha": 1.0}, "with α = 1 no teacher is asked"),
        ({"until": (0.5,)}, "the time of the stop is to be chosen"),
        ({"until": (0.5, 1.0)}, "the treatment must be ESKD"),
        ({"stays": ESKD(tiny_teacher(), 2.0, 0.1, until=0.5)}, "the teacher must stay to the end"),
        ({"seeds": 3}, "take 5 or more"),
        ({"choose_seeds": None}, "no seeds for the choice"),
    ],
)
def test_another_question_or_a_confounded_one_is_told_so(changes, said):
    assert said in "\n".join(DESIGNS[5].judge(planned(**changes)))
