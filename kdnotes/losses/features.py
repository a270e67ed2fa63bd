"""Losses of a student's inner features against a teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.reduction import reduce

check_form = checks.one_of("code", "paper")


def hint_loss(
    student_feature: Tensor, teacher_feature: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Mean squared difference of two features (FitNets, Romero et al. 2014, arXiv 1412.6550).

    The paper sums ½·(difference)² over the elements; like most code we take the mean of the
    squares, whose size does not grow with the feature.

    Args:
        student_feature: ``[batch, ...]``, brought to the teacher's shape by a learned regressor
            where they differ.
        teacher_feature: same shape.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    for name, tensor in (
        ("student_feature", student_feature),
        ("teacher_feature", teacher_feature),
    ):
        checks.floating(name, tensor)
    if student_feature.shape != teacher_feature.shape or student_feature.ndim < 2:
        raise ValueError(
            "student_feature must have the shape of teacher_feature, [batch, ...]: "
            f"{list(teacher_feature.shape)}, not "
            f"{list(student_feature.shape)}; a learned 1×1 convolution brings it there"
        )
    if 0 in student_feature.shape[1:]:
        raise ValueError(
            f"student_feature must hold numbers, but its shape is {list(student_feature.shape)}"
        )
    checks.finite(student_feature=student_feature, teacher_feature=teacher_feature)
    difference = (student_feature - teacher_feature).square().flatten(1).mean(dim=1)
    return reduce(difference, reduction, "student_feature")


def attention_map(feature: Tensor) -> Tensor:
    """Where a feature is large: Σ_c F_c² at each place, as a vector of length 1 (Zagoruyko &
    Komodakis, 1612.03928).

    A map of zeros stays zeros. The largest |F| of each sample is divided out first, which changes
    nothing but that squares neither overflow nor vanish.

    Args:
        feature: F, ``[batch, channels, height, width]``.

    Returns:
        ``[batch, height * width]``, not negative, rows of L2 norm 1.
    """
    checks.feature("feature", feature)
    checks.finite(feature=feature)
    largest = feature.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = feature / torch.where(largest > 0, largest, 1)
    return F.normalize(scaled.square().mean(dim=1).flatten(1), dim=1)


def attention_transfer_loss(
    student_features: Sequence[Tensor],
    teacher_features: Sequence[Tensor],
    *,
    form: str = "code",
    reduction: str = "mean",
) -> Tensor:
    """Distance of attention maps, summed over pairs of stages (Zagoruyko & Komodakis 2017, arXiv
    1612.03928).

    With Q the maps: the authors' code, which is what β = 1000 belongs to, takes the *mean over
    places* of (Q_s − Q_t)²; the paper writes the norm ‖Q_s − Q_t‖₂. For one pair of maps of P
    places, code = paper² / P. Of two maps of unequal size the feature of the larger is
    average-pooled to the smaller one's, as in the authors' code.

    Args:
        student_features: one ``[batch, channels, height, width]`` a pair.
        teacher_features: as many; channels may differ.
        form: "code" or "paper".
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    checks.feature_pairs(student_features, teacher_features)
    check_form("form", form)
    total = 0
    for student, teacher in zip(student_features, teacher_features, strict=True):
        difference = torch.sub(*map(attention_map, match_size(student, teacher)))
        distance = (
            difference.square().mean(dim=1)
            if form == "code"
            else torch.linalg.vector_norm(difference, dim=1)
        )
        total = total + distance
    return reduce(total, reduction, "student_features")


def match_size(feature: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both features ``[batch, channels, height, width]``, each average-pooled to the smaller height
    and width.
    """
    checks.feature("feature", feature)
    checks.feature("other", other)
    size = tuple(map(min, feature.shape[2:], other.shape[2:]))
    return tuple(
        one if one.shape[2:] == size else F.adaptive_avg_pool2d(one, size)
        for one in (feature, other)
    )
