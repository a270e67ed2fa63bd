"""Losses of the correlations of two networks' probabilities (DIST, arXiv 2205.10536)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.reduction import reduce


def correlation_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    *,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """The two parts of DIST, each times T² (Huang et al. 2022, arXiv 2205.10536).

    Inter-class: 1 minus Pearson's correlation of p_s and p_t over the classes, mean over samples.
    Intra-class: 1 minus the correlation over the samples of the batch, mean over classes.

    * The factor T² is that of torchdistill, which refers to the authors' code. That code, as it was
      at hand (https://github.com/hunto/image_classification_sota, commit 2bc4832), has T = 1 alone.
      A correlation does not fade at a high temperature as KL does: it becomes that of the logits,
      and T² makes its gradient grow.
    * Any two numbers have the correlation 1 or −1, with no gradient: of two samples the intra-class
      term is 0, of two classes the inter-class term.
    * What is constant, up to rounding, correlates with nothing: it counts 1 and has no gradient.
      What is nearly constant has one that grows as 1 over how much it varies.
    * The authors' code adds 1e-8 to the product of two lengths, so that a class with less than 1e-4
      in all samples counts as uncorrelated. Here nothing is added.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: z_t, same shape.
        temperature: T > 0 of both softmaxes.
        reduction: "mean", or "none" for ``[batch]``: each sample's share, whose mean is the term.

    Returns:
        (inter-class, intra-class), each in [0, 2·T²].
    """
    checks.logits(student_logits=student_logits, teacher_logits=teacher_logits)
    checks.positive("temperature", temperature)
    log_p = [F.log_softmax(z / temperature, dim=1) for z in (student_logits, teacher_logits)]
    batch, classes = student_logits.shape
    between = within = 0 * log_p[0][:, 0]  # with a gradient, of zeros
    if classes > 2:
        between = 1 - _products(log_p, dim=1).sum(dim=1)
    if batch > 2:
        within = 1 - batch * _products(log_p, dim=0).mean(dim=1)
    return tuple(
        reduce(term * temperature**2, reduction, "student_logits") for term in (between, within)
    )


def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """β·inter-class + γ·intra-class of ``correlation_terms`` (DIST, 2205.10536).

    Args:
        beta, gamma: finite weights, 0 or more.
    """
    checks.weight("beta", beta)
    checks.weight("gamma", gamma)
    inter, intra = correlation_terms(
        student_logits, teacher_logits, temperature, reduction=reduction
    )
    return beta * inter + gamma * intra


def _products(log_p: list[Tensor], dim: int) -> Tensor:
    """``[batch, classes]``, whose sum over ``dim`` is the correlation over it of p_s and p_t."""
    ours, theirs = (_standardized(one, dim) for one in log_p)
    return ours * theirs


def _standardized(log_p: Tensor, dim: int) -> Tensor:
    """Centred over ``dim`` and of length 1: p minus its mean; zeros where p is constant.

    The largest p is divided out first: a correlation is blind to the scale, and a class may be
    unlikely everywhere.
    """
    scaled = (log_p - log_p.detach().amax(dim, keepdim=True)).exp()
    centred = scaled - scaled.mean(dim, keepdim=True)
    lengths = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    varies = lengths > 8 * torch.finfo(log_p.dtype).eps * math.sqrt(log_p.shape[dim])
    return torch.where(varies, centred / torch.where(varies, lengths, 1), 0)
