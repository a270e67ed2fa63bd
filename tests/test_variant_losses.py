"""Losses of the variants against closed forms in plain probabilities (40 decimal digits), identities, torchdistill."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import closed_kd, few, logits, random_case, temperatures
from hypothesis import given
from hypothesis import strategies as st

from kdnotes import losses

CASES = 1000


@st.composite
def labelled(draw, number=2, limit=50):
    """``number`` float64 tensors of logits and the targets of their rows."""
    arrays = draw(logits(number, limit))
    targets = draw(st.lists(st.integers(0, arrays[0].shape[1] - 1), min_size=len(arrays[0]), max_size=len(arrays[0])))
    return (*(torch.from_numpy(array) for array in arrays), torch.tensor(targets))


@st.composite
def several_teachers(draw, limit=50):
    """Student logits, teacher logits [K, batch, classes], weights [batch, K], targets."""
    count = draw(st.integers(1, 5))
    student, *teachers, targets = draw(labelled(1 + count, limit))
    sizes = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    weights = torch.tensor([draw(sizes) for _ in student], dtype=torch.float64) + 1e-3
    return student, torch.stack(teachers), weights / weights.sum(1, keepdim=True), targets


def probabilities(row, temperature):
    """Softmax of one row in decimals: exp(−40,000) is a number there."""
    scaled = [Decimal(float(z)) / Decimal(temperature) for z in row]
    powers = [(z - max(scaled)).exp() for z in scaled]
    return [power / sum(powers) for power in powers]


def divergence(p, q):
    return sum(a * (a / b).ln() for a, b in zip(p, q, strict=True))


def closed_terms(z_s, z_t, targets, temperature):
    """(TCKD, NCKD, 1 − p_t,y, T²·KL), each a list over samples, from probabilities and sums alone."""
    found = []
    with decimal.localcontext(prec=40):
        for student, teacher, y in zip(z_s, z_t, targets, strict=True):
            q, p = probabilities(student, temperature), probabilities(teacher, temperature)
            q_rest, p_rest = (sum(row[:y] + row[y + 1 :]) for row in (q, p))
            q_others, p_others = (
                [value / rest for value in row[:y] + row[y + 1 :]] for row, rest in ((q, q_rest), (p, p_rest))
            )
            target_class, others = divergence([p[y], p_rest], [q[y], q_rest]), divergence(p_others, q_others)
            square = Decimal(temperature) ** 2
            found.append(
                [float(x) for x in (square * target_class, square * others, p_rest, square * divergence(p, q))]
            )
    return np.array(found).T


def draw_case(rng, largest=(4, 12)):
    """Logits that float32 holds exactly, targets, and T."""
    z_s, z_t, temperature = random_case(rng, largest)
    z_s, z_t = (np.float64(np.float32(z)) for z in (z_s, z_t))
    return z_s, z_t, rng.integers(0, z_s.shape[1], len(z_s)), temperature


def relative(given, expected, least=1.0):
    return float(np.max(np.abs(np.asarray(given) - expected) / np.maximum(least, np.abs(expected))))


def say(capsys, text):
    with capsys.disabled():
        print(f"\n{text} ", end="")


# Decoupled


def test_decoupled_terms_equal_the_closed_form_and_sum_to_kd_in_1000_random_cases(capsys):
    rng = np.random.default_rng(0)
    worst = dict.fromkeys(("float64", "float32", "identity", "identity32", "dkd"), 0.0)
    for _ in range(CASES):
        z_s, z_t, targets, temperature = draw_case(rng)
        *expected, rest, kd = closed_terms(z_s, z_t, targets, temperature)
        y = torch.tensor(targets)
        for dtype, name, identity, least in (
            (torch.float64, "float64", "identity", 1.0),
            (torch.float32, "float32", "identity32", temperature**2),  # see test_losses
        ):
            student, teacher = torch.tensor(z_s, dtype=dtype), torch.tensor(z_t, dtype=dtype)
            terms = losses.decoupled_terms(student, teacher, y, temperature, reduction="none")
            for term, closed in zip(terms, expected, strict=True):
                worst[name] = max(worst[name], relative(term.double(), closed, least))
            whole = losses.kd_loss(student, teacher, temperature, reduction="none")
            parts = terms[0] + torch.tensor(rest, dtype=dtype) * terms[1]
            worst[identity] = max(worst[identity], relative(parts.double(), whole.double().numpy(), least))
        student, teacher = torch.tensor(z_s), torch.tensor(z_t)
        dkd = losses.dkd_loss(student, teacher, y, temperature, alpha=0.7, beta=3.0).item()
        worst["dkd"] = max(worst["dkd"], relative(dkd, np.mean(0.7 * expected[0] + 3.0 * expected[1])))
        assert relative(losses.kd_loss(student, teacher, temperature), kd.mean()) < 1e-12
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    say(capsys, f"decoupled_terms, {CASES:,} cases: largest differences {found}")
    assert worst["float64"] < 1e-11 and worst["identity"] < 1e-11 and worst["dkd"] < 1e-11
    # In float32 the log of the sum over the other classes, which is part of TCKD, is rounded where the logits are.
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
    pieces = temperature**2 * p * (torch.log_softmax(z_t / temperature, 1) - torch.log_softmax(z_s / temperature, 1))
    mask = F.one_hot(y, z_s.shape[1])
    masked_target, masked_others = (pieces * mask).sum(1), (pieces * (1 - mask)).sum(1)
    whole = losses.kd_loss(z_s, z_t, temperature, reduction="none")
    torch.testing.assert_close(1.0 * masked_target + 1.0 * masked_others, whole, rtol=1e-9, atol=1e-9)
    # The difference of the real one with β = 1 is what (1 − p_t) took from the second term.
    dkd = losses.dkd_loss(z_s, z_t, y, temperature, alpha=1.0, beta=1.0, reduction="none")
    others = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")[1]
    torch.testing.assert_close(dkd - whole, p[torch.arange(len(y)), y] * others, rtol=1e-7, atol=1e-7)
    higher = torch.log_softmax(z_s / temperature, 1)[mask.bool()] > torch.log_softmax(z_t / temperature, 1)[mask.bool()]
    assert torch.equal(masked_target < 0, higher & (masked_target != 0))  # a divergence cannot be negative


def test_dkd_by_hand():
    """p_t = (1/2, 1/4, 1/4) and p_s = (1/4, 1/2, 1/4) at T = 2, target 0."""
    p, q = torch.tensor([[2.0, 1.0, 1.0]]).double(), torch.tensor([[1.0, 2.0, 1.0]]).double()
    target_class, others = losses.decoupled_terms(2 * q.log(), 2 * p.log(), torch.tensor([0]), 2.0)
    assert target_class.item() == pytest.approx(4 * (0.5 * math.log(2) + 0.5 * math.log(2 / 3)), rel=1e-6)
    assert others.item() == pytest.approx(4 * (0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))), rel=1e-6)
    dkd = losses.dkd_loss(2 * q.log(), 2 * p.log(), torch.tensor([0]), 2.0, 3.0, 5.0)
    assert dkd.item() == pytest.approx(3 * target_class.item() + 5 * others.item(), rel=1e-12)


@few
@given(logits(2), temperatures, st.integers(0, 1))
def test_two_classes_have_no_other_term(arrays, temperature, target):
    z_s, z_t = (torch.from_numpy(array[:, :2]).requires_grad_() for array in arrays)
    y = torch.full((len(z_s),), target)
    target_class, others = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")
    assert (others == 0).all() and all((g == 0).all() for g in torch.autograd.grad(others.sum(), (z_s, z_t)))
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
def test_decoupled_terms_are_blind_to_shifts_and_to_the_order_of_classes_and_rows(case, temperature, shift, random):
    z_s, z_t, y = case
    terms = losses.decoupled_terms(z_s, z_t, y, temperature)
    classes = torch.tensor(random.sample(range(z_s.shape[1]), z_s.shape[1]))
    rows = random.sample(range(len(z_s)), len(z_s))
    moved = (z_s[rows][:, classes] + shift, z_t[rows][:, classes] - shift, classes.argsort()[y[rows]])
    torch.testing.assert_close(losses.decoupled_terms(*moved, temperature), terms, rtol=1e-9, atol=1e-9)


# All of them: reductions, derivatives, extremes, defaults


def every_loss(z_s, teachers, weights, targets, temperature=3.0, reduction="mean"):
    """Each loss of the variants, as a function of the logits."""
    z_t = teachers[0]
    named = {"temperature": temperature, "reduction": reduction}
    target_class, others = losses.decoupled_terms(z_s, z_t, targets, **named)
    standard = losses.kd_loss(losses.standardize_logits(z_s), losses.standardize_logits(z_t), **named)
    return {
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
        "hint": losses.hint_loss(z_s, z_t, reduction=reduction),
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
            return tuple(every_loss(z_s, teachers, torch.softmax(raw, 1), targets, 3.0, reduction).values())

        assert torch.autograd.gradcheck(call, (z_s, teachers, raw))
    assert torch.autograd.gradcheck(losses.standardize_logits, z_s)
    assert torch.autograd.gradcheck(lambda t: losses.confidence_weights(t, targets), teachers)
    features = (torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(losses.hint_loss, tuple(features))


@few
@given(several_teachers(limit=1e4), st.sampled_from([1.0, 4.0, 20.0]))
def test_values_and_gradients_are_finite_to_1e4_in_float32(case, temperature):
    z_s, teachers, weights, targets = case
    z_s, teachers = (tensor.float().requires_grad_() for tensor in (z_s, teachers))
    for name, loss in every_loss(z_s, teachers, weights.float(), targets, temperature).items():
        gradients = torch.autograd.grad(loss, (z_s, teachers), retain_graph=True, allow_unused=True)
        assert torch.isfinite(loss) and gradients[0] is not None, name
        assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None), name


@pytest.mark.parametrize("value", [1e4, -1e4, 0.0])
def test_the_very_extremes_are_finite(value):
    z = torch.full((3, 4), value)
    z[1, 0], z[2, 1] = -value, -value
    z_s = z.clone().requires_grad_()
    for targets in (torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0])):
        teachers = torch.stack([z, -z, z.roll(1, 1)])
        for name, loss in every_loss(z_s, teachers, torch.full((3, 3), 1 / 3), targets).items():
            assert (
                torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, z_s, retain_graph=True)[0]).all()
            ), name


def test_defaults_and_arguments_are_left_as_they_were():
    torch.manual_seed(0)
    z_s, teachers, y = torch.randn(3, 4), torch.randn(2, 3, 4), torch.tensor([0, 1, 3])
    weights = torch.tensor([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    tensors = (z_s, teachers, y, weights)
    before, state = [tensor.clone() for tensor in tensors], torch.get_rng_state()
    every_loss(z_s, teachers, weights, y)
    assert all(map(torch.equal, tensors, before)) and torch.equal(torch.get_rng_state(), state)
    assert losses.decoupled_terms(z_s, teachers[0], y) == losses.decoupled_terms(z_s, teachers[0], y, 4.0)
    assert losses.dkd_loss(z_s, teachers[0], y) == losses.dkd_loss(z_s, teachers[0], y, 4.0, 1.0, 8.0)
    given = losses.multi_teacher_kd_loss(z_s, teachers, weights)
    assert given == losses.multi_teacher_kd_loss(z_s, teachers, weights, 4.0)
    assert torch.equal(losses.standardize_logits(z_s), losses.standardize_logits(z_s, 1e-7))


# Standardised logits


def test_standardised_loss_equals_torchdistill_in_1000_random_cases(capsys):
    mid_level = pytest.importorskip("torchdistill.losses.mid_level")
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(CASES):
        z_s, z_t, temperature = random_case(rng)
        z_s, z_t = torch.tensor(z_s), torch.tensor(z_t)
        # As for KDLoss, the factor T² needs an alpha above 0 and targets.
        reference = mid_level.LogitStdKDLoss("z", "output", "z", "output", temperature, alpha=1e-300, beta=1.0)
        student, teacher = ({"z": {"output": z}} for z in (z_s, z_t))
        expected = reference(student, teacher, torch.zeros(len(z_s), dtype=torch.long)).item()
        given = losses.kd_loss(losses.standardize_logits(z_s), losses.standardize_logits(z_t), temperature).item()
        worst = max(worst, relative(given, expected))
    say(capsys, f"standardised loss, torchdistill LogitStdKDLoss, {CASES:,} cases: largest difference {worst:.1e}")
    assert worst < 1e-10


# Values of torchdistill 1.1.5's LogitStdKDLoss for ``stored_case(i)``, made as above.
TORCHDISTILL_1_1_5 = (0.7188698336172344, 0.8433939632108093, 0.9110856286601212)


def stored_case(number):
    """Logits from sines, which need no generator; the scale grows to 1e4."""
    grid = torch.arange(5 * 7, dtype=torch.float64).reshape(5, 7)
    scale = (0.1, 30.0, 1e4)[number]
    return scale * torch.sin(grid + number), scale * torch.cos(2 * grid + number), (1.0, 2.0, 8.0)[number]


@pytest.mark.parametrize("number", range(3))
def test_standardised_loss_equals_stored_values_of_torchdistill(number):
    z_s, z_t, temperature = stored_case(number)
    given = losses.kd_loss(losses.standardize_logits(z_s), losses.standardize_logits(z_t), temperature)
    assert given.item() == pytest.approx(TORCHDISTILL_1_1_5[number], rel=1e-10)


@few
@given(logits(1, limit=100), st.floats(-100, 100), st.floats(0.1, 10))
def test_standardised_logits_are_those_of_numpy_and_blind_to_shift_and_scale(arrays, shift, scale):
    z = torch.from_numpy(arrays[0])
    mean, deviation = arrays[0].mean(axis=1, keepdims=True), arrays[0].std(axis=1, ddof=1, keepdims=True)
    given = losses.standardize_logits(z)
    steep = torch.from_numpy(deviation[:, 0] > 1e-2)  # below, ε and the rounding of the mean count
    expected = (arrays[0] - mean) / (deviation + 1e-7)
    torch.testing.assert_close(given[steep], torch.from_numpy(expected)[steep], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(losses.standardize_logits(scale * z + shift)[steep], given[steep], rtol=1e-3, atol=1e-3)
    assert torch.equal(losses.standardize_logits(torch.full((2, 4), 3.0)), torch.zeros(2, 4))


def test_epsilon_is_added_to_the_standard_deviation():
    z = torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(losses.standardize_logits(z, 1.0), torch.tensor([[-1.0, 1.0]]) / (2**0.5 + 1))


# Targets of self-distillation, hints, gradient reversal


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
    assert given.dtype == torch.float64 and losses.self_targets(y, previous.float(), alpha).dtype == torch.float32


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4, 4), (1, 2, 3)])
def test_hint_loss_is_the_mean_of_squares(shape):
    torch.manual_seed(0)
    a, b = torch.randn(2, *shape, dtype=torch.float64)
    each = losses.hint_loss(a, b, reduction="none")
    for i in range(shape[0]):
        pairs = list(zip(a[i].flatten().tolist(), b[i].flatten().tolist(), strict=True))
        assert each[i].item() == pytest.approx(sum((x - y) ** 2 for x, y in pairs) / len(pairs), rel=1e-12)
    torch.testing.assert_close(losses.hint_loss(a, b), F.mse_loss(a, b))
    assert losses.hint_loss(a, a) == 0


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0, 3.0])
def test_reverse_gradient_keeps_the_value_and_turns_the_gradient(strength):
    torch.manual_seed(0)
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(3, 2, dtype=torch.float64)
    y = losses.reverse_gradient(x, strength)
    assert torch.equal(y, x)
    (y.square() * factor).sum().backward()
    torch.testing.assert_close(x.grad, -strength * 2 * x.detach() * factor)


def test_reverse_gradient_is_full_by_default_and_touches_no_other_path():
    x = torch.tensor(3.0, requires_grad=True)
    (losses.reverse_gradient(x) * x).backward()  # −x through the reversed factor, +x through the other
    assert x.grad == 3.0 - 3.0
    y = torch.tensor(2.0, requires_grad=True)
    losses.reverse_gradient(losses.reverse_gradient(y, 2.0), 3.0).backward()
    assert y.grad == 6.0


# Many teachers


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
        f"multi_teacher_kd_loss, {CASES:,} cases: largest difference {worst:.1e}; weights averaged over the batch "
        f"differ by {np.median(apart):.1%} (median), {apart.max():.0%} (largest), {(apart > 0.01).mean():.0%} of "
        f"{len(apart)} cases by more than 1 %",
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
        f"confidence_weights, {CASES:,} cases: largest difference {worst:.1e}; row sums from 1 {sums:.1e} float64, "
        f"{sums32:.1e} float32",
    )
    assert worst < 1e-11 and sums < 1e-14 and sums32 < 1e-6


def test_a_teacher_that_is_right_weighs_more():
    right, unsure, wrong = torch.tensor([[5.0, 0, 0]]), torch.zeros(1, 3), torch.tensor([[0, 5.0, 0]])
    weights = losses.confidence_weights(torch.stack([wrong, right, unsure]), torch.tensor([0]))[0]
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
        torch.testing.assert_close(given[i], losses.kd_loss(z_s[i : i + 1], teachers[k, i : i + 1], temperature))


@few
@given(several_teachers(), temperatures, st.randoms(use_true_random=False))
def test_the_order_of_teachers_and_samples_does_not_matter(case, temperature, random):
    z_s, teachers, weights, targets = case
    order, rows = random.sample(range(len(teachers)), len(teachers)), random.sample(range(len(z_s)), len(z_s))
    moved = losses.multi_teacher_kd_loss(z_s[rows], teachers[order][:, rows], weights[rows][:, order], temperature)
    torch.testing.assert_close(moved, losses.multi_teacher_kd_loss(z_s, teachers, weights, temperature))
    confidence = losses.confidence_weights(teachers, targets)
    torch.testing.assert_close(
        losses.confidence_weights(teachers[order][:, rows], targets[rows]), confidence[rows][:, order]
    )
