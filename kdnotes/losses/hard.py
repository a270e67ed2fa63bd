"""The teacher's answer as a label."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.losses.reduction import reduce


def hard_label_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy with the class that the teacher finds most likely (DeiT's hard distillation,
    Touvron et al. 2021, arXiv 2012.12877, §4).

    Nothing of how sure the teacher is comes through, so it has no temperature. Of equal logits the
    first counts.

    Args:
        student_logits: z_s, ``[batch, classes]``.
        teacher_logits: z_t, same shape; it receives no gradient.
        reduction: "mean" over samples, or "none" for ``[batch]``.
    """
    checks.logits(student_logits=student_logits, teacher_logits=teacher_logits)
    answers = teacher_logits.argmax(dim=1)
    per_sample = F.cross_entropy(student_logits, answers, reduction="none")
    return reduce(per_sample, reduction, "student_logits")
