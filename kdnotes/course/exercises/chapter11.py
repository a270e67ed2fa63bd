"""Exercises of chapter 11: the attention map, its distance in the code form, the weight between the two forms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap


def _feature(seed: int, *shape: int) -> Tensor:
    """A feature ``[batch, channels, height, width]`` of both signs."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _map_cases() -> list[tuple]:
    return [(_feature(0, 4, 3, 5, 5),), (3 * _feature(1, 2, 6, 4, 2),), (_feature(2, 3, 2, 2, 3),)]


def _energy(feature: Tensor) -> Tensor:
    return feature.square().sum(dim=1).flatten(1)


def _loss_cases() -> list[tuple]:
    """Two pairs of stages, then one; channels differ, batches too."""
    sizes = [((4, 3, 4, 4), (4, 5, 4, 4)), ((4, 6, 2, 2), (4, 2, 2, 2))]
    lists = [[_feature(10 * side + number, *pair[side]) for number, pair in enumerate(sizes)] for side in (0, 1)]
    one = [[_feature(30 + side, 3, 2 + side, 3, 3)] for side in (0, 1)]
    return [tuple(lists), tuple(one)]


def _squares(students: list[Tensor], teachers: list[Tensor]) -> list[Tensor]:
    """(Q_s − Q_t)² of every pair, ``[B, P]``."""
    maps = (map(losses.attention_map, side) for side in (students, teachers))
    return [(ours - theirs).square() for ours, theirs in zip(*maps, strict=True)]


def _raw(students: list[Tensor], teachers: list[Tensor], channels: str = "mean") -> Tensor:
    maps = ([getattr(f.square(), channels)(1).flatten(1) for f in side] for side in (students, teachers))
    return sum((ours - theirs).square().mean() for ours, theirs in zip(*maps, strict=True))


def _weight_cases() -> list[tuple]:
    cases = []
    for seed, (places, beta) in enumerate([(16, 1000.0), (64, 100.0), (9, 10.0)]):
        maps = (F.normalize(_feature(50 + 2 * seed + side, places).square(), dim=0) for side in (0, 1))
        cases.append((beta, *maps))
    return cases


def _weight(beta: float, student: Tensor, teacher: Tensor) -> float:
    return 2 * beta * float((student - teacher).norm()) / len(student)


EXERCISES = {
    "11.1": Exercise(
        lambda f: F.normalize(_energy(f), dim=1),
        _map_cases,
        (
            Trap(_energy, "the map is not normalised: divide each image's map by its L2 norm"),
            Trap(lambda f: f.square().mean(1).flatten(1),
                 "the map is not normalised: divide each image's map by its L2 norm"),
            Trap(lambda f: F.normalize(f.abs().sum(1).flatten(1), dim=1),
                 "this sums |F|; the energy is the sum of F²"),
            Trap(lambda f: F.normalize(f.sum(1).square().flatten(1), dim=1),
                 "the channels are summed before squaring, so that they cancel; square first"),
            Trap(lambda f: F.normalize(f.sum(1).flatten(1), dim=1),
                 "the square is missing: positive and negative channels cancel"),
            Trap(lambda f: F.normalize(_energy(f), dim=0),
                 "normalised over the batch: an image's map must not depend on the other images (dim=1)"),
            Trap(lambda f: F.normalize(_energy(f).flatten(), dim=0).view(len(f), -1),
                 "one norm for the whole batch: each image's map needs its own (dim=1)"),
            Trap(lambda f: F.normalize(f.square().sum(dim=(2, 3)), dim=1),
                 "summed over places: one number a channel is left; sum over the channels (dim=1), one a place"),
            Trap(lambda f: F.normalize(_energy(f), p=1, dim=1),
                 "the maps sum to 1; the paper divides by the L2 norm"),
            Trap(lambda f: _energy(f) / _energy(f).amax(1, keepdim=True),
                 "the largest value of a map is 1; the paper divides by the L2 norm"),
            Trap(lambda f: F.softmax(_energy(f), dim=1), "this is a softmax over places; divide by the L2 norm"),
            Trap(lambda f: F.normalize(_energy(f).sqrt(), dim=1),
                 "this is the length of the feature vector at each place; the energy is its square"),
            Trap(lambda f: F.normalize(f.abs().amax(1).flatten(1), dim=1),
                 "this is the largest channel at each place; the map is the sum of the squares over all channels"),
            Trap(lambda f: F.normalize(f.square().amax(1).flatten(1), dim=1),
                 "this is the largest channel at each place, another map of the paper; here the sum is asked for"),
            Trap(lambda f: F.normalize(_energy(f), dim=1).view(len(f), *f.shape[2:]),
                 "the values are right; return a row an image, [batch, height·width]"),
        ),
        gradient_of=(0,),
    ),
    "11.2": Exercise(
        lambda s, t: sum(square.mean() for square in _squares(s, t)),
        _loss_cases,
        (
            Trap(lambda s, t: sum(square.sum(1).sqrt().mean() for square in _squares(s, t)),
                 "this is the paper form, the norm of the difference; the code form is the mean of its squares"),
            Trap(lambda s, t: sum(square.sum(1).mean() for square in _squares(s, t)),
                 "summed over places: larger than expected by their number, which differs from stage to stage; "
                 "take the mean"),
            Trap(lambda s, t: sum(square.mean(1).sum() for square in _squares(s, t)),
                 "summed over the batch: take the mean over images"),
            Trap(lambda s, t: sum(square.sum() for square in _squares(s, t)),
                 "summed over places and images: take the mean over both"),
            Trap(lambda s, t: sum(square.mean(1) for square in _squares(s, t)),
                 "these are the values of the images, [B]; return their mean, a scalar"),
            Trap(lambda s, t: sum(square.mean() for square in _squares(s, t)) / len(s),
                 "averaged over the pairs of stages: they are summed"),
            Trap(lambda s, t: sum(square.mean() for square in _squares(s, t)) / 2,
                 "half of what is expected: the paper's formula has β/2, the code form has no 1/2"),
            Trap(lambda s, t: 1000 * sum(square.mean() for square in _squares(s, t)),
                 "β is no part of this function: return the distance without a weight"),
            Trap(lambda s, t: _squares(s, t)[-1].mean(), "only the last pair of stages counts; sum over all pairs"),
            Trap(lambda s, t: _squares(s, t)[0].mean(), "only the first pair of stages counts; sum over all pairs"),
            Trap(_raw, "the maps are not normalised: divide each image's map by its L2 norm"),
            Trap(lambda s, t: _raw(s, t, "sum"), "the maps are not normalised: divide each image's map by its L2 norm"),
            Trap(lambda s, t: torch.cat([square.flatten() for square in _squares(s, t)]).mean(),
                 "one mean over all pairs together: a pair with more places then counts more; sum the pairs' means"),
        ),
        gradient_of=(0,),
        parts=(
            ("the first pair's term", lambda s, t: _squares(s, t)[0].mean()),
            ("the term of every later pair", lambda s, t: sum((q.mean() for q in _squares(s, t)[1:]), torch.zeros(()))),
        ),
    ),
    "11.3": Exercise(
        _weight,
        _weight_cases,
        (
            Trap(lambda b, s, t: _weight(b, s, t) / 2,
                 "with this weight the two losses have equal values; for equal gradients derive d²: a factor of 2"),
            Trap(lambda b, s, t: _weight(b, s, t) * len(s), "the mean over places is missing: divide by P"),
            Trap(lambda b, s, t: _weight(b, s, t) * len(s) / 2,
                 "the mean over places and the 2 of the derivative of d² are missing"),
            Trap(lambda b, s, t: 2 * b / len(s), "the gradient of d² is 2·d times that of d: the distance is missing"),
            Trap(lambda b, s, t: b / len(s), "the gradient of d² is 2·d times that of d: the factor 2·d is missing"),
            Trap(lambda b, s, t: 2 * b * float((s - t).abs().sum()) / len(s),
                 "d is the L2 norm of the difference of the maps, not the sum of its absolute values"),
            Trap(lambda b, s, t: _weight(b, s, t) / b, "beta is missing as a factor"),
            Trap(lambda b, s, t: 2 * b * float((s - t).norm()) ** 2 / len(s),
                 "the squared distance: the gradient of d² is 2·d times that of d"),
            Trap(lambda b, s, t: _weight(b, s, t) * 2,
                 "this is the paper's β where its loss is written with β/2; asked for is the factor of the norm"),
            Trap(lambda b, s, t: b * len(s) / (2 * float((s - t).norm())),
                 "the wrong way round: this turns a weight of the paper form into one of the code form"),
        ),
    ),
}  # fmt: skip
