"""Distillation losses: pure functions of tensors, with no state, no device and no configuration.

Logits are floating-point tensors ``[batch, classes]`` with at least two classes. Every loss returns a scalar (the mean
over the batch), or one value a sample, ``[batch]``, with ``reduction="none"``. Bad arguments raise ``TypeError`` (wrong
kind) or ``ValueError`` (wrong value), naming the argument, what it was and what is allowed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["kd_loss", "soft_cross_entropy", "soften"]


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
    return _reduce(divergence * temperature**2, reduction)


def soft_cross_entropy(student_logits: Tensor, target_probabilities: Tensor, *, reduction: str = "mean") -> Tensor:
    """Cross-entropy −Σ_c q_c·log p_s,c against given probabilities q: label smoothing, mixed or stored targets.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        target_probabilities: q, same shape, not negative, rows summing to 1 (within 1e-3).
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    check_logits(student_logits=student_logits, target_probabilities=target_probabilities)
    _check_distribution("target_probabilities", target_probabilities)
    return _reduce(-(target_probabilities * F.log_softmax(student_logits, dim=1)).sum(dim=1), reduction)


def check_temperature(temperature: float) -> float:
    """Return ``temperature`` if it is a finite number above 0, else raise."""
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        raise TypeError(f"temperature must be a number, not {_kind(temperature)}")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number above 0, not {temperature!r}")
    return float(temperature)


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


def _reduce(per_sample: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return per_sample.mean()
    if reduction == "none":
        return per_sample
    raise ValueError(f"reduction must be 'mean' or 'none', not {reduction!r}")


def check_logits(**tensors: Tensor) -> None:
    """Floating-point, rank 2, two classes or more, and all of one shape."""
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
