"""Distillation losses of libraries for networks that classify images.

A function a call, of student logits, teacher logits, targets and temperature. Those
with ``alpha`` give the whole loss, of labels and teacher, by the library's own weight.
"""

from __future__ import annotations

import functools
import os
import warnings
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes.libraries.library import load


def keras_on_torch() -> ModuleType:
    """Keras on torch, which it must be told before its first import.

    Raises:
        RuntimeError: it was imported with another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = load("keras", "keras")
    if (backend := keras.backend.backend()) != "torch":
        wanted = "set KERAS_BACKEND=torch before Python starts"
        raise RuntimeError(f"keras runs on {backend}, not on torch: {wanted}")
    return keras


def keras_default(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """``LogitsDistillation(temperature=T)``, whose loss is the word "kl_divergence"."""
    loss = keras_on_torch().distillation.LogitsDistillation(temperature=temperature)
    return loss.compute_loss(teacher, student)


def keras_cured(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The same with ``loss=keras.losses.KLDivergence()``, an object."""
    keras = keras_on_torch()
    divergence = keras.losses.KLDivergence()
    loss = keras.distillation.LogitsDistillation(temperature=temperature, loss=divergence)
    return loss.compute_loss(teacher, student)


def keras_distiller(
    student: Tensor,
    teacher: Tensor,
    targets: Tensor,
    temperature: float,
    alpha: float,
    cured: bool = True,
) -> Tensor:
    """The loss of ``keras.distillation.Distiller`` with ``student_loss_weight=alpha``.

    Args:
        cured: with ``loss=KLDivergence()``; otherwise as by default.
    """
    distiller = _distiller(student.shape[1], temperature, alpha, cured)
    return distiller.compute_loss(teacher, targets, student)


@functools.cache
def _distiller(classes: int, temperature: float, alpha: float, cured: bool) -> Any:
    """A Distiller of two networks that give back their input: logits that are there already."""
    keras = keras_on_torch()
    settings = {"loss": keras.losses.KLDivergence()} if cured else {}
    networks = [keras.Sequential([keras.Input((classes,)), keras.layers.Identity()]) for _ in "st"]
    distiller = keras.distillation.Distiller(
        teacher=networks[1],
        student=networks[0],
        distillation_losses=keras.distillation.LogitsDistillation(temperature, **settings),
        student_loss_weight=alpha,
    )
    distiller.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return distiller


def modelopt_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``modelopt.torch.distill.LogitsDistillationLoss(T)``."""
    distill = load("nvidia-modelopt", "modelopt.torch.distill")
    return distill.LogitsDistillationLoss(temperature)(student, teacher)


def modelopt_cured(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The same with ``reduction="batchmean"``."""
    distill = load("nvidia-modelopt", "modelopt.torch.distill")
    return distill.LogitsDistillationLoss(temperature, reduction="batchmean")(student, teacher)


def modelopt_balanced(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """Labels and teacher by ``StaticLossBalancer(kd_loss_weight=1 - alpha)``, cured."""
    distill = load("nvidia-modelopt", "modelopt.torch.distill")
    soft = modelopt_cured(student, teacher, targets, temperature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that the labels' loss should be given, as it is
        balancer = distill.StaticLossBalancer(kd_loss_weight=1 - alpha)
    hard = F.cross_entropy(student, targets)
    return balancer({"student_loss": hard, "LogitsDistillationLoss_0": soft})


class _Gives(nn.Module):
    """A network, for timm, that answers any image with logits that are there already."""

    def __init__(self, logits: Tensor):
        super().__init__()
        self.logits, self.num_classes, self.in_chans = logits, logits.shape[1], 1
        self.pretrained_cfg = {"mean": (0.0,), "std": (1.0,)}

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def _timm(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, **weights: float
) -> dict[str, Tensor]:
    task = load("timm", "timm.task").LogitDistillationTask(
        student_model=_Gives(student),
        teacher_model=_Gives(teacher),
        criterion=nn.CrossEntropyLoss(),
        temperature=temperature,
        verbose=False,
        **weights,
    )
    return task(torch.zeros(len(student), 1, 1, 1), targets)


def timm_soft(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The part "kd_loss" of ``timm.task.LogitDistillationTask``."""
    return _timm(student, teacher, targets, temperature)["kd_loss"]


def timm_plain(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The task's whole loss where no weight is given."""
    return _timm(student, teacher, targets, temperature)["loss"]


def timm_task(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """The task's whole loss with ``task_loss_weight=alpha`` alone."""
    return _timm(student, teacher, targets, temperature, task_loss_weight=alpha)["loss"]


def timm_distill_weight(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """The task's whole loss with ``distill_loss_weight=1 - alpha`` alone."""
    return _timm(student, teacher, targets, temperature, distill_loss_weight=1 - alpha)["loss"]


def torchdistill_loss(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """``torchdistill.losses.mid_level.KDLoss`` with that ``alpha``, labels given."""
    mid_level = load("torchdistill", "torchdistill.losses.mid_level")
    loss = mid_level.KDLoss("net", "output", "net", "output", temperature, alpha=alpha)
    given, taught = ({"net": {"output": logits}} for logits in (student, teacher))
    return loss(given, taught, targets)


def torchdistill_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """The teacher alone: ``alpha=0``."""
    return torchdistill_loss(student, teacher, targets, temperature, alpha=0)


def torchdistill_cured(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """As good as the teacher alone: ``alpha=1e-9``."""
    return torchdistill_loss(student, teacher, targets, temperature, alpha=1e-9)


def _lightly(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    module = load("lightly-train", "lightly_train._methods.distillation.distillation_loss")
    queue = torch.eye(student.shape[1])  # so that similarities with the queue are the logits
    return module.DistillationLoss(temperature)(teacher, student, queue)


def lightly_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``DistillationLoss(T)`` of lightly-train's method "distillationv1"."""
    return _lightly(student, teacher, temperature)


def lightly_cured(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The same times T²."""
    return temperature**2 * _lightly(student, teacher, temperature)


def _mmrazor(student: Tensor, teacher: Tensor, **settings: float) -> Tensor:
    module = load("mmrazor", "mmrazor.models.losses.kl_divergence")
    return module.KLDivergence(**settings)(student, teacher)


def mmrazor_loss(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """``KLDivergence(tau=T)`` of mmrazor."""
    return _mmrazor(student, teacher, tau=temperature)


def _kd_lib(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, **settings: object
) -> Tensor:
    kind = load("KD-Lib", "KD_Lib.KD.vision.vanilla.vanilla_kd").VanillaKD
    nothing = nn.Linear(1, 1)
    trainer = kind(nothing, nothing, None, None, None, None, temp=temperature, **settings)
    return trainer.calculate_kd_loss(student, teacher, targets)


def kd_lib_default(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The teacher's part of ``VanillaKD(temp=T)``: with ``distil_weight=1``."""
    return _kd_lib(student, teacher, targets, temperature, distil_weight=1.0)


def _divergence(p_t: Tensor, p_s: Tensor) -> Tensor:
    return F.kl_div(p_s.log(), p_t, reduction="batchmean")


def kd_lib_cured(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The same with the KL divergence as ``loss_fn``."""
    return _kd_lib(student, teacher, targets, temperature, distil_weight=1.0, loss_fn=_divergence)


def kd_lib_weighed(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """The whole loss with ``distil_weight=1 - alpha``, cured."""
    return _kd_lib(
        student, teacher, targets, temperature, distil_weight=1 - alpha, loss_fn=_divergence
    )
