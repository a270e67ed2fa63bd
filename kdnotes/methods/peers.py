"""Mutual learning: peers that teach each other while they learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Method, TeacherOutputs, fetch_logits, is_teacher
from kdnotes.models import Cohort


def is_teacher_or_none(name: str, value: Any) -> None:
    """The check of a field for a teacher that may be left out."""
    if value is not None:
        is_teacher(name, value)


@dataclass(eq=False)
class DML(Method):
    """Deep mutual learning of the peers of a ``models.Cohort`` (Zhang et al. 2018, 1706.00384).

    Each peer minimises CE + w·mean_j T²·KL(p_j ‖ p_i), the others detached; with a teacher its CE
    becomes α·CE + (1 − α)·T_t²·KL(p_t ‖ p_i). ``weight`` = 0 trains the peers independently: the
    control. The terms are sums over peers.

    Args:
        weight: w, of the peers' term, 0 or more.
        temperature: T of the peers, > 0.
        teacher: one more teacher for all peers, or ``None``.
        teacher_temperature, alpha: T_t and α of its term.
    """

    weight: float = bound(checks.weight, 1.0)
    temperature: float = bound(checks.positive, 1.0)
    teacher: TeacherOutputs | None = bound(is_teacher_or_none, None)
    teacher_temperature: float = bound(checks.positive, 4.0)
    alpha: float = bound(checks.fraction, 0.1)

    needs_features = True

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        if not isinstance(student, Cohort):
            found = type(student).__name__
            raise TypeError(f"student must be a models.Cohort, which has peers, not {found}")
        self.stored = None
        if self.teacher is not None:
            self.stored = fetch_logits("teacher", self.teacher, train, views, device)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        logits = list(batch.features["peers"].float().unbind(dim=1))
        alpha = 1.0 if self.stored is None else self.alpha
        terms = {"hard": alpha * sum(F.cross_entropy(own, batch.targets) for own in logits)}
        if self.stored is not None:
            teacher = self.stored[batch.view, batch.positions]
            soft = sum(losses.kd_loss(own, teacher, self.teacher_temperature) for own in logits)
            terms["soft"] = (1 - alpha) * soft
        return terms | {"peers": self.weight * self.among_peers(logits)}

    def among_peers(self, logits: list[Tensor]) -> Tensor:
        """Sum over peers of what they learn from each other."""
        return sum(losses.peer_divergences(logits, self.temperature))
