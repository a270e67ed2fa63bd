"""Distillation losses: pure functions of tensors, with no state, no device and no configuration.

Logits are floating-point tensors ``[batch, classes]``, finite, with at least two classes. Every
loss returns a scalar (the mean over the batch, which must hold a sample), or one value a sample,
``[batch]``, with ``reduction="none"``. Bad arguments raise ``TypeError`` (wrong kind) or
``ValueError`` (wrong value), naming the argument, what it was and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks

__all__ = [
    "attention_map", "attention_transfer_loss", "confidence_weights", "decoupled_terms", "dkd_loss", "hint_loss",
    "kd_loss", "match_size", "multi_teacher_kd_loss", "mutual_losses", "peer_divergences", "reverse_gradient",
    "self_targets", "soft_cross_entropy", "soften", "standardize_logits",
]  # fmt: skip


_check_reduction = checks.one_of("mean", "none")
check_form = checks.one_of("code", "paper")


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Softmax with temperature, p = softmax(z / T) (Hinton et al. 2015, arXiv 1503.02531, eq. 1).

    Args:
        logits: z, ``[batch, classes]``.
        temperature: T > 0. T = 1 is the ordinary softmax; a larger T flattens.

    Returns:
        Probabilities ``[batch, classes]``; each row sums to 1.
    """
    checks.logits(logits=logits)
    checks.positive("temperature", temperature)
    return F.softmax(logits / temperature, dim=1)


def kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Distillation loss T²·KL(p_t ‖ p_s) at temperature T (Hinton et al. 2015, arXiv 1503.02531,
    §2).

    Without the factor T² the gradient would fall as 1/T². Hinton et al. write the soft term as a
    cross-entropy; KL differs from it by the teacher's entropy, a constant for the student, so that
    the gradient is the same and the loss is 0 exactly when the two distributions agree. It is
    computed from log-softmax on both sides: no probability is ever turned back into a logarithm.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: z_t, same shape; it receives a gradient only if it requires one.
        temperature: T > 0.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    checks.logits(student_logits=student_logits, teacher_logits=teacher_logits)
    checks.positive("temperature", temperature)
    log_p_s = F.log_softmax(student_logits / temperature, dim=1)
    log_p_t = F.log_softmax(teacher_logits / temperature, dim=1)
    divergence = F.kl_div(log_p_s, log_p_t, reduction="none", log_target=True).sum(dim=1)
    return _reduce(divergence * temperature**2, reduction, "student_logits")


def soft_cross_entropy(
    student_logits: Tensor, target_probabilities: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy −Σ_c q_c·log p_s,c against given probabilities q: label smoothing, mixed or
    stored targets.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        target_probabilities: q, same shape, not negative, rows summing to 1 (within 1e-3).
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    checks.logits(student_logits=student_logits, target_probabilities=target_probabilities)
    checks.distribution("target_probabilities", target_probabilities)
    return _reduce(
        -(target_probabilities * F.log_softmax(student_logits, dim=1)).sum(dim=1),
        reduction,
        "student_logits",
    )


def decoupled_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    temperature: float = 4.0,
    *,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """The two parts of the distillation loss: TCKD and NCKD, each times T² (Zhao et al. 2022, arXiv
    2203.08679, eq. 5).

    TCKD is the KL divergence between the binary distributions (p_y, 1 − p_y); NCKD the one between
    the distributions over the other classes, renormalised to sum to 1. With reduction="none",

        kd_loss = TCKD + (1 − p_t,y)·NCKD

    holds for every sample, p_t,y being the teacher's probability of the target class at T. All is
    computed from logarithms (``logsumexp``), where the authors' code masks the target's logit with
    −1000. With two classes the other classes are one, and NCKD is 0.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: z_t, same shape.
        targets: y, ``[batch]`` int64.
        temperature: T > 0.
        reduction: "mean" over samples, or "none" for ``[batch]``.

    Returns:
        (TCKD, NCKD).
    """
    checks.logits(student_logits=student_logits, teacher_logits=teacher_logits)
    checks.targets(targets, student_logits.shape[1], len(student_logits))
    checks.positive("temperature", temperature)
    binary_s, others_s = _split_log_softmax(student_logits / temperature, targets)
    binary_t, others_t = _split_log_softmax(teacher_logits / temperature, targets)
    target_class, non_target_class = (
        F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=1) * temperature**2
        for log_s, log_t in ((binary_s, binary_t), (others_s, others_t))
    )
    return tuple(
        _reduce(term, reduction, "student_logits") for term in (target_class, non_target_class)
    )


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
    """Decoupled distillation γ·TCKD + β·NCKD, each with T² (Zhao et al. 2022, arXiv 2203.08679, eq.
    7).

    Args:
        alpha, beta: γ and β, finite weights, 0 or more. The paper writes α for γ (which weighs the
            labels in this course), and uses 1 for it and a β that depends on the pair of networks.
    """
    checks.weight("alpha", alpha)
    checks.weight("beta", beta)
    target_class, non_target_class = decoupled_terms(
        student_logits, teacher_logits, targets, temperature, reduction=reduction
    )
    return alpha * target_class + beta * non_target_class


def self_targets(targets: Tensor, previous_probabilities: Tensor, alpha: float) -> Tensor:
    """Targets of progressive self-distillation, (1 − λ)·e_y + λ·p_previous (PS-KD, Kim et al. 2021,
    arXiv 2006.12000).

    Args:
        targets: y, ``[batch]`` int64.
        previous_probabilities: what the student predicted for the *same samples* an epoch ago,
            ``[batch, classes]``.
        alpha: λ, the weight of the past, in [0, 1]; the paper's α_t. The labels keep 1 − λ.

    Returns:
        Probabilities ``[batch, classes]`` for ``soft_cross_entropy``.
    """
    checks.logits(previous_probabilities=previous_probabilities)
    checks.targets(targets, previous_probabilities.shape[1], len(previous_probabilities))
    checks.distribution("previous_probabilities", previous_probabilities)
    checks.fraction("alpha", alpha)
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
    """Weighted distillation from M teachers: Σ_m w_m·T²·KL(p_t,m ‖ p_s) for each sample, and the
    mean over samples.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: ``[M, batch, classes]``.
        weights: w, ``[batch, M]``: a row a sample, not negative, rows summing to 1 (within 1e-3).
        temperature: T > 0.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    checks.logits(student_logits=student_logits)
    checks.teacher_logits(teacher_logits, student_logits.shape)
    checks.teacher_weights(weights, teacher_logits)
    divergences = [
        kd_loss(student_logits, logits, temperature, reduction="none") for logits in teacher_logits
    ]
    return _reduce(
        (weights * torch.stack(divergences, dim=1)).sum(dim=1), reduction, "student_logits"
    )


def confidence_weights(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """Per-sample weights of M teachers, w_m = (1 − softmax_m(CE_m)) / (M − 1) (CA-MKD, arXiv
    2201.00007, eq. 3).

    A teacher whose cross-entropy with the label is lower weighs more. No teacher can weigh more
    than 1/(M − 1).

    Args:
        teacher_logits: ``[M, batch, classes]``.
        targets: y, ``[batch]`` int64.

    Returns:
        ``[batch, M]``, rows summing to 1; all ones for one teacher.
    """
    checks.teacher_logits(teacher_logits)
    count, batch, classes = teacher_logits.shape
    checks.targets(targets, classes, batch)
    errors = torch.stack(
        [F.cross_entropy(logits, targets, reduction="none") for logits in teacher_logits], dim=1
    )
    return (1 - F.softmax(errors, dim=1)) / (count - 1) if count > 1 else torch.ones_like(errors)


def standardize_logits(logits: Tensor, eps: float = 1e-7) -> Tensor:
    """Logits with mean 0 and standard deviation 1 in each row, (z − mean) / (std + ε) (arXiv
    2403.01427).

    Before a softmax with temperature this makes the loss blind to a shift and to the scale of the
    logits. The standard deviation has K − 1 in its denominator, as in the authors' code; the
    paper's equation has K.

    Args:
        logits: z, ``[batch, classes]``.
        eps: ε > 0; a row of equal logits becomes 0.
    """
    checks.logits(logits=logits)
    checks.positive("eps", eps)
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + eps)


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
            f"student_feature must have the shape of teacher_feature, [batch, ...]: {list(teacher_feature.shape)}, not "
            f"{list(student_feature.shape)}; a learned 1×1 convolution brings it there"
        )
    if 0 in student_feature.shape[1:]:
        raise ValueError(
            f"student_feature must hold numbers, but its shape is {list(student_feature.shape)}"
        )
    checks.finite(student_feature=student_feature, teacher_feature=teacher_feature)
    difference = (student_feature - teacher_feature).square().flatten(1).mean(dim=1)
    return _reduce(difference, reduction, "student_feature")


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
    return _reduce(total, reduction, "student_features")


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


def peer_divergences(logits: Sequence[Tensor], temperature: float = 1.0) -> list[Tensor]:
    """For each of M ≥ 2 peers the mean over the others j of T²·KL(p_j ‖ p_i), the others detached
    (1706.00384).

    Args:
        logits: a list of M tensors ``[batch, classes]``.
        temperature: T > 0.
    """
    checks.peer_logits(logits)
    return [
        sum(kd_loss(own, other.detach(), temperature) for j, other in enumerate(logits) if j != i)
        / (len(logits) - 1)
        for i, own in enumerate(logits)
    ]


def mutual_losses(
    logits: Sequence[Tensor], targets: Tensor, temperature: float = 1.0
) -> list[Tensor]:
    """Deep mutual learning: a loss for each peer, CE_i + mean_{j≠i} T²·KL(p_j ‖ p_i) (Zhang et al.
    2018, 1706.00384).

    Each peer is a fixed target (detached) for the others. The paper has T = 1, and updates the
    peers in turn; here, as in most code, all losses of a step are of the same weights.

    Args:
        logits: a list of M ≥ 2 tensors ``[batch, classes]``.
        targets: y, ``[batch]`` int64.
        temperature: T > 0.
    """
    divergences = peer_divergences(logits, temperature)
    checks.targets(targets, logits[0].shape[1], len(logits[0]))
    return [
        F.cross_entropy(own, targets) + other
        for own, other in zip(logits, divergences, strict=True)
    ]


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Return ``x``; in the backward pass its gradient is multiplied by −``strength`` (arXiv
    1409.7495).

    An optimiser that descends on the loss then *ascends* on it in whatever ``x`` was computed from.
    """
    checks.floating("x", x)
    checks.weight("strength", strength)
    return _ReverseGradient.apply(x, strength)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def _reduce(per_sample: Tensor, reduction: str, name: str) -> Tensor:
    """The mean over samples, or one value a sample; ``name`` is what an empty batch is called."""
    _check_reduction("reduction", reduction)
    if reduction == "none":
        return per_sample
    checks.not_empty(name, per_sample)
    return per_sample.mean()


def _split_log_softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of target against rest ``[batch, 2]``, and of the other classes alone
    ``[batch, K − 1]``.
    """
    batch, classes = logits.shape
    is_target = F.one_hot(targets, classes).bool()
    target, others = logits[is_target].view(batch, 1), logits[~is_target].view(batch, classes - 1)
    rest = torch.logsumexp(others, dim=1, keepdim=True)
    return F.log_softmax(torch.cat([target, rest], dim=1), dim=1), F.log_softmax(others, dim=1)
