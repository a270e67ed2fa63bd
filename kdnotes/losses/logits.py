"""Losses of a student's logits against a teacher's, its own, or several teachers'."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.reduction import reduce


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
    return reduce(divergence * temperature**2, reduction, "student_logits")


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
    return reduce(
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
        reduce(term, reduction, "student_logits") for term in (target_class, non_target_class)
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
    return reduce(
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


def _split_log_softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of target against rest ``[batch, 2]``, and of the other classes alone
    ``[batch, K − 1]``.
    """
    batch, classes = logits.shape
    is_target = F.one_hot(targets, classes).bool()
    target, others = logits[is_target].view(batch, 1), logits[~is_target].view(batch, classes - 1)
    rest = torch.logsumexp(others, dim=1, keepdim=True)
    return F.log_softmax(torch.cat([target, rest], dim=1), dim=1), F.log_softmax(others, dim=1)
