"""What tests of methods share: teachers, made-up outputs, and looks into a training."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    CONFIG,
    METHODS,
    STUDENT,
    Outputs,
    batch_of,
    equal_states,
    tiny_data,
    tiny_teacher,
)

from kdnotes import losses
from kdnotes.methods import MultiTeacherKD
from kdnotes.models import ResidualStudent, forward_features
from kdnotes.teachers import Teacher
from kdnotes.training import build

EVERY = pytest.mark.parametrize("name", list(METHODS))
ONE_STEP = dataclasses.replace(CONFIG, epochs=1, batch_size=60)
CPU = torch.device("cpu")
# Without dropout.
RESIDUAL = functools.partial(ResidualStudent, num_classes=CLASSES, in_channels=1, width=4)


class Shared(Teacher):
    """A teacher that ``fit`` does not copy with the method, so that what happens to it is seen."""

    def __deepcopy__(self, memo):
        return self


def three_teachers():
    return [Shared(tiny_teacher(seed).model, {}) for seed in range(3)]


def make(name):
    return METHODS[name](three_teachers())


def caught(monkeypatch, method, each_step=lambda method, batch, terms: None):
    """Watch the copy of ``method`` that ``fit`` trains.

    Returns:
        A list that will hold it; ``each_step`` is called after each of its ``terms``.
    """
    kind, found = type(method), []
    prepare, terms = kind.prepare, kind.terms

    def prepared(self, *arguments):
        prepare(self, *arguments)
        found.append(self)

    def watched(self, batch):
        given = terms(self, batch)
        each_step(self, batch, given)
        return given

    monkeypatch.setattr(kind, "prepare", prepared)
    monkeypatch.setattr(kind, "terms", watched)
    return found


def prepared(method, student=None):
    method.prepare(student or torch.nn.Identity(), tiny_data().train, CONFIG.views, CPU)
    return method


def outputs(count=1, classes=CLASSES, images=60, views=2, scale=2.0):
    """Made-up teachers: random logits for every view of every image."""
    generator = torch.Generator().manual_seed(7)
    shape = (views, images, classes)
    return tuple(Outputs(scale * torch.randn(shape, generator=generator)) for _ in range(count))


def given_logits(method, batch):
    """What the teachers of ``outputs`` say about a batch, ``[K, B, classes]``."""
    teachers = method.teachers if isinstance(method, MultiTeacherKD) else (method.teacher,)
    return torch.stack([teacher.logits[batch.view, batch.positions] for teacher in teachers])


def feature_batch(view=1, student=STUDENT, **changes):
    """Six images as view ``view`` shows them, with what a student in eval mode makes of them."""
    student, positions = build(student, 3).eval(), torch.tensor([40, 3, 17, 0, 59, 8])
    images = CONFIG.views.take(tiny_data().train, positions, view)
    student_logits, features = forward_features(student, images)
    made = {"student": student, "student_logits": student_logits, "features": features}
    shown = {"images": images, "targets": tiny_data().train.targets[positions], "view": view}
    return batch_of(**(made | shown | {"positions": positions} | changes))


def close(given, expected):
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def assert_kd_terms(terms, batch, teacher, temperature, alpha):
    """The terms of KD are there as well, from a forward of the very images."""
    soft = losses.kd_loss(batch.student_logits, teacher.model(batch.images), temperature)
    close(terms["soft"], (1 - alpha) * soft)
    close(terms["hard"], alpha * F.cross_entropy(batch.student_logits, batch.targets))


def assert_equal_runs(first, second):
    assert equal_states(first.state, second.state)
    assert torch.equal(first.test_logits, second.test_logits)
