"""Losses of tokens against closed forms in NumPy, gradients by hand, identities, and TRL."""

from __future__ import annotations

import functools
import math
import re

import numpy as np
import pytest
import torch
from loss_helpers import log_softmax

from kdnotes import losses

CASES = 1000
NAN = math.nan


def case(rng, scale=None):
    """Random logits of student and teacher, targets, a mask with a true place, and T."""
    shape = rng.integers(1, 6), rng.integers(1, 9), rng.integers(2, 30)
    scale = 10.0 ** rng.uniform(-2, 4) if scale is None else scale
    z_s, z_t = (np.clip(scale * rng.standard_normal(shape), -1e4, 1e4) for _ in range(2))
    mask = rng.random(shape[:2]) < 0.6
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return z_s, z_t, mask, rng.integers(0, shape[2], shape[:2]), float(10 ** rng.uniform(-0.5, 1))


def rows(z, temperature):
    """Log-probabilities in the last axis."""
    return log_softmax(z.reshape(-1, z.shape[-1]), temperature).reshape(z.shape)


def kl(log_p, log_q):
    return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)


def mixture(log_p, log_q, share):
    both = np.log(share) + log_p, np.log1p(-share) + log_q
    return np.logaddexp(*both)


def jsd(s, t, beta):
    if beta in (0, 1):
        return kl(s, t) if beta else kl(t, s)
    middle = mixture(t, s, beta)
    return beta * kl(t, middle) + (1 - beta) * kl(s, middle)


CLOSED = {
    "forward": (losses.token_kl, lambda s, t, share: kl(t, s)),
    "reverse": (losses.token_reverse_kl, lambda s, t, share: kl(s, t)),
    "jsd": (losses.token_jsd, jsd),
    "skewed": (losses.token_skewed_kl, lambda s, t, share: kl(t, mixture(t, s, share))),
    "skewed reverse": (
        losses.token_skewed_reverse_kl, lambda s, t, share: kl(s, mixture(s, t, share)),
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("name", CLOSED)
SHARED = ("jsd", "skewed", "skewed reverse")  # those with a share of a mixture


def call(name, z_s, z_t, mask, temperature, share, **named):
    loss, given = CLOSED[name][0], (share,) if name in SHARED else ()
    return loss(z_s, z_t, mask, *given, temperature=temperature, **named)


@EACH
def test_closed_form_with_masks_in_a_thousand_cases(name):
    rng, worst = np.random.default_rng(1), 0.0
    for number in range(CASES):
        z_s, z_t, mask, _, temperature = case(rng)
        share = (0.1, 0.5, 0.9, float(rng.uniform(0.01, 0.99)))[number % 4]
        given = torch.from_numpy(z_s), torch.from_numpy(z_t), torch.from_numpy(mask)
        expected = temperature**2 * CLOSED[name][1](
            rows(z_s, temperature), rows(z_t, temperature), share
        )
        each = call(name, *given, temperature, share, reduction="none").numpy()
        mean = float(call(name, *given, temperature, share))
        assert (each[~mask] == 0).all()
        size = np.maximum(1, np.abs(expected))
        worst = max(worst, (np.abs(each - expected) / size)[mask].max())
        worst = max(worst, abs(mean - expected[mask].mean()) / max(1, abs(expected[mask].mean())))
    print(f"{name}: {worst:.1e}")
    assert worst < 1e-9


def test_cross_entropy_in_a_thousand_cases():
    rng = np.random.default_rng(2)
    for _ in range(CASES):
        z, _, mask, targets, _ = case(rng)
        expected = -np.take_along_axis(rows(z, 1.0), targets[..., None], 2)[..., 0]
        targets[~mask] = -100  # anything
        given = torch.from_numpy(z), torch.from_numpy(targets), torch.from_numpy(mask)
        assert float(losses.token_cross_entropy(*given)) == pytest.approx(expected[mask].mean())
        each = losses.token_cross_entropy(*given, reduction="none").numpy()
        np.testing.assert_allclose(each, np.where(mask, expected, 0), rtol=1e-9, atol=1e-9)


def gradient_by_hand(name, s, t, share):
    """Of each place's divergence in the student's logits at T = 1, from p_s and p_t ``[n, K]``."""
    if name == "forward":
        return s - t
    if name == "reverse":
        return s * (np.log(s / t) - (s * np.log(s / t)).sum(axis=1, keepdims=True))
    if name == "skewed":
        inside = -(1 - share) * t / (share * t + (1 - share) * s)
    elif name == "skewed reverse":
        middle = share * s + (1 - share) * t
        inside = np.log(s / middle) + 1 - share * s / middle
    else:  # with respect to p_s: β·t·(−(1 − β)/m) + (1 − β)·(log(s/m) + 1 − (1 − β)·s/m)
        middle = share * t + (1 - share) * s
        inside = -share * (1 - share) * t / middle
        inside = inside + (1 - share) * (np.log(s / middle) + 1 - (1 - share) * s / middle)
    return s * (inside - (s * inside).sum(axis=1, keepdims=True))


@EACH
def test_gradient_in_a_thousand_cases(name):
    rng = np.random.default_rng(3)
    for _ in range(CASES):
        z_s, z_t, mask, _, _ = case(rng, scale=float(rng.uniform(0.1, 3)))
        share = float(rng.uniform(0.05, 0.95))
        student = torch.from_numpy(z_s).requires_grad_()
        call(name, student, torch.from_numpy(z_t), torch.from_numpy(mask), 1.0, share).backward()
        expected = np.zeros_like(z_s)
        s, t = (np.exp(rows(z, 1.0)[mask]) for z in (z_s, z_t))
        expected[mask] = gradient_by_hand(name, s, t, share) / mask.sum()
        np.testing.assert_allclose(student.grad.numpy(), expected, rtol=1e-7, atol=1e-10)


@EACH
@pytest.mark.parametrize("temperature", [0.7, 3.0])
def test_gradcheck(name, temperature):
    rng = np.random.default_rng(4)
    z_s, z_t = (torch.from_numpy(rng.standard_normal((2, 3, 4))) for _ in range(2))
    mask = torch.tensor([[True, True, False], [True, False, False]])
    both = z_s.requires_grad_(), z_t.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, t: call(name, s, t, mask, temperature, 0.3), both)


@EACH
def test_what_the_padding_holds_counts_nowhere(name):
    rng = np.random.default_rng(5)
    z_s, z_t, mask, *_ = case(rng, scale=1.0)
    mask[:, -1], mask[0, 0] = False, True
    clean, dirty = (z_s, z_t), [z.copy() for z in (z_s, z_t)]
    for z in dirty:
        z[~mask] = NAN
    found = []
    for pair in (clean, dirty):
        student, teacher = (torch.from_numpy(z) for z in pair)
        loss = call(name, student.requires_grad_(), teacher, torch.from_numpy(mask), 2.0, 0.3)
        loss.backward()
        found.append((loss.detach(), student.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1]) and bool(found[1][1].isfinite().all())


@EACH
def test_bfloat16_is_computed_in_float32(name):
    rng = np.random.default_rng(6)
    z_t = torch.from_numpy(rng.standard_normal((4, 5, 1000)) * 3).bfloat16()
    z_s = (z_t.float() + 0.05 * torch.randn_like(z_t.float())).bfloat16()
    mask = torch.ones(4, 5, dtype=torch.bool)
    found = call(name, z_s, z_t, mask, 20.0, 0.5)
    exact = call(name, z_s.double(), z_t.double(), mask, 20.0, 0.5)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(exact), rel=0.1)  # float32 itself is 6 % off here
    log_s, log_t = ((z / 20).log_softmax(dim=2) for z in (z_s, z_t))
    in_bfloat16 = 400 * (log_t.exp() * (log_t - log_s)).sum(dim=2).mean()
    assert not 0.5 < float(in_bfloat16) / float(exact) < 2


def test_finite_for_the_largest_logits():
    z = torch.tensor([[[1e4, -1e4, 0.0]]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    for name in CLOSED:
        student = z.clone().requires_grad_()
        call(name, student, z.flip(2), mask, 1.0, 0.1).backward()
        assert bool(student.grad.isfinite().all()), name


def pair(seed=7, shape=(3, 4, 6)):
    rng = np.random.default_rng(seed)
    z_s, z_t = (torch.from_numpy(rng.standard_normal(shape)) for _ in range(2))
    mask = torch.from_numpy(rng.random(shape[:2]) < 0.7)
    mask[0, 0] = True
    return z_s, z_t, mask


def test_the_ends_of_the_jsd():
    """At 0 and 1 the two KLs; near them β and (1 − β) times as much."""
    given = pair()
    forward, reverse = losses.token_kl(*given), losses.token_reverse_kl(*given)
    assert torch.equal(losses.token_jsd(*given, 0.0), forward)
    assert torch.equal(losses.token_jsd(*given, 1.0), reverse)
    assert float(losses.token_jsd(*given, 1e-6)) / 1e-6 == pytest.approx(float(forward), rel=1e-4)
    near = float(losses.token_jsd(*given, 1 - 1e-6)) / 1e-6
    assert near == pytest.approx(float(reverse), rel=1e-4)


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.8])
def test_the_jsd_is_bounded_and_symmetric_in_beta(beta):
    z_s, z_t, mask = pair()
    far = 50 * z_s, 50 * z_t, mask
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    assert 0 < float(losses.token_jsd(*far, beta)) <= bound
    swapped = losses.token_jsd(z_t, z_s, mask, 1 - beta)
    torch.testing.assert_close(losses.token_jsd(z_s, z_t, mask, beta), swapped)


def test_skew_0_is_none():
    given = pair()
    assert torch.equal(losses.token_skewed_kl(*given, 0.0), losses.token_kl(*given))
    assert torch.equal(losses.token_skewed_reverse_kl(*given, 0.0), losses.token_reverse_kl(*given))


def test_the_mean_is_over_tokens_not_over_strings():
    z_s, z_t, _ = pair(shape=(2, 10, 6))
    mask = torch.zeros(2, 10, dtype=torch.bool)
    mask[0, :9], mask[1, :1] = True, True
    each = losses.token_kl(z_s, z_t, mask, reduction="none")
    assert float(losses.token_kl(z_s, z_t, mask)) == pytest.approx(float(each.sum() / 10))
    by_string = (each.sum(dim=1) / mask.sum(dim=1)).mean()
    assert float(losses.token_kl(z_s, z_t, mask)) != pytest.approx(float(by_string), rel=1e-3)


def test_all_answers_are_the_forward_kl():
    z_s, z_t, mask = pair()
    found = losses.token_sparse_kl(z_s, *losses.top_answers(z_t, 6), mask)
    torch.testing.assert_close(found, losses.token_kl(z_s, z_t, mask))


def test_sparse_kl_in_a_thousand_cases():
    rng = np.random.default_rng(8)
    for _ in range(CASES):
        z_s, z_t, mask, _, _ = case(rng, scale=float(rng.uniform(0.1, 5)))
        count = int(rng.integers(1, z_s.shape[2] + 1))
        indices, weights = losses.top_answers(torch.from_numpy(z_t), count)
        log_s, p_t = rows(z_s, 1.0), np.exp(rows(z_t, 1.0))
        kept = np.argsort(-p_t, axis=2)[..., :count]
        target = np.take_along_axis(p_t, kept, 2)
        target = target / target.sum(axis=2, keepdims=True)
        terms = target * (np.log(target) - np.take_along_axis(log_s, kept, 2))
        found = losses.token_sparse_kl(
            torch.from_numpy(z_s), indices, weights, torch.from_numpy(mask)
        )
        assert float(found) == pytest.approx(terms.sum(axis=2)[mask].mean(), rel=1e-9, abs=1e-12)


def mean_target(draw, z_t, times=2000):
    """The mean weight of each class over draws."""
    total = torch.zeros_like(z_t)
    for seed in range(times):
        indices, weights = draw(z_t, seed)
        total.scatter_add_(2, indices, weights.to(total.dtype))
    return total / times


def test_drawn_answers_are_unbiased_and_top_answers_are_not():
    z_t = pair()[1]
    p_t = z_t.softmax(dim=2)
    drawn = mean_target(lambda z, seed: losses.sampled_answers(z, 3, seed), z_t)
    error = ((p_t * (1 - p_t)) / (3 * 2000)).sqrt()
    assert float(((drawn - p_t) / error).abs().max()) < 4.5  # of 72 standard normal numbers
    top = torch.zeros_like(p_t).scatter_add_(2, *losses.top_answers(z_t, 3))
    assert float((top - p_t).abs().max()) > 0.05


def test_the_gradient_of_drawn_answers_is_that_of_all_in_the_mean():
    z_s, z_t, mask = pair(shape=(1, 2, 5))
    full = z_s.clone().requires_grad_()
    losses.token_kl(full, z_t, mask).backward()
    total, times = torch.zeros_like(z_s), 1500
    for seed in range(times):
        student = z_s.clone().requires_grad_()
        answers = losses.sampled_answers(z_t, 2, seed)
        losses.token_sparse_kl(student, *answers, mask).backward()
        total += student.grad
    torch.testing.assert_close(total / times, full.grad, atol=0.03, rtol=0)


def test_drawn_answers_depend_on_the_seed_alone():
    z_t = pair()[1]
    first, again, other = (losses.sampled_answers(z_t, 3, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


Z, M, Y = torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3).long()
ONE_NAN = Z.clone()
ONE_NAN[0, 0, 0] = NAN
FEW, W = torch.zeros(2, 3, 2).long(), torch.full((2, 3, 2), 0.5)
WRONG = {
    "list": (lambda: losses.token_kl([0.0], Z, M), TypeError, "student_logits must be a floating"),
    "integers": (lambda: losses.token_kl(Y, Z, M), TypeError, "not an int64 tensor"),
    "rank": (lambda: losses.token_kl(Z[0], Z[0], M), ValueError, "[batch, length, classes]"),
    "one class": (lambda: losses.token_kl(Z[..., :1], Z[..., :1], M), ValueError, "2 classes"),
    "shapes": (lambda: losses.token_kl(Z, Z[:, :2], M), ValueError, "the shape of student_logits"),
    "mask of numbers": (lambda: losses.token_kl(Z, Z, M.float()), TypeError, "mask must be a bool"),
    "shape of mask": (lambda: losses.token_kl(Z, Z, M[:1]), ValueError, "mask must have the shape"),
    "empty mask": (lambda: losses.token_kl(Z, Z, ~M), ValueError, "true at one place or more"),
    "NaN": (lambda: losses.token_kl(Z, ONE_NAN, M), ValueError, "teacher_logits must be finite"),
    "temperature": (lambda: losses.token_kl(Z, Z, M, 0.0), ValueError, "temperature must be"),
    "beta": (lambda: losses.token_jsd(Z, Z, M, 1.5), ValueError, "beta must lie in [0, 1]"),
    "beta NaN": (lambda: losses.token_jsd(Z, Z, M, NAN), ValueError, "beta must lie"),
    "skew": (lambda: losses.token_skewed_kl(Z, Z, M, 1.0), ValueError, "skew must be below 1"),
    "reduction": (
        lambda: losses.token_kl(Z, Z, M, reduction="batchmean"), ValueError, "reduction must be",
    ),
    "target": (lambda: losses.token_cross_entropy(Z, Y + 4, M), ValueError, "targets must lie in"),
    "float target": (lambda: losses.token_cross_entropy(Z, Y.float(), M), TypeError, "int64"),
    "short targets": (lambda: losses.token_cross_entropy(Z, Y[:1], M), ValueError, "targets must"),
    "index": (lambda: losses.token_sparse_kl(Z, FEW - 1, W, M), ValueError, "indices must lie in"),
    "weights": (lambda: losses.token_sparse_kl(Z, FEW, W + 1, M), ValueError, "weights must sum"),
    "rank of weights": (lambda: losses.token_sparse_kl(Z, FEW, W[0], M), ValueError, "weights mu"),
    "top 0": (lambda: losses.top_answers(Z, 0), ValueError, "count must be a whole number from 1"),
    "top 5 of 4": (lambda: losses.top_answers(Z, 5), ValueError, "count must be a whole number"),
    "draws": (lambda: losses.sampled_answers(Z, 0, 0), ValueError, "count must be at least 1"),
    "seed": (lambda: losses.sampled_answers(Z, 1, -1), ValueError, "seed must be at least 0"),
    "rank of teacher": (lambda: losses.top_answers(Z[0], 1), ValueError, "teacher_logits must"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls(name):
    wrong, error, said = WRONG[name]
    with pytest.raises(error, match=re.escape(said)):
        wrong()


@functools.cache
def trl():
    """TRL's loss, where it is installed."""
    module = pytest.importorskip("trl.experimental.gkd", reason="TRL is not installed")
    return module.GKDTrainer.generalized_jsd_loss


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_against_trl(beta):
    """TRL's has no T², and takes the mask as labels that are −100 where it is false."""
    theirs, rng, worst = trl(), np.random.default_rng(9), 0.0
    for _ in range(CASES):
        z_s, z_t, mask, targets, temperature = case(rng, scale=float(rng.uniform(0.1, 10)))
        given = torch.from_numpy(z_s), torch.from_numpy(z_t)
        labels = torch.from_numpy(np.where(mask, targets, -100))
        expected = float(theirs(*given, labels=labels, beta=beta, temperature=temperature))
        found = losses.token_jsd(*given, torch.from_numpy(mask), beta, temperature)
        worst = max(worst, abs(float(found) / temperature**2 - expected) / max(1, abs(expected)))
    print(f"TRL, beta={beta}: {worst:.1e}")
    assert worst < 1e-9
