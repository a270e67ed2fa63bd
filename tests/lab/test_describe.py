"""Settings in words that are the same on every machine, and the loss inside an arm."""

from __future__ import annotations

import functools

import pytest
from helpers import CONFIG, STUDENT, tiny_teacher
from made_up import own_loss

from kdnotes import methods
from kdnotes.lab.describe import describe, loss_sources, unwrap
from kdnotes.study import Arm


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (STUDENT, "StudentNet(num_classes=4, in_channels=1, width=4)"),
        (functools.partial(functools.partial(own_loss, 1), 2), "own_loss(1, 2)"),
        ((None, True, "a", [0.5]), "(None, True, 'a', (0.5))"),
        (methods.CrossEntropy(), "CrossEntropy()"),
        (object(), "object"),
        (Arm(methods.CrossEntropy()), "Arm(method=CrossEntropy())"),
        (
            Arm(methods.CrossEntropy(), chosen_on=(8, 9)),
            "Arm(method=CrossEntropy(), chosen_on=(8, 9))",
        ),
    ],
)
def test_a_value_in_words(value, words):
    assert describe(value) == words


def test_a_teacher_is_named_by_its_class_and_its_key():
    teacher = tiny_teacher()
    assert f"teacher=TeacherNet {teacher.key[:12]}, temp" in describe(methods.KD(teacher, 2.0, 0.1))


def test_a_field_can_be_left_out():
    assert describe(CONFIG, without=("epochs", "seed")).startswith("Config(batch_size=16, ")


def test_the_loss_of_an_arm_is_found_inside_partials():
    method = methods.OwnLoss(functools.partial(functools.partial(own_loss), strength=0.5))
    (source,) = loss_sources({"a": method, "b": Arm(method), "c": methods.CrossEntropy()}).items()
    assert source[0] == "own_loss" and source[1].startswith("def own_loss(batch, given, strength):")
    assert unwrap(method.loss) is own_loss and unwrap(None) is None
