"""Losses of logits against closed forms (also in decimals), identities, autograd, torchdistill."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from loss_helpers import (
    CASES,
    as_single,
    closed_kd,
    few,
    labelled,
    log_softmax,
    logits,
    random_case,
    relative,
    say,
    temperatures,
)

from kdnotes import losses

# Soft targets


@few
@given(logits(), temperatures)
def test_soften_equals_closed_form_and_rows_sum_to_one(arrays, temperature):
    probabilities = losses.soften(torch.from_numpy(arrays[0]), temperature)
    np.testing.assert_allclose(
        probabilities, np.exp(log_softmax(arrays[0], temperature)), rtol=1e-9, atol=1e-12
    )
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
    found = f"{worst64:.1e} float64, {worst32:.1e} float32"
    say(capsys, f"kd_loss, closed form, 1,500 cases: largest difference {found}")
    assert worst64 < 1e-12
    assert worst32 < 1e-5


@few
@given(logits(2, limit=50), temperatures)
def test_kd_loss_of_each_sample_equals_the_closed_form(arrays, temperature):
    each = losses.kd_loss(*map(torch.from_numpy, arrays), temperature, reduction="none")
    np.testing.assert_allclose(each, closed_kd(*arrays, temperature), rtol=1e-9, atol=1e-9)


def test_kd_loss_equals_torchdistill_in_1000_random_cases(capsys):
    mid_level = pytest.importorskip("torchdistill.losses.mid_level")
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(CASES):
        z_s, z_t, temperature = random_case(rng)
        z_s, z_t = torch.tensor(z_s), torch.tensor(z_t)
        # Without alpha > 0 and targets, KDLoss leaves out the factor T²; alpha this small leaves
        # the soft term alone.
        reference = mid_level.KDLoss(
            "z", "output", "z", "output", temperature=temperature, alpha=1e-300, beta=1.0
        )
        student, teacher = ({"z": {"output": z}} for z in (z_s, z_t))
        expected = reference(student, teacher, torch.zeros(len(z_s), dtype=torch.long)).item()
        worst = max(worst, relative(losses.kd_loss(z_s, z_t, temperature), expected))
    say(capsys, f"kd_loss, torchdistill KDLoss, {CASES:,} cases: largest difference {worst:.1e}")
    assert worst < 1e-9


def sines(number, scale):
    """Logits of student and teacher that need no generator."""
    grid = torch.arange(5 * 7, dtype=torch.float64).reshape(5, 7)
    return scale * torch.sin(grid + number), scale * torch.cos(2 * grid + number)


# Scale, T, and what torchdistill 1.1.5's KDLoss gave for ``sines(number, scale)``, called as in the
# test above.
STORED_KD = (
    (0.1, 1.0, 0.005102911755803269),
    (1.0, 2.0, 0.5017460940507281),
    (5.0, 4.0, 10.981186789445259),
    (30.0, 8.0, 217.10016754080715),
    (100.0, 20.0, 1759.8680870251499),
    (1e4, 3.0, 23987.99231037022),
)


@pytest.mark.parametrize("number", range(6))
def test_kd_loss_equals_stored_values_of_torchdistill(number):
    scale, temperature, expected = STORED_KD[number]
    found = losses.kd_loss(*sines(number, scale), temperature).item()
    assert found == pytest.approx(expected, rel=1e-10)


@few
@given(logits(2, limit=50), temperatures)
def test_gradient_is_probability_difference_times_temperature(arrays, temperature):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    z_s.requires_grad_()
    losses.kd_loss(z_s, z_t, temperature).backward()
    p_s, p_t = (np.exp(log_softmax(array, temperature)) for array in arrays)
    np.testing.assert_allclose(z_s.grad, (p_s - p_t) * temperature / len(p_s), atol=1e-11)


@few
@given(logits(2, limit=50), temperatures, st.floats(-100, 100), st.randoms(use_true_random=False))
def test_shift_and_permutation_change_nothing(arrays, temperature, shift, random):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    loss = losses.kd_loss(z_s, z_t, temperature)
    rows, classes = (random.sample(range(size), size) for size in z_s.shape)
    for moved in (
        losses.kd_loss(z_s + shift, z_t, temperature),
        losses.kd_loss(z_s, z_t - shift, temperature),
        losses.kd_loss(z_s[rows][:, classes], z_t[rows][:, classes], temperature),
    ):
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


def test_one_case_by_hand():
    """z_s = (0, 0), z_t = (T·ln 3, 0): p_t = (3/4, 1/4), p_s = (1/2, 1/2)."""
    temperature = 2.0
    z_t = torch.tensor([[temperature * math.log(3), 0.0]]).double()
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    found = losses.kd_loss(torch.zeros_like(z_t), z_t, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-6)


# Given targets


@few
@given(logits(2, limit=50))
def test_cross_entropy_is_divergence_plus_entropy(arrays):
    z_s, z_t = (torch.from_numpy(array) for array in arrays)
    p = losses.soften(z_t, 1.0)
    entropy = -torch.special.xlogy(p, p).sum(1)
    cross = losses.soft_cross_entropy(z_s, p, reduction="none")
    torch.testing.assert_close(
        cross, losses.kd_loss(z_s, z_t, 1.0, reduction="none") + entropy, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        cross, -(p.numpy() * log_softmax(arrays[0])).sum(axis=1), rtol=1e-9, atol=1e-9
    )


def test_soft_cross_entropy_equals_torch_for_onehot_and_smoothed_targets():
    torch.manual_seed(0)
    z, y = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 0])
    for epsilon in (0.0, 0.1, 1.0):
        q = (1 - epsilon) * F.one_hot(y, 5) + epsilon / 5
        torch.testing.assert_close(
            losses.soft_cross_entropy(z, q), F.cross_entropy(z, y, label_smoothing=epsilon)
        )


@few
@given(labelled(1), st.floats(0, 1))
def test_self_targets_by_hand(case, alpha):
    z, y = case
    previous = losses.soften(z, 1.0)
    given = losses.self_targets(y, previous, alpha)
    for row, label, old in zip(given.tolist(), y.tolist(), previous.tolist(), strict=True):
        for c, value in enumerate(row):
            assert value == pytest.approx((1 - alpha) * (c == label) + alpha * old[c], abs=1e-12)
    assert torch.equal(losses.self_targets(y, previous, 0.0), F.one_hot(y, z.shape[1]).double())
    assert torch.equal(losses.self_targets(y, previous, 1.0), previous)
    single = losses.self_targets(y, previous.float(), alpha)
    assert (given.dtype, single.dtype) == (torch.float64, torch.float32)


# Decoupled


def probabilities(row, temperature):
    """Softmax of one row in decimals: exp(−40,000) is a number there."""
    scaled = [Decimal(float(z)) / Decimal(temperature) for z in row]
    powers = [(z - max(scaled)).exp() for z in scaled]
    return [power / sum(powers) for power in powers]


def divergence(p, q):
    return sum(a * (a / b).ln() for a, b in zip(p, q, strict=True))


def closed_terms(z_s, z_t, targets, temperature):
    """(TCKD, NCKD, 1 − p_t,y, T²·KL), a value a sample each, from probabilities and sums alone."""
    found = []
    with decimal.localcontext(prec=40):
        for student, teacher, y in zip(z_s, z_t, targets, strict=True):
            q, p = probabilities(student, temperature), probabilities(teacher, temperature)
            q_rest, p_rest = (sum(row[:y] + row[y + 1 :]) for row in (q, p))
            q_others = [value / q_rest for value in q[:y] + q[y + 1 :]]
            p_others = [value / p_rest for value in p[:y] + p[y + 1 :]]
            target_class = divergence([p[y], p_rest], [q[y], q_rest])
            others, whole = divergence(p_others, q_others), divergence(p, q)
            square = Decimal(temperature) ** 2
            found.append((square * target_class, square * others, p_rest, square * whole))
    return np.array(found, dtype=float).T


def draw_case(rng, largest=(4, 12)):
    """Logits that float32 holds exactly, targets, and T."""
    z_s, z_t, temperature = random_case(rng, largest)
    z_s, z_t = map(as_single, (z_s, z_t))
    return z_s, z_t, rng.integers(0, z_s.shape[1], len(z_s)), temperature


def test_decoupled_terms_equal_the_closed_form_and_sum_to_kd_in_1000_random_cases(capsys):
    rng = np.random.default_rng(0)
    worst = dict.fromkeys(("float64", "float32", "identity", "identity32", "dkd"), 0.0)
    for _ in range(CASES):
        z_s, z_t, targets, temperature = draw_case(rng)
        *expected, rest, kd = closed_terms(z_s, z_t, targets, temperature)
        y = torch.tensor(targets)
        for dtype, name, identity, least in (
            (torch.float64, "float64", "identity", 1.0),
            (torch.float32, "float32", "identity32", temperature**2),  # as above
        ):
            student, teacher = torch.tensor(z_s, dtype=dtype), torch.tensor(z_t, dtype=dtype)
            terms = losses.decoupled_terms(student, teacher, y, temperature, reduction="none")
            for term, closed in zip(terms, expected, strict=True):
                worst[name] = max(worst[name], relative(term.double(), closed, least))
            whole = losses.kd_loss(student, teacher, temperature, reduction="none")
            parts = terms[0] + torch.tensor(rest, dtype=dtype) * terms[1]
            worst[identity] = max(
                worst[identity], relative(parts.double(), whole.double().numpy(), least)
            )
        student, teacher = torch.tensor(z_s), torch.tensor(z_t)
        dkd = losses.dkd_loss(student, teacher, y, temperature, alpha=0.7, beta=3.0).item()
        worst["dkd"] = max(
            worst["dkd"], relative(dkd, np.mean(0.7 * expected[0] + 3.0 * expected[1]))
        )
        assert relative(losses.kd_loss(student, teacher, temperature), kd.mean()) < 1e-12
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    say(capsys, f"decoupled_terms, {CASES:,} cases: largest differences {found}")
    assert worst["float64"] < 1e-11 and worst["identity"] < 1e-11 and worst["dkd"] < 1e-11
    # In float32 the log of the sum over the other classes, which is part of TCKD, is rounded where
    # the logits are.
    assert worst["float32"] < 5e-4 and worst["identity32"] < 5e-4


@few
@given(labelled(), temperatures)
def test_kd_is_target_term_plus_what_the_teacher_leaves_times_the_other_term(case, temperature):
    z_s, z_t, y = case
    target_class, others = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")
    left = 1 - losses.soften(z_t, temperature)[torch.arange(len(y)), y]
    whole = losses.kd_loss(z_s, z_t, temperature, reduction="none")
    torch.testing.assert_close(target_class + left * others, whole, rtol=1e-9, atol=1e-9)
    assert (target_class > -1e-9).all() and (others > -1e-9).all()


@few
@given(labelled(), temperatures)
def test_the_masked_form_that_is_not_renormalised_is_plain_kd_and_dkd_is_not(case, temperature):
    z_s, z_t, y = case
    p = losses.soften(z_t, temperature)
    log_t, log_s = (torch.log_softmax(z / temperature, 1) for z in (z_t, z_s))
    pieces = temperature**2 * p * (log_t - log_s)
    mask = F.one_hot(y, z_s.shape[1])
    masked_target, masked_others = (pieces * mask).sum(1), (pieces * (1 - mask)).sum(1)
    whole = losses.kd_loss(z_s, z_t, temperature, reduction="none")
    torch.testing.assert_close(masked_target + masked_others, whole, rtol=1e-9, atol=1e-9)
    # The difference of the real one with β = 1 is what (1 − p_t) took from the second term.
    dkd = losses.dkd_loss(z_s, z_t, y, temperature, alpha=1.0, beta=1.0, reduction="none")
    others = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")[1]
    took = p[torch.arange(len(y)), y] * others
    torch.testing.assert_close(dkd - whole, took, rtol=1e-7, atol=1e-7)
    higher = (log_s > log_t)[mask.bool()]
    # A divergence cannot be negative.
    assert torch.equal(masked_target < 0, higher & (masked_target != 0))


def test_dkd_by_hand():
    """p_t = (1/2, 1/4, 1/4) and p_s = (1/4, 1/2, 1/4) at T = 2, target 0."""
    p, q = torch.tensor([[2.0, 1.0, 1.0]]).double(), torch.tensor([[1.0, 2.0, 1.0]]).double()
    target_class, others = losses.decoupled_terms(2 * q.log(), 2 * p.log(), torch.tensor([0]), 2.0)
    half = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert target_class.item() == pytest.approx(4 * half, rel=1e-6)
    half = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert others.item() == pytest.approx(4 * half, rel=1e-6)
    dkd = losses.dkd_loss(2 * q.log(), 2 * p.log(), torch.tensor([0]), 2.0, 3.0, 5.0)
    assert dkd.item() == pytest.approx(3 * target_class.item() + 5 * others.item(), rel=1e-12)


@few
@given(logits(2), temperatures, st.integers(0, 1))
def test_two_classes_have_no_other_term(arrays, temperature, target):
    z_s, z_t = (torch.from_numpy(array[:, :2]).requires_grad_() for array in arrays)
    y = torch.full((len(z_s),), target)
    target_class, others = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")
    gradients = torch.autograd.grad(others.sum(), (z_s, z_t))
    assert all((nothing == 0).all() for nothing in (others, *gradients))
    whole = losses.kd_loss(z_s, z_t, temperature, reduction="none")
    torch.testing.assert_close(target_class, whole, rtol=1e-9, atol=1e-9)


@few
@given(labelled(), temperatures)
def test_the_other_term_does_not_see_the_target_logit(case, temperature):
    z_s, z_t, y = case
    z_s.requires_grad_()
    others = losses.decoupled_terms(z_s, z_t, y, temperature)[1]
    gradient = torch.autograd.grad(others, z_s)[0]
    assert (gradient[torch.arange(len(y)), y] == 0).all()


@few
@given(labelled(), temperatures, st.floats(-100, 100), st.randoms(use_true_random=False))
def test_decoupled_terms_are_blind_to_shifts_and_to_the_order_of_classes_and_rows(
    case, temperature, shift, random
):
    z_s, z_t, y = case
    terms = losses.decoupled_terms(z_s, z_t, y, temperature)
    classes = torch.tensor(random.sample(range(z_s.shape[1]), z_s.shape[1]))
    rows = random.sample(range(len(z_s)), len(z_s))
    student, teacher = z_s[rows][:, classes] + shift, z_t[rows][:, classes] - shift
    moved = losses.decoupled_terms(student, teacher, classes.argsort()[y[rows]], temperature)
    torch.testing.assert_close(moved, terms, rtol=1e-9, atol=1e-9)


# Standardised


def test_standardised_loss_equals_torchdistill_in_1000_random_cases(capsys):
    mid_level = pytest.importorskip("torchdistill.losses.mid_level")
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(CASES):
        z_s, z_t, temperature = random_case(rng)
        z_s, z_t = torch.tensor(z_s), torch.tensor(z_t)
        # As for KDLoss, the factor T² needs an alpha above 0 and targets.
        reference = mid_level.LogitStdKDLoss(
            "z", "output", "z", "output", temperature, alpha=1e-300, beta=1.0
        )
        student, teacher = ({"z": {"output": z}} for z in (z_s, z_t))
        expected = reference(student, teacher, torch.zeros(len(z_s), dtype=torch.long)).item()
        given = losses.kd_loss(*map(losses.standardize_logits, (z_s, z_t)), temperature)
        worst = max(worst, relative(given, expected))
    say(capsys, f"standardised, LogitStdKDLoss, {CASES:,} cases: largest difference {worst:.1e}")
    assert worst < 1e-10


# Scale, T, and what torchdistill 1.1.5's LogitStdKDLoss gave, as above.
STORED_STANDARDISED = (
    (0.1, 1.0, 0.7188698336172344),
    (30.0, 2.0, 0.8433939632108093),
    (1e4, 8.0, 0.9110856286601212),
)


@pytest.mark.parametrize("number", range(3))
def test_standardised_loss_equals_stored_values_of_torchdistill(number):
    scale, temperature, expected = STORED_STANDARDISED[number]
    z_s, z_t = map(losses.standardize_logits, sines(number, scale))
    assert losses.kd_loss(z_s, z_t, temperature).item() == pytest.approx(expected, rel=1e-10)


@few
@given(logits(1, limit=100), st.floats(-100, 100), st.floats(0.1, 10))
def test_standardised_logits_are_those_of_numpy_and_blind_to_shift_and_scale(arrays, shift, scale):
    z = torch.from_numpy(arrays[0])
    mean = arrays[0].mean(axis=1, keepdims=True)
    deviation = arrays[0].std(axis=1, ddof=1, keepdims=True)
    steep = torch.from_numpy(deviation[:, 0] > 1e-2)  # below, ε and the rounding of the mean count
    given = losses.standardize_logits(z)[steep]
    expected = torch.from_numpy((arrays[0] - mean) / (deviation + 1e-7))[steep]
    torch.testing.assert_close(given, expected, rtol=1e-9, atol=1e-9)
    moved = losses.standardize_logits(scale * z + shift)[steep]
    torch.testing.assert_close(moved, given, rtol=1e-3, atol=1e-3)
    assert torch.equal(losses.standardize_logits(torch.full((2, 4), 3.0)), torch.zeros(2, 4))


def test_epsilon_is_added_to_the_standard_deviation():
    z = torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(
        losses.standardize_logits(z, 1.0), torch.tensor([[-1.0, 1.0]]) / (2**0.5 + 1)
    )


# Many teachers


@st.composite
def several_teachers(draw, limit=50):
    """Student logits, teacher logits [K, batch, classes], weights [batch, K], targets."""
    count = draw(st.integers(1, 5))
    student, *teachers, targets = draw(labelled(1 + count, limit))
    sizes = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    weights = torch.tensor([draw(sizes) for _ in student], dtype=torch.float64) + 1e-3
    return student, torch.stack(teachers), weights / weights.sum(1, keepdim=True), targets


def softmax_list(values):
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def negative_log(row, y):
    top = max(row)
    return top + math.log(sum(math.exp(z - top) for z in row)) - row[y]


def random_teachers(rng):
    z_s, _, temperature = random_case(rng, (8, 12))
    count, scale = int(rng.integers(1, 6)), np.abs(z_s).max()
    teachers = np.clip(scale * rng.standard_normal((count, *z_s.shape)), -1e4, 1e4)
    weights = rng.dirichlet(np.full(count, rng.choice([0.3, 1.0, 10.0])), len(z_s))
    return z_s, teachers, weights, rng.integers(0, z_s.shape[1], len(z_s)), temperature


def test_multi_teacher_loss_is_the_mean_of_weighted_sums_by_sample_in_1000_random_cases(capsys):
    """And not what comes out of weights averaged over the batch."""
    rng, worst, apart = np.random.default_rng(2), 0.0, []
    for _ in range(CASES):
        z_s, teachers, weights, _, temperature = random_teachers(rng)
        each = np.stack([closed_kd(z_s, z_t, temperature) for z_t in teachers])
        total = 0.0
        for i in range(len(z_s)):
            total += sum(weights[i, k] * each[k, i] for k in range(len(teachers)))
        expected = total / len(z_s)
        arguments = (torch.tensor(z_s), torch.tensor(teachers), torch.tensor(weights))
        given = losses.multi_teacher_kd_loss(*arguments, temperature).item()
        worst = max(worst, relative(given, expected))
        trap = (weights.mean(axis=0) * each.mean(axis=1)).sum()
        if len(teachers) > 1 and len(z_s) > 1:
            apart.append(abs(given - trap) / expected)
    apart = np.array(apart)
    say(
        capsys,
        f"multi_teacher_kd_loss, {CASES:,} cases: largest difference {worst:.1e}; weights averaged "
        f"over the batch differ by {np.median(apart):.1%} (median), {apart.max():.0%} (largest), "
        f"{(apart > 0.01).mean():.0%} of {len(apart)} cases by more than 1 %",
    )
    assert worst < 1e-12
    assert np.median(apart) > 0.01


def test_confidence_weights_are_those_of_the_paper_and_sum_to_1_in_1000_random_cases(capsys):
    rng, worst, sums, sums32 = np.random.default_rng(3), 0.0, 0.0, 0.0
    for _ in range(CASES):
        _, teachers, _, targets, _ = random_teachers(rng)
        given = losses.confidence_weights(torch.tensor(teachers), torch.tensor(targets))
        count = len(teachers)
        for i, y in enumerate(targets):
            shares = softmax_list([negative_log(teacher[i].tolist(), y) for teacher in teachers])
            expected = [(1 - share) / (count - 1) for share in shares] if count > 1 else [1.0]
            worst = max(worst, relative(given[i], expected))
        sums = max(sums, (given.sum(1) - 1).abs().max().item())
        single = losses.confidence_weights(torch.tensor(teachers).float(), torch.tensor(targets))
        sums32 = max(sums32, (single.sum(1) - 1).abs().max().item())
        assert (given >= 0).all() and (given <= 1 / max(count - 1, 1) + 1e-12).all()
    say(
        capsys,
        f"confidence_weights, {CASES:,} cases: largest difference {worst:.1e}; row sums from 1 "
        f"{sums:.1e} float64, {sums32:.1e} float32",
    )
    assert worst < 1e-11 and sums < 1e-14 and sums32 < 1e-6


def test_a_teacher_that_is_right_weighs_more():
    wrong_right_unsure = torch.tensor([[[0.0, 5, 0]], [[5.0, 0, 0]], [[0.0, 0, 0]]])
    weights = losses.confidence_weights(wrong_right_unsure, torch.tensor([0]))[0]
    assert 0.5 >= weights[1] > weights[2] > weights[0]


@few
@given(several_teachers(), temperatures)
def test_equal_teachers_or_one_hot_weights_give_kd(case, temperature):
    z_s, teachers, weights, targets = case
    same = teachers[:1].expand_as(teachers)
    kd = losses.kd_loss(z_s, teachers[0], temperature)
    torch.testing.assert_close(losses.multi_teacher_kd_loss(z_s, same, weights, temperature), kd)
    chosen = F.one_hot(targets % len(teachers), len(teachers)).double()
    given = losses.multi_teacher_kd_loss(z_s, teachers, chosen, temperature, reduction="none")
    for i, k in enumerate((targets % len(teachers)).tolist()):
        alone = losses.kd_loss(z_s[i : i + 1], teachers[k, i : i + 1], temperature)
        torch.testing.assert_close(given[i], alone)


@few
@given(several_teachers(), temperatures, st.randoms(use_true_random=False))
def test_the_order_of_teachers_and_samples_does_not_matter(case, temperature, random):
    z_s, teachers, weights, targets = case
    order, rows = (random.sample(range(len(one)), len(one)) for one in (teachers, z_s))
    moved = losses.multi_teacher_kd_loss(
        z_s[rows], teachers[order][:, rows], weights[rows][:, order], temperature
    )
    torch.testing.assert_close(
        moved, losses.multi_teacher_kd_loss(z_s, teachers, weights, temperature)
    )
    confidence = losses.confidence_weights(teachers, targets)
    torch.testing.assert_close(
        losses.confidence_weights(teachers[order][:, rows], targets[rows]),
        confidence[rows][:, order],
    )


# All of them: reductions, derivatives, extremes, defaults


def every_loss(z_s, teachers, weights, targets, temperature=3.0, reduction="mean"):
    """Each loss of the module, as a function of the logits."""
    z_t = teachers[0]
    named = {"temperature": temperature, "reduction": reduction}
    target_class, others = losses.decoupled_terms(z_s, z_t, targets, **named)
    standard = losses.kd_loss(*map(losses.standardize_logits, (z_s, z_t)), **named)
    warm = losses.soften(z_t, temperature)
    return {
        "kd": losses.kd_loss(z_s, z_t, **named),
        "soft targets": losses.soft_cross_entropy(z_s, warm, reduction=reduction),
        "target class": target_class,
        "non-target class": others,
        "dkd": losses.dkd_loss(z_s, z_t, targets, alpha=0.5, beta=4.0, **named),
        "standardised": standard,
        "many teachers": losses.multi_teacher_kd_loss(z_s, teachers, weights, **named),
        "confidence": losses.multi_teacher_kd_loss(
            z_s, teachers, losses.confidence_weights(teachers, targets), **named
        ),
        "self": losses.soft_cross_entropy(
            z_s, losses.self_targets(targets, losses.soften(z_t, 1.0), 0.6), reduction=reduction
        ),
    }


@few
@given(several_teachers(), temperatures)
def test_mean_of_none_is_mean(case, temperature):
    means, each = (every_loss(*case, temperature, reduction) for reduction in ("mean", "none"))
    for name, values in each.items():
        assert values.shape == (len(case[0]),), name
        torch.testing.assert_close(values.mean(), means[name])


def test_gradcheck():
    torch.manual_seed(0)
    z_s = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    teachers = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    raw = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 4, 2, 2])
    for reduction in ("mean", "none"):

        def call(z_s, teachers, raw, reduction=reduction):
            return tuple(
                every_loss(z_s, teachers, torch.softmax(raw, 1), targets, 3.0, reduction).values()
            )

        assert torch.autograd.gradcheck(call, (z_s, teachers, raw))
    assert torch.autograd.gradcheck(losses.standardize_logits, z_s)
    assert torch.autograd.gradcheck(lambda t: losses.confidence_weights(t, targets), teachers)
    assert torch.autograd.gradcheck(lambda z: losses.soften(z, 3.0), z_s)


@few
@given(several_teachers(limit=1e4), st.sampled_from([1.0, 4.0, 20.0]))
def test_values_and_gradients_are_finite_to_1e4_in_float32(case, temperature):
    z_s, teachers, weights, targets = case
    z_s, teachers = (tensor.float().requires_grad_() for tensor in (z_s, teachers))
    for name, loss in every_loss(z_s, teachers, weights.float(), targets, temperature).items():
        gradients = torch.autograd.grad(loss, (z_s, teachers), retain_graph=True, allow_unused=True)
        assert torch.isfinite(loss) and gradients[0] is not None, name
        assert all(
            torch.isfinite(gradient).all() for gradient in gradients if gradient is not None
        ), name


@pytest.mark.parametrize("value", [1e4, -1e4, 0.0])
def test_the_very_extremes_are_finite(value):
    z = torch.full((3, 4), value)
    z[1, 0], z[2, 1] = -value, -value
    z_s = z.clone().requires_grad_()
    for targets in (torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0])):
        teachers = torch.stack([z, -z, z.roll(1, 1)])
        for name, loss in every_loss(z_s, teachers, torch.full((3, 3), 1 / 3), targets).items():
            gradient = torch.autograd.grad(loss, z_s, retain_graph=True)[0]
            assert torch.isfinite(loss) and torch.isfinite(gradient).all(), name


def test_defaults_and_arguments_are_left_as_they_were():
    torch.manual_seed(0)
    z_s, teachers, y = torch.randn(3, 4), torch.randn(2, 3, 4), torch.tensor([0, 1, 3])
    weights = torch.tensor([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    tensors = (z_s, teachers, y, weights)
    before, state = [tensor.clone() for tensor in tensors], torch.get_rng_state()
    every_loss(z_s, teachers, weights, y)
    assert all(map(torch.equal, tensors, before)) and torch.equal(torch.get_rng_state(), state)
    z_t = teachers[0]
    by_default, at_4, at_3 = (losses.kd_loss(z_s, z_t, *given) for given in ((), (4.0,), (3.0,)))
    assert by_default == at_4 != at_3
    assert losses.decoupled_terms(z_s, z_t, y) == losses.decoupled_terms(z_s, z_t, y, 4.0)
    assert losses.dkd_loss(z_s, z_t, y) == losses.dkd_loss(z_s, z_t, y, 4.0, 1.0, 8.0)
    given = losses.multi_teacher_kd_loss(z_s, teachers, weights)
    assert given == losses.multi_teacher_kd_loss(z_s, teachers, weights, 4.0)
    assert torch.equal(losses.standardize_logits(z_s), losses.standardize_logits(z_s, 1e-7))
