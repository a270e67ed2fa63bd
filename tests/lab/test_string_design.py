"""Language models on paper: what differs is found, whatever it is, and strings in two parts."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from language.language_helpers import SCHEDULE, STUDENT, corpus, teacher

from kdnotes import data
from kdnotes import language as lm
from kdnotes.lab import StringDesign
from kdnotes.lab.strings import shared_strings

SHARED = {"student": STUDENT, "corpus": corpus(), "schedule": SCHEDULE}


def faults(treatment, baseline, factor=None, **changes):
    arms = {"new": treatment, "old": baseline}
    return StringDesign(arms, "new", "old", **(SHARED | changes)).faults(factor)


@dataclasses.dataclass(eq=False)
class Own(lm.TokenKD):
    """A reader's own distillation."""

    strength: float = 1.0


@dataclasses.dataclass(eq=False)
class Later(lm.OnPolicy):
    """A reader's own, which writes from some step on."""

    first: int = 0


ONE = {
    "when a writer of a reader's own begins": (
        Later(lm.TokenKD(teacher()), first=3),
        Later(lm.TokenKD(teacher()), first=6),
    ),
    "a writer of a reader's own": (
        Later(lm.TokenKD(teacher())),
        lm.OnPolicy(lm.TokenKD(teacher())),
    ),
    "a loss": (lm.ReverseKD(teacher()), lm.TokenKD(teacher())),
    "a temperature": (lm.TokenKD(teacher(), 2.0), lm.TokenKD(teacher())),
    "an equal teacher made twice": (
        lm.ReverseKD(teacher()),
        lm.TokenKD(lm.LanguageTeacher(teacher().model, teacher().vocabulary)),
    ),
    "a writer": (lm.OnPolicy(lm.TokenKD(teacher())), lm.TokenKD(teacher())),
    "a share of the steps": (
        lm.OnPolicy(lm.TokenKD(teacher()), 1.0),
        lm.OnPolicy(lm.TokenKD(teacher()), 0.5),
    ),
    "a setting of a reader's own": (Own(teacher(), strength=2.0), Own(teacher())),
    "steps alone": (
        lm.StringArm(lm.NextToken(), schedule=dataclasses.replace(SCHEDULE, steps=3)),
        lm.NextToken(),
    ),
    "a seed in the schedule": (
        lm.StringArm(lm.TokenKD(teacher()), schedule=dataclasses.replace(SCHEDULE, seed=3)),
        lm.NextToken(),
    ),
}


@pytest.mark.parametrize(("treatment", "baseline"), ONE.values(), ids=ONE)
def test_one_difference_is_no_fault(treatment, baseline):
    assert faults(treatment, baseline) == []


def test_several_at_once_are_listed():
    own = lm.OnPolicy(lm.ReverseKD(teacher(), 2.0))
    (found,) = faults(own, lm.TokenKD(teacher()))
    assert found.startswith("several things change at once, writer, loss, temperature")


def test_nothing_that_differs_is_a_fault():
    (found,) = faults(lm.TokenKD(teacher()), lm.TokenKD(teacher()))
    assert "do not differ in anything but their names" in found


def test_the_factor_must_differ():
    found = faults(lm.ReverseKD(teacher()), lm.TokenKD(teacher()), "writer")
    assert found[0] == "the writer does not differ: nothing tests it"
    assert found[1].startswith("not only the writer differs but loss too")


def test_equal_seconds_leave_the_steps_open():
    longer = lm.StringArm(
        lm.TokenKD(teacher()), schedule=dataclasses.replace(SCHEDULE, steps=4 * SCHEDULE.steps)
    )
    written = lm.OnPolicy(lm.TokenKD(teacher()))
    costs = {"equal": "seconds", "seconds_a_step": {"new": 4.1, "old": 1.0}}
    assert faults(written, longer, **costs) == []
    assert "steps" in faults(written, longer)[0]
    costs["seconds_a_step"] = {"new": 6.0, "old": 1.0}
    assert (
        "the seconds are not equal: new 72 s, old 48 s a run" in faults(written, longer, **costs)[0]
    )


# Strings in two parts


def types(train, test):
    vocabulary = data.Vocabulary("AB")
    parts = {"train": train, "validation": ["BBBB"], "test": test}
    made = {k: data.Strings(vocabulary.encode(v, 4), vocabulary) for k, v in parts.items()}
    return data.Corpus(**made, name="made up")


def test_distinct_strings_in_two_parts_are_found():
    assert shared_strings(types(["A", "B", "AB"], ["BA", "BB"])) is None
    found = shared_strings(types(["A", "B", "AB"], ["AB", "BB"]))
    assert found == "50% of the test strings are training strings too: they measure nothing"


def test_strings_that_are_drawn_come_again_but_not_in_the_same_order():
    assert shared_strings(types(["A", "B", "A", "A"], ["A", "A", "B"])) is None
    assert "measure nothing" in shared_strings(types(["A", "A", "B"], ["A", "A", "B"]))


def test_another_number_of_heads_is_another_network():
    other = functools.partial(STUDENT, heads=4)
    (found,) = faults(
        lm.StringArm(lm.TokenKD(teacher()), student=other),
        lm.TokenKD(teacher(), 2.0),
        "temperature",
    )
    assert found.startswith("not only the temperature differs but network too")
