"""The course's student, distilled with the loss of a library: methods for ``study.compare``.

Each is a ``methods.OwnLoss`` whose loss the library computes from our logits, weights of labels and
teacher included, so that an arm is paired with the course's own ``KD``: the same student, batches,
views and teacher. A recipe imports its library where the training runs, and keeps its version, so
that a run of another version is another run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.libraries import language, vision
from kdnotes.libraries.formulas import Formula, Loss
from kdnotes.libraries.library import installed
from kdnotes.methods import OwnLoss
from kdnotes.methods.base import Batch, TeacherFeatures
from kdnotes.methods.own import Given

Whole = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
# name → the package, and its loss of labels and teacher, in which α weighs the labels
RECIPES: dict[str, tuple[str, Whole]] = {
    "timm": ("timm", vision.timm_task),
    "torchdistill": ("torchdistill", vision.torchdistill_loss),
    "keras": ("keras", vision.keras_distiller),
    "keras, default loss": ("keras", functools.partial(vision.keras_distiller, cured=False)),
    "modelopt": ("nvidia-modelopt", vision.modelopt_balanced),
    "trl": ("trl", language.gkd_weighed),
}


def available() -> tuple[str, ...]:
    """The names of the recipes whose library is installed here."""
    return tuple(name for name, (package, _) in RECIPES.items() if installed(package))


def recipe(name: str, teacher: TeacherFeatures, temperature: float, alpha: float) -> OwnLoss:
    """A method that minimises a library's loss of labels and teacher.

    Args:
        name: "timm": ``LogitDistillationTask`` with ``task_loss_weight=alpha``; "torchdistill":
            ``KDLoss``; "keras": ``Distiller`` with ``loss=KLDivergence()`` and
            ``student_loss_weight=alpha``; "keras, default loss": without that loss; "modelopt":
            ``StaticLossBalancer`` with ``reduction="batchmean"``; "trl": ``generalized_jsd_loss``
            with ``beta=0`` times T², and labels beside it.
        teacher: one whose logits are stored (``teachers.Teacher``).
        temperature: T > 0.
        alpha: α, the weight of the labels, in [0, 1].

    Raises:
        ValueError: there is no such recipe, or a number is out of range.
        ModuleNotFoundError: its library is not installed.
    """
    checks.one_of(*RECIPES)("name", name)
    checks.positive("temperature", temperature)
    checks.fraction("alpha", alpha)
    package, whole = RECIPES[name]
    if (version := installed(package)) is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install {package}")
    settings = {"temperature": temperature, "alpha": alpha, "version": f"{package} {version}"}
    return OwnLoss(functools.partial(_of_library, whole=whole, **settings), teacher)


def recipes(
    teacher: TeacherFeatures,
    temperature: float,
    alpha: float,
    names: Sequence[str] = ("timm", "torchdistill", "keras"),
) -> dict[str, OwnLoss]:
    """Those of the named recipes whose library is installed: name with version → method."""
    for name in names:
        checks.one_of(*RECIPES)("names", name)
    there = [name for name in names if name in available()]
    return {
        f"{name} ({installed(RECIPES[name][0])})": recipe(name, teacher, temperature, alpha)
        for name in there
    }


def of_formula(
    formula: Formula, teacher: TeacherFeatures, temperature: float, alpha: float
) -> OwnLoss:
    """α·CE + (1 − α)·a formula, in plain torch: what a library's call does to a student, without
    the library.

    Args:
        formula: such as ``formulas.R_OVER_K``, modelopt's default.
        teacher, temperature, alpha: as of ``recipe``.
    """
    checks.instance(Formula, said="a Formula")("formula", formula)
    checks.positive("temperature", temperature)
    checks.fraction("alpha", alpha)
    settings = {"soft": formula.value, "temperature": temperature, "alpha": alpha}
    return OwnLoss(functools.partial(_of_formula, **settings), teacher)


def _of_library(
    batch: Batch, given: Given, *, whole: Whole, temperature: float, alpha: float, version: str
) -> Tensor:
    return whole(batch.student_logits, given.logits, batch.targets, temperature, alpha)


def _of_formula(
    batch: Batch, given: Given, *, soft: Loss, temperature: float, alpha: float
) -> dict[str, Tensor]:
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    taught = soft(batch.student_logits, given.logits, batch.targets, temperature)
    return {"hard": alpha * hard, "soft": (1 - alpha) * taught}
