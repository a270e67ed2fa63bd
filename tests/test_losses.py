"""Losses against float64 closed forms in numpy, identities, autograd, and torchdistill."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import closed_kd, few, log_softmax, logits, random_case, temperatures
from hypothesis import given
from hypothesis import strategies as st

from kdnotes import losses


@few
@given(logits(), temperatures)
def test_soften_equals_closed_form_and_rows_sum_to_one(arrays, temperature):
    probabilities = losses.soften(torch.from_numpy(arrays[0]), temperature)
    np.testing.assert_allclose(probabilities, np.exp(log_softmax(arrays[0], temperature)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)


def test_kd_loss_equals_closed_form_in_1500_random_cases(capsys):
    rng, worst64, worst32 = np.random.default_rng(0), 0.0, 0.0
    for _ in range(1500):
        z_s, z_t, temperature = random_case(rng)
        expected = closed_kd(z_s, z_t, temperature).mean()
        given64 = losses.kd_loss(torch.tensor(z_s), torch.tensor(z_t), temperature).item()
        z_s, z_t = z_s.astype(np.float32), z_t.astype(np.float32)
        expected32 = closed_kd(z_s.astype(np.float64), z_t.astype(np.float64), temperature).mean()
        given32 = losses.kd_loss(torch.tensor(z_s), torch.tensor(z_t), temperature).item()
        worst64 = max(worst64, abs(given64 - expected) / max(1.0, expected))
        # The rounding of log-probabilities near −log K, multiplied by T², is absolute.
        worst32 = max(worst32, abs(given32 - expected32) / max(temperature**2, expected32))
    with capsys.disabled():
        print(
            f"\nkd_loss, closed form, 1,500 cases: largest difference {worst64:.1e} float64, {worst32:.1e} float32 ",
            end="",
        )
    assert worst64 < 1e-12
    assert worst32 < 1e-5


def test_kd_loss_equals_torchdistill_in_1000_random_cases(capsys):
    mid_level = pytest.importorskip("torchdistill.losses.mid_level")
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(1000):
        z_s, z_t, temperature = random_case(rng)
        z_s, z_t = torch.tensor(z_s), torch.tensor(z_t)
        # Without alpha > 0 and targets, KDLoss leaves out the factor T²; alpha this small leaves the soft term alone.
        reference = mid_level.KDLoss("z", "output", "z", "output", temperature=temperature, alpha=1e-300, beta=1.0)
        student, teacher = ({"z": {"output": z}} for z in (z_s, z_t))
        expected = reference(student, teacher, torch.zeros(len(z_s), dtype=torch.long)).item()
        worst = max(worst, abs(losses.kd_loss(z_s, z_t, temperature).item() - expected) / max(1.0, expected))
    with capsys.disabled():
        print(f"\nkd_loss, torchdistill KDLoss, 1,000 cases: largest difference {worst:.1e} ", end="")
    assert worst < 1e-9


# Values of torchdistill 1.1.5's KDLoss for ``stored_case(i)``, made by
#   loss = KDLoss("z", "output", "z", "output", temperature=T, alpha=1e-300, beta=1.0)
#   loss({"z": {"output": z_s}}, {"z": {"output": z_t}}, torch.zeros(len(z_s), dtype=torch.long)).item()
TORCHDISTILL_1_1_5 = (
    0.005102911755803269,
    0.5017460940507281,
    10.981186789445259,
    217.10016754080715,
    1759.8680870251499,
    23987.99231037022,
)


def stored_case(number):
    """Logits from sines, which need no generator; the scale grows to 1e4."""
    grid = torch.arange(5 * 7, dtype=torch.float64).reshape(5, 7)
    scale = (0.1, 1.0, 5.0, 30.0, 100.0, 1e4)[number]
    return (
        scale * torch.sin(grid + number),
        scale * torch.cos(2 * grid + number),
        (1.0, 2.0, 4.0, 8.0, 20.0, 3.0)[number],
    )


@pytest.mark.parametrize("number", range(6))
def test_kd_loss_equals_stored_values_of_torchdistill(number):
    z_s, z_t, temperature = stored_case(number)
    assert losses.kd_loss(z_s, z_t, temperature).item() == pytest.approx(TORCHDISTILL_1_1_5[number], rel=1e-10)


@few
@given(logits(2, limit=50), temperatures)
def test_gradient_is_probability_difference_times_temperature(arrays, temperature):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    z_s.requires_grad_()
    losses.kd_loss(z_s, z_t, temperature).backward()
    p_s, p_t = (np.exp(log_softmax(array, temperature)) for array in arrays)
    np.testing.assert_allclose(z_s.grad, (p_s - p_t) * temperature / len(p_s), atol=1e-11)


def test_gradcheck():
    torch.manual_seed(0)
    z_s, z_t = (torch.randn(4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for reduction in ("mean", "none"):
        assert torch.autograd.gradcheck(lambda s, t, r=reduction: losses.kd_loss(s, t, 3.0, reduction=r), (z_s, z_t))
        q = torch.softmax(torch.randn(4, 5, dtype=torch.float64), 1)
        assert torch.autograd.gradcheck(lambda s, r=reduction, q=q: losses.soft_cross_entropy(s, q, reduction=r), z_s)
    assert torch.autograd.gradcheck(lambda s: losses.soften(s, 3.0), z_s)


@few
@given(logits(2), st.sampled_from([1.0, 4.0, 20.0]))
def test_values_and_gradients_are_finite_to_1e4_in_float32(arrays, temperature):
    z_s, z_t = (torch.from_numpy(array).float().requires_grad_() for array in arrays)
    probabilities = losses.soften(z_t, temperature)
    assert torch.isfinite(probabilities).all()
    for loss in (losses.kd_loss(z_s, z_t, temperature), losses.soft_cross_entropy(z_s, probabilities)):
        assert torch.isfinite(loss)
        gradients = torch.autograd.grad(loss, (z_s, z_t), retain_graph=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)


@few
@given(logits(2, limit=50), temperatures, st.floats(-100, 100), st.randoms(use_true_random=False))
def test_shift_and_permutation_change_nothing(arrays, temperature, shift, random):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    loss = losses.kd_loss(z_s, z_t, temperature)
    torch.testing.assert_close(losses.kd_loss(z_s + shift, z_t, temperature), loss, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(losses.kd_loss(z_s, z_t - shift, temperature), loss, rtol=1e-9, atol=1e-9)
    classes = random.sample(range(z_s.shape[1]), z_s.shape[1])
    rows = random.sample(range(len(z_s)), len(z_s))
    moved = losses.kd_loss(z_s[rows][:, classes], z_t[rows][:, classes], temperature)
    torch.testing.assert_close(moved, loss, rtol=1e-9, atol=1e-9)


@few
@given(logits(2, limit=50), temperatures)
def test_divergence_is_not_negative_and_zero_for_equal_distributions(arrays, temperature):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    assert (losses.kd_loss(z_s, z_t, temperature, reduction="none") >= -1e-10).all()
    assert losses.kd_loss(z_s, z_s + 3, temperature).item() == pytest.approx(0, abs=1e-10)


def test_high_temperature_limit_is_half_the_variance_of_the_difference():
    torch.manual_seed(0)
    z_s, z_t = torch.randn(2, 8, 10, dtype=torch.float64) * 3 + 5
    limit = (z_s - z_t).var(dim=1, unbiased=False) / 2
    errors = [
        (losses.kd_loss(z_s, z_t, temperature, reduction="none") - limit).abs().max().item()
        for temperature in (10.0, 100.0, 1000.0)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]  # of first order in 1/T
    assert errors[2] < 0.05


@few
@given(logits(2, limit=50))
def test_cross_entropy_is_divergence_plus_entropy(arrays):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    p = losses.soften(z_t, 1.0)
    entropy = -torch.special.xlogy(p, p).sum(1)
    cross = losses.soft_cross_entropy(z_s, p, reduction="none")
    torch.testing.assert_close(cross, losses.kd_loss(z_s, z_t, 1.0, reduction="none") + entropy, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cross, -(p.numpy() * log_softmax(arrays[0])).sum(axis=1), rtol=1e-9, atol=1e-9)


def test_soft_cross_entropy_equals_torch_for_onehot_and_smoothed_targets():
    torch.manual_seed(0)
    z, y = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 0])
    for epsilon in (0.0, 0.1, 1.0):
        q = (1 - epsilon) * F.one_hot(y, 5) + epsilon / 5
        torch.testing.assert_close(losses.soft_cross_entropy(z, q), F.cross_entropy(z, y, label_smoothing=epsilon))


@few
@given(logits(2, limit=50), temperatures)
def test_mean_of_none_is_mean(arrays, temperature):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    each = losses.kd_loss(z_s, z_t, temperature, reduction="none")
    assert each.shape == (len(z_s),)
    np.testing.assert_allclose(each, closed_kd(*arrays, temperature), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(each.mean(), losses.kd_loss(z_s, z_t, temperature))
    q = losses.soften(z_t, temperature)
    each = losses.soft_cross_entropy(z_s, q, reduction="none")
    assert each.shape == (len(z_s),)
    torch.testing.assert_close(each.mean(), losses.soft_cross_entropy(z_s, q))


def test_default_temperature_is_4_and_losses_leave_their_arguments_and_the_generator():
    torch.manual_seed(0)
    z_s, z_t = torch.randn(2, 3, 4)
    before, state = (z_s.clone(), z_t.clone()), torch.get_rng_state()
    assert losses.kd_loss(z_s, z_t) == losses.kd_loss(z_s, z_t, 4.0) != losses.kd_loss(z_s, z_t, 3.0)
    losses.soft_cross_entropy(z_s, losses.soften(z_t, 2.0))
    assert torch.equal(z_s, before[0]) and torch.equal(z_t, before[1]) and torch.equal(torch.get_rng_state(), state)


def test_one_case_by_hand():
    """z_s = (0, 0), z_t = (T·ln 3, 0): p_t = (3/4, 1/4), p_s = (1/2, 1/2)."""
    temperature = 2.0
    z_s, z_t = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[temperature * math.log(3), 0.0]]).double()
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert losses.kd_loss(z_s, z_t, temperature).item() == pytest.approx(expected, rel=1e-6)
