"""Distillation of relations: how samples lie to each other, or classes, not where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Taught
from kdnotes.methods.features import FeatureKD


class EmbeddingKD(FeatureKD):
    """KD with a further term from one vector a sample, student's and teacher's, of every pair."""

    def embeddings(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """(student's, teacher's) ``[B, channels]``: a stage's output, averaged over its places."""
        theirs = self.teacher_features(batch)
        return [
            tuple(one.float().mean(dim=(2, 3)) for one in (batch.features[ours], theirs[stage]))
            for ours, stage in self.pairs
        ]


@dataclass(eq=False)
class RKD(EmbeddingKD):
    """KD and relations: α·CE + (1 − α)·soft + w_d·distances + w_a·angles (RKD, 1904.05068).

    Compared is how the samples of a batch lie to each other, in the student's embedding and in the
    teacher's, summed over pairs of stages: ``losses.relational_distance_loss`` and
    ``losses.relational_angle_loss``, which say where paper and code differ. An embedding is the
    output of a stage, averaged over its places; channels and sizes of a pair may be any. With
    ``alpha`` = 1 it is RKD alone (Park et al. 2019), whose embedding is that of the last stage. The
    weights are those of the authors' code for classification.

    Args:
        weight: w_d, of the distances, 0 or more.
        angle_weight: w_a, of the angles, 0 or more; in a batch of two samples there are none.
    """

    weight: float = bound(checks.weight, 25.0)
    angle_weight: float = bound(checks.weight, 50.0)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        found = self.embeddings(batch)
        distances = sum(losses.relational_distance_loss(*pair) for pair in found)
        angles = sum(losses.relational_angle_loss(*pair) for pair in found)
        own = {"distances": self.weight * distances, "angles": self.angle_weight * angles}
        return super().terms(batch) | own


@dataclass(eq=False)
class SP(FeatureKD):
    """KD and similarities: α·CE + (1 − α)·soft + w·similarities (SP, Tung & Mori 2019, 1907.09682).

    Compared are the scalar products among the samples of a batch, ``losses.similarity_loss``, of
    the outputs of a stage, places and all, summed over pairs of stages; channels and sizes of a
    pair may be any. With ``alpha`` = 1 it is SP alone. The weight 3000 is that of RepDistiller's
    scripts, for batches of 64: the loss falls as 1/batch.
    """

    weight: float = bound(checks.weight, 3000.0)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        theirs = self.teacher_features(batch)
        similarities = sum(
            losses.similarity_loss(
                batch.features[ours].float().flatten(1), theirs[stage].float().flatten(1)
            )
            for ours, stage in self.pairs
        )
        return super().terms(batch) | {"similarities": self.weight * similarities}


@dataclass(eq=False)
class DIST(Taught):
    """CE + β·inter-class + γ·intra-class correlation of the outputs (DIST, 2205.10536).

    Both terms are those of ``losses.correlation_terms``, times T². β = γ = T = 1 are the defaults
    of the authors' code (Huang et al. 2022). It needs no inner features, and no KL.

    Args:
        teacher: gives the stored logits of every view.
        temperature: T > 0.
        beta, gamma: β and γ, weights of the relation among classes and of that among samples, 0 or
            more.
    """

    temperature: float = bound(checks.positive, 1.0)
    beta: float = bound(checks.weight, 1.0)
    gamma: float = bound(checks.weight, 1.0)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        inter, intra = losses.correlation_terms(
            batch.student_logits, self.teacher_logits(batch), self.temperature
        )
        return {
            "hard": F.cross_entropy(batch.student_logits, batch.targets),
            "inter-class": self.beta * inter,
            "intra-class": self.gamma * intra,
        }


class Contrast(nn.Module):
    """Projections of a pair of embeddings, and the memory of what they gave for each image.

    Args:
        channels: of the student's and of the teacher's embedding.
        images: how many are to be remembered.
        size: of the projections.
        momentum: share of an image's old memory in the new one.
        temperature: T of ``losses.contrastive_loss``.
    """

    def __init__(
        self, channels: tuple[int, int], images: int, size: int, momentum: float, temperature: float
    ):
        super().__init__()
        self.student, self.teacher = (nn.Linear(one, size) for one in channels)
        self.momentum, self.temperature = momentum, temperature
        self.levels: list[float] = []  # of the student's anchors and of the teacher's
        self.register_buffer("memory", F.normalize(torch.randn(2, images, size), dim=2))

    def forward(self, student: Tensor, teacher: Tensor, candidates: Tensor) -> Tensor:
        """The loss of both networks' anchors, each against what is remembered of the other.

        Args:
            student: its embedding, ``[B, channels]``.
            teacher: its embedding, ``[B, channels]``.
            candidates: rows of the memory, ``[B, 1 + M]``, an image's own in the first column.
        """
        ours, theirs = self.student(student), self.teacher(teacher)
        anchors = F.normalize(torch.stack([ours, theirs]), dim=2)
        products = anchors @ self.memory.flip(0).transpose(1, 2)
        similarities = [one.gather(1, candidates) for one in products]
        if not self.levels:
            self.levels = [losses.contrast_level(one, self.temperature) for one in similarities]
        self._remember(candidates[:, 0], anchors.detach())
        return sum(
            losses.contrastive_loss(one, level, self.temperature)
            for one, level in zip(similarities, self.levels, strict=True)
        )

    def _remember(self, positions: Tensor, anchors: Tensor) -> None:
        mixed = self.momentum * self.memory[:, positions] + (1 - self.momentum) * anchors
        # A new tensor: the gradient of this step needs the old one.
        self.memory = self.memory.index_copy(1, positions, F.normalize(mixed, dim=2))


@dataclass(eq=False)
class CRD(EmbeddingKD):
    """KD and contrast: α·CE + (1 − α)·soft + w·contrast (CRD, Tian et al. 2020, 1910.10699).

    An image's embeddings in student and teacher are to find each other among the embeddings of
    images of other classes (``losses.contrastive_loss``, once with the student's embedding as the
    anchor, once with the teacher's; summed over pairs of stages). Two linear projections bring them
    to one size: the method's own parameters, trained with the student's, without weight decay. The
    candidates come from a memory of both projections of every training image, by its position;
    an image's entry moves to what its projection is now when the image is seen. It is noise at the
    start, so that in the first epoch there is nothing to find. Its cost: ``memory_bytes``.

    The authors' code is followed: in the defaults, in negatives of other classes alone, in log Z of
    the first batch, in anchors that meet the memory (not this step's projections) of the other
    network. But a negative is drawn once at most: where there are fewer than M images of other
    classes, all are taken; and the memory starts at random vectors of length 1, where theirs starts
    evenly in a cube. With ``alpha`` = 1 it is CRD alone.

    Args:
        weight: w, 0 or more.
        negatives: M, how many at most.
        contrast_temperature: T of the contrast.
        size: of the projections.
        momentum: share of the old in a new entry of the memory, in [0, 1].
    """

    weight: float = bound(checks.weight, 0.8)
    negatives: int = bound(checks.at_least(1), 16384)
    contrast_temperature: float = bound(checks.positive, 0.07)
    size: int = bound(checks.at_least(1), 128)
    momentum: float = bound(checks.fraction, 0.5)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.labels = train.targets.to(device)
        fewest = len(train) - int(train.targets.bincount().max())
        if not fewest:
            raise ValueError("data.train must hold images of 2 classes or more for CRD, not 1")
        self.drawn = min(self.negatives, fewest)
        self.contrasts = nn.ModuleList(
            Contrast(
                (self.ours[ours][0], self.theirs[stage][0]),
                len(train),
                self.size,
                self.momentum,
                self.contrast_temperature,
            )
            for ours, stage in self.pairs
        ).to(device)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.contrasts.parameters())

    def candidates(self, batch: Batch) -> Tensor:
        """Positions of each image and of negatives drawn for it, ``[B, 1 + M]``."""
        others = self.labels != batch.targets[:, None]
        drawn = others.float().multinomial(self.drawn)
        return torch.cat([batch.positions[:, None], drawn], dim=1)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        candidates = self.candidates(batch)
        contrast = sum(
            one(*pair, candidates)
            for one, pair in zip(self.contrasts, self.embeddings(batch), strict=True)
        )
        return super().terms(batch) | {"contrast": self.weight * contrast}

    def memory_bytes(self, images: int) -> int:
        """What the memories of so many training images take: two vectors an image and pair."""
        return len(self.pairs) * 2 * images * self.size * 4

    def keep(self) -> dict[str, Tensor]:
        """Weights ``[size, channels]`` and biases of the projections, "0.student.weight" …"""
        return dict(self.contrasts.named_parameters())
