"""What a method is, what it sees of a training step, and what a teacher gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.models import describe


@dataclass
class Batch:
    """What a method sees of one training step.

    Args:
        images: ``[B, C, 32, 32]``, as augmented view ``view`` shows them.
        targets: ``[B]`` int64.
        positions: ``[B]``, rows of the training split: the key of everything stored by sample.
        view: number of the augmented view.
        progress: fraction of the training that is done, 0 … 1.
        student: the network in training. Its parameters show this step's numbers; their gradients
            are kept elsewhere.
        student_logits: ``[B, classes]``.
        features: outputs of the student's stages by name, for a method with ``needs_features``.
        epoch, epochs: number of this epoch, from 0, and of all epochs.
    """

    images: Tensor
    targets: Tensor
    positions: Tensor
    view: int
    progress: float
    student: nn.Module
    student_logits: Tensor
    features: dict[str, Tensor]
    epoch: int
    epochs: int


class TeacherOutputs(Protocol):
    """Whatever gives a teacher's logits for every view of every image, ``[views, N, classes]``."""

    def bank(self, split: Split, views: Views) -> Tensor: ...


class TeacherFeatures(TeacherOutputs, Protocol):
    """A teacher that also gives the outputs of its stages, ``[views, N, channels, h, w]``."""

    model: nn.Module

    def features(self, split: Split, views: Views, stage: str) -> Tensor: ...

    def feature_shape(self, stage: str) -> torch.Size: ...


class Method:
    """A way to train a student: a dataclass that overrides ``terms``, and the others where needed.

    Its fields are its settings, each with the check of its value (``checks.bound``); they enter the
    key under which a finished run is stored. ``training.fit`` works on a copy: it calls ``prepare``
    once, then ``terms`` for every batch, and minimises the sum of the terms together with the
    method's own ``parameters``. A method knows nothing of the loop.
    """

    needs_features = False  # whether ``terms`` reads ``batch.features``

    def __post_init__(self) -> None:
        checks.fields(self)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        """Fetch what the method needs; build its own parameters. Draws here shift no other
        stream.
        """

    def parameters(self) -> list[nn.Parameter]:
        """The method's own parameters, trained with the student's, without weight decay."""
        return []

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The loss as named, weighted scalar terms; their sum is minimised."""
        raise NotImplementedError

    def observe(self) -> dict[str, float]:
        """Numbers for the history's row of the epoch that has just ended, such as a learned T."""
        return {}

    def keep(self) -> dict[str, Tensor]:
        """Tensors to keep with the finished run (``run.kept``), such as the weights of a gate."""
        return {}


def labels_and(soft: Tensor, alpha: float, batch: Batch) -> dict[str, Tensor]:
    """The terms α·CE + (1 − α)·soft; with α = 0 there is no first one."""
    if alpha == 0:
        return {"soft": soft}
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft}


def fetch_logits(
    name: str, teacher: TeacherOutputs, train: Split, views: Views, device: torch.device
) -> Tensor:
    """A teacher's logits for every view of every image, ``[views, N, classes]``, all finite.

    Raises:
        ValueError: they are not; the message calls the teacher ``name``.
    """
    logits, known = teacher.bank(train, views), (views.count, len(train))
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != known:
        shape = f"[views, images, classes], [{known[0]}, {known[1]}, …]"
        raise ValueError(f"{name} must give logits {shape}, but its bank is {describe(logits)}")
    checks.logits(**{f"the logits of {name}": logits.flatten(0, 1)})
    return logits.to(device)


def is_teacher(name: str, value: Any) -> None:
    """The check of a field that holds a teacher."""
    if isinstance(value, type) or not hasattr(value, "bank"):
        found = checks.kind_of(value)
        raise TypeError(f"{name} must be a kdnotes.teachers.Teacher, not {found}")


def gives_features(name: str, value: Any) -> None:
    """The check of a field that holds a teacher whose inner features are needed."""
    is_teacher(name, value)
    if not hasattr(value, "features"):
        found = checks.kind_of(value)
        raise TypeError(f"{name} must be a kdnotes.teachers.Teacher, not {found}")


@dataclass(eq=False)
class Taught(Method):
    """A method with one teacher, whose logits for every view are fetched once."""

    teacher: TeacherOutputs = bound(is_teacher)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        self.stored = fetch_logits("teacher", self.teacher, train, views, device)

    def teacher_logits(self, batch: Batch) -> Tensor:
        """z_t of the very views that the student sees, ``[B, classes]``."""
        return self.stored[batch.view, batch.positions]
