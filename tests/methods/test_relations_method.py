"""RKD: its terms by hand, what its weights reach, and its wrong calls."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CONFIG,
    METHODS,
    PAIRS,
    STUDENT,
    Outputs,
    batch_of,
    equal_states,
    own_cache,  # noqa: F401
    tiny_data,
    tiny_teacher,
)

from kdnotes import losses
from kdnotes.methods import KD, RKD, CrossEntropy
from kdnotes.models import forward_features
from kdnotes.training import Config, build, fit

pytestmark = pytest.mark.usefixtures("own_cache")
UNEQUAL = (("block1", "block2"), ("block3", "block4"))  # of unequal channels and places


class LiveRKD(RKD):
    STORE_AT_MOST = 0


def train(method, config=CONFIG):
    return fit(build(STUDENT, config.seed), method, tiny_data(), config)


def prepared(method, student):
    method.prepare(student, tiny_data().train, CONFIG.views, torch.device("cpu"))
    return method


def feature_batch(view):
    """Six images as view ``view`` shows them, with what a student in eval mode makes of them."""
    student, positions = build(STUDENT, 3).eval(), torch.tensor([40, 3, 17, 0, 59, 8])
    images = CONFIG.views.take(tiny_data().train, positions, view)
    student_logits, features = forward_features(student, images)
    return batch_of(
        view,
        images=images,
        targets=tiny_data().train.targets[positions],
        positions=positions,
        student=student,
        student_logits=student_logits,
        features=features,
    )


def close(given, expected):
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [RKD, LiveRKD])
@pytest.mark.parametrize("view", [0, 1])
def test_terms_by_hand(kind, view):
    teacher, batch = tiny_teacher(), feature_batch(view)
    method = prepared(kind(teacher, 2.0, 0.3, UNEQUAL, 7.0, 9.0), batch.student)
    assert method.live == (kind is LiveRKD)
    logits, stages = forward_features(teacher.model, batch.images)
    distances = angles = 0
    for ours, theirs in UNEQUAL:
        pair = [one.flatten(2).sum(2) for one in (batch.features[ours], stages[theirs])]
        distances = distances + losses.relational_distance_loss(*pair)  # blind to the scale
        angles = angles + losses.relational_angle_loss(*pair)
    terms = method.terms(batch)
    assert list(terms) == ["hard", "soft", "distances", "angles"]
    close(terms["distances"], 7.0 * distances)
    close(terms["angles"], 9.0 * angles)
    close(terms["soft"], 0.7 * losses.kd_loss(batch.student_logits, logits, 2.0))
    close(terms["hard"], 0.3 * F.cross_entropy(batch.student_logits, batch.targets))
    assert method.parameters() == [] and method.keep() == {}


def test_the_weights_are_those_of_the_authors_code():
    method = RKD(tiny_teacher(), pairs=PAIRS)
    assert (method.weight, method.angle_weight) == (25.0, 50.0)


def test_without_weights_it_is_kd_and_without_the_teachers_logits_cross_entropy_bit_for_bit():
    teacher = tiny_teacher()
    for method, plain in (
        (RKD(teacher, 2.0, 0.5, PAIRS, 0.0, 0.0), KD(teacher, 2.0, 0.5)),
        (RKD(teacher, 2.0, 1.0, PAIRS, 0.0, 0.0), CrossEntropy()),
    ):
        run, expected = train(method), train(plain)
        assert equal_states(run.state, expected.state)
        assert torch.equal(run.test_logits, expected.test_logits)
        assert (run.start, run.order) == (expected.start, expected.order)


def test_each_weight_reaches_its_term_alone():
    batch, teacher = feature_batch(0), tiny_teacher()
    for weights in ((0.0, 1.0), (1.0, 0.0)):
        terms = prepared(RKD(teacher, pairs=PAIRS, weight=weights[0], angle_weight=weights[1]),
                         batch.student).terms(batch)  # fmt: skip
        assert tuple(terms[name].item() > 0 for name in ("distances", "angles")) == tuple(
            map(bool, weights)
        )


@pytest.mark.parametrize("name", ["distances", "angles"])
def test_a_term_reaches_no_stage_beyond_its_own(name):
    batch = feature_batch(1)
    prepared(METHODS["RKD"]([tiny_teacher()]), batch.student).terms(batch)[name].backward()
    for stage, child in batch.student.stages.named_children():
        reached = {parameter.grad is not None for parameter in child.parameters()}
        assert reached == {stage in ("stem", "block1")}
    assert all(parameter.grad is None for parameter in batch.student.head.parameters())


def test_the_student_comes_to_have_the_teachers_relations():
    teacher = tiny_teacher()
    config = Config(epochs=16, batch_size=20, learning_rate=2e-2)
    history = train(RKD(teacher, 4.0, 1.0, (("block3", "block4"),)), config).history
    for name in ("distances", "angles"):
        assert history[name].iloc[-1] < 0.85 * history[name].iloc[0]


def test_a_last_batch_of_two_samples_trains_on():
    """60 images in batches of 29: the angles of two samples are none."""
    history = train(METHODS["RKD"]([tiny_teacher()]), Config(epochs=1, batch_size=29)).history
    assert math.isfinite(history["loss"].iloc[0])


WRONG = {
    "weight must be a finite number, 0 or more, not -1": {"weight": -1},
    "angle_weight must be a finite number, 0 or more, not nan": {"angle_weight": math.nan},
    "angle_weight must be a number, not str": {"angle_weight": "50"},
    "pairs must hold at least one (student's stage, teacher's stage), not ()": {"pairs": ()},
    "pairs must be a tuple of (student's stage, teacher's stage)": {"pairs": ("stem", "block1")},
    "alpha must lie in [0, 1], not 2": {"alpha": 2},
    "temperature must be a finite number above 0, not 0": {"temperature": 0},
    "teacher must be a kdnotes.teachers.Teacher, not Outputs": {"teacher": Outputs(torch.zeros(1))},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_settings_are_refused(message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        RKD(**({"teacher": tiny_teacher(), "pairs": PAIRS} | WRONG[message]))


def test_a_stage_that_is_not_there_is_refused_before_the_first_step():
    with pytest.raises(ValueError, match=r"pairs must name stages of the student, \['stem',"):
        train(RKD(tiny_teacher(), pairs=(("block9", "block1"),)))
