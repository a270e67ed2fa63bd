"""DeiT (Touvron et al. 2021, arXiv 2012.12877): a teacher's hard labels, and a token for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Split, Views
from kdnotes.methods.base import Batch, Method, Taught
from kdnotes.models import VisionTransformer


@dataclass(eq=False)
class HardKD(Taught):
    """Hard-label distillation of any student: α·CE(y) + (1 − α)·CE(teacher's answer) (2012.12877).

    The answer is that to the very view that the student sees: in another view of an image it may be
    another. (Soft distillation is ``KD``; DeiT has T = 3 and, for it, the weight 0.9 of the labels.
    The authors' code divides its soft term by the number of classes as well.)

    Args:
        teacher: gives the stored logits of every view.
        alpha: weight α of the labels, in [0, 1]; the paper has 0.5.
    """

    alpha: float = bound(checks.fraction, 0.5)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        hard = F.cross_entropy(batch.student_logits, batch.targets)
        answers = losses.hard_label_loss(batch.student_logits, self.teacher_logits(batch))
        return {"hard": self.alpha * hard, "answers": (1 - self.alpha) * answers}


@dataclass(eq=False)
class DeiT(Taught):
    """Distillation through attention: one token learns the labels, the other from the teacher.

    The student is a ``models.VisionTransformer`` with ``tokens=2``. The first token's classifier
    minimises α·CE(y), the second's (1 − α) times the cross-entropy with the teacher's answers, or
    T²·KL(p_t ‖ p_s). What the student predicts is the mean of the two softmaxes, as in the paper
    (``models.mean_of_softmaxes``: the authors' code takes the mean of the logits).

    Args:
        teacher: gives the stored logits of every view.
        target: "hard", the paper's choice, or "soft".
        temperature: T > 0 of the soft target; the hard one has none.
        alpha: weight α of the labels, in [0, 1]; the paper has 0.5.
    """

    target: str = bound(checks.one_of("hard", "soft"), "hard")
    temperature: float = bound(checks.positive, 3.0)
    alpha: float = bound(checks.fraction, 0.5)

    needs_features = True

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        _has_two_tokens(student)
        super().prepare(student, train, views, device)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        first, second = _two_logits(batch)
        teacher = self.teacher_logits(batch)
        if self.target == "soft":
            taught = {"soft": losses.kd_loss(second, teacher, self.temperature)}
        else:
            taught = {"answers": losses.hard_label_loss(second, teacher)}
        weighted = {name: (1 - self.alpha) * term for name, term in taught.items()}
        return {"hard": self.alpha * F.cross_entropy(first, batch.targets)} | weighted


@dataclass(eq=False)
class TwoClassTokens(Method):
    """The control of ``DeiT``: as many tokens and classifiers, and no teacher.

    Both tokens learn the labels, ½·CE + ½·CE. In the paper's own try the two became the same vector
    (cosine 0.999; §4).
    """

    needs_features = True

    def prepare(self, student: nn.Module, train: Split, views: Views, device: torch.device) -> None:
        _has_two_tokens(student)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        both = [F.cross_entropy(logits, batch.targets) for logits in _two_logits(batch)]
        return {"hard": sum(both) / 2}


def _has_two_tokens(student: nn.Module) -> None:
    if not isinstance(student, VisionTransformer):
        found = type(student).__name__
        raise TypeError(f"student must be a models.VisionTransformer with tokens=2, not {found}")
    if (count := len(student.stages.tokens.tokens)) != 2:
        raise ValueError(f"student must have two tokens (tokens=2), not {count}")


def _two_logits(batch: Batch) -> list[Tensor]:
    """Logits ``[B, classes]`` of the first token and of the second."""
    return list(batch.features["tokens"].float().unbind(dim=1))
