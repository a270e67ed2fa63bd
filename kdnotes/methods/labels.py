"""Methods without a teacher: the baseline and the control."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.methods.base import Batch, Method


@dataclass(eq=False)
class CrossEntropy(Method):
    """Cross-entropy with the labels: the baseline."""

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets)}


@dataclass(eq=False)
class LabelSmoothing(Method):
    """Cross-entropy with (1 − ε)·e_y + ε/K (Müller et al. 2019, arXiv 1906.02629): the control.

    Args:
        epsilon: ε in [0, 1].
    """

    epsilon: float = bound(checks.fraction, 0.1)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        loss = F.cross_entropy(batch.student_logits, batch.targets, label_smoothing=self.epsilon)
        return {"hard": loss}
