"""The reading and the design of the chapter on many teachers, with the answers of an adversary."""

from __future__ import annotations

import pytest
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher
from lab.made_up import study_of

from kdnotes.course.exercises.many_teachers import DESIGNS, READINGS
from kdnotes.lab import Design
from kdnotes.methods import CAMKD, KD, CrossEntropy, MultiTeacherKD


def spoiled():
    """The useless teacher costs the average two points, and gains CA-MKD one; the gate's change
    has no sign.
    """
    arms = {"CE": [0.70, 0.71, 0.69, 0.70, 0.72]}
    changes = {"average": -0.02, "CA-MKD": 0.01, "gate": 0.0}
    noise = [0.001, -0.001, 0.0, 0.0005, -0.0005]
    for rule, change in changes.items():
        arms[rule] = [0.8 + 0.001 * i for i in range(5)]
        both = zip(arms[rule], noise, strict=True)
        arms[f"{rule} + useless"] = [value + change + luck for value, luck in both]
    return study_of(**arms)


def test_harmed_is_resolved_and_below():
    reading = READINGS[5]
    assert reading.judge(["average"], (spoiled(),)) == "correct"
    for wrong in ([], ["CA-MKD"], ["gate"], ["average", "CA-MKD"], ["average", "gate"]):
        assert reading.judge(wrong, (spoiled(),)).startswith("not yet")
    with pytest.raises(ValueError, match="a list of rules"):
        reading.judge(["CE"], (spoiled(),))


def planned(**changes):
    first, second, third = (tiny_teacher(seed) for seed in range(3))
    three, two = (first, second, third), (first, second)
    arms = {
        "three": MultiTeacherKD(three, 2.0, 0.1),
        "two": MultiTeacherKD(two, 2.0, 0.1),
        "others": MultiTeacherKD((third, first), 2.0, 0.1),
        "sharper": MultiTeacherKD(two, 1.0, 0.1),
        "more labels": MultiTeacherKD(two, 2.0, 0.5),
        "one": MultiTeacherKD((first,), 2.0, 0.1),
        "twice": MultiTeacherKD((first, second, second), 2.0, 0.1),
        "strangers": MultiTeacherKD((tiny_teacher(7), first), 2.0, 0.1),
        "weighted": CAMKD(three, 2.0, 0.1),
        "three, labels": MultiTeacherKD(three, 2.0, 1.0),
        "two, labels": MultiTeacherKD(two, 2.0, 1.0),
        "KD": KD(first, 2.0, 0.1),
        "CE": CrossEntropy(),
    }
    given = {"treatment": "three", "baseline": "two", "seeds": 5, "student": STUDENT}
    return Design(arms, **(given | {"data": tiny_data(), "config": CONFIG} | changes))


@pytest.mark.parametrize("changes", [{}, {"baseline": "others"}, {"metric": "test_nll"}])
def test_three_against_two_of_them(changes):
    assert DESIGNS[6].judge(planned(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "KD"}, "both sides must be averages"),
        ({"baseline": "CE"}, "both sides must be averages"),
        ({"treatment": "weighted"}, "both sides must be averages"),
        ({"treatment": "two", "baseline": "three"}, "must average all three"),
        ({"treatment": "twice"}, "each once"),
        ({"baseline": "one"}, "must average the other two"),
        ({"baseline": "strangers"}, "must be among the three"),
        ({"baseline": "sharper"}, "not only the teachers differs but temperature too"),
        ({"baseline": "more labels"}, "not only the teachers differs but alpha too"),
        ({"treatment": "three, labels", "baseline": "two, labels"}, "nothing is left"),
        ({"baseline": None}, "there is no baseline"),
        ({"metric": "validation_accuracy"}, "of test images"),
        ({"metric": "seconds"}, "of test images"),
        ({"seeds": 1}, "there is one seed"),
        ({"seeds": 3}, "take 5 or more"),
    ],
)
def test_a_design_that_misses_or_is_confounded_is_told_so(changes, said):
    assert any(said in one for one in DESIGNS[6].judge(planned(**changes)))
