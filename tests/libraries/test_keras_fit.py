"""Keras' own fit trains the student that our loop trains."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from helpers import CLASSES, CONFIG, tiny_data, tiny_teacher

from kdnotes import metrics, training
from kdnotes.libraries import installed, keras_fit
from kdnotes.methods import KD
from kdnotes.models import ResidualStudent

pytestmark = pytest.mark.usefixtures("own_cache")
NETWORK = functools.partial(ResidualStudent, num_classes=CLASSES, in_channels=1, width=4)
KERAS = pytest.mark.skipif(installed("keras") is None, reason="keras is not installed")
ALPHA = 0.3


@KERAS
def test_keras_own_fit_trains_our_student():
    """It has no dropout, so that all that is left is rounding, which Adam's first steps enlarge."""
    data, teacher = tiny_data(), tiny_teacher()
    student = training.build(NETWORK, 3)
    first = {name: one.clone() for name, one in student.state_dict().items()}
    config = replace(CONFIG, seed=3)
    expected = training.fit(student, KD(teacher, 2.0, ALPHA), data, config)
    found = keras_fit.fit(student, teacher.model, data, config, 2.0, ALPHA)
    logits = training.predict(found, data.test.images)
    of_ours = training.predict(training.trained(NETWORK, expected), data.test.images)
    untrained = training.predict(student, data.test.images)
    off, moved = (logits - of_ours).norm(), (of_ours - untrained).norm()
    assert off < 0.01 * moved
    assert metrics.agreement(logits, of_ours) == 1
    assert not found.training
    assert all(torch.equal(one, first[name]) for name, one in student.state_dict().items())


@KERAS
def test_another_weight_of_the_labels_trains_another_student():
    data, teacher, student = tiny_data(), tiny_teacher(), training.build(NETWORK, 3)
    one, other = (
        training.predict(
            keras_fit.fit(student, teacher.model, data, CONFIG, 2.0, alpha), data.test.images
        )
        for alpha in (ALPHA, 0.9)
    )
    assert (one - other).norm() > 0.05 * one.norm()


@pytest.mark.parametrize(
    ("temperature", "alpha", "config", "message"),
    [
        (0.0, 0.1, {}, "temperature must be"),
        (2.0, 1.1, {}, r"alpha must lie in \[0, 1\]"),
        (2.0, 0.1, {"bfloat16": True}, "config must train on the CPU in float32"),
    ],
)
def test_what_is_not_done_is_refused(temperature, alpha, config, message):
    data, teacher = tiny_data(), tiny_teacher()
    with pytest.raises(ValueError, match=message):
        keras_fit.fit(NETWORK(), teacher.model, data, replace(CONFIG, **config), temperature, alpha)


def test_without_keras_it_says_so(monkeypatch):
    monkeypatch.setattr("kdnotes.libraries.library.installed", lambda package: None)
    data, teacher = tiny_data(), tiny_teacher()
    with pytest.raises(ModuleNotFoundError, match="keras is not installed: pip install keras"):
        keras_fit.fit(NETWORK(), teacher.model, data, CONFIG, 2.0, ALPHA)
