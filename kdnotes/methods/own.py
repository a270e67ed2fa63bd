"""A method of the reader's own, written as one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, TeacherFeatures, fetch_logits, gives_features
from kdnotes.methods.features import TeacherStages
from kdnotes.methods.peers import is_teacher_or_none


class _ByStage(dict):
    """Features by stage; a name that was not asked for is answered with those that were."""

    def __missing__(self, stage: str) -> Tensor:
        known = list(self)
        raise KeyError(
            f"{stage!r} is not among the stages that were asked for, {known}: name it in stages"
        )


@dataclass
class Given:
    """What a teacher gives for a batch to a loss written as a function (``OwnLoss``).

    Args:
        logits: z_t of the views that the student sees, ``[B, classes]``; ``None`` without a
            teacher.
        features: outputs of the teacher's stages that were asked for, by name.
        module: the trainable module that was asked for, or ``None``.
    """

    logits: Tensor | None
    features: dict[str, Tensor]
    module: nn.Module | None


def _is_function(name: str, value: Any) -> None:
    if not callable(value) or isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a function, not {type(value).__name__}")


def _is_function_or_none(name: str, value: Any) -> None:
    if value is not None:
        _is_function(name, value)


@dataclass(eq=False)
class OwnLoss(TeacherStages):
    """``loss(batch, given)`` returns a scalar, or a dict of named scalar terms.

    Constants go in with ``functools.partial(loss, weight=10.0)``. Everything that the function uses
    should be in it, in its arguments or in a package: then its runs can be stored.

    Args:
        loss: the function of a ``Batch`` and what is ``Given``.
        teacher: one that is to give its logits, or ``None``.
        stages: stages of the teacher whose outputs are to be given.
        module: builds a module with parameters of its own, such as
            ``functools.partial(nn.Conv2d, 24, 64, 1)``; it is trained with the student.
    """

    loss: Callable[[Batch, Given], Tensor | dict[str, Tensor]] = bound(_is_function)
    teacher: TeacherFeatures | None = bound(is_teacher_or_none, None)
    stages: tuple[str, ...] = ()
    module: Callable[[], nn.Module] | None = bound(_is_function_or_none, None)

    needs_features = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.stages, tuple) or (self.stages and self.teacher is None):
            wanted = "a tuple of names of the teacher's stages"
            raise TypeError(f"stages must be {wanted}, not {self.stages!r}")
        if self.stages:
            gives_features("teacher", self.teacher)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        self.stored = None
        if self.teacher is not None:
            self.stored = fetch_logits("teacher", self.teacher, train, views, device)
        self.fetch_stages(self.teacher, self.stages, train, views, device)
        self.built = None if self.module is None else self.module().to(device)

    def parameters(self) -> list[nn.Parameter]:
        return [] if self.built is None else list(self.built.parameters())

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        logits = None if self.stored is None else self.stored[batch.view, batch.positions]
        given = Given(logits, _ByStage(self.teacher_features(batch)), self.built)
        loss = self.loss(batch, given)
        return loss if isinstance(loss, dict) else {"loss": loss}
