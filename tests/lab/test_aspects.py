"""What an arm consists of: equal where two arms are equal, whatever objects they are made of."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from helpers import CONFIG, METHODS, STUDENT, student_of, tiny_data, tiny_split, tiny_teacher
from made_up import own_loss

from kdnotes.lab.aspects import aspects, differing, shared_images
from kdnotes.methods import KD, CrossEntropy, OwnLoss
from kdnotes.study import Arm

DATA = tiny_data()


def of(method, student=STUDENT, data=DATA, config=CONFIG):
    return aspects("arm", Arm(method, student, data, config), (0, 1))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_differs_from_itself_in_nothing(name):
    made = [METHODS[name]([tiny_teacher(seed) for seed in range(3)]) for _ in range(2)]
    first, second = (of(method, student_of(method)) for method in made)
    assert differing([first], [second]) == {}


@pytest.mark.parametrize("name", [name for name in METHODS if name != "CrossEntropy"])
def test_every_method_differs_from_cross_entropy_in_the_method_alone(name):
    method = METHODS[name]([tiny_teacher(seed) for seed in range(3)])
    student = student_of(method)
    assert list(differing([of(method, student)], [of(CrossEntropy(), student)])) == ["method"]


def test_a_default_of_a_loss_counts_as_if_it_were_given():
    def weighted(batch, given, weight=2.0):
        return weight * own_loss(batch, given, 1.0)

    plain, given, other = (
        of(OwnLoss(one))
        for one in (
            weighted,
            functools.partial(weighted, weight=2.0),
            functools.partial(functools.partial(weighted, weight=2.0), weight=3.0),
        )
    )
    assert differing([plain], [given]) == {}
    assert differing([plain], [other]) == {"weight": " (2 against 3)"}


def test_temperature_and_alpha_of_an_own_loss_are_compared_with_those_of_kd():
    def soft(batch, given, temperature, alpha, strength=1.0):
        return strength * own_loss(batch, given, 1.0)

    teacher = tiny_teacher()
    kd, equal, other = (
        of(KD(teacher, 2.0, 0.1)),
        of(OwnLoss(functools.partial(soft, temperature=2, alpha=0.1), teacher)),
        of(OwnLoss(functools.partial(soft, temperature=4.0, alpha=(0.0, 0.2)), teacher)),
    )
    assert list(differing([equal], [kd])) == ["method"]
    assert list(differing([other], [kd])) == ["method", "temperature"]  # a schedule has no α
    assert differing([other], [kd])["temperature"] == " (4 against 2)"


def test_sides_with_several_arms_are_compared_as_sets():
    low, high = (of(KD(tiny_teacher(), 2.0, alpha)) for alpha in (0.1, 0.5))
    assert differing([low, high], [high, low]) == {}
    assert differing([low, high, low], [high, low]) == {}
    assert differing([low, high], [high]) == {"alpha": " (0.1, 0.5 against 0.5)"}
    assert differing([low], [low, high]) == {"alpha": " (0.1 against 0.1, 0.5)"}


def with_first_of_training(count):
    """150 test images, ``count`` of which are training images."""
    test = tiny_split(150, 9)
    test.images[:count] = DATA.train.images[:count]
    return dataclasses.replace(DATA, test=test)


def test_a_handful_of_images_that_a_data_set_holds_twice_is_let_pass():
    assert shared_images(with_first_of_training(0)) is None
    assert shared_images(with_first_of_training(1)) is None
    said = "2% of the test images are training images too: they measure nothing"
    assert shared_images(with_first_of_training(3)) == said
