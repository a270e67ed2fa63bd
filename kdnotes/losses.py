"""Distillation losses: pure functions of tensors, with no state, no device and no configuration.

Logits are floating-point tensors ``[batch, classes]``, finite, with at least two classes. Every loss returns a scalar
(the mean over the batch, which must hold a sample), or one value a sample, ``[batch]``, with ``reduction="none"``. Bad
arguments raise ``TypeError`` (wrong kind) or ``ValueError`` (wrong value), naming the argument, what it was and what is
allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "attention_map", "attention_transfer_loss", "confidence_weights", "decoupled_terms", "dkd_loss", "hint_loss",
    "kd_loss", "match_size", "multi_teacher_kd_loss", "mutual_losses", "peer_divergences", "reverse_gradient",
    "self_targets", "soft_cross_entropy", "soften", "standardize_logits",
]  # fmt: skip


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Softmax with temperature, p = softmax(z / T) (Hinton et al. 2015, arXiv 1503.02531, eq. 1).

    Args:
        logits: z, ``[batch, classes]``.
        temperature: T > 0. T = 1 is the ordinary softmax; a larger T flattens.

    Returns:
        Probabilities ``[batch, classes]``; each row sums to 1.
    """
    check_logits(logits=logits)
    return F.softmax(logits / check_temperature(temperature), dim=1)


def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0, *, reduction: str = "mean"
) -> Tensor:
    """Distillation loss T²·KL(p_t ‖ p_s) at temperature T (Hinton et al. 2015, arXiv 1503.02531, §2).

    Without the factor T² the gradient would fall as 1/T². Hinton et al. write the soft term as a
    cross-entropy; KL differs from it by the teacher's entropy, a constant for the student, so that the gradient is the
    same and the loss is 0 exactly when the two distributions agree. It is computed from log-softmax on both sides: no
    probability is ever turned back into a logarithm.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: z_t, same shape; it receives a gradient only if it requires one.
        temperature: T > 0.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    temperature = check_temperature(temperature)
    log_p_s = F.log_softmax(student_logits / temperature, dim=1)
    log_p_t = F.log_softmax(teacher_logits / temperature, dim=1)
    divergence = F.kl_div(log_p_s, log_p_t, reduction="none", log_target=True).sum(dim=1)
    return _reduce(divergence * temperature**2, reduction, "student_logits")


def soft_cross_entropy(student_logits: Tensor, target_probabilities: Tensor, *, reduction: str = "mean") -> Tensor:
    """Cross-entropy −Σ_c q_c·log p_s,c against given probabilities q: label smoothing, mixed or stored targets.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        target_probabilities: q, same shape, not negative, rows summing to 1 (within 1e-3).
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    check_logits(student_logits=student_logits, target_probabilities=target_probabilities)
    _check_distribution("target_probabilities", target_probabilities)
    return _reduce(
        -(target_probabilities * F.log_softmax(student_logits, dim=1)).sum(dim=1), reduction, "student_logits"
    )


def decoupled_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    temperature: float = 4.0,
    *,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """The two parts of the distillation loss: TCKD and NCKD, each times T² (Zhao et al. 2022, arXiv 2203.08679, eq. 5).

    TCKD is the KL divergence between the binary distributions (p_y, 1 − p_y); NCKD the one between the distributions
    over the other classes, renormalised to sum to 1. With reduction="none",

        kd_loss = TCKD + (1 − p_t,y)·NCKD

    holds for every sample, p_t,y being the teacher's probability of the target class at T. All is computed from
    logarithms (``logsumexp``), where the authors' code masks the target's logit with −1000. With two classes the other
    classes are one, and NCKD is 0.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: z_t, same shape.
        targets: y, ``[batch]`` int64.
        temperature: T > 0.
        reduction: "mean" over samples, or "none" for ``[batch]``.

    Returns:
        (TCKD, NCKD).
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    _check_batch(targets, *student_logits.shape)
    temperature = check_temperature(temperature)
    binary_s, others_s = _split_log_softmax(student_logits / temperature, targets)
    binary_t, others_t = _split_log_softmax(teacher_logits / temperature, targets)
    target_class, non_target_class = (
        F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=1) * temperature**2
        for log_s, log_t in ((binary_s, binary_t), (others_s, others_t))
    )
    return tuple(_reduce(term, reduction, "student_logits") for term in (target_class, non_target_class))


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    temperature: float = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Decoupled distillation γ·TCKD + β·NCKD, each with T² (Zhao et al. 2022, arXiv 2203.08679, eq. 7).

    Args:
        alpha, beta: γ and β, finite weights, 0 or more. The paper writes α for γ (which weighs the labels in this
            course), and uses 1 for it and a β that depends on the pair of networks.
    """
    target_class, non_target_class = decoupled_terms(
        student_logits, teacher_logits, targets, temperature, reduction=reduction
    )
    return check_weight("alpha", alpha) * target_class + check_weight("beta", beta) * non_target_class


def self_targets(targets: Tensor, previous_probabilities: Tensor, alpha: float) -> Tensor:
    """Targets of progressive self-distillation, (1 − λ)·e_y + λ·p_previous (PS-KD, Kim et al. 2021, arXiv 2006.12000).

    Args:
        targets: y, ``[batch]`` int64.
        previous_probabilities: what the student predicted for the *same samples* an epoch ago, ``[batch, classes]``.
        alpha: λ, the weight of the past, in [0, 1]; the paper's α_t. The labels keep 1 − λ.

    Returns:
        Probabilities ``[batch, classes]`` for ``soft_cross_entropy``.
    """
    check_logits(previous_probabilities=previous_probabilities)
    _check_batch(targets, *previous_probabilities.shape)
    _check_distribution("previous_probabilities", previous_probabilities)
    alpha = check_fraction("alpha", alpha)
    one_hot = F.one_hot(targets, previous_probabilities.shape[1]).to(previous_probabilities.dtype)
    return (1 - alpha) * one_hot + alpha * previous_probabilities


def multi_teacher_kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    weights: Tensor,
    temperature: float = 4.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Weighted distillation from M teachers: Σ_m w_m·T²·KL(p_t,m ‖ p_s) for each sample, and the mean over samples.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: ``[M, batch, classes]``.
        weights: w, ``[batch, M]``: a row a sample, not negative, rows summing to 1 (within 1e-3).
        temperature: T > 0.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    check_logits(student_logits=student_logits)
    _check_teachers(teacher_logits, student_logits.shape)
    _check_weights(weights, teacher_logits)
    divergences = [kd_loss(student_logits, logits, temperature, reduction="none") for logits in teacher_logits]
    return _reduce((weights * torch.stack(divergences, dim=1)).sum(dim=1), reduction, "student_logits")


def confidence_weights(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """Per-sample weights of M teachers, w_m = (1 − softmax_m(CE_m)) / (M − 1) (CA-MKD, arXiv 2201.00007, eq. 3).

    A teacher whose cross-entropy with the label is lower weighs more. No teacher can weigh more than 1/(M − 1).

    Args:
        teacher_logits: ``[M, batch, classes]``.
        targets: y, ``[batch]`` int64.

    Returns:
        ``[batch, M]``, rows summing to 1; all ones for one teacher.
    """
    _check_teachers(teacher_logits, teacher_logits.shape[1:] if isinstance(teacher_logits, Tensor) else None)
    count, batch, classes = teacher_logits.shape
    _check_batch(targets, batch, classes)
    errors = torch.stack([F.cross_entropy(logits, targets, reduction="none") for logits in teacher_logits], dim=1)
    return (1 - F.softmax(errors, dim=1)) / (count - 1) if count > 1 else torch.ones_like(errors)


def standardize_logits(logits: Tensor, eps: float = 1e-7) -> Tensor:
    """Logits with mean 0 and standard deviation 1 in each row, (z − mean) / (std + ε) (arXiv 2403.01427).

    Before a softmax with temperature this makes the loss blind to a shift and to the scale of the logits. The
    standard deviation has K − 1 in its denominator, as in the authors' code; the paper's equation has K.

    Args:
        logits: z, ``[batch, classes]``.
        eps: ε > 0; a row of equal logits becomes 0.
    """
    check_logits(logits=logits)
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not (math.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be a finite number above 0, not {eps!r}")
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + eps)


def hint_loss(student_feature: Tensor, teacher_feature: Tensor, *, reduction: str = "mean") -> Tensor:
    """Mean squared difference of two features (FitNets, Romero et al. 2014, arXiv 1412.6550).

    The paper sums ½·(difference)² over the elements; like most code we take the mean of the squares, whose size does
    not grow with the feature.

    Args:
        student_feature: ``[batch, ...]``, brought to the teacher's shape by a learned regressor where they differ.
        teacher_feature: same shape.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    for name, tensor in (("student_feature", student_feature), ("teacher_feature", teacher_feature)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, not {_kind(tensor)}")
    if student_feature.shape != teacher_feature.shape or student_feature.ndim < 2:
        raise ValueError(
            f"student_feature must have the shape of teacher_feature, [batch, ...]: {list(teacher_feature.shape)}, not "
            f"{list(student_feature.shape)}; a learned 1×1 convolution brings it there"
        )
    if 0 in student_feature.shape[1:]:
        raise ValueError(f"student_feature must hold numbers, but its shape is {list(student_feature.shape)}")
    check_finite(student_feature=student_feature, teacher_feature=teacher_feature)
    difference = (student_feature - teacher_feature).square().flatten(1).mean(dim=1)
    return _reduce(difference, reduction, "student_feature")


def attention_map(feature: Tensor) -> Tensor:
    """Where a feature is large: Σ_c F_c² at each place, as a vector of length 1 (Zagoruyko & Komodakis, 1612.03928).

    A map of zeros stays zeros. The largest |F| of each sample is divided out first, which changes nothing but that
    squares neither overflow nor vanish.

    Args:
        feature: F, ``[batch, channels, height, width]``.

    Returns:
        ``[batch, height * width]``, not negative, rows of L2 norm 1.
    """
    _check_feature("feature", feature)
    check_finite(feature=feature)
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
    """Distance of attention maps, summed over pairs of stages (Zagoruyko & Komodakis 2017, arXiv 1612.03928).

    With Q the maps: the authors' code, which is what β = 1000 belongs to, takes the *mean over places* of (Q_s − Q_t)²;
    the paper writes the norm ‖Q_s − Q_t‖₂. For one pair of maps of P places, code = paper² / P. Of two maps of unequal
    size the feature of the larger is average-pooled to the smaller one's, as in the authors' code.

    Args:
        student_features: one ``[batch, channels, height, width]`` a pair.
        teacher_features: as many; channels may differ.
        form: "code" or "paper".
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    _check_pairs(student_features, teacher_features)
    if form not in ("code", "paper"):
        raise ValueError(f"form must be 'code' or 'paper', not {form!r}")
    total = 0
    for student, teacher in zip(student_features, teacher_features, strict=True):
        difference = torch.sub(*map(attention_map, match_size(student, teacher)))
        distance = difference.square().mean(dim=1) if form == "code" else torch.linalg.vector_norm(difference, dim=1)
        total = total + distance
    return _reduce(total, reduction, "student_features")


def match_size(feature: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both features ``[batch, channels, height, width]``, each average-pooled to the smaller height and width."""
    _check_feature("feature", feature)
    _check_feature("other", other)
    size = tuple(map(min, feature.shape[2:], other.shape[2:]))
    return tuple(one if one.shape[2:] == size else F.adaptive_avg_pool2d(one, size) for one in (feature, other))


def peer_divergences(logits: Sequence[Tensor], temperature: float = 1.0) -> list[Tensor]:
    """For each of M ≥ 2 peers the mean over the others j of T²·KL(p_j ‖ p_i), the others detached (1706.00384).

    Args:
        logits: a list of M tensors ``[batch, classes]``.
        temperature: T > 0.
    """
    if not isinstance(logits, (list, tuple)):
        raise TypeError(f"logits must be a list of tensors [batch, classes], one a peer, not {_kind(logits)}")
    if len(logits) < 2:
        raise ValueError(f"logits must be those of 2 peers or more, not {len(logits)}")
    check_logits(**{f"logits[{number}]": one for number, one in enumerate(logits)})
    _check_not_empty("logits[0]", logits[0])
    return [
        sum(kd_loss(own, other.detach(), temperature) for j, other in enumerate(logits) if j != i) / (len(logits) - 1)
        for i, own in enumerate(logits)
    ]


def mutual_losses(logits: Sequence[Tensor], targets: Tensor, temperature: float = 1.0) -> list[Tensor]:
    """Deep mutual learning: a loss for each peer, CE_i + mean_{j≠i} T²·KL(p_j ‖ p_i) (Zhang et al. 2018, 1706.00384).

    Each peer is a fixed target (detached) for the others. The paper has T = 1, and updates the peers in turn; here, as
    in most code, all losses of a step are of the same weights.

    Args:
        logits: a list of M ≥ 2 tensors ``[batch, classes]``.
        targets: y, ``[batch]`` int64.
        temperature: T > 0.
    """
    divergences = peer_divergences(logits, temperature)
    _check_batch(targets, *logits[0].shape)
    return [F.cross_entropy(own, targets) + other for own, other in zip(logits, divergences, strict=True)]


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Return ``x``; in the backward pass its gradient is multiplied by −``strength`` (arXiv 1409.7495).

    An optimiser that descends on the loss then *ascends* on it in whatever ``x`` was computed from.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, not {_kind(x)}")
    return _ReverseGradient.apply(x, check_weight("strength", strength))


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def check_temperature(temperature: float) -> float:
    """Return ``temperature`` if it is a finite number above 0, else raise."""
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        raise TypeError(f"temperature must be a number, not {_kind(temperature)}")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number above 0, not {temperature!r}")
    return float(temperature)


def check_fraction(name: str, value: float) -> float:
    """Return ``value`` if it is a number in [0, 1], else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
    return float(value)


def check_weight(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number, 0 or more, else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number, 0 or more, not {value!r}")
    return float(value)


def check_targets(targets: Tensor, classes: int) -> Tensor:
    """Return ``targets`` if they are class indices ``[batch]`` of dtype int64 in 0 … classes − 1, else raise."""
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        raise TypeError(f"targets must be an int64 tensor of class indices, not {_kind(targets)}")
    if targets.ndim != 1:
        raise ValueError(f"targets must have the shape [batch], not {list(targets.shape)}")
    if len(targets) and not bool(((targets >= 0) & (targets < classes)).all()):
        raise ValueError(
            f"targets must lie in 0 … {classes - 1}, but they span {int(targets.min())} … {int(targets.max())}"
        )
    return targets


def _reduce(per_sample: Tensor, reduction: str, name: str) -> Tensor:
    if reduction == "mean":
        _check_not_empty(name, per_sample)
        return per_sample.mean()
    if reduction == "none":
        return per_sample
    raise ValueError(f"reduction must be 'mean' or 'none', not {reduction!r}")


def _check_not_empty(name: str, batch: Tensor) -> None:
    if len(batch) == 0:
        raise ValueError(f"{name} must hold at least one sample, not 0: an empty batch has no mean")


def check_finite(**tensors: Tensor) -> None:
    """No NaN and no infinity in any tensor, else ``ValueError`` with its name and how many there are.

    A finite sum has finite terms, and takes a tenth of the time of looking at each. (On a GPU either waits for the
    result, as a training does anyway that copies each batch there.)
    """
    for name, tensor in tensors.items():
        if math.isfinite(tensor.detach().sum()):
            continue
        count = int((~tensor.detach().isfinite()).sum())
        if count:
            raise ValueError(f"{name} must be finite, but {count} of {tensor.numel()} numbers are NaN or infinite")


def check_logits(**tensors: Tensor) -> None:
    """Floating-point, rank 2, two classes or more, all of one shape, and finite."""
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, not {_kind(tensor)}")
        if tensor.ndim != 2:
            raise ValueError(f"{name} must have the shape [batch, classes], not {list(tensor.shape)}")
        if tensor.shape[1] < 2:
            raise ValueError(f"{name} must have at least 2 classes, not {tensor.shape[1]}")
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} must have the shape of {first_name}, {list(first.shape)}, not {list(tensor.shape)}"
            )
    check_finite(**tensors)


def _split_log_softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of target against rest ``[batch, 2]``, and of the other classes alone ``[batch, K − 1]``."""
    batch, classes = logits.shape
    is_target = F.one_hot(targets, classes).bool()
    target, others = logits[is_target].view(batch, 1), logits[~is_target].view(batch, classes - 1)
    rest = torch.logsumexp(others, dim=1, keepdim=True)
    return F.log_softmax(torch.cat([target, rest], dim=1), dim=1), F.log_softmax(others, dim=1)


def _check_feature(name: str, feature: Tensor) -> None:
    if not isinstance(feature, Tensor) or not feature.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, not {_kind(feature)}")
    if feature.ndim != 4 or 0 in feature.shape[1:]:
        raise ValueError(f"{name} must have the shape [batch, channels, height, width], not {list(feature.shape)}")


def _check_pairs(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> None:
    named = {"student_features": student_features, "teacher_features": teacher_features}
    for name, features in named.items():
        if not isinstance(features, (list, tuple)) or not features:
            found = "an empty one" if isinstance(features, (list, tuple)) else _kind(features)
            raise TypeError(f"{name} must be a non-empty list of features, not {found}")
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f"teacher_features must be as many as student_features, {len(student_features)}, not "
            f"{len(teacher_features)}"
        )
    for number, (student, teacher) in enumerate(zip(student_features, teacher_features, strict=True)):
        _check_feature(f"student_features[{number}]", student)
        _check_feature(f"teacher_features[{number}]", teacher)
        check_finite(**{f"student_features[{number}]": student, f"teacher_features[{number}]": teacher})
        if len(student) != len(teacher):
            raise ValueError(
                f"teacher_features[{number}] must have the batch of student_features[{number}], {len(student)}, not "
                f"{len(teacher)}"
            )


def _check_batch(targets: Tensor, batch: int, classes: int) -> None:
    if len(check_targets(targets, classes)) != batch:
        raise ValueError(f"targets must be one class for each of the {batch} samples, not {len(targets)}")


def _check_teachers(teacher_logits: Tensor, shape: torch.Size | None) -> None:
    if not isinstance(teacher_logits, Tensor) or not teacher_logits.is_floating_point():
        raise TypeError(
            "teacher_logits must be a floating-point tensor [teachers, batch, classes], not "
            f"{_kind(teacher_logits)}: torch.stack(list) makes one"
        )
    if teacher_logits.ndim != 3 or not len(teacher_logits) or teacher_logits.shape[1:] != shape:
        wanted = ", ".join(map(str, shape)) if shape is not None and len(shape) == 2 else "batch, classes"
        raise ValueError(
            f"teacher_logits must have the shape [teachers, {wanted}], 1 teacher or more, not "
            f"{list(teacher_logits.shape)}"
        )
    check_logits(teacher_logits=teacher_logits.flatten(0, 1))


def _check_weights(weights: Tensor, teacher_logits: Tensor) -> None:
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        raise TypeError(f"weights must be a floating-point tensor [batch, teachers], not {_kind(weights)}")
    count, batch = teacher_logits.shape[:2]
    if weights.shape != (batch, count):
        raise ValueError(
            f"weights must have the shape [batch, teachers], {[batch, count]}, not {list(weights.shape)}: "
            "one row a sample"
        )
    _check_distribution("weights", weights)


def _check_distribution(name: str, probabilities: Tensor) -> None:
    with torch.no_grad():
        if len(probabilities) == 0:
            return
        if not bool((probabilities >= 0).all()):
            raise ValueError(f"{name} must not be negative or NaN; the smallest is {float(probabilities.min()):.4g}")
        error = float((probabilities.sum(dim=-1) - 1).abs().max())
        if error > 1e-3:
            raise ValueError(f"{name} must sum to 1 in each row; the largest deviation is {error:.4g}")


def _kind(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    name = str(value.dtype).removeprefix("torch.")
    return f"{'an' if name.startswith('i') else 'a'} {name} tensor"
