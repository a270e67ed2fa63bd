"""Distillation from a teacher's inner features: hints and attention."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Method, TeacherFeatures, gives_features
from kdnotes.methods.outputs import KD
from kdnotes.models import feature_shapes, forward_features


class TeacherStages(Method):
    """The outputs of a teacher's stages for each batch.

    They are stored as its logits are; where they would fill more than ``STORE_AT_MOST`` bytes a
    stage (many images, many views), the teacher computes them in every step from the very images
    that the student sees.
    """

    STORE_AT_MOST = 2**28

    def fetch_stages(
        self,
        teacher: TeacherFeatures,
        stages: Iterable[str],
        train: Split,
        views: Views,
        device: torch.device,
    ) -> None:
        """Fetch what ``teacher_features`` then gives."""
        self.theirs = {stage: teacher.feature_shape(stage) for stage in stages}
        numbers = max((shape.numel() for shape in self.theirs.values()), default=0)
        self.live = numbers * 4 * views.count * len(train) > self.STORE_AT_MOST
        self.stored_features = {}
        if self.live:
            self.network = teacher.model.to(device)
        else:
            self.stored_features = {
                stage: teacher.features(train, views, stage).to(device) for stage in self.theirs
            }

    def teacher_features(self, batch: Batch) -> dict[str, Tensor]:
        """Outputs ``[B, channels, height, width]`` of the stages fetched, by name."""
        if self.live:
            with torch.no_grad():
                outputs = forward_features(self.network, batch.images)[1]
            return {stage: outputs[stage] for stage in self.theirs}
        stored = self.stored_features.items()
        return {stage: bank[batch.view, batch.positions] for stage, bank in stored}


def _is_pair(value: Any) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and all(isinstance(stage, str) for stage in value)


def _are_pairs(name: str, value: Any) -> None:
    if not isinstance(value, tuple) or not all(map(_is_pair, value)):
        wanted = "a tuple of (student's stage, teacher's stage)"
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    if not value:
        raise ValueError(
            f"{name} must hold at least one (student's stage, teacher's stage), not ()"
        )


@dataclass(eq=False)
class FeatureKD(KD, TeacherStages):
    """KD with a further term from the outputs of stages, student's and teacher's in ``pairs``.

    Args:
        pairs: (student's stage, teacher's stage), one or more; ``models.stages_of_equal_size``
            proposes some.
        weight: of the further term, 0 or more: w of a hint, β of attention transfer.
    """

    teacher: TeacherFeatures = bound(gives_features)
    pairs: tuple[tuple[str, str], ...] = bound(_are_pairs, ())
    weight: float = bound(checks.weight, 1.0)

    needs_features = True

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.ours = feature_shapes(student)
        for stage, _ in self.pairs:
            if stage not in self.ours:
                known = list(self.ours)
                raise ValueError(f"pairs must name stages of the student, {known}, not {stage!r}")
        self.fetch_stages(self.teacher, (stage for _, stage in self.pairs), train, views, device)

    def matched(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """(student's feature, teacher's feature) of every pair, at the smaller of their sizes."""
        theirs = self.teacher_features(batch)
        return [
            losses.match_size(batch.features[ours].float(), theirs[stage].float())
            for ours, stage in self.pairs
        ]


def _not_all(name: str, value: Any) -> None:
    checks.fraction(name, value)
    if value == 1:
        raise ValueError(
            f"{name} must lie in [0, 1), not 1: the student's head would never be trained"
        )


@dataclass(eq=False)
class FitNets(FeatureKD):
    """KD and hints: the student's features, through a regressor, fit the teacher's (1412.6550).

    The regressors are 1×1 convolutions (with bias): the method's own parameters, trained with the
    student's, without weight decay. With ``alone`` = 0 the hint is a term of the loss throughout,
    α·CE + (1 − α)·soft + w·hint, as in later libraries. With ``alone`` > 0 there are the paper's
    two
    stages (Romero et al. 2014): for that fraction of the training the hint alone, which trains the
    student up to the hinted stage, and then KD alone. (The paper trains stage 1 to the end with a
    schedule of its own; here one schedule spans both, so that all arms have as many epochs.)

    Args:
        alone: fraction of the training for the hint alone, in [0, 1).
    """

    alone: float = bound(_not_all, 0.0)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.regressors = nn.ModuleList(
            nn.Conv2d(self.ours[ours][0], self.theirs[stage][0], kernel_size=1)
            for ours, stage in self.pairs
        ).to(device)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.regressors.parameters())

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        if self.alone and batch.progress >= self.alone:
            return super().terms(batch)
        hint = self.weight * sum(
            losses.hint_loss(regressor(student), teacher)
            for regressor, (student, teacher) in zip(
                self.regressors, self.matched(batch), strict=True
            )
        )
        return {"hint": hint} if self.alone else super().terms(batch) | {"hint": hint}

    def keep(self) -> dict[str, Tensor]:
        """Weight ``[C_t, C_s, 1, 1]`` and bias ``[C_t]`` of each regressor, "0.weight" …"""
        return dict(self.regressors.named_parameters())


@dataclass(eq=False)
class AT(FeatureKD):
    """KD and attention transfer: α·CE + (1 − α)·soft + β·Σ distance of the maps (1612.03928).

    With ``alpha`` = 1 it is attention transfer alone, CE + β·distance (Zagoruyko & Komodakis 2017).
    The authors' code has the weight β = 1000 for the "code" form of the distance (their equation
    has β/2).

    Args:
        form: "code" or "paper", see ``losses.attention_transfer_loss``.
    """

    weight: float = bound(checks.weight, 1000.0)
    form: str = bound(losses.check_form, "code")

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        students, teachers = zip(*self.matched(batch), strict=True)
        distance = losses.attention_transfer_loss(students, teachers, form=self.form)
        return super().terms(batch) | {"attention": self.weight * distance}
