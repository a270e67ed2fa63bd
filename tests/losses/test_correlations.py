"""DIST against NumPy's correlations, extremes, and what it does in batches of two."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loss_helpers import log_softmax

from kdnotes import losses

NAN = math.nan


def by_hand(z_s, z_t, temperature):
    """(inter-class, intra-class) by ``numpy.corrcoef`` of each row and of each column."""
    p_s, p_t = (np.exp(log_softmax(z, temperature)) for z in (z_s, z_t))
    rows = [np.corrcoef(*pair)[0, 1] for pair in zip(p_s, p_t, strict=True)]
    columns = [np.corrcoef(*pair)[0, 1] for pair in zip(p_s.T, p_t.T, strict=True)]
    return tuple(temperature**2 * (1 - np.mean(one)) for one in (rows, columns))


def test_the_terms_equal_numpys_correlations_in_500_random_cases():
    rng = np.random.default_rng(0)
    for _ in range(500):
        shape, scale = rng.integers(3, 12, 2), 10.0 ** rng.uniform(-1, 1)
        z_s, z_t = scale * rng.standard_normal((2, *shape))
        temperature, beta, gamma = rng.uniform(0.5, 5), *rng.uniform(0, 3, 2)
        expected = by_hand(z_s, z_t, temperature)
        given = torch.from_numpy(z_s), torch.from_numpy(z_t), float(temperature)
        found = losses.correlation_terms(*given)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        each = losses.correlation_terms(*given, reduction="none")
        np.testing.assert_allclose([one.mean() for one in each], expected, rtol=1e-9, atol=1e-12)
        total = losses.dist_loss(*given, float(beta), float(gamma))
        assert total.item() == pytest.approx(beta * expected[0] + gamma * expected[1], abs=1e-12)


def stored_case(number):
    samples = torch.arange(1, 7, dtype=torch.float64)
    student = 2 * torch.sin(torch.outer(samples, torch.arange(1, 6)) * (number + 1))
    return student, 3 * torch.cos(torch.outer(samples, torch.arange(2, 7)) + number)


# Of ``DISTLoss`` of torchdistill 1.1.5 in float64 for ``stored_case(i)``, with (tau, beta, gamma).
TORCHDISTILL = {
    (1.0, 1.0, 0.0): (0.6887331836260022, 1.0199171325775716, 0.609689452358464),
    (1.0, 0.0, 1.0): (0.7346029328913333, 0.7025536052031129, 0.8895687893985926),
    (2.0, 0.5, 3.0): (11.11775951358892, 11.24084860545001, 12.369251499437386),
}


@pytest.mark.parametrize("settings", TORCHDISTILL)
def test_the_loss_equals_stored_values_of_torchdistill(settings):
    for number, expected in enumerate(TORCHDISTILL[settings]):
        found = losses.dist_loss(*stored_case(number), *settings)
        assert found.item() == pytest.approx(expected, 1e-12)


def test_shares_of_samples_of_the_inter_class_term_are_the_samples_own():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 5)
    shares = losses.correlation_terms(student, teacher, reduction="none")[0]
    for i, share in enumerate(shares):
        alone = losses.correlation_terms(student[i : i + 1], teacher[i : i + 1])[0]
        torch.testing.assert_close(share, alone)


def test_equal_logits_cost_nothing_and_any_positive_line_through_a_row_neither():
    """Correlation is blind to p → a·p + b: the student may be less sure, in the same order."""
    torch.manual_seed(1)
    z = torch.randn(6, 5, dtype=torch.float64)
    assert max(losses.correlation_terms(z, z)) < 1e-12
    flatter = (0.6 * F.softmax(z, dim=1) + 0.4 / 5).log()
    assert losses.correlation_terms(flatter, z)[0] < 1e-12
    assert losses.kd_loss(flatter, z, 1.0) > 0.01


def test_gradcheck():
    torch.manual_seed(2)
    pair = [torch.randn(4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    for reduction in ("mean", "none"):
        assert torch.autograd.gradcheck(
            lambda *p, r=reduction: losses.dist_loss(*p, 2.0, 0.7, 1.3, reduction=r), pair
        )


def test_a_correlation_does_not_fade_with_the_temperature_so_that_its_factor_lets_it_grow():
    """KL needs T² for a gradient that stays as T grows; a correlation's stays by itself."""
    torch.manual_seed(3)
    student, teacher = torch.randn(2, 8, 5, dtype=torch.float64)
    student.requires_grad_()
    norms = {}
    for temperature in (20.0, 40.0):
        for name, loss in (("dist", losses.dist_loss), ("kd", losses.kd_loss)):
            (gradient,) = torch.autograd.grad(loss(student, teacher, temperature), student)
            norms[name, temperature] = gradient.norm().item()
    assert norms["dist", 40.0] / norms["dist", 20.0] == pytest.approx(4, rel=0.05)
    assert norms["kd", 40.0] / norms["kd", 20.0] == pytest.approx(1, rel=0.05)


def test_two_samples_have_no_intra_class_term_and_two_classes_no_inter_class_term():
    torch.manual_seed(4)
    student = torch.randn(2, 4, requires_grad=True)
    inter, intra = losses.correlation_terms(student, torch.randn(2, 4))
    assert inter > 0 and intra == 0
    (inter + intra).backward()
    assert student.grad.isfinite().all() and (student.grad != 0).any()
    few = torch.randn(5, 2, requires_grad=True)
    inter, intra = losses.correlation_terms(few, torch.randn(5, 2))
    assert inter == 0 and intra > 0
    none = losses.dist_loss(few[:2], torch.randn(2, 2))
    none.backward()
    assert none == 0 and (few.grad == 0).all()


def test_columns_of_two_numbers_correlate_by_their_order_alone():
    """Why: NumPy's correlations of two samples are all ±1, whatever the student says."""
    rng = np.random.default_rng(5)
    p_s, p_t = (np.exp(log_softmax(rng.standard_normal((2, 4)))) for _ in range(2))
    found = [np.corrcoef(*pair)[0, 1] for pair in zip(p_s.T, p_t.T, strict=True)]
    np.testing.assert_allclose(np.abs(found), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("constant", ["nothing", "a row", "all rows", "a class", "the teacher"])
def test_what_is_constant_or_extreme_has_a_finite_value_and_gradient(constant, size, dtype):
    torch.manual_seed(6)
    student, teacher = size * torch.randn(2, 7, 5, dtype=dtype).clamp(-1, 1)
    if constant == "a row":
        student[0] = 3.0
    elif constant == "all rows":
        student[:] = student[0].clone()
    elif constant == "a class":
        student[:, 0] = -1e4
    elif constant == "the teacher":
        teacher[:] = 0.0
    student.requires_grad_()
    for temperature in (0.5, 1.0, 20.0):
        inter, intra = losses.correlation_terms(student, teacher, temperature)
        top = 2 * temperature**2 * (1 + 1e-5)
        assert 0 <= inter <= top and 0 <= intra <= top
        (gradient,) = torch.autograd.grad(inter + intra, student)
        assert gradient.isfinite().all()
        if constant == "all rows":  # they have no relation to one another
            assert intra == temperature**2
        if constant == "the teacher":
            assert (gradient == 0).all() and inter == intra == temperature**2


def test_a_constant_row_counts_as_uncorrelated():
    torch.manual_seed(7)
    student, teacher = torch.randn(2, 6, 5)
    student[2] = 1.5
    student.requires_grad_()
    each = losses.correlation_terms(student, teacher, reduction="none")[0]
    assert each[2] == 1
    each.sum().backward()
    assert (student.grad[2] == 0).all() and (student.grad[:2] != 0).all()


def test_the_gradient_grows_as_one_over_how_much_the_student_varies():
    torch.manual_seed(11)
    student, teacher = torch.randn(2, 6, 5, dtype=torch.float64)
    norms = []
    for size in (1e-3, 1e-6):
        z = (size * student).requires_grad_()
        norms.append(torch.autograd.grad(losses.dist_loss(z, teacher), z)[0].norm().item())
    assert norms[1] == pytest.approx(1000 * norms[0], rel=0.01)


def test_a_class_that_is_unlikely_everywhere_counts_like_any_other():
    """Its probabilities, about 1e-90, vanish in float32; their correlation does not."""
    torch.manual_seed(8)
    student, teacher = torch.randn(2, 6, 5, dtype=torch.float64)
    for z in (student, teacher):
        z[:, 4] -= 200
    expected = by_hand(student.numpy(), teacher.numpy(), 1.0)
    found = losses.correlation_terms(student.float(), teacher.float())
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    p_s, p_t = (F.softmax(z.float(), dim=1)[:, 4] for z in (student, teacher))
    assert (p_s == 0).all() and (p_t == 0).all()


def test_a_step_against_the_gradient_brings_the_student_closer():
    torch.manual_seed(9)
    student, teacher = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5)
    before = losses.dist_loss(student, teacher)
    before.backward()
    assert losses.dist_loss(student - 0.1 * student.grad, teacher) < before


def test_arguments_and_generator_are_left():
    torch.manual_seed(10)
    pair = torch.randn(5, 3), torch.randn(5, 3)
    before, state = [one.clone() for one in pair], torch.get_rng_state()
    losses.dist_loss(*pair)
    assert all(map(torch.equal, pair, before)) and torch.equal(torch.get_rng_state(), state)


Z = torch.zeros(3, 4)
WRONG = {
    "teacher_logits must have the shape of student_logits, [3, 4], not [2, 4]": ((Z, Z[:2]), {}),
    "student_logits must be a floating-point tensor, not an int64 tensor": ((Z.long(), Z), {}),
    "student_logits must be finite, but 12 of 12 numbers are NaN or infinite": ((Z * NAN, Z), {}),
    "temperature must be a finite number above 0, not 0": ((Z, Z, 0), {}),
    "reduction must be 'mean' or 'none', not 'sum'": ((Z, Z), {"reduction": "sum"}),
    "student_logits must hold at least one sample, not 0": ((Z[:0], Z[:0]), {}),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_calls_are_refused(message):
    given, named = WRONG[message]
    for loss in (losses.correlation_terms, losses.dist_loss):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            loss(*given, **named)


@pytest.mark.parametrize("name", ["beta", "gamma"])
def test_wrong_weights_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number, 0 or more, not -1"):
        losses.dist_loss(Z, Z, **{name: -1})
