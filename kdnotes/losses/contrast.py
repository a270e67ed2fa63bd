"""The contrastive loss: an anchor is to find its own sample among many (CRD, arXiv 1910.10699).

A similarity is the scalar product of two embeddings of length 1: the anchor is one network's, the
candidates are the other's. With s a similarity, T the temperature and M negatives, the probability
that anchor and candidate belong to one sample is modelled as σ(h) with

    h = s / T − log M − log Z,

and the loss of an anchor is −log σ(h) of its own sample minus the sum of log(1 − σ(h)) over the
negatives. Z is what exp(s/T) is for a candidate drawn blindly: then σ(h) = 1 / (M + 1).

The authors' code (https://github.com/HobbitLong/RepDistiller, folder crd, commits 97c4c00 and
1fb2343) takes Z as the mean of exp(s/T) in the first batch and keeps it. It is followed: the number
of training images N, which it also writes, cancels. (The paper has M/N in the place of M·Z; its own
text was not at hand.) The code's 1e-7 in a denominator, which hides an unlikely pair, is left out:
all is computed from logarithms.

Neither network's embeddings can be changed alone without a change of the loss, but for their
lengths; a rotation of both together leaves it. So the two projections have to be learned.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.reduction import reduce


def contrastive_loss(
    similarities: Tensor, level: float = 0.0, temperature: float = 0.07, *, reduction: str = "mean"
) -> Tensor:
    """Loss of telling an anchor's own sample from M negatives (CRD, Tian et al. 2020, 1910.10699).

    Args:
        similarities: s, ``[batch, 1 + M]``: of each anchor with its own sample in the first column,
            with its negatives in the others.
        level: log Z, as ``contrast_level`` estimates it.
        temperature: T > 0.
        reduction: "mean" over anchors, or "none" for ``[batch]``.
    """
    checks.similarities(similarities)
    checks.number("level", level)
    checks.positive("temperature", temperature)
    h = similarities / temperature - math.log(similarities.shape[1] - 1) - level
    each = F.softplus(-h[:, 0]) + F.softplus(h[:, 1:]).sum(dim=1)
    return reduce(each, reduction, "similarities")


def contrast_level(similarities: Tensor, temperature: float = 0.07) -> float:
    """The logarithm of Z: of the mean of exp(s/T) over all candidates of a batch, the anchors' own
    samples included.

    Args:
        similarities: s, ``[batch, 1 + M]``, of one anchor or more.
        temperature: T > 0.
    """
    checks.similarities(similarities)
    checks.not_empty("similarities", similarities)
    checks.positive("temperature", temperature)
    exponents = similarities.detach().double().flatten() / temperature
    return torch.logsumexp(exponents, dim=0).item() - math.log(len(exponents))
