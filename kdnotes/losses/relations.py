"""Losses of the relations among the samples of a batch, student's against teacher's.

An embedding is one vector a sample, ``[batch, size]``; student and teacher may have sizes of their
own, since only distances and angles are compared. Both losses are those of relational knowledge
distillation (RKD, Park et al. 2019, arXiv 1904.05068), with the Huber loss whose threshold is 1.

Where paper and authors' code (https://github.com/lenscloth/RKD) differ:

* The paper *sums* over pairs and triples of distinct samples. The code takes the *mean* over all
  N² and N³, those with a sample twice too, which add nothing. The code is followed: its weights, 25
  and 50, belong to means.
* For classification the code first divides each embedding by its length, which is not in the
  paper's formulas. These are followed: embeddings are taken as they are given.
* Of two samples in one place, of which the paper says nothing, the code calls the distance 1e-6,
  and multiplies the gradient of the direction by 1e12. Here the distance is 0, the direction a
  vector of zeros, and neither has a gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.reduction import reduce


def relational_distance_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Huber loss of the distances between samples, each network's divided by their mean (RKD-D).

    That mean is over pairs of distinct samples, so that the loss does not see the scale of an
    embedding. Where all samples lie in one place, all distances are 0.

    Args:
        student_embedding: ``[batch, size]``, two samples or more.
        teacher_embedding: as many samples; its size may differ.
        reduction: "mean" over samples, or "none" for ``[batch]``: the mean over the pairs of each.
    """
    checks.embeddings(2, student_embedding=student_embedding, teacher_embedding=teacher_embedding)
    ours, theirs = (
        _relative_distances(_between(one)) for one in (student_embedding, teacher_embedding)
    )
    each = F.smooth_l1_loss(ours, theirs, reduction="none").mean(dim=1)
    return reduce(each, reduction, "student_embedding")


def relational_angle_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Huber loss of the cosines of all angles ∠ijk, j the vertex, of triples of samples (RKD-A).

    It computes batch³ cosines: memory grows so with the batch.

    Args:
        student_embedding: ``[batch, size]``, two samples or more; of two there is no angle, and the
            loss is 0.
        teacher_embedding: as many samples; its size may differ.
        reduction: "mean" over samples, or "none" for ``[batch]``: the mean over the angles at each.
    """
    checks.embeddings(2, student_embedding=student_embedding, teacher_embedding=teacher_embedding)
    ours, theirs = (_cosines(_between(one)) for one in (student_embedding, teacher_embedding))
    each = F.smooth_l1_loss(ours, theirs, reduction="none").mean(dim=(1, 2))
    return reduce(each, reduction, "student_embedding")


def _between(embedding: Tensor) -> Tensor:
    """The vector from sample j to sample i at [j, i], ``[batch, batch, size]``, the largest number
    1.

    By subtraction, exact where samples are close; |a|² + |b|² − 2ab is not. Both losses are blind
    to the scale, so that dividing it out changes nothing but that squares neither overflow nor
    vanish.
    """
    vectors = embedding[None] - embedding[:, None]
    largest = vectors.detach().abs().max()
    return vectors / torch.where(largest > 0, largest, 1)


def _relative_distances(vectors: Tensor) -> Tensor:
    """Lengths divided by their mean over pairs of distinct samples, ``[batch, batch]``."""
    # The gradient of this norm at 0 is 0; that of the square root of a sum would be NaN.
    distances = torch.linalg.vector_norm(vectors, dim=2)
    pairs = max(len(vectors) * (len(vectors) - 1), 1)
    mean = distances.sum() / pairs
    return distances / torch.where(mean > 0, mean, 1)


def _cosines(vectors: Tensor) -> Tensor:
    """Cosine of the angle at j between the ways to i and to k at [j, i, k]; 0 where a way has no
    length.
    """
    lengths = torch.linalg.vector_norm(vectors, dim=2, keepdim=True)
    directions = torch.where(lengths > 0, vectors / torch.where(lengths > 0, lengths, 1), 0)
    return directions @ directions.transpose(1, 2)
