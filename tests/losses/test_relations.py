"""Losses of relations against loops over samples, values of the authors' code, and identities."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdnotes import losses

LOSSES = {
    "distance": losses.relational_distance_loss,
    "angle": losses.relational_angle_loss,
    "similarity": losses.similarity_loss,
}
EACH = pytest.mark.parametrize("name", LOSSES)
RKD = pytest.mark.parametrize("name", ["distance", "angle"])
NAN, INF = math.nan, math.inf


def huber(difference):
    size = abs(difference)
    return size**2 / 2 if size <= 1 else size - 1 / 2


def distances_by_hand(points):
    """‖a_i − a_j‖ over its mean over i ≠ j."""
    n = len(points)
    found = [[math.dist(a, b) for b in points] for a in points]
    mean = sum(found[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return {(i, j): found[i][j] / (mean or 1) for i in range(n) for j in range(n)}


def cosines_by_hand(points):
    """The cosine of the angle at j, from the law of cosines; 0 where a side has no length."""
    found = {}
    for j, b in enumerate(points):
        for i, a in enumerate(points):
            for k, c in enumerate(points):
                ab, cb, ac = math.dist(a, b), math.dist(c, b), math.dist(a, c)
                sides = 2 * ab * cb
                found[j, i, k] = (ab**2 + cb**2 - ac**2) / sides if sides else 0.0
    return found


def similarities_by_hand(points):
    """a_i·a_j over the length of the row i; 0 where it has none."""
    found = {}
    for i, a in enumerate(points):
        row = [sum(x * y for x, y in zip(a, b, strict=True)) for b in points]
        length = math.hypot(*row)
        found |= {(i, j): product / (length or 1) for j, product in enumerate(row)}
    return found


BY_HAND = {
    "distance": (distances_by_hand, huber),
    "angle": (cosines_by_hand, huber),
    "similarity": (similarities_by_hand, np.square),
}


def by_hand(name, student, teacher):
    """One value a sample: the mean over its N distances or similarities, or the N² angles at it."""
    relations, penalty = BY_HAND[name]
    ours, theirs = relations(student), relations(teacher)
    sums = np.zeros(len(student))
    for where in ours:
        sums[where[0]] += penalty(ours[where] - theirs[where])
    return sums / (len(ours) / len(student))


def random_case(rng):
    """Embeddings of unequal size and scale; now and then two samples in one place."""
    batch = int(rng.integers(3, 8))
    pair = [
        10.0 ** rng.uniform(-4, 4) * rng.standard_normal((batch, rng.integers(1, 6)))
        for _ in range(2)
    ]
    for one in pair:
        if rng.random() < 0.3:
            one[rng.integers(batch)] = one[rng.integers(batch)]
    return pair


def tensors(pair, dtype=torch.float64):
    return [torch.tensor(one, dtype=dtype) for one in pair]


@EACH
def test_a_loss_equals_loops_over_samples_in_500_random_cases(name):
    rng = np.random.default_rng(0)
    for _ in range(500):
        pair = random_case(rng)
        expected = by_hand(name, *pair)
        found = LOSSES[name](*tensors(pair), reduction="none")
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
        assert LOSSES[name](*tensors(pair)).item() == pytest.approx(expected.mean(), abs=1e-9)


def stored_case(number):
    samples = torch.arange(1, 7, dtype=torch.float64)
    student = torch.sin(torch.outer(samples, torch.arange(1, 4)) * (number + 1)) * 10.0**number
    return student, torch.cos(torch.outer(samples, torch.arange(2, 7)) + number).square()


# In float64 for ``stored_case(i)``: of ``RkdDistance`` and ``RKdAngle`` (github.com/lenscloth/RKD,
# metric/loss.py, commit 21fae20; torchdistill 1.1.5 gives the same digits), and of the code of
# ``Similarity`` (github.com/HobbitLong/RepDistiller, distiller_zoo/SP.py, commit 1e2f816).
AUTHORS = {
    "distance": (0.014798358601804442, 0.019501915297399162, 0.09839740993436447),
    "angle": (0.028817557437840934, 0.01978730459497137, 0.07584489139133464),
    "similarity": (0.28039681163233054, 0.11421939537890248, 0.15742270508292966),
}
# Of ``SPKDLoss`` of torchdistill 1.1.5, whose rows have the sum 1, not the length 1.
ROWS_BY_L1 = (0.06546934548716181, 0.02518988578702547, 0.03736319336838412)


@EACH
@pytest.mark.parametrize("number", range(3))
def test_a_loss_equals_stored_values_of_the_authors_code(name, number):
    assert LOSSES[name](*stored_case(number)).item() == pytest.approx(AUTHORS[name][number], 1e-12)


def test_distances_by_hand():
    """On a line at 0, 1, 5 the mean distance is 10/3; at equal distances all are 1."""
    line, triangle = torch.tensor([[0.0], [1.0], [5.0]]), torch.eye(3)
    expected = sum(2 * huber(3 * d / 10 - 1) for d in (1, 4, 5)) / 9
    assert losses.relational_distance_loss(line, triangle).item() == pytest.approx(expected)
    # Five in one place and one far off: its distance is 3 means, the Huber loss on its line.
    far = torch.zeros(6, 1).index_fill(0, torch.tensor(5), 7.0)
    expected = (10 * huber(3 - 1) + 20 * huber(0 - 1)) / 36
    assert losses.relational_distance_loss(far, torch.eye(6)).item() == pytest.approx(expected)


def test_angles_by_hand():
    """On a line the cosines are −1 at the middle and 1 elsewhere, in a triangle of equal sides
    ½.
    """
    line, triangle = torch.tensor([[0.0], [1.0], [5.0]]), torch.eye(3)
    expected = (4 * huber(1 - 0.5) + 2 * huber(-1 - 0.5)) / 27
    assert losses.relational_angle_loss(line, triangle).item() == pytest.approx(expected)


@RKD
def test_a_loss_is_blind_to_place_scale_rotation_and_the_order_of_samples(name):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 7, 4, dtype=torch.float64)
    value, rotation = LOSSES[name](student, teacher), torch.linalg.qr(torch.randn(4, 4).double())[0]
    moved, order = 3 * student @ rotation + 5, torch.randperm(7)
    assert LOSSES[name](moved, moved[:, [2, 0, 1, 3]]) < 1e-25
    torch.testing.assert_close(LOSSES[name](moved, teacher), value)
    torch.testing.assert_close(LOSSES[name](student[order], teacher[order]), value)
    wider = torch.cat([teacher, torch.zeros(7, 3)], dim=1)
    torch.testing.assert_close(LOSSES[name](student, wider), value)
    assert LOSSES[name](student, student) == 0


@EACH
def test_gradcheck(name):
    torch.manual_seed(1)
    pair = [torch.randn(5, size, dtype=torch.float64, requires_grad=True) for size in (3, 2)]
    for reduction in ("mean", "none"):
        assert torch.autograd.gradcheck(lambda *p, r=reduction: LOSSES[name](*p, reduction=r), pair)


@RKD
@pytest.mark.parametrize("scale", [1e-30, 1e-4, 1.0, 1e4, 1e30])
@pytest.mark.parametrize("same", [2, 3, 6])
def test_samples_in_one_place_have_a_finite_value_and_gradient_in_float32(name, scale, same):
    """A distance of 0 has no derivative; the authors' direction has one of 1e12 there."""
    torch.manual_seed(2)
    student, teacher = torch.randn(6, 3), torch.randn(6, 4)
    student[:same] = student[0]
    student = (scale * student).requires_grad_()
    value = LOSSES[name](student, teacher)
    value.backward()
    assert value.isfinite() and value > 0
    assert (scale * student.grad).abs().max() < 1  # and so finite
    together = (student.grad == 0).all(dim=1)
    assert together.all() if same == 6 else not together[same:].any()


@EACH
def test_a_teacher_whose_samples_lie_in_one_place_is_no_error(name):
    student = torch.randn(4, 3, requires_grad=True)
    value = LOSSES[name](student, torch.ones(4, 3))
    value.backward()
    assert value > 0 and student.grad.isfinite().all()


@RKD
def test_close_samples_far_from_the_origin_keep_their_relations(name):
    """|a|² + |b|² − 2ab would lose them: 1e6 holds steps of 1/16 in float32."""
    torch.manual_seed(3)
    student = torch.randint(-4, 5, (6, 3)).float()
    teacher = torch.randn(6, 2)
    near, far = (LOSSES[name](student + shift, teacher) for shift in (0.0, 1e6))
    assert near == far


@EACH
def test_a_step_against_the_gradient_brings_the_student_closer(name):
    torch.manual_seed(4)
    student, teacher = torch.randn(8, 3, requires_grad=True), torch.randn(8, 5)
    before = LOSSES[name](student, teacher)
    before.backward()
    assert LOSSES[name](student - 0.1 * student.grad, teacher) < before


@EACH
def test_mean_of_none_is_mean_and_arguments_and_generator_are_left(name):
    torch.manual_seed(5)
    pair = torch.randn(5, 3), torch.randn(5, 2)
    before, state = [one.clone() for one in pair], torch.get_rng_state()
    each = LOSSES[name](*pair, reduction="none")
    assert each.shape == (5,)
    torch.testing.assert_close(each.mean(), LOSSES[name](*pair))
    assert all(map(torch.equal, pair, before)) and torch.equal(torch.get_rng_state(), state)


E = torch.arange(12.0).reshape(4, 3)
WRONG = {
    "student_embedding must be a floating-point tensor, not list": ([[1.0]], E),
    "student_embedding must be a floating-point tensor, not an int64 tensor": (E.long(), E),
    "teacher_embedding must be a floating-point tensor, not NoneType": (E, None),
    "student_embedding must have the shape [batch, size], not [4]": (E[:, 0], E),
    "student_embedding must have the shape [batch, size], not [4, 3, 1, 1]": (
        E[..., None, None],
        E,
    ),
    "teacher_embedding must have the shape [batch, size], not [4, 0]": (E, E[:, :0]),
    "teacher_embedding must have the batch of student_embedding, 4, not 3": (E, E[:3]),
    "student_embedding must be finite, but 1 of 12 numbers are NaN or infinite": (
        E.index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(NAN)),
        E,
    ),
    "teacher_embedding must be finite, but 12 of 12 numbers are NaN or inf": (E, E * 0 + INF),
}


@EACH
@pytest.mark.parametrize("message", WRONG)
def test_wrong_calls_are_refused(name, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        LOSSES[name](*WRONG[message])


@EACH
def test_too_few_samples_for_a_relation_are_refused(name):
    for few in range(2):
        message = f"student_embedding must hold at least 2 samples, not {few}"
        with pytest.raises(ValueError, match=message):
            LOSSES[name](E[:few], E[:few])


def test_two_samples_have_a_distance_which_is_the_mean_and_no_angle():
    for name in ("distance", "angle"):
        assert LOSSES[name](E[:2], E[:2].square()) < 1e-12


@EACH
def test_a_wrong_reduction_is_refused(name):
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'none', not 'sum'"):
        LOSSES[name](E, E, reduction="sum")


# SP alone


@pytest.mark.parametrize("number", range(3))
def test_rows_that_are_normalised_by_their_sum_make_another_loss(number):
    """What torchdistill computes, ``normalize(products, 1)``: the 1 is the order of the norm."""
    rows = [F.normalize(one @ one.T, 1) for one in stored_case(number)]
    found = (rows[0] - rows[1]).square().mean().item()
    assert found == pytest.approx(ROWS_BY_L1[number], 1e-12)
    assert losses.similarity_loss(*stored_case(number)).item() > 4 * found


def test_similarities_by_hand():
    """Of (1, 0), (1, 1) the products are 1, 1 and 1, 2; of orthogonal samples 1, 0 and 0, 1."""
    student, teacher = torch.tensor([[1.0, 0], [1, 1]]), 3 * torch.eye(2)
    first = [(1 / math.sqrt(2) - 1) ** 2, 1 / 2]
    second = [1 / 5, (2 / math.sqrt(5) - 1) ** 2]
    expected = torch.tensor([sum(first) / 2, sum(second) / 2])
    found = losses.similarity_loss(student, teacher, reduction="none")
    torch.testing.assert_close(found, expected)


def test_similarities_count_the_diagonal_which_hides_the_others_of_nearly_orthogonal_samples():
    """Samples of length √101 that share one direction: how they share it is all but unseen."""
    same, opposite = (
        torch.cat([10 * torch.eye(4), torch.tensor(signs)[:, None]], dim=1)
        for signs in ([1.0, 1, 1, 1], [1.0, -1, 1, -1])
    )
    found = losses.similarity_loss(same, opposite).item()
    row = 101**2 + 3  # squared length
    assert found == pytest.approx(8 * 2**2 / row / 16, rel=1e-5)
    alone = losses.similarity_loss(same[:, 4:], opposite[:, 4:]).item()
    assert alone == pytest.approx(8 * 2**2 / 4 / 16) and alone > 2000 * found


def test_the_mean_of_similarities_falls_as_one_over_the_batch():
    """Two groups of equal samples, which the teacher does not tell apart, doubled."""
    student, teacher = torch.eye(2).repeat(4, 1), torch.ones(8, 1)
    few, many = (losses.similarity_loss(student.repeat(n, 1), teacher.repeat(n, 1)) for n in (1, 2))
    assert few.item() == pytest.approx(2 * many.item())


@pytest.mark.parametrize("scale", [1e-30, 1e-4, 1.0, 1e4, 1e30])
@pytest.mark.parametrize("zeros", [1, 3, 6])
def test_a_sample_of_zeros_is_similar_to_none_and_has_a_finite_gradient(scale, zeros):
    torch.manual_seed(6)
    student, teacher = scale * torch.randn(6, 3), torch.randn(6, 4)
    student[:zeros] = 0
    student.requires_grad_()
    each = losses.similarity_loss(student, teacher, reduction="none")
    torch.testing.assert_close(each[:zeros], torch.full((zeros,), 1 / 6))
    each.mean().backward()
    assert (scale * student.grad).abs().max() < 10  # and so finite
