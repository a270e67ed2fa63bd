"""The first chapter's exercises against independent computations."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from sweep import ALL, checked

from kdnotes.course import mistakes
from kdnotes.course.exercises.soft_targets import EXERCISES


@pytest.mark.parametrize("name", [type(one).__name__ for one in EXERCISES.values()])
def test_unknown_mistake_shows_expected_and_given(name, capsys):
    def nearly(*arguments):
        expected = ALL[name].reference(*arguments)
        return (
            tuple(1.01 * value for value in expected)
            if isinstance(expected, tuple)
            else 1.01 * expected
        )

    assert not checked(name, nearly)
    assert re.search(r"for case 1(, called with \(.*\),)? expected", capsys.readouterr().out)


def test_loss_written_with_kl_div_is_accepted():
    def answer(student, teacher, temperature):
        log_p_s = F.log_softmax(student / temperature, dim=1)
        p_t = F.softmax(teacher / temperature, dim=1)
        return temperature**2 * F.kl_div(log_p_s, p_t, reduction="batchmean")

    assert checked("SoftLoss", answer)


def test_loss_written_with_logarithms_of_softmax_fails_at_the_extremes(capsys):
    def answer(student, teacher, temperature):
        p_s, p_t = F.softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1)
        return temperature**2 * F.kl_div(p_s.log(), p_t, reduction="batchmean")

    assert not checked("SoftLoss", answer)
    assert mistakes.NOT_FINITE in capsys.readouterr().out


def test_gradient_from_autograd_is_accepted():
    def answer(student, teacher, temperature):
        student = student.clone().requires_grad_()
        log_p_s = F.log_softmax(student / temperature, dim=1)
        p_t = F.softmax(teacher / temperature, dim=1)
        loss = temperature**2 * F.kl_div(log_p_s, p_t, reduction="batchmean")
        return torch.autograd.grad(loss, student)[0]

    assert checked("SoftGradient", answer)


def test_limit_agrees_with_a_very_high_temperature():
    temperature = 1e5
    for student, teacher in ALL["Limit"].cases():
        log_p_s, log_p_t = (
            F.log_softmax(z.double() / temperature, dim=1) for z in (student, teacher)
        )
        divergence = F.kl_div(log_p_s, log_p_t, reduction="none", log_target=True)
        limit = ALL["Limit"].reference(student, teacher)
        torch.testing.assert_close(
            temperature**2 * divergence.sum(dim=1), limit.double(), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize(("alpha", "classes"), [(0.9, 10), (0.25, 3)])
def test_smoothing_reference_against_torch(alpha, classes):
    epsilon, constant = ALL["Smoothing"].reference(alpha, classes)
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(6, classes, generator=generator, dtype=torch.float64)
    targets = torch.randint(classes, (6,), generator=generator)
    uniform = torch.full_like(student, 1 / classes)
    divergence = F.kl_div(F.log_softmax(student, dim=1), uniform, reduction="batchmean")
    distilled = alpha * F.cross_entropy(student, targets) + (1 - alpha) * divergence
    smoothed = F.cross_entropy(student, targets, label_smoothing=epsilon)
    torch.testing.assert_close(distilled, smoothed - constant)
