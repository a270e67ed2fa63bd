"""The student as its own teacher: PSKD and BYOT."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from helpers import CLASSES, CONFIG, MULTI_EXIT, STUDENT, batch_of, tiny_data, train
from method_helpers import caught, prepared

from kdnotes import losses
from kdnotes.methods import BYOT, PSKD
from kdnotes.models import forward_features
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")


# PSKD


def test_targets_follow_the_image_whatever_the_order_of_the_batch():
    method = prepared(PSKD(alpha=0.6))
    torch.manual_seed(1)
    probabilities, logits = torch.softmax(torch.randn(60, CLASSES), 1), torch.randn(6, CLASSES)
    method.remember(batch_of(positions=torch.arange(60)), probabilities)
    positions = torch.tensor([40, 3, 17, 0, 59, 8])
    targets = tiny_data().train.targets
    for order in (torch.arange(6), torch.tensor([5, 2, 0, 3, 1, 4])):
        here = positions[order]
        batch = batch_of(
            positions=here, targets=targets[here], student_logits=logits[order], epoch=2, epochs=4
        )
        recalled = method.recall(batch)
        assert torch.equal(recalled, probabilities[positions][order])
        expected = 0.55 * F.one_hot(batch.targets, CLASSES) + 0.45 * recalled  # α·3/4 = 0.45
        loss = copy.deepcopy(method).terms(batch)["soft"]
        torch.testing.assert_close(loss, losses.soft_cross_entropy(batch.student_logits, expected))


def test_in_a_fit_each_image_is_taught_by_its_own_prediction_an_epoch_ago(monkeypatch):
    method, predicted, orders = PSKD(alpha=0.8), {}, []
    recall, onehot = PSKD.recall, F.one_hot(tiny_data().train.targets, CLASSES).float()
    recalled = {}

    def watched(self, batch):
        return recalled.setdefault(batch.progress, recall(self, batch))

    monkeypatch.setattr(PSKD, "recall", watched)

    def look(method, batch, terms):
        orders.append(tuple(batch.positions.tolist()))
        old = recalled[batch.progress]
        for row, position in enumerate(batch.positions.tolist()):
            expected = predicted[batch.epoch - 1, position] if batch.epoch else onehot[position]
            assert torch.equal(old[row], expected)
            predicted[batch.epoch, position] = torch.softmax(batch.student_logits[row].detach(), 0)
        alpha = 0.8 * (batch.epoch + 1) / 3
        targets = (1 - alpha) * F.one_hot(batch.targets, CLASSES) + alpha * old
        soft = losses.soft_cross_entropy(batch.student_logits, targets)
        torch.testing.assert_close(terms["soft"], soft)
        if batch.epoch == 0:
            hard = F.cross_entropy(batch.student_logits, batch.targets)
            torch.testing.assert_close(terms["soft"], hard)

    found = caught(monkeypatch, method, look)
    train(method, dataclasses.replace(CONFIG, epochs=3))
    assert len(predicted) == 3 * 60 and orders[0] != orders[4]
    # One buffer, whatever the number of epochs.
    (buffer,) = [value for value in vars(found[0]).values() if isinstance(value, torch.Tensor)]
    assert buffer.shape == (60, CLASSES) and not buffer.requires_grad


def test_the_targets_carry_no_gradient():
    method, batch = prepared(PSKD(alpha=1.0)), batch_of(epoch=0, epochs=2)
    method.terms(batch)
    later = batch_of(epoch=1, student_logits=torch.randn(6, CLASSES, requires_grad=True))
    both = [later.student_logits, batch.student_logits]
    gradient, none = torch.autograd.grad(method.terms(later)["soft"], both, allow_unused=True)
    assert none is None
    p, old = (torch.softmax(logits.detach(), 1) for logits in both)
    torch.testing.assert_close(gradient, (p - old) / 6)


def test_without_a_number_of_classes_the_labels_tell_it():
    assert prepared(PSKD(), torch.nn.Identity()).previous.shape == (60, CLASSES)
    student = build(STUDENT, 0)
    student.num_classes = 7  # such as a class that the training images lack
    assert prepared(PSKD(), student).previous.shape == (60, 7)


# BYOT


def own_teacher_batch(seed=0):
    student = build(MULTI_EXIT, seed).eval()
    images, targets = tiny_data().train.images[:8], tiny_data().train.targets[:8]
    student_logits, features = forward_features(student, images)
    given = {"student": student, "student_logits": student_logits, "features": features}
    return batch_of(images=images, targets=targets, **given)


def test_terms_of_the_exits_by_hand():
    batch = own_teacher_batch()
    y, exits = batch.targets, batch.student.forward_exits(batch.images)
    *shallow, deepest = exits.values()
    hard = F.cross_entropy(deepest, y) + 0.6 * sum(F.cross_entropy(logits, y) for logits in shallow)
    soft = 0.4 * sum(losses.kd_loss(logits, deepest, 2.0) for logits in shallow)
    last = list(batch.features.values())[-1]
    made = [way.bottleneck(batch.features[name]) for name, way in batch.student.exits.items()]
    hint = 0.1 * sum(F.mse_loss(feature, last) for feature in made)
    terms = BYOT(temperature=2.0, alpha=0.4, hint=0.1).terms(batch)
    assert list(exits) == ["block1", "block2", "block3"] and set(terms) == {"hard", "soft", "hint"}
    for name, expected in (("hard", hard), ("soft", soft), ("hint", hint)):
        torch.testing.assert_close(terms[name], expected)


@pytest.mark.parametrize("term", ["soft", "hint"])
def test_the_deepest_exit_teaches_and_does_not_learn_from_the_shallow_ones(term):
    batch = own_teacher_batch()
    student = batch.student
    BYOT(hint=0.1).terms(batch)[term].backward()
    for part in (student.stages.block3, student.head):
        assert all(parameter.grad is None for parameter in part.parameters())
    for way in student.exits.values():
        kernels = [parameter for parameter in way.bottleneck.parameters() if parameter.ndim > 1]
        assert all((kernel.grad != 0).any() for kernel in kernels)
    assert (student.stages.stem[0].weight.grad != 0).any()


def test_deep_supervision_is_the_control():
    terms = BYOT(alpha=0.0, hint=0.0).terms(own_teacher_batch())
    assert terms["soft"] == 0 and terms["hint"] == 0
