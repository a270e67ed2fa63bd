"""Losses of peers: closed forms, gradients, and that the others are detached."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from loss_helpers import CASES, as_single, closed_kd, few, log_softmax, relative, say, temperatures

from kdnotes import losses


def random_peers(rng):
    """Logits of 2 to 4 peers up to ±1e4, targets, and T."""
    batch, classes = int(rng.integers(1, 6)), int(rng.integers(2, 12))
    scale = 10.0 ** rng.uniform(-2, 4)
    logits = np.clip(scale * rng.standard_normal((rng.integers(2, 5), batch, classes)), -1e4, 1e4)
    return (as_single(logits), rng.integers(0, classes, batch), float(rng.uniform(0.5, 10)))


def peers_by_hand(logits, temperature):
    """For each peer the mean over the others of the mean over samples of T²·KL(p_j ‖ p_i)."""
    count, found = len(logits), []
    for i in range(count):
        others = [
            closed_kd(logits[i], logits[j], temperature).mean() for j in range(count) if j != i
        ]
        found.append(sum(others) / (count - 1))
    return np.array(found)


def test_mutual_losses_equal_the_sum_by_hand_in_1000_random_cases(capsys):
    rng, names = np.random.default_rng(5), ("losses", "divergences", "gradients", "float32")
    worst = dict.fromkeys(names, 0.0)
    for _ in range(CASES):
        logits, targets, temperature = random_peers(rng)
        y = torch.tensor(targets)
        divergences = peers_by_hand(logits, temperature)
        errors = [-log_softmax(own)[np.arange(len(targets)), targets].mean() for own in logits]
        peers = [torch.tensor(own, requires_grad=True) for own in logits]
        found = losses.mutual_losses(peers, y, temperature)
        alone = losses.peer_divergences(peers, temperature)
        assert type(found) is list and all(loss.shape == () for loss in (*found, *alone))
        worst["losses"] = max(
            worst["losses"], relative([x.item() for x in found], errors + divergences)
        )
        worst["divergences"] = max(
            worst["divergences"], relative([x.item() for x in alone], divergences)
        )
        single = losses.mutual_losses([torch.tensor(own).float() for own in logits], y, temperature)
        closed = errors + divergences
        worst["float32"] = max(
            worst["float32"], relative([x.item() for x in single], closed, temperature**2)
        )
        # p_i − y, and T/(K − 1)·Σ_j (p_i − p_j): each divided by the batch
        for i, loss in enumerate(found):
            p = np.exp(log_softmax(logits[i]))
            warm = [np.exp(log_softmax(own, temperature)) for own in logits]
            expected = p - np.eye(p.shape[1])[targets]
            expected += temperature / (len(logits) - 1) * sum(warm[i] - other for other in warm)
            own, *others = torch.autograd.grad(
                loss, [peers[i], *peers[:i], *peers[i + 1 :]], retain_graph=True, allow_unused=True
            )
            assert others == [None] * (len(logits) - 1)  # exactly nothing: the others are detached
            worst["gradients"] = max(worst["gradients"], relative(own, expected / len(targets)))
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    say(capsys, f"mutual_losses, {CASES:,} cases: largest differences {found}")
    assert worst["losses"] < 1e-12 and worst["divergences"] < 1e-12 and worst["gradients"] < 1e-11
    assert worst["float32"] < 1e-3


def test_mutual_losses_by_hand():
    """p_1 = (3/4, 1/4) and p_2 = (1/2, 1/2)."""
    first = torch.tensor([[3.0, 1.0]]).double().log()
    second = torch.zeros(1, 2, dtype=torch.float64)
    one, two = losses.mutual_losses([first, second], torch.tensor([0]))
    log = np.log
    assert one.item() == pytest.approx(
        -log(0.75) + 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25), rel=1e-12
    )
    assert two.item() == pytest.approx(-log(0.5) + 0.75 * log(1.5) + 0.25 * log(0.5), rel=1e-12)


def test_peers_that_agree_learn_from_the_labels_alone():
    torch.manual_seed(0)
    z, y = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    for count in (2, 3, 5):
        peers = [z + shift for shift in range(count)]
        for loss, divergence in zip(
            losses.mutual_losses(peers, y), losses.peer_divergences(peers), strict=True
        ):
            torch.testing.assert_close(loss, F.cross_entropy(z, y))
            assert divergence.abs() < 1e-12


@few
@given(st.integers(0, 10_000), temperatures, st.randoms(use_true_random=False))
def test_the_order_of_peers_samples_and_classes_does_not_matter(seed, temperature, random):
    logits, targets, _ = random_peers(np.random.default_rng(seed))
    peers, rows, classes = (random.sample(range(size), size) for size in logits.shape)
    before = losses.mutual_losses(
        [torch.tensor(own) for own in logits], torch.tensor(targets), temperature
    )
    moved = [torch.tensor(logits[peer][rows][:, classes]) for peer in peers]
    labels = torch.tensor(np.argsort(classes)[targets[rows]])
    for peer, loss in zip(
        peers, losses.mutual_losses(tuple(moved), labels, temperature), strict=True
    ):
        torch.testing.assert_close(loss, before[peer], rtol=1e-9, atol=1e-9)


def test_two_peers_are_each_taught_as_by_kd():
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 4)
    found = losses.peer_divergences([first, second], 3.0)
    assert found == [losses.kd_loss(first, second, 3.0), losses.kd_loss(second, first, 3.0)]
    assert losses.peer_divergences([first, second]) == losses.peer_divergences([first, second], 1.0)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_peers_are_finite_to_1e4_in_float32(temperature):
    z = torch.full((3, 4), -1e4)
    z[0, 0] = z[1, 2] = z[2, 3] = 1e4
    y = torch.tensor([0, 1, 2])
    for peers in ([z, -z, z.roll(1, 1)], [z, torch.zeros(3, 4)], [z, z]):
        peers = [own.clone().requires_grad_() for own in peers]
        for own, loss in zip(peers, losses.mutual_losses(peers, y, temperature), strict=True):
            gradient = torch.autograd.grad(loss, own)[0]
            assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_gradcheck_of_peers():
    """In a peer's own logits: in the others' there is none, although the value depends on them."""
    torch.manual_seed(0)
    y = torch.tensor([0, 4, 2])
    logits = [torch.randn(3, 5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    for i in range(3):

        def mutual(own, i=i):
            peers = [one.detach() for one in logits]
            peers[i] = own
            return losses.mutual_losses(peers, y, 3.0)[i], losses.peer_divergences(peers, 3.0)[i]

        assert torch.autograd.gradcheck(mutual, logits[i])


def test_logits_of_peers_and_the_generator_are_left_as_they_were():
    torch.manual_seed(0)
    z, y = torch.randn(2, 5), torch.tensor([0, 1])
    before, state = z.clone(), torch.get_rng_state()
    losses.mutual_losses([z, -z], y, 2.0)
    assert torch.equal(z, before) and torch.equal(torch.get_rng_state(), state)
