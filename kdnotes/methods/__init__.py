"""Training methods: one small class each, a thin layer over ``losses``.

A method is a dataclass. Its fields are its settings, and enter the key under which a finished run is cached.
``training.fit`` works on a copy: it calls ``prepare`` once, then ``terms`` for every batch, and minimises the sum of
the terms together with the method's own ``parameters``. ``observe`` and ``keep`` tell afterwards what went on inside. A
method knows nothing of the loop, and cross-entropy is a method like any other.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import losses
from kdnotes.data import Split, Views
from kdnotes.models import Cohort, describe, feature_shapes, forward_features

__all__ = [
    "KD", "AnnealedKD", "AttentionKD", "Batch", "BeYourOwnTeacher", "ConfidenceKD", "CrossEntropy", "CurriculumKD",
    "DecoupledKD", "EarlyStoppedKD", "GatedKD", "Given", "HintKD", "LabelSmoothing", "Method", "MultiTeacherKD",
    "MutualLearning", "OwnLoss", "SelfKD", "StandardizedKD", "UncertaintyKD",
]  # fmt: skip


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
    """Whatever can give a teacher's logits for every view of every image, ``[views, N, classes]``."""

    def bank(self, split: Split, views: Views) -> Tensor: ...


class TeacherFeatures(TeacherOutputs, Protocol):
    """A teacher that also gives the outputs of its stages, ``[views, N, channels, height, width]``."""

    model: nn.Module

    def features(self, split: Split, views: Views, stage: str) -> Tensor: ...

    def feature_shape(self, stage: str) -> torch.Size: ...


class Method:
    """Base class: override ``terms``; and the others where needed."""

    needs_features = False  # whether ``terms`` reads ``batch.features``

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        """Fetch what the method needs; build its own parameters. Random draws here shift no other stream."""

    def parameters(self) -> list[nn.Parameter]:
        """The method's own parameters, trained with the student's, without weight decay (none by default)."""
        return []

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The loss as named, weighted scalar terms; their sum is minimised."""
        raise NotImplementedError

    @staticmethod
    def mixed(alpha: float, batch: Batch, soft: Tensor) -> dict[str, Tensor]:
        """The terms α·CE + (1 − α)·soft; with α = 0 there is no first one."""
        if alpha == 0:
            return {"soft": soft}
        return {"hard": alpha * F.cross_entropy(batch.student_logits, batch.targets), "soft": (1 - alpha) * soft}

    def observe(self) -> dict[str, float]:
        """Numbers for the history's row of the epoch that has just ended, such as a learned temperature."""
        return {}

    def keep(self) -> dict[str, Tensor]:
        """Tensors to keep with the finished run (``run.kept``), such as the weights of a gate."""
        return {}


@dataclass(eq=False)
class CrossEntropy(Method):
    """Cross-entropy with the labels: the baseline."""

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets)}


@dataclass(eq=False)
class LabelSmoothing(Method):
    """Cross-entropy with (1 − ε)·e_y + ε/K (Müller et al. 2019, arXiv 1906.02629): the control without a teacher.

    Args:
        epsilon: ε in [0, 1].
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        losses.check_fraction("epsilon", self.epsilon)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets, label_smoothing=self.epsilon)}


@dataclass(eq=False)
class _Taught(Method):
    """A method with one teacher, whose logits for every view are computed once."""

    teacher: TeacherOutputs

    def __post_init__(self) -> None:
        _check_teacher("teacher", self.teacher)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        self.stored = _bank("teacher", self.teacher, train, views).to(device)

    def teacher_logits(self, batch: Batch) -> Tensor:
        """z_t of the very views that the student sees, ``[B, classes]``."""
        return self.stored[batch.view, batch.positions]


@dataclass(eq=False)
class KD(_Taught):
    """Knowledge distillation, α·CE + (1 − α)·T²·KL(p_t ‖ p_s) (Hinton et al. 2015, arXiv 1503.02531).

    Args:
        teacher: gives the stored logits of every view (``teachers.Teacher``).
        temperature: T > 0.
        alpha: weight α of the labels, in [0, 1]; 0 is distillation without labels.
    """

    temperature: float = 4.0
    alpha: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        losses.check_temperature(self.temperature)
        losses.check_fraction("alpha", self.alpha)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        return self.mixed(self.alpha, batch, self.soft(batch))

    def soft(self, batch: Batch) -> Tensor:
        """The distillation loss of a batch, a scalar: what the variants below change."""
        return losses.kd_loss(batch.student_logits, self.teacher_logits(batch), self.temperature)


@dataclass(eq=False)
class DecoupledKD(_Taught):
    """CE + warm-up·(γ·TCKD + β·NCKD) (DKD, Zhao et al. 2022, arXiv 2203.08679).

    Args:
        teacher: gives the stored logits of every view.
        temperature: T > 0.
        alpha, beta: γ (the paper's α) and β, weights of the target-class and the non-target-class term, 0 or more.
        warmup: fraction of the training over which both rise linearly from 0 (the paper's code: 20 of 240 epochs).
    """

    temperature: float = 4.0
    alpha: float = 1.0
    beta: float = 8.0
    warmup: float = 1 / 12

    def __post_init__(self) -> None:
        super().__post_init__()
        losses.check_temperature(self.temperature)
        losses.check_weight("alpha", self.alpha)
        losses.check_weight("beta", self.beta)
        losses.check_fraction("warmup", self.warmup)

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
class UncertaintyKD(KD):
    """KD whose soft term is weighted, sample by sample, by the student's uncertainty (after arXiv 2109.11295).

    The uncertainty is the entropy of the student's prediction at T = 1, detached; the weights are divided by their
    mean over the batch, so that the size of the term does not change with them. The paper *selects* the most
    uncertain samples of a batch: ``keep_share`` < 1 does so, with equal weights. The mean of 1 is ours: a code
    example of the authors' repository weighs each sample by entropy/log K.

    Args:
        keep_share: share of the batch, in (0, 1], that is distilled on. 1 weighs all samples by their entropy.
    """

    keep_share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if losses.check_fraction("keep_share", self.keep_share) == 0:
            raise ValueError("keep_share must lie above 0, up to 1, not 0: nothing would be distilled")

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
        # of a batch on which the student is certain to the last digit, no sample weighs more than another
        uncertainty = uncertainty if float(uncertainty.sum()) > 0 else torch.ones_like(uncertainty)
        return uncertainty / uncertainty.mean()

    def soft(self, batch: Batch) -> Tensor:
        weights = self.weights(batch.student_logits)
        if len(self.by_epoch) == batch.epoch:
            self.by_epoch = torch.cat([self.by_epoch, torch.full_like(self.stored[:1, :, 0], math.nan)])
        self.by_epoch[-1, batch.positions] = weights
        per_sample = losses.kd_loss(
            batch.student_logits, self.teacher_logits(batch), self.temperature, reduction="none"
        )
        return (weights * per_sample).mean()

    def keep(self) -> dict[str, Tensor]:
        """weights: ``[epochs, N]``, what each sample weighed in each epoch (NaN: not seen)."""
        return {"weights": self.by_epoch}


@dataclass(eq=False)
class AnnealedKD(_Taught):
    """KD with α and T moving linearly through the training, each from its first to its last value.

    Schedules of this kind are the simplest form of annealing (Jafari et al. 2021, arXiv 2104.07163, anneal T of a
    regression on logits, then train on labels alone).

    Args:
        teacher: gives the stored logits of every view.
        temperature: (first, last), each above 0.
        alpha: (first, last) weight of the labels, each in [0, 1].
    """

    temperature: tuple[float, float] = (4.0, 1.0)
    alpha: tuple[float, float] = (0.1, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("temperature", "alpha"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or len(value) != 2:
                raise TypeError(f"{name} must be a tuple (first, last), not {value!r}")
        for temperature, alpha in zip(self.temperature, self.alpha, strict=True):
            losses.check_temperature(temperature)
            losses.check_fraction("alpha", alpha)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.now = self.at(0.0)

    def at(self, progress: float) -> tuple[float, float]:
        """(T, α) when the fraction ``progress`` of the training is done."""
        temperature, alpha = (first + progress * (last - first) for first, last in (self.temperature, self.alpha))
        return temperature, alpha

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        self.now = temperature, alpha = self.at(batch.progress)
        teacher_logits = self.teacher_logits(batch)
        return self.mixed(alpha, batch, losses.kd_loss(batch.student_logits, teacher_logits, temperature))

    def observe(self) -> dict[str, float]:
        return {"temperature": self.now[0], "alpha": self.now[1]}


@dataclass(eq=False)
class StandardizedKD(KD):
    """KD on logits that have mean 0 and standard deviation 1 in each row (Sun et al. 2024, arXiv 2403.01427).

    The cross-entropy stays on the raw logits. The soft term then equals that of raw logits with the temperature
    T·std(z) for each row. The authors' code has T = 2 or 3 and the weights 1 and 9 for the two terms: the ratio of
    α = 0.1 here, in a loss that is ten times as large (which SGD feels, and Adam hardly).
    """

    def soft(self, batch: Batch) -> Tensor:
        student, teacher = map(losses.standardize_logits, (batch.student_logits, self.teacher_logits(batch)))
        return losses.kd_loss(student, teacher, self.temperature)


@dataclass(eq=False)
class CurriculumKD(KD):
    """KD whose temperature is learned *against* the student (CTKD with one global T, Li et al. 2023, 2211.16231).

    T = lowest + (highest − lowest)·sigmoid(θ). The student descends on the loss, θ ascends on it: between the two
    lies a gradient reversal, which multiplies the gradient of θ by −λ. λ rises from 0 to 1 along a cosine during the
    first ``ramp`` of the training, so that the task grows from easy to hard. ``temperature`` is where T starts.

    In the authors' code T starts at 1 + 20·sigmoid(1) ≈ 15.6, and λ rises during 10 of 240 epochs. They use SGD.
    Adam divides a gradient by its running size, so that here the *sign* of the reversed gradient matters, and its size
    only as far as it changes from step to step.

    Args:
        lowest, highest: bounds of T; the start lies strictly between them.
        ramp: fraction of the training over which λ rises.
        adversarial: False leaves the reversal out, so that T descends with the student (the control).
    """

    lowest: float = 1.0
    highest: float = 21.0
    ramp: float = 1 / 3
    adversarial: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lowest", "highest"):
            losses.check_weight(name, getattr(self, name))
        losses.check_fraction("ramp", self.ramp)
        if self.lowest == 0:
            raise ValueError("lowest must be a finite number above 0, not 0")
        if not isinstance(self.adversarial, bool):
            raise TypeError(f"adversarial must be True or False, not {self.adversarial!r}")
        if not self.lowest < self.temperature < self.highest:
            raise ValueError(
                f"temperature must lie between lowest and highest, {self.lowest} and {self.highest}, "
                f"not at {self.temperature}"
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
        scaled = (batch.student_logits / temperature, self.teacher_logits(batch) / temperature)
        return temperature**2 * losses.kd_loss(*scaled, 1.0)

    def observe(self) -> dict[str, float]:
        return {"temperature": self.learned().item()}


@dataclass(eq=False)
class SelfKD(Method):
    """Progressive self-distillation: the student's own predictions of the previous epoch (PS-KD, arXiv 2006.12000).

    The target is (1 − λ_e)·e_y + λ_e·p_previous with λ_e = λ·(e + 1)/E in epoch e = 0 … E − 1. Predictions are kept
    by *sample*, at the position of the image in the training split, in one tensor ``[N, classes]``: each sample is
    read before it is written, once an epoch. Before the first epoch it holds the labels.

    Args:
        alpha: λ, the weight of the past at the end, in [0, 1] (the paper writes α_t for λ_e).
    """

    alpha: float = 0.8

    def __post_init__(self) -> None:
        losses.check_fraction("alpha", self.alpha)

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
        """Of a network that does not tell: as many as its logits, as the training images may lack the last class."""
        with torch.no_grad():
            logits = copy.deepcopy(student).eval()(train.images[:1].to(device))
        return max(logits.shape[1], int(train.targets.max()) + 1)

    def recall(self, batch: Batch) -> Tensor:
        """What the student predicted for these samples an epoch ago, ``[B, classes]``."""
        return self.previous[batch.positions]

    def remember(self, batch: Batch, probabilities: Tensor) -> None:
        self.previous[batch.positions] = probabilities


@dataclass(eq=False)
class BeYourOwnTeacher(Method):
    """The deepest exit of a ``models.MultiExitStudent`` teaches the shallower ones (Zhang et al. 2019, 1905.08094).

    Cross-entropy at the deepest exit, and for every shallower one α·CE + (1 − α)·T²·KL(p_deepest ‖ p_exit) +
    w·(hint: mean squared difference of the features). The deepest exit is detached where it teaches.

    Args:
        temperature: T > 0.
        alpha: the authors' α, which weighs the soft term of a shallow exit: 1 − α of the formula above, in [0, 1].
            With ``hint`` = 0 as well, 0 is deep supervision, the control without self-distillation.
        hint: w, 0 or more.
    """

    temperature: float = 3.0
    alpha: float = 0.3
    hint: float = 0.03

    needs_features = True

    def __post_init__(self) -> None:
        losses.check_temperature(self.temperature)
        losses.check_fraction("alpha", self.alpha)
        losses.check_weight("hint", self.hint)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        if not getattr(student, "exits", None):
            raise TypeError(f"student must be a models.MultiExitStudent, which has exits, not {type(student).__name__}")

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        deepest, feature = batch.student_logits.detach(), list(batch.features.values())[-1].detach()
        hard, soft, hint = [F.cross_entropy(batch.student_logits, batch.targets)], [], []
        for name, exit in batch.student.exits.items():
            own = exit.bottleneck(batch.features[name])
            logits = exit.head(own)
            hard.append((1 - self.alpha) * F.cross_entropy(logits, batch.targets))
            soft.append(self.alpha * losses.kd_loss(logits, deepest, self.temperature))
            hint.append(self.hint * losses.hint_loss(own, feature))
        return {"hard": sum(hard), "soft": sum(soft), "hint": sum(hint)}


@dataclass(eq=False)
class MultiTeacherKD(Method):
    """α·CE + (1 − α)·Σ_m w_m·T²·KL(p_t,m ‖ p_s) with equal weights (in the manner of You et al., KDD 2017).

    Args:
        teachers: one or more; each gives the stored logits of every view.
        temperature: T > 0.
        alpha: weight of the labels, in [0, 1].
    """

    teachers: tuple[TeacherOutputs, ...]
    temperature: float = 4.0
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.teachers, tuple) or not self.teachers:
            found = "an empty one" if self.teachers == () else type(self.teachers).__name__
            raise TypeError(f"teachers must be a tuple of one teacher or more, not {found}")
        for number, teacher in enumerate(self.teachers):
            _check_teacher(f"teachers[{number}]", teacher)
        losses.check_temperature(self.temperature)
        losses.check_fraction("alpha", self.alpha)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        banks = [_bank(f"teachers[{number}]", one, train, views) for number, one in enumerate(self.teachers)]
        if len(classes := {bank.shape[-1] for bank in banks}) > 1:
            raise ValueError(f"teachers must have equal numbers of classes, not {sorted(classes)}")
        self.stored = torch.stack(banks).to(device)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        teacher_logits = self.stored[:, batch.view, batch.positions]
        weights = self.weights(teacher_logits, batch.targets)
        return self.mixed(
            self.alpha,
            batch,
            losses.multi_teacher_kd_loss(batch.student_logits, teacher_logits, weights, self.temperature),
        )

    def weights(self, teacher_logits: Tensor, targets: Tensor) -> Tensor:
        """Weight of each teacher on each sample, ``[B, M]``, from ``[M, B, classes]``."""
        count, batch, _ = teacher_logits.shape
        return teacher_logits.new_full((batch, count), 1 / count)


@dataclass(eq=False)
class ConfidenceKD(MultiTeacherKD):
    """Teachers weighted on each sample by their cross-entropy with its label (CA-MKD, Zhang et al. 2022, 2201.00007).

    Its logits part: the paper adds a feature term with weights of its own.
    """

    def weights(self, teacher_logits: Tensor, targets: Tensor) -> Tensor:
        return losses.confidence_weights(teacher_logits, targets)


@dataclass(eq=False)
class GatedKD(MultiTeacherKD):
    """Teachers weighted on each sample by a learned gate, in the manner of AMTML-KD (Liu et al. 2021, 2103.04062).

    The gate is linear on the log-probabilities of all teachers, starts at equal weights and is trained with the
    student: by −log of the probability that the weighted mixture of teachers gives the label (a mixture of experts).
    The distillation term takes the weights detached: by that term alone the gate would learn which teacher is *easiest
    to imitate* (``train_gate_by="imitation"`` does so, for comparison).

    Args:
        train_gate_by: "labels" or "imitation".
    """

    train_gate_by: str = "labels"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_gate_by not in ("labels", "imitation"):
            raise ValueError(f"train_gate_by must be 'labels' or 'imitation', not {self.train_gate_by!r}")

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
        """What the gate sees: the log-probabilities of all teachers, ``[M, B, classes]`` to ``[B, M·classes]``."""
        return F.log_softmax(teacher_logits, dim=2).transpose(0, 1).flatten(1)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        teacher_logits = self.stored[:, batch.view, batch.positions]
        log_weights = F.log_softmax(self.gate(self.inputs(teacher_logits)), dim=1)
        by_labels = self.train_gate_by == "labels"
        weights = log_weights.detach().exp() if by_labels else log_weights.exp()
        soft = losses.multi_teacher_kd_loss(batch.student_logits, teacher_logits, weights, self.temperature)
        terms = self.mixed(self.alpha, batch, soft)
        if by_labels:
            right = [F.cross_entropy(logits, batch.targets, reduction="none") for logits in teacher_logits]
            terms["gate"] = -torch.logsumexp(log_weights - torch.stack(right, dim=1), dim=1).mean()
        return terms

    def keep(self) -> dict[str, Tensor]:
        """The gate: softmax(``inputs`` · weightᵀ + bias) weighs the teachers; ``[M, M·classes]`` and ``[M]``."""
        return {"weight": self.gate.weight, "bias": self.gate.bias}


@dataclass(eq=False)
class EarlyStoppedKD(KD):
    """KD that stops early: after the fraction ``until`` of the training the labels alone (arXiv 1910.01348).

    Cho & Hariharan stop when the loss of the distillation begins to hurt that of the labels; a fixed time is simpler.

    Args:
        until: fraction of the training with a teacher, in [0, 1]; 1 is KD.
    """

    until: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        losses.check_fraction("until", self.until)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        if batch.progress < self.until:
            return super().terms(batch)
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets)}


class _TeacherStages(Method):
    """The outputs of a teacher's stages for each batch.

    They are stored as its logits are; where they would fill more than ``STORE_AT_MOST`` bytes a stage (many images,
    many views), the teacher computes them in every step from the very images that the student sees.
    """

    STORE_AT_MOST = 2**28

    def fetch_stages(
        self, teacher: TeacherFeatures, stages: Iterable[str], train: Split, views: Views, device: torch.device
    ) -> None:
        self.theirs = {stage: teacher.feature_shape(stage) for stage in stages}
        numbers = max((shape.numel() for shape in self.theirs.values()), default=0)
        self.live = numbers * 4 * views.count * len(train) > self.STORE_AT_MOST
        self.stored_features = {}
        if self.live:
            self.network = teacher.model.to(device)
        else:
            self.stored_features = {stage: teacher.features(train, views, stage).to(device) for stage in self.theirs}

    def teacher_features(self, batch: Batch) -> dict[str, Tensor]:
        """Outputs ``[B, channels, height, width]`` of the stages fetched, by name."""
        if self.live:
            with torch.no_grad():
                outputs = forward_features(self.network, batch.images)[1]
            return {stage: outputs[stage] for stage in self.theirs}
        return {stage: bank[batch.view, batch.positions] for stage, bank in self.stored_features.items()}


@dataclass(eq=False)
class _FeatureKD(KD, _TeacherStages):
    """KD with a further term from the outputs of stages, student's and teacher's in ``pairs``.

    Args:
        pairs: (student's stage, teacher's stage), one or more; ``models.stages_of_equal_size`` proposes some.
        weight: of the further term, 0 or more: w of a hint, β of attention transfer.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0

    needs_features = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.pairs, tuple) or not all(isinstance(p, tuple) and len(p) == 2 for p in self.pairs):
            raise TypeError(f"pairs must be a tuple of (student's stage, teacher's stage), not {self.pairs!r}")
        if not self.pairs:
            raise ValueError("pairs must hold at least one (student's stage, teacher's stage), not ()")
        losses.check_weight("weight", self.weight)
        if not hasattr(self.teacher, "features"):
            raise TypeError(f"teacher must be a kdnotes.teachers.Teacher, not {type(self.teacher).__name__}")

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.ours = feature_shapes(student)
        for stage, _ in self.pairs:
            if stage not in self.ours:
                raise ValueError(f"pairs must name stages of the student, {list(self.ours)}, not {stage!r}")
        self.fetch_stages(self.teacher, (stage for _, stage in self.pairs), train, views, device)

    def matched(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """(student's feature, teacher's feature) of every pair, at the smaller of their sizes."""
        theirs = self.teacher_features(batch)
        return [losses.match_size(batch.features[ours].float(), theirs[stage].float()) for ours, stage in self.pairs]


@dataclass(eq=False)
class HintKD(_FeatureKD):
    """KD and hints: the student's features, through a learned regressor, fit the teacher's (FitNets, arXiv 1412.6550).

    The regressors are 1×1 convolutions (with bias): the method's own parameters, trained with the student's, without
    weight decay. With ``alone`` = 0 the hint is a term of the loss throughout, α·CE + (1 − α)·soft + w·hint, as in
    later libraries. With ``alone`` > 0 there are the paper's two stages: for that fraction of the training the hint
    alone, which trains the student up to the hinted stage, and then KD alone. (The paper trains stage 1 to the end with
    a schedule of its own; here one schedule spans both, so that all arms have the same number of epochs.)

    Args:
        alone: fraction of the training for the hint alone, in [0, 1).
    """

    alone: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if losses.check_fraction("alone", self.alone) == 1:
            raise ValueError("alone must lie in [0, 1), not 1: the student's head would never be trained")

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        super().prepare(student, train, views, device)
        self.regressors = nn.ModuleList(
            nn.Conv2d(self.ours[ours][0], self.theirs[stage][0], kernel_size=1) for ours, stage in self.pairs
        ).to(device)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.regressors.parameters())

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        if self.alone and batch.progress >= self.alone:
            return super().terms(batch)
        hint = self.weight * sum(
            losses.hint_loss(regressor(student), teacher)
            for regressor, (student, teacher) in zip(self.regressors, self.matched(batch), strict=True)
        )
        return {"hint": hint} if self.alone else super().terms(batch) | {"hint": hint}

    def keep(self) -> dict[str, Tensor]:
        """Weight ``[C_t, C_s, 1, 1]`` and bias ``[C_t]`` of each regressor, "0.weight" … in the order of ``pairs``."""
        return dict(self.regressors.named_parameters())


@dataclass(eq=False)
class AttentionKD(_FeatureKD):
    """KD and attention transfer: α·CE + (1 − α)·soft + β·Σ distance of the maps (arXiv 1612.03928).

    With ``alpha`` = 1 it is attention transfer alone, CE + β·distance. The authors' code has the weight β = 1000
    for the "code" form of the distance (their equation has β/2).

    Args:
        form: "code" or "paper", see ``losses.attention_transfer_loss``.
    """

    weight: float = 1000.0
    form: str = "code"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in ("code", "paper"):
            raise ValueError(f"form must be 'code' or 'paper', not {self.form!r}")

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        students, teachers = zip(*self.matched(batch), strict=True)
        distance = losses.attention_transfer_loss(students, teachers, form=self.form)
        return super().terms(batch) | {"attention": self.weight * distance}


@dataclass(eq=False)
class MutualLearning(Method):
    """Peers that teach each other while they learn (deep mutual learning, Zhang et al. 2018, arXiv 1706.00384).

    The student is a ``models.Cohort``. Each peer minimises CE + w·mean_j T²·KL(p_j ‖ p_i), the others detached;
    with a teacher its CE becomes α·CE + (1 − α)·T_t²·KL(p_t ‖ p_i). ``weight`` = 0 trains the peers independently: the
    control. The terms are sums over peers.

    Args:
        weight: w, of the peers' term, 0 or more.
        temperature: T of the peers, > 0.
        teacher: one more teacher for all peers, or ``None``.
        teacher_temperature, alpha: T_t and α of its term.
    """

    weight: float = 1.0
    temperature: float = 1.0
    teacher: TeacherOutputs | None = None
    teacher_temperature: float = 4.0
    alpha: float = 0.1

    needs_features = True

    def __post_init__(self) -> None:
        losses.check_weight("weight", self.weight)
        losses.check_temperature(self.temperature)
        losses.check_temperature(self.teacher_temperature)
        losses.check_fraction("alpha", self.alpha)
        if self.teacher is not None:
            _check_teacher("teacher", self.teacher)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        if not isinstance(student, Cohort):
            raise TypeError(f"student must be a models.Cohort, which has peers, not {type(student).__name__}")
        self.stored = None if self.teacher is None else _bank("teacher", self.teacher, train, views).to(device)

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


class _ByStage(dict):
    """Features by the name of their stage; a name that was not asked for is answered with those that were."""

    def __missing__(self, stage: str) -> Tensor:
        raise KeyError(f"{stage!r} is not among the stages that were asked for, {list(self)}: name it in stages")


@dataclass
class Given:
    """What a teacher gives for a batch to a loss written as a function (``OwnLoss``).

    Args:
        logits: z_t of the views that the student sees, ``[B, classes]``; ``None`` without a teacher.
        features: outputs of the teacher's stages that were asked for, by name.
        module: the trainable module that was asked for, or ``None``.
    """

    logits: Tensor | None
    features: dict[str, Tensor]
    module: nn.Module | None


@dataclass(eq=False)
class OwnLoss(_TeacherStages):
    """A method written as one function: ``loss(batch, given)`` returns a scalar, or a dict of named scalar terms.

    Constants go in with ``functools.partial(loss, weight=10.0)``. Everything that the function uses should be in it, in
    its arguments or in a package: then its runs can be stored.

    Args:
        loss: the function of a ``Batch`` and what is ``Given``.
        teacher: one that is to give its logits, or ``None``.
        stages: stages of the teacher whose outputs are to be given.
        module: builds a module with parameters of its own, such as ``functools.partial(nn.Conv2d, 24, 64, 1)``; it is
            trained with the student.
    """

    loss: Callable[[Batch, Given], Tensor | dict[str, Tensor]]
    teacher: TeacherFeatures | None = None
    stages: tuple[str, ...] = ()
    module: Callable[[], nn.Module] | None = None

    needs_features = True

    def __post_init__(self) -> None:
        for name in ("loss", "module"):
            value = getattr(self, name)
            if (not callable(value) and not (name == "module" and value is None)) or isinstance(value, nn.Module):
                raise TypeError(f"{name} must be a function, not {type(value).__name__}")
        if self.teacher is not None:
            _check_teacher("teacher", self.teacher)
        if not isinstance(self.stages, tuple) or (self.stages and self.teacher is None):
            raise TypeError(f"stages must be a tuple of names of the teacher's stages, not {self.stages!r}")
        if self.stages and not hasattr(self.teacher, "features"):
            raise TypeError(f"teacher must be a kdnotes.teachers.Teacher, not {type(self.teacher).__name__}")

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        self.stored = None if self.teacher is None else _bank("teacher", self.teacher, train, views).to(device)
        self.fetch_stages(self.teacher, self.stages, train, views, device)
        self.built = None if self.module is None else self.module().to(device)

    def parameters(self) -> list[nn.Parameter]:
        return [] if self.built is None else list(self.built.parameters())

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        logits = None if self.stored is None else self.stored[batch.view, batch.positions]
        loss = self.loss(batch, Given(logits, _ByStage(self.teacher_features(batch)), self.built))
        return loss if isinstance(loss, dict) else {"loss": loss}


def _check_teacher(name: str, teacher: object) -> None:
    if not hasattr(teacher, "bank"):
        raise TypeError(f"{name} must be a kdnotes.teachers.Teacher, not {type(teacher).__name__}")


def _bank(name: str, teacher: TeacherOutputs, train: Split, views: Views) -> Tensor:
    """The teacher's logits for every view of every image, ``[views, N, classes]``, all finite."""
    logits, known = teacher.bank(train, views), (views.count, len(train))
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != known:
        shape = f"[views, images, classes], [{known[0]}, {known[1]}, …]"
        raise ValueError(f"{name} must give logits {shape}, but its bank is {describe(logits)}")
    losses.check_logits(**{f"the logits of {name}": logits.flatten(0, 1)})
    return logits
