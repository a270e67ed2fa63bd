"""Training methods: one small class each, a thin layer over ``losses``.

A method is a dataclass. Its fields are its settings, and enter the key under which a finished run is cached.
``training.fit`` works on a copy: it calls ``prepare`` once, then ``terms`` for every batch, and minimises the sum of
the terms together with the method's own ``parameters``. A method knows nothing of the loop, and cross-entropy is a
method like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import losses
from kdnotes.data import Split, Views

__all__ = ["KD", "Batch", "CrossEntropy", "LabelSmoothing", "Method"]


@dataclass
class Batch:
    """What a method sees of one training step.

    Args:
        images: ``[B, C, 32, 32]``, as augmented view ``view`` shows them.
        targets: ``[B]`` int64.
        positions: ``[B]``, rows of the training split: the key of everything stored by sample.
        view: number of the augmented view.
        progress: fraction of the training that is done, 0 … 1.
        student: the network in training.
        student_logits: ``[B, classes]``.
    """

    images: Tensor
    targets: Tensor
    positions: Tensor
    view: int
    progress: float
    student: nn.Module
    student_logits: Tensor


class TeacherOutputs(Protocol):
    """Whatever can give a teacher's logits for every view of every image, ``[views, N, classes]``."""

    def bank(self, split: Split, views: Views) -> Tensor: ...


class Method:
    """Base class: override ``terms``; and ``prepare`` and ``parameters`` where needed."""

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        """Fetch what the method needs; build its own parameters. Random draws here shift no other stream."""

    def parameters(self) -> list[nn.Parameter]:
        """The method's own parameters, trained with the student's (none by default)."""
        return []

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The loss as named, weighted scalar terms; their sum is minimised."""
        raise NotImplementedError


@dataclass(eq=False)
class CrossEntropy(Method):
    """Cross-entropy with the labels: the baseline."""

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets)}


@dataclass(eq=False)
class LabelSmoothing(Method):
    """Cross-entropy with (1 − ε)·onehot + ε/K (Müller et al. 2019, arXiv 1906.02629): the control without a teacher.

    Args:
        epsilon: ε in [0, 1].
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_fraction("epsilon", self.epsilon)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets, label_smoothing=self.epsilon)}


@dataclass(eq=False)
class KD(Method):
    """Knowledge distillation, α·CE + (1 − α)·T²·KL(p_t ‖ p_s) (Hinton et al. 2015, arXiv 1503.02531).

    Args:
        teacher: gives the stored logits of every view (``teachers.Teacher``).
        temperature: T > 0.
        alpha: weight α of the labels, in [0, 1]; 0 is distillation without labels.
    """

    teacher: TeacherOutputs
    temperature: float = 4.0
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if not hasattr(self.teacher, "bank"):
            raise TypeError(f"teacher must be a kdnotes.teachers.Teacher, not {type(self.teacher).__name__}")
        losses.check_temperature(self.temperature)
        check_fraction("alpha", self.alpha)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        self.stored = self.teacher.bank(train, views).to(device)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        soft = losses.kd_loss(batch.student_logits, self.stored[batch.view, batch.positions], self.temperature)
        if self.alpha == 0:
            return {"soft": soft}
        hard = F.cross_entropy(batch.student_logits, batch.targets)
        return {"hard": self.alpha * hard, "soft": (1 - self.alpha) * soft}


def check_fraction(name: str, value: float) -> float:
    """Return ``value`` if it is a number in [0, 1], else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
    return float(value)
