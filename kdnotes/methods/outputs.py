"""Distillation from one teacher's logits: KD, its two terms apart, and its standardised form."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.methods.base import Batch, Taught, labels_and


@dataclass(eq=False)
class KD(Taught):
    """Knowledge distillation, α·CE + (1 − α)·T²·KL(p_t ‖ p_s) (Hinton et al. 2015, 1503.02531).

    Args:
        teacher: gives the stored logits of every view (``teachers.Teacher``).
        temperature: T > 0.
        alpha: weight α of the labels, in [0, 1]; 0 is distillation without labels.
    """

    temperature: float = bound(checks.positive, 4.0)
    alpha: float = bound(checks.fraction, 0.1)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return labels_and(self.soft(batch), self.alpha, batch)

    def soft(self, batch: Batch) -> Tensor:
        """The distillation loss of a batch, a scalar: what most variants change."""
        return losses.kd_loss(batch.student_logits, self.teacher_logits(batch), self.temperature)


@dataclass(eq=False)
class DKD(Taught):
    """Decoupled KD: CE + warm-up·(γ·TCKD + β·NCKD) (Zhao et al. 2022, arXiv 2203.08679).

    Args:
        teacher: gives the stored logits of every view.
        temperature: T > 0.
        alpha, beta: γ (the paper's α) and β, weights of the target-class and the non-target-class
            term, 0 or more.
        warmup: fraction of the training over which both rise linearly from 0 (the paper's code:
            20 of 240 epochs).
    """

    temperature: float = bound(checks.positive, 4.0)
    alpha: float = bound(checks.weight, 1.0)
    beta: float = bound(checks.weight, 8.0)
    warmup: float = bound(checks.fraction, 1 / 12)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        target_class, non_target_class = losses.decoupled_terms(
            batch.student_logits, self.teacher_logits(batch), batch.targets, self.temperature
        )
        ramp = min(batch.progress / self.warmup, 1.0) if self.warmup else 1.0
        return {
            "hard": F.cross_entropy(batch.student_logits, batch.targets),
            "target class": ramp * self.alpha * target_class,
            "non-target class": ramp * self.beta * non_target_class,
        }


@dataclass(eq=False)
class StandardizedKD(KD):
    """KD on logits of mean 0 and standard deviation 1 in each row (Sun et al. 2024, 2403.01427).

    The cross-entropy stays on the raw logits. The soft term then equals that of raw logits with the
    temperature T·std(z) for each row. The authors' code has T = 2 or 3 and the weights 1 and 9 for
    the two terms: the ratio of α = 0.1 here, in a loss that is ten times as large (which SGD feels,
    and Adam hardly).
    """

    def soft(self, batch: Batch) -> Tensor:
        pair = (batch.student_logits, self.teacher_logits(batch))
        return losses.kd_loss(*map(losses.standardize_logits, pair), self.temperature)
