"""Several teachers: MultiTeacherKD, CAMKD, GatedKD."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from helpers import CLASSES, CONFIG, Outputs, batch_of, tiny_data, train
from method_helpers import given_logits, make, outputs, prepared

from kdnotes import losses
from kdnotes.methods import CAMKD, KD, GatedKD, MultiTeacherKD

pytestmark = pytest.mark.usefixtures("own_cache")


def test_equal_weights_are_the_mean_over_teachers():
    teachers, batch = outputs(3), batch_of(view=1)
    terms = prepared(MultiTeacherKD(teachers, 2.0, 0.3)).terms(batch)
    each = [prepared(KD(teacher, 2.0, 0.3)).terms(batch) for teacher in teachers]
    torch.testing.assert_close(terms["soft"], sum(one["soft"] for one in each) / 3)
    torch.testing.assert_close(terms["hard"], each[0]["hard"])


def test_confidence_weights_are_by_sample():
    method, batch = prepared(CAMKD(outputs(3), 2.0, 0.3)), batch_of(view=1)
    teachers = given_logits(method, batch)
    total = 0
    for i, y in enumerate(batch.targets.tolist()):
        errors = torch.stack([F.cross_entropy(z[i : i + 1], torch.tensor([y])) for z in teachers])
        weights = (1 - torch.softmax(errors, 0)) / 2
        row, rows = batch.student_logits[i : i + 1], teachers[:, i : i + 1]
        total = total + sum(weights[k] * losses.kd_loss(row, rows[k], 2.0) for k in range(3))
    torch.testing.assert_close(method.terms(batch)["soft"], 0.7 * total / 6)


# GatedKD


@pytest.mark.parametrize(("classes", "count"), [(2, 1), (2, 3), (4, 2), (7, 5)])
@pytest.mark.parametrize("by", ["labels", "imitation"])
def test_a_gate_takes_any_number_of_classes_and_teachers(classes, count, by):
    method = prepared(GatedKD(outputs(count, classes), 2.0, 0.3, train_gate_by=by))
    student_logits = torch.randn(6, classes, requires_grad=True)
    batch = batch_of(view=1, student_logits=student_logits, targets=torch.arange(6) % classes)
    teachers = given_logits(method, batch)
    inputs = method.inputs(teachers)
    assert inputs.shape == (6, count * classes)
    shapes = [tuple(parameter.shape) for parameter in method.parameters()]
    assert shapes == [(count, count * classes), (count,)]
    for k in range(count):  # teacher by teacher, class by class
        own = inputs[:, k * classes : (k + 1) * classes]
        torch.testing.assert_close(own, torch.log_softmax(teachers[k], 1))
    terms = method.terms(batch)  # it starts at equal weights
    equal = prepared(MultiTeacherKD(outputs(count, classes), 2.0, 0.3)).terms(batch)
    torch.testing.assert_close(terms["soft"], equal["soft"])
    gradients = torch.autograd.grad(sum(terms.values()), method.parameters())
    assert all((gradient != 0).any() == (count > 1) for gradient in gradients)


def moved_gate(by):
    method = prepared(GatedKD(outputs(3), 2.0, 0.3, train_gate_by=by))
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.normal_(0, 0.3)
    return method, batch_of(view=1)


def gate_weights(method, batch):
    log_p = torch.log_softmax(given_logits(method, batch), 2)
    inputs = torch.cat([log_p[k] for k in range(3)], dim=1)
    return torch.softmax(inputs @ method.gate.weight.T + method.gate.bias, 1), log_p


def test_gate_trained_by_labels_by_hand_and_apart_from_the_students_loss():
    method, batch = moved_gate("labels")
    weights, log_p = gate_weights(method, batch)
    terms = method.terms(batch)
    right = log_p[:, torch.arange(6), batch.targets].exp()  # [K, B]
    torch.testing.assert_close(terms["gate"], -(weights.T * right).sum(0).log().mean())
    z_t = given_logits(method, batch)
    soft = losses.multi_teacher_kd_loss(batch.student_logits, z_t, weights.detach(), 2.0)
    torch.testing.assert_close(terms["soft"], 0.7 * soft)
    assert set(terms) == {"hard", "soft", "gate"} and (weights.std(0) > 1e-3).all()  # by sample
    weight, bias = method.gate.weight, method.gate.bias
    for name, other in (("soft", weight), ("soft", bias), ("gate", batch.student_logits)):
        (none,) = torch.autograd.grad(terms[name], other, retain_graph=True, allow_unused=True)
        assert none is None
    assert (torch.autograd.grad(terms["gate"], method.gate.weight)[0] != 0).any()


def test_gate_trained_by_imitation_learns_from_the_students_loss():
    method, batch = moved_gate("imitation")
    weights, _ = gate_weights(method, batch)
    terms = method.terms(batch)
    z_t = given_logits(method, batch)
    soft = 0.7 * losses.multi_teacher_kd_loss(batch.student_logits, z_t, weights, 2.0)
    torch.testing.assert_close(terms["soft"], soft)
    assert set(terms) == {"hard", "soft"}
    weight = method.gate.weight
    gradients = (torch.autograd.grad(loss, weight)[0] for loss in (terms["soft"], soft))
    torch.testing.assert_close(*gradients)


def test_a_gate_trained_by_labels_comes_to_trust_the_teacher_that_is_right():
    targets = tiny_data().train.targets
    useless, useful = outputs(2)
    useful = Outputs(useful.logits / 4 + 4 * F.one_hot(targets, CLASSES))
    run = train(GatedKD((useless, useful)), dataclasses.replace(CONFIG, epochs=10))
    inputs = GatedKD.inputs(torch.stack([useless.logits[0], useful.logits[0]]))
    weights = torch.softmax(inputs @ run.kept["weight"].T + run.kept["bias"], 1)
    assert weights[:, 1].mean() > 0.8 and run.history["gate"].iloc[-1] < run.history["gate"].iloc[0]


def test_a_gate_is_the_same_for_any_weight_decay():
    """Trained by labels it does not depend on the student."""
    gates = [
        train(make("GatedKD"), dataclasses.replace(CONFIG, weight_decay=decay)).kept["weight"]
        for decay in (0.0, 0.9)
    ]
    assert torch.equal(*gates) and (gates[0] != 0).any()
