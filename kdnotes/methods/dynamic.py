"""Distillation whose weights or temperature change: by sample, by schedule, by learning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Taught, labels_and
from kdnotes.methods.outputs import KD


def _some(name: str, value: Any) -> None:
    checks.fraction(name, value)
    if value == 0:
        raise ValueError(f"{name} must lie above 0, up to 1, not 0: nothing would be distilled")


@dataclass(eq=False)
class UncertaintyKD(KD):
    """KD whose soft term is weighted by the student's uncertainty (after arXiv 2109.11295).

    The uncertainty is the entropy of the student's prediction at T = 1, detached; the weights are
    divided by their mean over the batch, so that the size of the term does not change with them.
    The paper *selects* the most uncertain samples of a batch: ``keep_share`` < 1 does so, with
    equal weights. The mean of 1 is ours: a code example of the authors' repository weighs each
    sample by entropy/log K.

    Args:
        keep_share: share of the batch, in (0, 1], that is distilled on. 1 weighs all samples by
            their entropy.
    """

    keep_share: float = bound(_some, 1.0)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.by_epoch = torch.zeros(0, len(train), device=device)

    def weights(self, student_logits: Tensor) -> Tensor:
        """Weight of each sample, ``[B]``, with mean 1."""
        log_p = F.log_softmax(student_logits.detach(), dim=1)
        uncertainty = -(log_p.exp() * log_p).sum(dim=1)
        if self.keep_share < 1:
            chosen = uncertainty.topk(max(1, round(self.keep_share * len(uncertainty)))).indices
            uncertainty = torch.zeros_like(uncertainty).index_fill_(0, chosen, 1.0)
        if not uncertainty.sum() > 0:  # certain of all to the last digit: no sample weighs more
            uncertainty = torch.ones_like(uncertainty)
        return uncertainty / uncertainty.mean()

    def soft(self, batch: Batch) -> Tensor:
        weights = self.weights(batch.student_logits)
        if len(self.by_epoch) == batch.epoch:
            unseen = torch.full_like(self.stored[:1, :, 0], math.nan)
            self.by_epoch = torch.cat([self.by_epoch, unseen])
        self.by_epoch[-1, batch.positions] = weights
        pair = (batch.student_logits, self.teacher_logits(batch))
        return (weights * losses.kd_loss(*pair, self.temperature, reduction="none")).mean()

    def keep(self) -> dict[str, Tensor]:
        """weights: ``[epochs, N]``, what each sample weighed in each epoch (NaN: not seen)."""
        return {"weights": self.by_epoch}


def _first_and_last(name: str, value: Any, check: Any) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{name} must be a tuple (first, last), not {value!r}")
    for end in value:
        check(name, end)


@dataclass(eq=False)
class AnnealedKD(Taught):
    """KD with α and T moving linearly through the training, each from its first to its last value.

    Schedules of this kind are the simplest form of annealing (Jafari et al. 2021, 2104.07163,
    anneal T of a regression on logits, then train on labels alone).

    Args:
        teacher: gives the stored logits of every view.
        temperature: (first, last), each above 0.
        alpha: (first, last) weight of the labels, each in [0, 1].
    """

    temperature: tuple[float, float] = bound(
        lambda name, value: _first_and_last(name, value, checks.positive), (4.0, 1.0)
    )
    alpha: tuple[float, float] = bound(
        lambda name, value: _first_and_last(name, value, checks.fraction), (0.1, 0.1)
    )

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.now = self.at(0.0)

    def at(self, progress: float) -> tuple[float, float]:
        """(T, α) when the fraction ``progress`` of the training is done."""
        ends = (self.temperature, self.alpha)
        temperature, alpha = (first + progress * (last - first) for first, last in ends)
        return temperature, alpha

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        self.now = temperature, alpha = self.at(batch.progress)
        soft = losses.kd_loss(batch.student_logits, self.teacher_logits(batch), temperature)
        return labels_and(soft, alpha, batch)

    def observe(self) -> dict[str, float]:
        return {"temperature": self.now[0], "alpha": self.now[1]}


@dataclass(eq=False)
class CTKD(KD):
    """Curriculum temperature: T is learned *against* the student (Li et al. 2023, 2211.16231).

    T = lowest + (highest − lowest)·sigmoid(θ), one for all samples. The student descends on the
    loss, θ ascends on it: between the two lies a gradient reversal, which multiplies the gradient
    of θ by −λ. λ rises from 0 to 1 along a cosine during the first ``ramp`` of the training, so
    that the task grows from easy to hard. ``temperature`` is where T starts.

    In the authors' code T starts at 1 + 20·sigmoid(1) ≈ 15.6, and λ rises during 10 of 240 epochs.
    They use SGD. Adam divides a gradient by its running size, so that here the *sign* of the
    reversed gradient matters, and its size only as far as it changes from step to step.

    Args:
        lowest, highest: bounds of T, above 0; the start lies strictly between them.
        ramp: fraction of the training over which λ rises.
        adversarial: False leaves the reversal out, so that T descends with the student (the
            control).
    """

    lowest: float = bound(checks.positive, 1.0)
    highest: float = bound(checks.positive, 21.0)
    ramp: float = bound(checks.fraction, 1 / 3)
    adversarial: bool = bound(checks.true_or_false, True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lowest < self.temperature < self.highest:
            raise ValueError(
                f"temperature must lie between lowest and highest, {self.lowest} and "
                f"{self.highest}, not at {self.temperature}"
            )

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        share = (self.temperature - self.lowest) / (self.highest - self.lowest)
        self.theta = nn.Parameter(torch.tensor(math.log(share / (1 - share)), device=device))

    def parameters(self) -> list[nn.Parameter]:
        return [self.theta]

    def learned(self) -> Tensor:
        """T, a scalar tensor."""
        return self.lowest + (self.highest - self.lowest) * torch.sigmoid(self.theta)

    def soft(self, batch: Batch) -> Tensor:
        done = min(batch.progress / self.ramp, 1.0) if self.ramp else 1.0
        strength = (1 - math.cos(math.pi * done)) / 2
        temperature = self.learned()
        if self.adversarial:
            temperature = losses.reverse_gradient(temperature, strength)
        pair = (batch.student_logits / temperature, self.teacher_logits(batch) / temperature)
        return temperature**2 * losses.kd_loss(*pair, 1.0)

    def observe(self) -> dict[str, float]:
        return {"temperature": self.learned().item()}


@dataclass(eq=False)
class ESKD(KD):
    """Early-stopped KD: after the fraction ``until`` the labels alone (arXiv 1910.01348).

    Cho & Hariharan stop when the loss of the distillation begins to hurt that of the labels; a
    fixed time is simpler.

    Args:
        until: fraction of the training with a teacher, in [0, 1]; 1 is KD.
    """

    until: float = bound(checks.fraction, 0.5)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        if batch.progress < self.until:
            return super().terms(batch)
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets)}
