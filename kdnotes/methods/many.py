"""Many teachers: averaged, weighted by confidence, weighted by a learned gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Method, TeacherOutputs, fetch_logits, is_teacher, labels_and


def _are_teachers(name: str, value: Any) -> None:
    if not isinstance(value, tuple) or not value:
        found = "an empty one" if value == () else type(value).__name__
        raise TypeError(f"{name} must be a tuple of one teacher or more, not {found}")
    for number, teacher in enumerate(value):
        is_teacher(f"{name}[{number}]", teacher)


@dataclass(eq=False)
class MultiTeacherKD(Method):
    """α·CE + (1 − α)·Σ_m w_m·T²·KL(p_t,m ‖ p_s), equal weights (as You et al., KDD 2017).

    Args:
        teachers: one or more; each gives the stored logits of every view.
        temperature: T > 0.
        alpha: weight of the labels, in [0, 1].
    """

    teachers: tuple[TeacherOutputs, ...] = bound(_are_teachers)
    temperature: float = bound(checks.positive, 4.0)
    alpha: float = bound(checks.fraction, 0.1)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        banks = [
            fetch_logits(f"teachers[{number}]", teacher, train, views, device)
            for number, teacher in enumerate(self.teachers)
        ]
        if len(classes := {bank.shape[-1] for bank in banks}) > 1:
            found = sorted(classes)
            raise ValueError(f"teachers must have equal numbers of classes, not {found}")
        self.stored = torch.stack(banks)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        teacher_logits = self.stored[:, batch.view, batch.positions]
        weights = self.weights(teacher_logits, batch.targets)
        return labels_and(self.soft(batch, teacher_logits, weights), self.alpha, batch)

    def soft(self, batch: Batch, teacher_logits: Tensor, weights: Tensor) -> Tensor:
        """The distillation loss of a batch, from ``[M, B, classes]`` and ``[B, M]``, a scalar."""
        return losses.multi_teacher_kd_loss(
            batch.student_logits, teacher_logits, weights, self.temperature
        )

    def weights(self, teacher_logits: Tensor, targets: Tensor) -> Tensor:
        """Weight of each teacher on each sample, ``[B, M]``, from ``[M, B, classes]``."""
        count, batch, _ = teacher_logits.shape
        return teacher_logits.new_full((batch, count), 1 / count)


@dataclass(eq=False)
class CAMKD(MultiTeacherKD):
    """CA-MKD: teachers weighted by their cross-entropy with each label (Zhang et al., 2201.00007).

    Its logits part: the paper adds a feature term with weights of its own.
    """

    def weights(self, teacher_logits: Tensor, targets: Tensor) -> Tensor:
        return losses.confidence_weights(teacher_logits, targets)


@dataclass(eq=False)
class GatedKD(MultiTeacherKD):
    """Teachers weighted on each sample by a learned gate, as in AMTML-KD (Liu et al., 2103.04062).

    The gate is linear on the log-probabilities of all teachers, starts at equal weights and is
    trained with the student: by −log of the probability that the weighted mixture of teachers gives
    the label (a mixture of experts). The distillation term takes the weights detached: by that term
    alone the gate would learn which teacher is *easiest to imitate* (``train_gate_by="imitation"``
    does so, for comparison).

    Args:
        train_gate_by: "labels" or "imitation".
    """

    train_gate_by: str = bound(checks.one_of("labels", "imitation"), "labels")

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        count, _, _, classes = self.stored.shape
        self.gate = nn.Linear(count * classes, count).to(device)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.gate.parameters())

    @staticmethod
    def inputs(teacher_logits: Tensor) -> Tensor:
        """Log-probabilities of all teachers, ``[M, B, classes]`` to ``[B, M·classes]``."""
        return F.log_softmax(teacher_logits, dim=2).transpose(0, 1).flatten(1)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        teacher_logits = self.stored[:, batch.view, batch.positions]
        log_weights = F.log_softmax(self.gate(self.inputs(teacher_logits)), dim=1)
        by_labels = self.train_gate_by == "labels"
        weights = log_weights.detach().exp() if by_labels else log_weights.exp()
        terms = labels_and(self.soft(batch, teacher_logits, weights), self.alpha, batch)
        if by_labels:
            errors = torch.stack(
                [F.cross_entropy(z, batch.targets, reduction="none") for z in teacher_logits], dim=1
            )
            terms["gate"] = -torch.logsumexp(log_weights - errors, dim=1).mean()
        return terms

    def keep(self) -> dict[str, Tensor]:
        """The gate, softmax(``inputs`` · weightᵀ + bias): ``[M, M·classes]`` and ``[M]``."""
        return {"weight": self.gate.weight, "bias": self.gate.bias}
