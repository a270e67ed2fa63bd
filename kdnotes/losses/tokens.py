"""Losses of language models: a divergence at each place of each string, and their mean.

Logits are ``[batch, length, classes]``; ``mask`` ``[batch, length]`` is true at the places that
count (the characters and the end, not the padding). The mean is over *places*: the sum over all
that count, divided by their number, so that a long string weighs more than a short one. With
``reduction="none"`` a loss is ``[batch, length]``, 0 where the mask is false. What is computed in
half precision or bfloat16 elsewhere is computed in float32 here: for a student near its teacher a
divergence in bfloat16 is noise.

With a temperature T both softmaxes have it, and the loss has the factor T², as ``kd_loss``. GKD,
DistiLLM and most libraries leave the factor out; at T = 1 there is no difference.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks

_check_reduction = checks.one_of("mean", "none")


def token_cross_entropy(
    student_logits: Tensor, targets: Tensor, mask: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """−log p_s of the token that follows: the mean is the nats a token.

    Args:
        student_logits: z_s, ``[batch, length, classes]``.
        targets: what follows each place, ``[batch, length]`` int64; anything where the mask is
            false.
        mask: the places that count, ``[batch, length]`` bool.
        reduction: "mean" over the places that count, or "none".
    """
    checks.token_logits(mask, student_logits=student_logits)
    classes = student_logits.shape[2]
    checks.token_classes("targets", targets, mask.shape, classes, mask)
    log_p_s = _log_softmax(student_logits, mask, 1.0)
    picked = log_p_s.gather(1, targets[mask][:, None])[:, 0]
    return _reduce(-picked, mask, reduction)


def token_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    temperature: float = 1.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Forward KL, T²·KL(p_t ‖ p_s), at each place: token-level distillation (1606.07947).

    Args:
        student_logits, teacher_logits: ``[batch, length, classes]``; logits or log-probabilities.
        mask: the places that count, ``[batch, length]`` bool.
        temperature: T > 0.
        reduction: "mean" over the places that count, or "none".
    """
    log_s, log_t = _pair(student_logits, teacher_logits, mask, temperature)
    return _reduce(temperature**2 * _kl(log_t, log_s), mask, reduction)


def token_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    temperature: float = 1.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Reverse KL, T²·KL(p_s ‖ p_t), at each place (arguments as ``token_kl``).

    MiniLLM (2306.08543) minimises the reverse KL of whole strings, which counts what a token does
    to all later ones; this is its part of one place, as GKD (2306.13649) uses it.
    """
    log_s, log_t = _pair(student_logits, teacher_logits, mask, temperature)
    return _reduce(temperature**2 * _kl(log_s, log_t), mask, reduction)


def token_jsd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    beta: float = 0.5,
    temperature: float = 1.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Generalised Jensen-Shannon divergence at each place (GKD, 2306.13649, eq. 1), times T².

    JSD_β = β·KL(p_t ‖ m) + (1 − β)·KL(p_s ‖ m) with m = β·p_t + (1 − β)·p_s. It is at most
    −β·log β − (1 − β)·log(1 − β). Near β = 0 it is about β·KL(p_t ‖ p_s), near 1 about
    (1 − β)·KL(p_s ‖ p_t), so it *vanishes* at both ends. By the convention of the libraries 0 and 1
    themselves mean the limits after division, the forward and the reverse KL: between 1e-4 and 0
    the loss jumps by a factor of 10,000.

    Args:
        beta: β in [0, 1]; others as ``token_kl``.
    """
    checks.fraction("beta", beta)
    log_s, log_t = _pair(student_logits, teacher_logits, mask, temperature)
    if beta in (0, 1):
        divergence = _kl(log_s, log_t) if beta else _kl(log_t, log_s)
    else:
        middle = _mixture(log_t, log_s, beta)
        divergence = beta * _kl(log_t, middle) + (1 - beta) * _kl(log_s, middle)
    return _reduce(temperature**2 * divergence, mask, reduction)


def token_skewed_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    skew: float = 0.1,
    temperature: float = 1.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Skewed KL, T²·KL(p_t ‖ λ·p_t + (1 − λ)·p_s), at each place (DistiLLM, 2402.03898, eq. 4).

    Args:
        skew: λ in [0, 1), the paper's α, which has 0.1; 0 is the forward KL. Others as
            ``token_kl``.
    """
    check_skew("skew", skew)
    log_s, log_t = _pair(student_logits, teacher_logits, mask, temperature)
    divergence = _kl(log_t, _mixture(log_t, log_s, skew))
    return _reduce(temperature**2 * divergence, mask, reduction)


def token_skewed_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor,
    skew: float = 0.1,
    temperature: float = 1.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Skewed reverse KL, T²·KL(p_s ‖ λ·p_s + (1 − λ)·p_t), at each place (DistiLLM, 2402.03898).

    Args:
        skew: λ in [0, 1), the paper's α, which has 0.1; 0 is the reverse KL. Others as
            ``token_kl``.
    """
    check_skew("skew", skew)
    log_s, log_t = _pair(student_logits, teacher_logits, mask, temperature)
    divergence = _kl(log_s, _mixture(log_s, log_t, skew))
    return _reduce(temperature**2 * divergence, mask, reduction)


def token_sparse_kl(
    student_logits: Tensor,
    indices: Tensor,
    weights: Tensor,
    mask: Tensor,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Σ_k w_k·(log w_k − log p_s,c_k) at each place: what is learned from a few stored answers.

    With all classes and the teacher's probabilities as weights it is ``token_kl`` at T = 1. An
    answer may be there several times; its weights add up in the gradient.

    Args:
        student_logits: z_s, ``[batch, length, classes]``.
        indices: c, ``[batch, length, k]`` int64, of ``top_answers`` or ``sampled_answers``.
        weights: w, ``[batch, length, k]``, not negative, each place's summing to 1.
        mask: the places that count, ``[batch, length]`` bool.
        reduction: "mean" over the places that count, or "none".
    """
    checks.token_logits(mask, student_logits=student_logits)
    checks.floating("weights", weights, " [batch, length, k]")
    if weights.ndim != 3 or weights.shape[:2] != mask.shape:
        wanted = f"[batch, length, k], {[*mask.shape, 'k']}"
        raise ValueError(f"weights must have the shape {wanted}, not {list(weights.shape)}")
    checks.token_classes("indices", indices, weights.shape, student_logits.shape[2], mask)
    checks.distribution("weights", weights[mask])
    log_p_s = _log_softmax(student_logits, mask, 1.0)
    weights, picked = weights[mask].to(log_p_s.dtype), log_p_s.gather(1, indices[mask])
    return _reduce((torch.xlogy(weights, weights) - weights * picked).sum(dim=1), mask, reduction)


def top_answers(teacher_logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The teacher's ``count`` most probable answers at each place, renormalised: biased targets.

    What is left out gets the target 0, and what is kept more than the teacher gives it: the student
    is taught that rare answers do not happen (2503.16870).

    Args:
        teacher_logits: ``[batch, length, classes]``; at a temperature, divided by it.
        count: from 1 to classes.

    Returns:
        indices int64 and weights, both ``[batch, length, count]``.
    """
    log_t = _answers(teacher_logits, count)
    kept, indices = log_t.topk(count, dim=2)
    return indices, kept.softmax(dim=2)


def sampled_answers(teacher_logits: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` answers drawn at each place by the teacher's probabilities: unbiased targets.

    Each draw weighs 1/count, so that the expected target is the teacher's distribution, and the
    expected gradient that of ``token_kl`` (Random Sampling KD, 2503.16870, drawn from p_t itself).

    Args:
        teacher_logits: ``[batch, length, classes]``.
        count: draws a place, 1 or more.
        seed: of the draws.

    Returns:
        indices int64 (with repetition) and weights, both ``[batch, length, count]``.
    """
    checks.at_least(1)("count", count)
    checks.at_least(0)("seed", seed)
    probabilities = _answers(teacher_logits, 1).double().softmax(dim=2)
    ladder = probabilities.cumsum(dim=2)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(*ladder.shape[:2], count, generator=generator, dtype=torch.float64)
    drawn = drawn.to(ladder.device) * ladder[..., -1:]
    indices = torch.searchsorted(ladder, drawn, right=True).clamp_max(ladder.shape[2] - 1)
    return indices, torch.full(indices.shape, 1 / count, device=indices.device)


def _answers(teacher_logits: Tensor, count: int) -> Tensor:
    checks.floating("teacher_logits", teacher_logits, " [batch, length, classes]")
    if teacher_logits.ndim != 3:
        found = list(teacher_logits.shape)
        raise ValueError(
            f"teacher_logits must have the shape [batch, length, classes], not {found}"
        )
    checks.finite(teacher_logits=teacher_logits)
    checks.whole("count", count, 1, teacher_logits.shape[2])
    return _wide(teacher_logits)


def check_skew(name: str, value: object) -> None:
    """The check of a share of the first distribution in the mixture that it is compared with."""
    checks.fraction(name, value)
    if value == 1:
        raise ValueError(f"{name} must be below 1, not 1: the loss would be 0 for every student")


def _pair(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> list[Tensor]:
    checks.token_logits(mask, student_logits=student, teacher_logits=teacher)
    checks.positive("temperature", temperature)
    return [_log_softmax(one, mask, temperature) for one in (student, teacher)]


def _wide(logits: Tensor) -> Tensor:
    """At least float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _log_softmax(logits: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Of the places that count alone, ``[places, classes]``: padding may hold anything, NaN too."""
    return F.log_softmax(_wide(logits[mask]) / temperature, dim=1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


def _mixture(log_p: Tensor, log_q: Tensor, share: float) -> Tensor:
    """log(share·p + (1 − share)·q)."""
    if share == 0:
        return log_q
    return torch.logaddexp(log_p + math.log(share), log_q + math.log1p(-share))


def _reduce(per_place: Tensor, mask: Tensor, reduction: str) -> Tensor:
    _check_reduction("reduction", reduction)
    if reduction == "mean":
        return per_place.mean()
    return per_place.new_zeros(mask.shape).masked_scatter(mask, per_place)
