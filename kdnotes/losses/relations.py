"""Losses of the relations among the samples of a batch, student's against teacher's.

An embedding is one vector a sample, ``[batch, size]``; student and teacher may have sizes of their
own, since only relations among a network's own samples are compared. What a loss does not see where
it is done to the teacher's embeddings alone (for DIST, in ``correlations``, to its logits):

===================================================  =====  =====  ===  ====
change                                               RKD-D  RKD-A  SP   DIST
===================================================  =====  =====  ===  ====
rotation, permutation of the channels (or classes)   yes    yes    yes  no
one scale for all samples                            yes    yes    yes  no
one vector added to all samples                      yes    yes    no   no
a scale for each sample                              no     no     no   no
a number for each sample, added to all its channels  no     no     no   yes
===================================================  =====  =====  ===  ====

Relational knowledge distillation (RKD, Park et al. 2019, arXiv 1904.05068) has the Huber loss whose
threshold is 1. Where the paper, as public reviews of it quote its formulas (its own text was not at
hand), and the authors' code (https://github.com/lenscloth/RKD, commit 21fae20) differ:

* The paper *sums* over pairs and triples of distinct samples. The code takes the *mean* over all
  N² and N³, those with a sample twice too, which add nothing. The code is followed: its weights, 25
  and 50, belong to means.
* For classification the code first divides each embedding by its length, which is not in the
  paper's formulas. These are followed: embeddings are taken as they are given.
* Of two samples in one place, of which the paper says nothing, the code calls the distance 1e-6,
  and multiplies the gradient of the direction by 1e12. Here the distance is 0, the direction a
  vector of zeros, and neither has a gradient. (As the root of a sum of squares, already the
  distance of a sample to itself has the gradient NaN.)
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


def similarity_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Mean squared difference of the similarities of samples (SP, Tung & Mori 2019, 1907.09682).

    The similarities of N samples are their scalar products, ``[N, N]``, each row divided by its
    length. A row contains the sample's product with itself, as in the paper: often the largest,
    which hides the others the more, the closer to orthogonal the samples are. Since a row has
    length 1, the mean over N² falls as 1/N: the same weight weighs double in half the batch.

    Args:
        student_embedding: ``[batch, size]``, two samples or more; SP flattens the output of a
            stage, places and all. The row of a sample of zeros is zeros, without gradient.
        teacher_embedding: as many samples; its size may differ.
        reduction: "mean" over samples, or "none" for ``[batch]``: the mean over the row of each.
    """
    checks.embeddings(2, student_embedding=student_embedding, teacher_embedding=teacher_embedding)
    ours, theirs = (_similarities(one) for one in (student_embedding, teacher_embedding))
    return reduce((ours - theirs).square().mean(dim=1), reduction, "student_embedding")


def _between(embedding: Tensor) -> Tensor:
    """The vector from sample j to sample i at [j, i], ``[batch, batch, size]``, the largest number
    1.

    By subtraction, exact where samples are close; |a|² + |b|² − 2ab is not. RKD is blind to the
    scale, so that dividing it out changes nothing but that squares neither overflow nor
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
    directions = _directions(vectors)
    return directions @ directions.transpose(1, 2)


def _similarities(embedding: Tensor) -> Tensor:
    """Scalar products of samples, ``[batch, batch]``, rows of length 1 or of zeros.

    The largest number is divided out first, so that products neither overflow nor vanish.
    """
    largest = embedding.detach().abs().max()
    scaled = embedding / torch.where(largest > 0, largest, 1)
    return _directions(scaled @ scaled.T)


def _directions(vectors: Tensor) -> Tensor:
    """Vectors, in the last dimension, at length 1; of one without length zeros, and no gradient."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.where(lengths > 0, vectors / torch.where(lengths > 0, lengths, 1), 0)
