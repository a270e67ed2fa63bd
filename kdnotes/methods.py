"""Training methods: one small class each, a thin layer over ``losses``.

A method is a dataclass. Its fields are its settings, and enter the key under which a finished run is cached.
``training.fit`` works on a copy: it calls ``prepare`` once, then ``terms`` for every batch, and minimises the sum of
the terms together with the method's own ``parameters``. ``observe`` and ``keep`` tell afterwards what went on inside. A
method knows nothing of the loop, and cross-entropy is a method like any other.
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

__all__ = [
    "KD", "AnnealedKD", "Batch", "BeYourOwnTeacher", "ConfidenceKD", "CrossEntropy", "CurriculumKD", "DecoupledKD",
    "GatedKD", "LabelSmoothing", "Method", "MultiTeacherKD", "SelfKD", "StandardizedKD", "UncertaintyKD",
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


class Method:
    """Base class: override ``terms``; and the others where needed."""

    needs_features = False  # whether ``terms`` reads ``batch.features``

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        """Fetch what the method needs; build its own parameters. Random draws here shift no other stream."""

    def parameters(self) -> list[nn.Parameter]:
        """The method's own parameters, trained with the student's (none by default)."""
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
    """Cross-entropy with (1 − ε)·onehot + ε/K (Müller et al. 2019, arXiv 1906.02629): the control without a teacher.

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
        self.stored = self.teacher.bank(train, views).to(device)

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
    """CE + warm-up·(α·TCKD + β·NCKD) (DKD, Zhao et al. 2022, arXiv 2203.08679).

    Args:
        teacher: gives the stored logits of every view.
        temperature: T > 0.
        alpha, beta: weights of the target-class and the non-target-class term, 0 or more.
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

    The target is (1 − α_e)·onehot + α_e·p_previous with α_e = α·(e + 1)/E in epoch e = 0 … E − 1. Predictions are kept
    by *sample*, at the position of the image in the training split, in one tensor ``[N, classes]``: each sample is
    read before it is written, once an epoch. Before the first epoch it holds the labels.

    Args:
        alpha: share of the previous prediction at the end, in [0, 1].
    """

    alpha: float = 0.8

    def __post_init__(self) -> None:
        losses.check_fraction("alpha", self.alpha)

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        classes = getattr(student, "num_classes", int(train.targets.max()) + 1)
        self.previous = F.one_hot(train.targets, classes).float().to(device)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        alpha = self.alpha * (batch.epoch + 1) / batch.epochs
        targets = losses.self_targets(batch.targets, self.recall(batch), alpha)
        self.remember(batch, F.softmax(batch.student_logits.detach(), dim=1))
        return {"soft": losses.soft_cross_entropy(batch.student_logits, targets)}

    def recall(self, batch: Batch) -> Tensor:
        """What the student predicted for these samples an epoch ago, ``[B, classes]``."""
        return self.previous[batch.positions]

    def remember(self, batch: Batch, probabilities: Tensor) -> None:
        self.previous[batch.positions] = probabilities


@dataclass(eq=False)
class BeYourOwnTeacher(Method):
    """The deepest exit of a ``models.MultiExitStudent`` teaches the shallower ones (Zhang et al. 2019, 1905.08094).

    Cross-entropy at the deepest exit, and for every shallower one (1 − α)·CE + α·T²·KL(p_deepest ‖ p_exit) +
    λ·(hint: mean squared difference of the features). The deepest exit is detached where it teaches.

    Args:
        temperature: T > 0.
        alpha: share of the soft term in a shallow exit, in [0, 1]; with ``hint`` = 0 as well, α = 0 is deep
            supervision, the control without self-distillation.
        hint: λ, 0 or more.
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
    """α·CE + (1 − α)·Σ_k w_k·T²·KL(p_t,k ‖ p_s) with equal weights (in the manner of You et al., KDD 2017).

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
        banks = [teacher.bank(train, views) for teacher in self.teachers]
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
        """Weight of each teacher on each sample, ``[B, K]``, from ``[K, B, classes]``."""
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
        """What the gate sees: the log-probabilities of all teachers, ``[K, B, classes]`` to ``[B, K·classes]``."""
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
        """The gate: softmax(``inputs`` · weightᵀ + bias) weighs the teachers; ``[K, K·classes]`` and ``[K]``."""
        return {"weight": self.gate.weight, "bias": self.gate.bias}


def _check_teacher(name: str, teacher: object) -> None:
    if not hasattr(teacher, "bank"):
        raise TypeError(f"{name} must be a kdnotes.teachers.Teacher, not {type(teacher).__name__}")
