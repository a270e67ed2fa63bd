"""Exercises of chapter 12: α at a step of a schedule, the loss that stops its teacher, the price of a chain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _alpha_cases() -> list[tuple]:
    """(epoch, batch, epochs, batches, first, last): start, middle, last step, and a falling α."""
    return [(0, 0, 4, 5, 0.0, 0.5), (1, 3, 4, 5, 0.0, 0.5), (3, 4, 4, 5, 0.1, 0.9), (2, 1, 6, 3, 0.5, 0.0)]


def _line(progress: float, first: float, last: float) -> float:
    return first + progress * (last - first)


def _alpha(epoch: int, batch: int, epochs: int, batches: int, first: float, last: float) -> float:
    return _line((epoch * batches + batch) / (epochs * batches), first, last)


def _stopped_cases() -> list[tuple]:
    """(z_s, z_t, y, step, steps, until, α, T): first step, with a teacher, at its end, after it, never stopped; then
    steps that the end cuts in two, at a quarter, at half and at three quarters.
    """
    settings = [(0, 10, 0.5, 0.1, 2.0), (3, 10, 0.5, 0.1, 2.0), (5, 10, 0.5, 0.1, 2.0), (8, 10, 0.75, 0.3, 4.0),
                (9, 10, 1.0, 0.5, 3.0), (7, 10, 0.75, 0.3, 2.0)]  # fmt: skip
    settings += [(step, steps, 0.25, 0.3, 2.0) for steps in (9, 10, 11) for step in (2, 3)]
    cases = []
    for seed, (step, steps, until, alpha, temperature) in enumerate(settings):
        generator = torch.Generator().manual_seed(seed)
        batch, classes = (6, 10) if seed % 2 == 0 else (5, 4)
        z_s, z_t = 2 * torch.randn(2, batch, classes, generator=generator)
        y = torch.randint(classes, (batch,), generator=generator)
        cases.append((z_s, z_t, y, step, steps, until, alpha, temperature))
    return cases


def _stopped_extremes() -> list[tuple]:
    return [(*stretched(z_s, z_t), *rest) for z_s, z_t, *rest in _stopped_cases()[1:4]]


def _kd(z_s: Tensor, z_t: Tensor, y: Tensor, alpha: float, temperature: float) -> Tensor:
    return alpha * F.cross_entropy(z_s, y) + (1 - alpha) * losses.kd_loss(z_s, z_t, temperature)


def _stopped(
    z_s: Tensor, z_t: Tensor, y: Tensor, step: int, steps: int, until: float, alpha: float, temperature: float
) -> Tensor:
    return _kd(z_s, z_t, y, alpha, temperature) if step / steps < until else F.cross_entropy(z_s, y)


def _cost_cases() -> list[tuple]:
    """(MACs of the networks that are trained, in order, the student last; epochs of each)."""
    return [([4.0e6, 1.0e6], 30), ([8.0e6, 3.0e6, 2.0e6], 36), ([5.0e5], 10), ([3.0e6, 1.0e6, 1.7e6], 7),
            ([2.0e6, 5.0e6, 1.0e6], 20)]  # fmt: skip


def _equal_work(macs: list[float], epochs: int) -> float:
    return epochs * sum(macs) / macs[-1]


EXERCISES = {
    "12.1": Exercise(
        _alpha,
        _alpha_cases,
        (
            Trap(lambda e, b, E, B, first, last: _alpha(e, b, E, B, last, first),
                 "the direction is wrong: before the first step nothing is done, and α is `first`"),
            Trap(lambda e, b, E, B, first, last: _line(e / E, first, last),
                 "α moves only once an epoch, in stairs; count the batches of this epoch too"),
            Trap(lambda e, b, E, B, first, last: _line((e + 1) / E, first, last),
                 "the epochs are counted from 1, and α moves only once an epoch: the first step should have `first`"),
            Trap(lambda e, b, E, B, first, last: _alpha(e + 1, b, E, B, first, last),
                 "one epoch too far: epochs count from 0, so that e finished epochs lie before epoch e"),
            Trap(lambda e, b, E, B, first, last: _line((e * B + b + 1) / (E * B), first, last),
                 "one step too far: the step that is about to be made is not done yet"),
            Trap(lambda e, b, E, B, first, last: _line((e * B + b) / (E * B - 1), first, last),
                 "this reaches `last` in the last step, as some code does; here α belongs to the fraction of the "
                 "training that is done, which is below 1 in every step"),
            Trap(lambda e, b, E, B, first, last: _line(b / B, first, last),
                 "this starts anew in every epoch; count the steps of the earlier epochs too"),
            Trap(lambda e, b, E, B, first, last: _line(e / (E - 1), first, last),
                 "α moves only once an epoch, and the progress of the batches is missing"),
            Trap(lambda e, b, E, B, first, last: _line((e * B + b) / (2 * E * B), first, last),
                 "at half the speed: this schedule ends half-way between `first` and `last`"),
            Trap(lambda e, b, E, B, first, last: (e * B + b) / (E * B) * (last - first),
                 "`first` is missing: α starts there, not at 0"),
            Trap(lambda e, b, E, B, first, last: (e * B + b) / (E * B),
                 "this is the progress; α lies between `first` and `last`"),
            Trap(lambda e, b, E, B, first, last: (e * B + b) / (E * B) * last,
                 "α starts at `first`, not at 0"),
        ),
    ),
    "12.2": Exercise(
        _stopped,
        _stopped_cases,
        (
            Trap(lambda z, t, y, k, n, u, a, T: _kd(z, t, y, a, T) if k / n <= u else F.cross_entropy(z, y),
                 "one step too long: the teacher speaks while *less than* `until` is done"),
            *(Trap(lambda z, t, y, k, n, u, a, T, rounded=rounded: (
                       _kd(z, t, y, a, T) if k < rounded(u * n) else F.cross_entropy(z, y)),
                   "a step too early where `until` falls within a step: step k has the fraction k / steps behind it, "
                   "unrounded")
              for rounded in (int, round, lambda steps: int(steps + 0.5))),
            Trap(lambda z, t, y, k, n, u, a, T: F.cross_entropy(z, y),
                 "the teacher never speaks"),
            Trap(lambda z, t, y, k, n, u, a, T: (
                     a * F.cross_entropy(z, y) + (1 - a) * losses.kd_loss(t, z, T)
                     if k / n < u else F.cross_entropy(z, y)),
                 "the arguments of losses.kd_loss are exchanged: the student's logits come first"),
            Trap(lambda z, t, y, k, n, u, a, T: _kd(z, t, y, a, T) if k / n < u else a * F.cross_entropy(z, y),
                 "after the stop the labels keep the weight α: the loss shrinks; alone, they have the weight 1"),
            Trap(lambda z, t, y, k, n, u, a, T: F.cross_entropy(z, y) if k / n < u else _kd(z, t, y, a, T),
                 "the phases are exchanged: the teacher comes first, and the labels alone come last"),
            Trap(lambda z, t, y, k, n, u, a, T: _kd(z, t, y, a, T),
                 "the teacher never stops"),
            Trap(lambda z, t, y, k, n, u, a, T: _kd(z, t, y, a, T) if k < u else F.cross_entropy(z, y),
                 "`until` is a fraction of the training, not a number of steps: compare step / steps with it"),
            Trap(lambda z, t, y, k, n, u, a, T: losses.kd_loss(z, t, T) if k / n < u else F.cross_entropy(z, y),
                 "with the teacher the labels count too, with the weight α"),
            Trap(lambda z, t, y, k, n, u, a, T: _stopped(z, t, y, k, n, u, 1 - a, T),
                 "α and 1 − α are exchanged: in this course α weighs the labels"),
            Trap(lambda z, t, y, k, n, u, a, T: (
                     a * F.cross_entropy(z, y) + (1 - a) * losses.kd_loss(z, t, T) / T**2
                     if k / n < u else F.cross_entropy(z, y)),
                 "the factor T² of the soft term is missing"),
            Trap(lambda z, t, y, k, n, u, a, T: (
                     a * F.cross_entropy(z, y) + (1 - a) * losses.kd_loss(z, t, T) * T**2
                     if k / n < u else F.cross_entropy(z, y)),
                 "the factor T² is there twice: losses.kd_loss has it already"),
            Trap(lambda z, t, y, k, n, u, a, T: (
                     _kd(z, t, y, a, T) if k / n < u else (1 - a) * losses.kd_loss(z, t, T)),
                 "the labels were dropped instead of the teacher"),
        ),
        extremes=_stopped_extremes,
        gradient_of=(0,),
        parts=(
            ("the soft term", lambda z, t, y, k, n, u, a, T: (1 - a) * (k / n < u) * losses.kd_loss(z, t, T)),
            ("the labels' term", lambda z, t, y, k, n, u, a, T: (a if k / n < u else 1) * F.cross_entropy(z, y)),
        ),
    ),
    "12.3": Exercise(
        _equal_work,
        _cost_cases,
        (
            Trap(lambda macs, epochs: float(epochs * len(macs)),
                 "these are equal epochs, not equal work: an epoch of a wider network costs more"),
            Trap(lambda macs, epochs: epochs * sum(macs[:-1]) / macs[-1],
                 "the student's own training is missing: it is the last part of the chain"),
            Trap(lambda macs, epochs: epochs * sum(macs) / macs[0],
                 "the work is divided by that of the first assistant; the direct training is of the last network"),
            Trap(lambda macs, epochs: epochs * sum(macs) / max(macs),
                 "divided by the largest network; the direct training is of the student, the last in the list"),
            Trap(lambda macs, epochs: epochs * sum(macs) / min(macs),
                 "divided by the smallest network; the direct training is of the student, the last in the list"),
            Trap(lambda macs, epochs: float(epochs * sum(macs) // macs[-1]),
                 "rounded down: return the number as it is, a float"),
            Trap(lambda macs, epochs: epochs * sum(macs),
                 "this is the work of the chain (for one image); how many epochs of the student does it pay for?"),
            Trap(lambda macs, epochs: sum(macs) / macs[-1],
                 "this is the factor; multiply it by the epochs"),
            Trap(lambda macs, epochs: epochs * macs[0] / macs[-1],
                 "only the first network is counted; all networks of the chain are trained"),
            Trap(lambda macs, epochs: epochs * macs[-1] / sum(macs),
                 "upside down: the student is cheaper than the chain, so that it gets more epochs, not fewer"),
            Trap(lambda macs, epochs: epochs * sum(macs) / len(macs) / macs[-1],
                 "the mean over the networks was taken; a chain costs the sum"),
        ),
    ),
}  # fmt: skip
