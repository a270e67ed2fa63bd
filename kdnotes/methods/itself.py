"""Self-distillation: the student's own past, and its own deeper layers, as teachers."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Method


@dataclass(eq=False)
class PSKD(Method):
    """Progressive self-distillation: the student's own predictions of the previous epoch (PS-KD).

    The target is (1 − λ_e)·e_y + λ_e·p_previous with λ_e = λ·(e + 1)/E in epoch e = 0 … E − 1 (Kim
    et al. 2021, arXiv 2006.12000). Predictions are kept by *sample*, at the position of the image
    in the training split, in one tensor ``[N, classes]``: each sample is read before it is written,
    once an epoch. Before the first epoch it holds the labels.

    Args:
        alpha: λ, the weight of the past at the end, in [0, 1] (the paper writes α_t for λ_e).
    """

    alpha: float = bound(checks.fraction, 0.8)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        classes = getattr(student, "num_classes", None) or self._classes(student, train, device)
        self.previous = F.one_hot(train.targets, classes).float().to(device)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        alpha = self.alpha * (batch.epoch + 1) / batch.epochs
        targets = losses.self_targets(batch.targets, self.recall(batch), alpha)
        self.remember(batch, F.softmax(batch.student_logits.detach(), dim=1))
        return {"soft": losses.soft_cross_entropy(batch.student_logits, targets)}

    @staticmethod
    def _classes(student: nn.Module, train: Split, device: torch.device) -> int:
        """As many as the student's logits: the training images may lack the last class."""
        with torch.no_grad():
            logits = copy.deepcopy(student).eval()(train.images[:1].to(device))
        return max(logits.shape[1], int(train.targets.max()) + 1)

    def recall(self, batch: Batch) -> Tensor:
        """What the student predicted for these samples an epoch ago, ``[B, classes]``."""
        return self.previous[batch.positions]

    def remember(self, batch: Batch, probabilities: Tensor) -> None:
        """Keep what the student predicts now, ``[B, classes]``."""
        self.previous[batch.positions] = probabilities


@dataclass(eq=False)
class BYOT(Method):
    """Be your own teacher: the deepest exit teaches the shallower ones (Zhang et al., 1905.08094).

    The student is a ``models.MultiExitStudent``. Cross-entropy at the deepest exit, and for every
    shallower one α·CE + (1 − α)·T²·KL(p_deepest ‖ p_exit) + w·(hint: mean squared difference of the
    features). The deepest exit is detached where it teaches.

    Args:
        temperature: T > 0.
        alpha: the authors' α, which weighs the soft term of a shallow exit: 1 − α of the formula
            above, in [0, 1]. With ``hint`` = 0 as well, 0 is deep supervision, the control without
            self-distillation.
        hint: w, 0 or more.
    """

    temperature: float = bound(checks.positive, 3.0)
    alpha: float = bound(checks.fraction, 0.3)
    hint: float = bound(checks.weight, 0.03)

    needs_features = True

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        if not getattr(student, "exits", None):
            found = type(student).__name__
            raise TypeError(
                f"student must be a models.MultiExitStudent, which has exits, not {found}"
            )

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        deepest = batch.student_logits.detach()
        feature = list(batch.features.values())[-1].detach()
        hard, soft, hint = [F.cross_entropy(batch.student_logits, batch.targets)], [], []
        for name, branch in batch.student.exits.items():
            own = branch.bottleneck(batch.features[name])
            logits = branch.head(own)
            hard.append((1 - self.alpha) * F.cross_entropy(logits, batch.targets))
            soft.append(self.alpha * losses.kd_loss(logits, deepest, self.temperature))
            hint.append(self.hint * losses.hint_loss(own, feature))
        return {"hard": sum(hard), "soft": sum(soft), "hint": sum(hint)}
