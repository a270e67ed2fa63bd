"""The loss with the teacher's answer: its formula, its gradient, what it does not see."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from kdnotes import losses

PAIRS = st.tuples(st.integers(1, 9), st.integers(2, 12), st.integers(0, 2**31))


def logits(case):
    batch, classes, seed = case
    generator = torch.Generator().manual_seed(seed)
    shape = (2, batch, classes)
    return (4 * torch.randn(shape, generator=generator, dtype=torch.float64)).unbind()


@settings(deadline=None)
@cases(PAIRS)
def test_it_is_minus_the_log_probability_of_the_teachers_first_largest(case):
    student, teacher = logits(case)
    rows = [
        -row.softmax(0)[int(other.argmax())].log()
        for row, other in zip(student, teacher, strict=True)
    ]
    found = losses.hard_label_loss(student, teacher, reduction="none")
    torch.testing.assert_close(found, torch.stack(rows))
    torch.testing.assert_close(losses.hard_label_loss(student, teacher), found.mean())


@settings(deadline=None)
@cases(PAIRS)
def test_its_gradient_is_p_minus_the_answer_and_none_reaches_the_teacher(case):
    student, teacher = (one.requires_grad_(True) for one in logits(case))
    losses.hard_label_loss(student, teacher).backward()
    answer = torch.nn.functional.one_hot(teacher.argmax(1), student.shape[1])
    expected = (student.detach().softmax(1) - answer) / len(student)
    torch.testing.assert_close(student.grad, expected)
    assert teacher.grad is None


def test_how_sure_the_teacher_is_does_not_come_through():
    student, teacher = logits((5, 4, 0))
    sure = losses.hard_label_loss(student, 100 * teacher)
    assert torch.equal(losses.hard_label_loss(student, teacher), sure)
    assert not torch.equal(losses.kd_loss(student, teacher), losses.kd_loss(student, 100 * teacher))


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_it_is_finite_at_the_ends(size):
    student = torch.tensor([[size, 0.0, -size]], requires_grad=True)
    loss = losses.hard_label_loss(student, torch.tensor([[0.0, 1.0, 0.0]]))
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


Z = torch.zeros(3, 4)
WRONG = [
    ((Z, Z[:2]), {}, "teacher_logits must have the shape of student_logits, [3, 4], not [2, 4]"),
    ((Z, Z.argmax(1)), {}, "teacher_logits must be a floating-point tensor, not an int64 tensor"),
    ((Z, Z / 0), {}, "teacher_logits must be finite, but 12 of 12 numbers are NaN or infinite"),
    ((Z[:, :1], Z[:, :1]), {}, "student_logits must have at least 2 classes, not 1"),
    ((Z[:0], Z[:0]), {}, "student_logits must hold at least one sample, not 0"),
    ((Z, Z), {"reduction": "sum"}, "reduction must be 'mean' or 'none', not 'sum'"),
]


@pytest.mark.parametrize(("given", "named", "message"), WRONG)
def test_wrong_calls_are_named(given, named, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        losses.hard_label_loss(*given, **named)
    assert str(caught.value).startswith(message)
