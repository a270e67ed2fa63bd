"""Weights and temperatures that change: UncertaintyKD, AnnealedKD, CTKD, ESKD."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import CLASSES, CONFIG, batch_of, train
from method_helpers import (
    ONE_STEP,
    assert_equal_runs,
    caught,
    given_logits,
    outputs,
    prepared,
    three_teachers,
)

from kdnotes import losses
from kdnotes.methods import CTKD, ESKD, KD, AnnealedKD, CrossEntropy, UncertaintyKD

pytestmark = pytest.mark.usefixtures("own_cache")


# UncertaintyKD


def entropies(batch):
    found = []
    for row in torch.softmax(batch.student_logits.detach().double(), 1).tolist():
        found.append(-sum(p * math.log(p) for p in row))
    return torch.tensor(found)


def test_uncertainty_weights_are_entropies_with_mean_1_and_carry_no_gradient():
    method = prepared(UncertaintyKD(*outputs(), 2.0, 0.0))
    batch = batch_of(view=1, epoch=0)
    weights = method.weights(batch.student_logits)
    torch.testing.assert_close(weights, entropies(batch) / entropies(batch).mean())
    assert weights.mean().item() == pytest.approx(1) and not weights.requires_grad
    each = losses.kd_loss(
        batch.student_logits, given_logits(method, batch)[0], 2.0, reduction="none"
    )
    soft, expected = method.terms(batch)["soft"], (weights * each).mean()
    torch.testing.assert_close(soft, expected)
    z = batch.student_logits
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (soft, expected)))


@pytest.mark.parametrize(("share", "chosen"), [(0.5, 3), (0.01, 1), (0.99, 6), (0.34, 2)])
def test_a_share_selects_the_most_uncertain_with_equal_weights(share, chosen):
    method = UncertaintyKD(*outputs(), keep_share=share)
    batch = batch_of()
    expected = torch.zeros(6)
    expected[entropies(batch).argsort(descending=True)[:chosen]] = 6 / chosen
    torch.testing.assert_close(method.weights(batch.student_logits), expected)


def test_a_batch_without_uncertainty_weighs_equally():
    certain = 1e4 * F.one_hot(torch.arange(5) % CLASSES, CLASSES).float()
    for share in (1.0, 0.5):
        weights = UncertaintyKD(*outputs(), keep_share=share).weights(certain)
        assert torch.isfinite(weights).all() and weights.mean() == 1
    assert torch.equal(UncertaintyKD(*outputs()).weights(certain), torch.ones(5))


def test_kept_weights_are_by_epoch_and_image_and_nan_where_an_image_was_not_seen(monkeypatch):
    method, seen = UncertaintyKD(three_teachers()[0]), {}

    def look(method, batch, terms):
        seen[batch.epoch, tuple(batch.positions.tolist())] = method.weights(batch.student_logits)

    caught(monkeypatch, method, look)
    drops_one_image = dataclasses.replace(CONFIG, batch_size=59)
    kept = train(method, drops_one_image).kept["weights"]
    assert kept.shape == (2, 60) and kept.isnan().sum(1).tolist() == [1, 1]
    for (epoch, positions), weights in seen.items():
        assert torch.equal(kept[epoch, list(positions)], weights)


# AnnealedKD


def test_annealed_temperature_and_alpha_move_linearly():
    method = prepared(AnnealedKD(*outputs(), temperature=(5.0, 1.0), alpha=(0.2, 0.6)))
    for progress in (0.0, 0.25, 1.0):
        temperature, alpha = 5 - 4 * progress, 0.2 + 0.4 * progress
        assert method.at(progress) == pytest.approx((temperature, alpha))
        batch = batch_of(view=1, progress=progress)
        terms = method.terms(batch)
        soft = losses.kd_loss(batch.student_logits, given_logits(method, batch)[0], temperature)
        torch.testing.assert_close(terms["soft"], (1 - alpha) * soft)
        hard = F.cross_entropy(batch.student_logits, batch.targets)
        torch.testing.assert_close(terms["hard"], alpha * hard)
        assert method.observe() == pytest.approx({"temperature": temperature, "alpha": alpha})


def test_history_tells_the_annealed_values():
    history = train(AnnealedKD(three_teachers()[0], (8.0, 0.5), (0.0, 0.8))).history
    last = [3 / 8, 7 / 8]  # progress at the last of the four steps of each of two epochs
    assert history["temperature"].tolist() == pytest.approx([8 - 7.5 * done for done in last])
    assert history["alpha"].tolist() == pytest.approx([0.8 * done for done in last])


# CTKD


def curriculum(**changes):
    return prepared(CTKD(*outputs(), **({"temperature": 4.0, "alpha": 0.2} | changes)))


def test_a_learned_temperature_starts_where_it_should_and_the_loss_is_that_of_kd():
    method, batch = curriculum(lowest=2.0, highest=12.0), batch_of(view=1)
    assert method.learned().item() == pytest.approx(4.0, rel=1e-6)
    kd = prepared(KD(*outputs(), 4.0, 0.2))
    terms, expected = method.terms(batch), kd.terms(batch)
    for name in expected:
        torch.testing.assert_close(terms[name], expected[name])
    sums = [sum(given.values()) for given in (terms, expected)]
    # The student's gradient is not reversed.
    gradients = [torch.autograd.grad(loss, batch.student_logits)[0] for loss in sums]
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        for theta, bound in ((-50.0, 2.0), (50.0, 12.0)):
            method.theta.fill_(theta)
            assert method.learned().item() == pytest.approx(bound)
    assert method.observe() == {"temperature": pytest.approx(12.0)}


def slope(method, batch):
    return torch.autograd.grad(sum(method.terms(batch).values()), method.theta)[0].item()


@pytest.mark.parametrize(
    ("progress", "strength"),
    [(0.0, 0.0), (0.1, 0.5 - 0.5 * math.cos(math.pi * 0.25)), (0.2, 0.5), (0.4, 1.0), (1, 1.0)],
)
def test_the_gradient_of_the_temperature_is_reversed_and_grows_along_a_cosine(progress, strength):
    batch = batch_of(view=1, progress=progress)
    free = slope(curriculum(adversarial=False, ramp=0.4), batch)
    assert slope(curriculum(ramp=0.4), batch) == pytest.approx(
        -strength * free, rel=1e-5, abs=1e-12
    )
    assert slope(curriculum(ramp=0.0), batch) == pytest.approx(-free, rel=1e-5)
    step = 1e-3
    losses_beside = []
    for theta in (step, -step):
        method = curriculum(adversarial=False)
        with torch.no_grad():
            method.theta += theta
        losses_beside.append(sum(method.terms(batch).values()).item())
    assert free == pytest.approx((losses_beside[0] - losses_beside[1]) / (2 * step), rel=2e-2)


@pytest.mark.parametrize("adversarial", [True, False])
def test_a_step_of_the_temperature_raises_the_loss_if_adversarial_and_lowers_it_if_not(adversarial):
    method = curriculum(temperature=2.0, adversarial=adversarial)
    batch = batch_of(view=1, progress=1.0)
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.01, weight_decay=0.0)
    seen = []
    for _ in range(4):  # the student rests
        loss = sum(method.terms(batch).values())
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert seen == sorted(seen, reverse=not adversarial) and len(set(seen)) == 4


def test_in_a_fit_the_two_temperatures_part():
    teacher = three_teachers()[0]
    ways = [CTKD(teacher, 4.0, ramp=0.0, adversarial=adversarial) for adversarial in (True, False)]
    against, along = (train(method, ONE_STEP).history["temperature"].item() for method in ways)
    assert (against - 4) * (along - 4) < 0


def test_the_temperature_rests_in_the_first_step_of_a_ramp(monkeypatch):
    method, temperatures = CTKD(three_teachers()[0], 4.0), []

    def look(method, batch, terms):
        temperatures.append(method.learned().item())

    caught(monkeypatch, method, look)
    run = train(method)
    assert temperatures[0] == temperatures[1] == pytest.approx(4.0)
    assert len(set(temperatures[1:])) == 7
    assert run.history["temperature"].iloc[0] == temperatures[4]


# ESKD


def test_kd_stopped_at_the_end_is_kd_and_at_the_start_cross_entropy():
    teacher = three_teachers()[0]
    assert_equal_runs(train(ESKD(teacher, 2.0, 0.5, until=1.0)), train(KD(teacher, 2.0, 0.5)))
    assert_equal_runs(train(ESKD(teacher, 2.0, 0.5, until=0.0)), train(CrossEntropy()))


@pytest.mark.parametrize(
    ("progress", "taught"), [(0.0, True), (0.29, True), (0.3, False), (0.9, False)]
)
def test_kd_stops_when_its_share_of_the_training_is_over(progress, taught):
    batch = batch_of(view=1, progress=progress)
    terms = prepared(ESKD(*outputs(), 2.0, 0.4, until=0.3)).terms(batch)
    expected = prepared(KD(*outputs(), 2.0, 0.4)).terms(batch)
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    assert terms == (expected if taught else {"hard": hard})
    assert ESKD(*outputs()).until == 0.5
