"""Exercises of chapter 4: the whole loss, the gap recovered, a paired interval."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _loss(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float, alpha: float) -> Tensor:
    return alpha * F.cross_entropy(z_s, y) + (1 - alpha) * losses.kd_loss(z_s, z_t, temperature)


def _loss_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    z_s, z_t = (3 * torch.randn(8, 10, generator=generator) for _ in range(2))
    y = torch.randint(10, (8,), generator=generator)
    few = z_s[:3, :4], z_t[:3, :4], y[:3] % 4
    return [(z_s, z_t, y, 4.0, 0.1), (z_s, z_t, y, 2.0, 0.7), (*few, 3.0, 0.4)]


def _loss_extremes() -> list[tuple]:
    return [(*stretched(z_s, z_t), *rest) for z_s, z_t, *rest in _loss_cases()]


def _interval(a: list[float], b: list[float], *, ddof: int = 1, normal: bool = False) -> tuple[float, float]:
    difference = np.subtract(a, b)
    n = len(difference)
    quantile = stats.norm.ppf(0.975) if normal else stats.t.ppf(0.975, n - 1)
    half = quantile * difference.std(ddof=ddof) / np.sqrt(n)
    return float(difference.mean() - half), float(difference.mean() + half)


def _unpaired(a: list[float], b: list[float]) -> tuple[float, float]:
    n = len(a)
    half = stats.t.ppf(0.975, 2 * n - 2) * np.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / n)
    return float(np.mean(a) - np.mean(b) - half), float(np.mean(a) - np.mean(b) + half)


def _no_root(a: list[float], b: list[float]) -> tuple[float, float]:
    difference = np.subtract(a, b)
    half = stats.t.ppf(0.975, len(a) - 1) * difference.std(ddof=1)
    return float(difference.mean() - half), float(difference.mean() + half)


EXERCISES = {
    "04.1": Exercise(
        _loss,
        _loss_cases,
        (
            Trap(lambda z_s, z_t, y, t, a: _loss(z_s, z_t, y, t, 1 - a), "α and 1 − α are exchanged: α is the labels'"),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y) + (1 - a) * losses.kd_loss(z_s, z_t, t) / t**2,
                "the soft term is smaller than expected by T²: multiply it by T²",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y) + (1 - a) * losses.kd_loss(z_t, z_s, t),
                "the KL is the wrong way round: the teacher's distribution comes first, KL(p_t ‖ p_s)",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s / t, y) + (1 - a) * losses.kd_loss(z_s, z_t, t),
                "the labels are compared at temperature T; the hard term uses T = 1",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y)
                + (1 - a) * losses.kd_loss(z_s, z_t, t) / z_s.shape[1],
                "the soft term is smaller than expected by the number of classes: reduction='mean' divides by them too",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: F.cross_entropy(z_s, y) + losses.kd_loss(z_s, z_t, t),
                "the weights α and 1 − α are missing",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y) + (1 - a) * losses.kd_loss(z_s, z_t, t) / t,
                "the soft term has the factor T; it needs T²",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y)
                + (1 - a) * losses.kd_loss(z_s, z_t, t) * len(z_s),
                "the soft term is the sum over the batch; take the mean over samples (reduction='batchmean')",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y)
                + (1 - a) * t**2 * losses.soft_cross_entropy(z_s / t, losses.soften(z_t, t)),
                "the soft term is a cross-entropy: the same gradient, but too large by T² times the teacher's entropy",
            ),
            Trap(
                lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y)
                + (1 - a) * t**2 * losses.kd_loss(z_s, z_t / t, 1.0),
                "only the teacher is softened; divide the student's logits by T too",
            ),
        ),
        extremes=_loss_extremes,
        gradient_of=(0,),
        parts=(
            ("the soft term", lambda z_s, z_t, y, t, a: (1 - a) * losses.kd_loss(z_s, z_t, t)),
            ("the labels' term", lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y)),
        ),
    ),
    "04.2": Exercise(
        lambda student, baseline, teacher: (student - baseline) / (teacher - baseline),
        lambda: [  # the last but one is better than its teacher, the last had one worse than the baseline
            (0.82, 0.79, 0.91), (0.78, 0.79, 0.91), (0.5, 0.4, 0.9), (0.93, 0.79, 0.91), (0.80, 0.82, 0.78),
        ],
        (
            Trap(lambda student, baseline, teacher: student / teacher,
                 "the ratio to the teacher credits the student for what it reaches without one; subtract the baseline"),
            Trap(lambda student, baseline, teacher: (student - baseline) / baseline,
                 "this is the relative gain over the baseline; divide by the gap to the teacher"),
            Trap(lambda student, baseline, teacher: (student - baseline) / teacher,
                 "divide by the gap, teacher − baseline, not by the teacher's accuracy"),
            Trap(lambda student, baseline, teacher: (teacher - student) / (teacher - baseline),
                 "this is the share that is still missing; 1 minus it is what was recovered"),
            Trap(lambda student, baseline, teacher: 100 * (student - baseline) / (teacher - baseline),
                 "right, but in percent; return the fraction"),
            Trap(lambda student, baseline, teacher: min(1.0, (student - baseline) / (teacher - baseline)),
                 "this stops at 1: a student that is better than its teacher closes more than the whole gap"),
            Trap(lambda student, baseline, teacher: max(0.0, (student - baseline) / (teacher - baseline)),
                 "this stops at 0: a student that is worse than the baseline closes less than nothing"),
            Trap(lambda student, baseline, teacher: min(1.0, max(0.0, (student - baseline) / (teacher - baseline))),
                 "this is cut off at 0 and 1: a student can be worse than the baseline, or better than its teacher"),
            Trap(lambda student, baseline, teacher: (student - baseline) / abs(teacher - baseline),
                 "the gap has a sign: it is negative where the teacher is worse than the baseline"),
            Trap(lambda student, baseline, teacher: abs(student - baseline) / abs(teacher - baseline),
                 "the gap and what the student closed of it have signs: no absolute values"),
        ),
    ),
    "04.3": Exercise(
        _interval,
        lambda: [
            ([0.81, 0.79, 0.83, 0.80, 0.82], [0.80, 0.775, 0.825, 0.79, 0.80]),
            ([0.70, 0.75, 0.72], [0.755, 0.69, 0.70]),
        ],
        (
            Trap(_unpaired, "this is the unpaired interval; the seeds are shared: take differences first"),
            Trap(lambda a, b: _interval(a, b, normal=True),
                 "1.96 is for many samples; with a few seeds use Student's t with n − 1 degrees of freedom"),
            Trap(lambda a, b: _interval(a, b, ddof=0),
                 "the standard deviation divides by n; for a sample divide by n − 1 (ddof=1)"),
            Trap(lambda a, b: _interval(sorted(a), sorted(b)),
                 "the lists are sorted, which breaks the pairs: entry i of both lists is the same seed"),
            Trap(lambda a, b: tuple(-bound for bound in reversed(_interval(a, b))),
                 "the sign is turned round: the difference is a − b"),
            Trap(lambda a, b: (float(np.mean(np.subtract(a, b))), (_interval(a, b)[1] - _interval(a, b)[0]) / 2),
                 "this is mean and half-width; return the two ends, low and high"),
            Trap(lambda a, b: _interval(a, b, ddof=0, normal=True),
                 "with a few seeds use Student's t with n − 1 degrees of freedom, and ddof=1"),
            Trap(_no_root, "divide the standard deviation by √n: the interval is of the mean, not of single seeds"),
        ),
    ),
}  # fmt: skip
