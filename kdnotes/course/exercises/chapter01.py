"""Exercises of chapter 1, soft targets: the loss, its gradient, its high-temperature limit, and label smoothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched

__all__ = ["EXERCISES"]


def _logits(seed: int, batch: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2.0 * torch.randn(2, batch, classes, generator=generator)
    return student, teacher


def _loss_cases() -> list[tuple[Tensor, Tensor, float]]:
    return [(*_logits(1, 5, 10), 1.0), (*_logits(2, 5, 10), 4.0), (*_logits(3, 3, 4), 2.0)]


def _extremes() -> list[tuple[Tensor, Tensor, float]]:
    """In the first case a probability underflows to 0 on both sides, but the loss is finite."""
    confident = torch.tensor([[0.0, 1.0, -400.0], [2.0, 0.0, 1.0]])
    unsure = torch.tensor([[1.0, 0.0, -500.0], [0.0, 1.0, 2.0]])
    return [(confident, unsure, 2.0), *((*stretched(*_logits(8, 5, 10)), temperature) for temperature in (1.0, 4.0))]


def _gradient_cases() -> list[tuple[Tensor, Tensor, float]]:
    return [(*_logits(4, 5, 10), 4.0), (*_logits(5, 3, 4), 2.0)]


def _limit_cases() -> list[tuple[Tensor, Tensor]]:
    student, teacher = _logits(6, 5, 10)
    return [(student, teacher), (student + 3.0, teacher), _logits(7, 3, 4)]


def _limit_extremes() -> list[tuple[Tensor, Tensor]]:
    return [stretched(*_logits(9, 5, 10))]


def _smoothing_cases() -> list[tuple[float, int]]:
    return [(0.9, 10), (0.1, 10), (0.75, 3)]


def _soft(logits: Tensor, temperature: float) -> Tensor:
    return F.softmax(logits / temperature, dim=1)


def _log_soft(logits: Tensor, temperature: float) -> Tensor:
    return F.log_softmax(logits / temperature, dim=1)


def _divergences(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return losses.kd_loss(student, teacher, temperature, reduction="none") / temperature**2


def _kl(log_p_s: Tensor, log_p_t: Tensor) -> Tensor:
    return F.kl_div(log_p_s, log_p_t, reduction="batchmean", log_target=True)


def _student_softened_twice(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    twice = F.log_softmax(_soft(student, temperature), dim=1)
    return temperature**2 * _kl(twice, _log_soft(teacher, temperature))


def _both_softened_twice(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    twice = [F.log_softmax(_soft(logits, temperature), dim=1) for logits in (student, teacher)]
    return temperature**2 * _kl(*twice)


def _cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return temperature**2 * -(_soft(teacher, temperature) * _log_soft(student, temperature)).sum(dim=1).mean()


def _probabilities_into_kl_div(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    p_s, p_t = _soft(student, temperature), _soft(teacher, temperature)
    return temperature**2 * F.kl_div(p_s, p_t, reduction="batchmean")


def _half_variance(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).var(dim=1, correction=0) / 2


def _gradient(factor: Callable[[float, int], float]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """p_s − p_t times a factor of (T, batch size)."""
    return lambda student, teacher, temperature: (
        factor(temperature, len(student)) * (_soft(student, temperature) - _soft(teacher, temperature))
    )


_TWICE = (
    "the student's softmax is applied twice: log_softmax wants logits, and a softmax of probabilities is nearly "
    "uniform whatever the student says"
)

EXERCISES = {
    "01.1": Exercise(
        reference=losses.kd_loss,
        cases=_loss_cases,
        extremes=_extremes,
        gradient_of=(0,),
        traps=(
            Trap(
                lambda s, t, temperature: temperature**2 * _divergences(s, t, temperature).mean() / s.shape[1],
                "too small by the number of classes: reduction='mean' also averages over classes; sum over the classes "
                "and average over the batch (reduction='batchmean')",
            ),
            Trap(
                lambda s, t, temperature: _divergences(s, t, temperature).mean(),
                "smaller than expected by T²: multiply by T², or the soft term fades as the temperature grows",
            ),
            Trap(
                lambda s, t, temperature: temperature * _divergences(s, t, temperature).mean(),
                "smaller than expected by T: the factor is T², not T",
            ),
            Trap(
                lambda s, t, temperature: losses.kd_loss(t, s, temperature),
                "the divergence is the wrong way round: this is KL(p_s‖p_t); the teacher's probabilities are the "
                "weights of KL(p_t‖p_s), and F.kl_div takes the student (as logarithms) first",
            ),
            Trap(_student_softened_twice, _TWICE),
            Trap(_both_softened_twice, _TWICE),
            Trap(
                _probabilities_into_kl_div,
                "F.kl_div expects the student as log-probabilities: give it log_softmax, not softmax",
            ),
            Trap(
                _cross_entropy,
                "this is T² times the cross-entropy: its gradient is right, but the teacher's entropy is still in it; "
                "subtract it, so that the loss is 0 where the student equals the teacher",
            ),
            Trap(
                lambda s, t, temperature: temperature**2 * _divergences(s, t, temperature).sum(),
                "too large by the batch size: average over the samples instead of adding them",
            ),
            Trap(
                lambda s, t, temperature: temperature**2 * _kl(_log_soft(s, 1.0), _log_soft(t, temperature)),
                "only the teacher is softened: divide the student's logits by T as well",
            ),
        ),
    ),
    "01.2": Exercise(
        reference=_gradient(lambda temperature, batch: temperature / batch),
        cases=_gradient_cases,
        extremes=_extremes,
        traps=(
            Trap(
                _gradient(lambda temperature, batch: temperature),
                "too large by the batch size: the loss is a mean over the samples, so each sample has a share of 1/B",
            ),
            Trap(
                _gradient(lambda temperature, batch: -temperature / batch),
                "the sign is the wrong way round: descent must raise p_s where it is below p_t, so the gradient is "
                "proportional to p_s − p_t",
            ),
            Trap(
                _gradient(lambda temperature, batch: temperature**2 / batch),
                "too large by T: the logits enter as z_s/T, and the chain rule contributes a factor 1/T",
            ),
            Trap(
                _gradient(lambda temperature, batch: 1 / (temperature * batch)),
                "this is the gradient of KL alone: the loss has the factor T²",
            ),
            Trap(
                _gradient(lambda temperature, batch: 1 / batch),
                "a factor of T is missing: T² from the loss times 1/T from the chain rule leaves T",
            ),
            Trap(
                lambda s, t, temperature: temperature / len(s) * (_soft(s, 1.0) - _soft(t, 1.0)),
                "the probabilities are those of temperature 1: soften both with T",
            ),
        ),
    ),
    "01.3": Exercise(
        reference=_half_variance,
        cases=_limit_cases,
        extremes=_limit_extremes,
        traps=(
            Trap(
                lambda s, t: (s - t).var(dim=1) / 2,
                "this is the variance with K − 1 in the denominator: the limit is the population variance, the mean "
                "of squares over all K classes (correction=0)",
            ),
            Trap(
                lambda s, t: (s - t).square().mean(dim=1) / 2,
                "the differences are not centred: a constant added to all logits of a sample changes no probability, "
                "so it must not change the limit; subtract the mean over classes",
            ),
            Trap(
                lambda s, t: (s - t).var(dim=1, correction=0),
                "too large by 2: the expansion of the divergence starts with one half of the variance",
            ),
            Trap(
                lambda s, t: (s - t).var(dim=1, correction=0) * s.shape[1] / 2,
                "too large by the number of classes: average the squares over the classes instead of adding them",
            ),
            Trap(
                lambda s, t: (s - t).var(dim=0, correction=0) / 2,
                "this is the variance over the batch: take it over the classes of each sample, dim=1",
            ),
            Trap(
                lambda s, t: _half_variance(s, t).mean(),
                "this is the mean over the batch: return one value a sample",
            ),
        ),
    ),
    "01.4": Exercise(
        reference=lambda alpha, classes: (1 - alpha, (1 - alpha) * math.log(classes)),
        cases=_smoothing_cases,
        traps=(
            Trap(
                lambda alpha, classes: (alpha, alpha * math.log(classes)),
                "α and 1 − α are exchanged: α weighs the label, and ε is the mass taken away from the label",
            ),
            Trap(
                lambda alpha, classes: (1 - alpha, 0.0),
                "ε is right, but the two losses are not equal: the divergence lacks the uniform teacher's entropy, "
                "log K, times its weight",
            ),
            Trap(
                lambda alpha, classes: (1 - alpha, math.log(classes)),
                "ε is right, but the constant needs the weight of the soft term, 1 − α",
            ),
            Trap(
                lambda alpha, classes: (1 - alpha, -(1 - alpha) * math.log(classes)),
                "ε is right, but the constant has the wrong sign: cross-entropy is divergence plus entropy",
            ),
            Trap(
                lambda alpha, classes: ((1 - alpha) * (classes - 1) / classes, (1 - alpha) * math.log(classes)),
                "this is the mass that lands on the other classes; in the convention used here (and by PyTorch) ε is "
                "spread over all K classes, the right one included",
            ),
        ),
    ),
}
