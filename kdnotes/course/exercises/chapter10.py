"""Exercises of chapter 10: the hint with its regressor, linear CKA, what the regressor costs."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap


def _hint_cases() -> list[tuple]:
    """Equal sizes, a larger teacher, a larger student with as many channels; then sizes that are not square, and ones
    whose ratio is no whole number.
    """
    cases = []
    sides = [
        (3, 4, 4, 5, 4, 4), (3, 4, 4, 5, 8, 8), (4, 8, 8, 4, 4, 4), (3, 8, 4, 5, 2, 2), (3, 8, 4, 5, 4, 2),
        (2, 3, 3, 4, 7, 7),
    ]  # fmt: skip
    for seed, (channels, *size, other_channels, height, width) in enumerate(sides):
        generator = torch.Generator().manual_seed(seed)
        batch = 2 + seed % 2
        own, theirs = (batch, channels, *size), (batch, other_channels, height, width)
        shapes = own, theirs, (other_channels, channels), (other_channels,)
        cases.append(tuple(torch.randn(*shape, generator=generator) for shape in shapes))
    return cases


def _parts(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    one, other = losses.match_size(student, teacher.detach())
    return torch.einsum("tc,bchw->bthw", weight, one) + bias[:, None, None], other


def _hint(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    predicted, other = _parts(student, teacher, weight, bias)
    return (predicted - other).square().mean()


def _gradient_into_teacher(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    one, other = losses.match_size(student, teacher)
    return (torch.einsum("tc,bchw->bthw", weight, one) + bias[:, None, None] - other).square().mean()


def _summed(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    predicted, other = _parts(student, teacher, weight, bias)
    return (predicted - other).square().sum()


def _summed_by_sample(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _summed(student, teacher, weight, bias) / len(student)


def _halved(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _hint(student, teacher, weight, bias) / 2


def _without_bias(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _hint(student, teacher, weight, torch.zeros_like(bias))


def _cut_off(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    one, other = losses.match_size(student, teacher.detach())
    return (one - other[:, : one.shape[1]]).square().mean()


def _max_pooled(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    size = [min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    one, other = (F.adaptive_max_pool2d(feature, size) for feature in (student, teacher.detach()))
    return (torch.einsum("tc,bchw->bthw", weight, one) + bias[:, None, None] - other).square().mean()


def _resized(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor, to: str) -> Tensor:
    """Pooled to one side's size whatever it is; towards a larger size adaptive pooling repeats elements."""
    teacher = teacher.detach()
    size = (student if to == "student" else teacher).shape[2:]
    return _hint(F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size), weight, bias)


def _sampled(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The smaller size by picking single elements."""
    size = [min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    return _hint(F.interpolate(student, size), F.interpolate(teacher, size), weight, bias)


def _interpolated(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Bilinear: the mean of the pool only where that is 2 × 2."""
    size = [min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    one, other = (F.interpolate(feature, size, mode="bilinear") for feature in (student, teacher))
    return _hint(one, other, weight, bias)


def _height_alone(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The factor of the heights for both directions."""
    size = min(student.shape[2], teacher.shape[2])
    one, other = (F.avg_pool2d(feature, feature.shape[2] // size) for feature in (student, teacher))
    return _hint(one, F.adaptive_avg_pool2d(other, one.shape[2:]), weight, bias)


def _square(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """To the smaller height in both directions."""
    size = min(student.shape[2], teacher.shape[2])
    return _hint(*(F.adaptive_avg_pool2d(one, size) for one in (student, teacher.detach())), weight, bias)


def _whole_ratios(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """By windows of a whole number of elements, which leave out the last where the ratio is none."""
    size = [min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    one, other = (
        F.avg_pool2d(feature, [length // wanted for length, wanted in zip(feature.shape[2:], size, strict=True)])
        for feature in (student, teacher.detach())
    )
    return _hint(one, other, weight, bias)


def _enlarged(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    size = [max(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    return _hint(F.interpolate(student, size), F.interpolate(teacher, size), weight, bias)


def _absolute(student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    predicted, other = _parts(student, teacher, weight, bias)
    return (predicted - other).abs().mean()


def _cka_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(30, 6, generator=generator, dtype=torch.float64)
    mixed = x @ torch.randn(6, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    return [(x + 2, x + 2), (x + 1, mixed + noise - 3), (x, noise + 1), (2 * x[:12] + 1, mixed[:12])]


def _cka(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return _uncentred(x, y)


def _uncentred(x: Tensor, y: Tensor) -> float:
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


def _centred_over_dimensions(x: Tensor, y: Tensor) -> float:
    return _uncentred(x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True))


def _not_squared(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).norm() / ((x.T @ x).norm() * (y.T @ y).norm()).sqrt())


def _not_normalised(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).square().sum())


def _traces(x: Tensor, y: Tensor) -> float:
    """Divided by the features' own norms instead of those of their products."""
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).square().sum() / (x.square().sum() * y.square().sum()))


def _standardised(x: Tensor, y: Tensor) -> float:
    return _cka(x / x.std(0), y / y.std(0))


def _unbiased(x: Tensor, y: Tensor) -> float:
    from kdnotes.metrics import cka

    return cka(x, y)


def _cost_cases() -> list[tuple]:
    return [(24, 64, 1), (12, 32, 3), (5, 5, 1)]


def _cost(student: int, teacher: int, kernel: int) -> tuple[int, int]:
    return (student * kernel * kernel + 1) * teacher, 0


EXERCISES = {
    "10.1": Exercise(
        _hint,
        _hint_cases,
        (
            Trap(_gradient_into_teacher, "a gradient reaches the teacher's feature: detach it, it is a fixed target"),
            Trap(_summed, "you sum over the batch and the feature: take the mean of the squares"),
            Trap(_summed_by_sample, "you divide by the batch alone: the mean is over all elements of the feature too"),
            Trap(_halved, "the factor ½ of the paper goes with its sum: here it is the plain mean of the squares"),
            Trap(_without_bias, "the regressor's bias is missing: one number for each of the teacher's channels"),
            Trap(
                _cut_off,
                "you cut off channels: use the regressor, channel 3 of one network has nothing to do with that of the "
                "other",
            ),
            Trap(
                functools.partial(_resized, to="student"),
                "you bring the teacher's feature to the student's size even where that is larger, which only repeats "
                "elements: pool the larger of the two",
            ),
            Trap(
                functools.partial(_resized, to="teacher"),
                "you bring the student's feature to the teacher's size even where that is larger, which only repeats "
                "elements: pool the larger of the two",
            ),
            Trap(_sampled, "you pick single elements of the larger feature: average over each pool"),
            Trap(_interpolated, "you interpolate between elements: average over each pool, whatever its size"),
            Trap(_height_alone, "you pool by the factor of the heights; height and width have one each"),
            Trap(_square, "you pool to a square of the smaller height; height and width have a smaller one each"),
            Trap(
                _whole_ratios,
                "avg_pool2d with the whole part of the ratio leaves elements out where the sizes do not divide: "
                "adaptive_avg_pool2d",
            ),
            Trap(_enlarged, "you enlarge the smaller feature: average-pool the larger one"),
            Trap(_absolute, "you take absolute differences: the hint takes squares"),
            Trap(_max_pooled, "you take maxima: pool by averages, which commute with the regressor"),
        ),
        gradient_of=(0, 1, 2, 3),
    ),
    "10.2": Exercise(
        _cka,
        _cka_cases,
        (
            Trap(_uncentred, "the features are not centred: subtract the mean over the images from each dimension"),
            Trap(
                _centred_over_dimensions,
                "you centre each image over its dimensions: centre each dimension over the images",
            ),
            Trap(_not_squared, "this is the square root: HSIC is the sum of *squared* covariances"),
            Trap(_not_normalised, "this is HSIC up to a factor: divide by √(HSIC(x, x)·HSIC(y, y))"),
            Trap(_traces, "you divide by the norms of x and y: divide by those of xᵀx and yᵀy"),
            Trap(_standardised, "you divide each dimension by its deviation: it is only centred"),
            Trap(_unbiased, "this is the unbiased estimate: the exercise asks for the plain one"),
        ),
    ),
    "10.3": Exercise(
        _cost,
        _cost_cases,
        (
            Trap(
                lambda s, t, k: (s * k * k * t, 0), "the bias is missing: one number for each of the teacher's channels"
            ),
            Trap(lambda s, t, k: ((s * k + 1) * t, 0), "a kernel of k × k has k² places, not k"),
            Trap(
                lambda s, t, k: ((t * k * k + 1) * s, 0),
                "the bias has one number for each of the teacher's channels, the outputs; with one for each of the "
                "student's, the regressor would map the other way round",
            ),
            Trap(
                lambda s, t, k: ((s * k * k + 1) * t,) * 2,
                "the regressor is thrown away: deployment costs nothing more",
            ),
            Trap(
                lambda s, t, k: ((s * k * k + 1) * t, t),
                "the whole regressor is thrown away, its bias too: deployment costs nothing more",
            ),
        ),
    ),
}
