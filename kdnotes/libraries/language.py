"""Distillation losses of libraries for language models and embeddings.

A row of logits stands for a token, or for the scores of a query's candidates; targets are the next
tokens, none of which is padding. A function a call, as in ``vision``.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.libraries.library import load


def _jsd(student: Tensor, teacher: Tensor, **settings: float) -> Tensor:
    trainer = load("trl", "trl.experimental.gkd").GKDTrainer
    return trainer.generalized_jsd_loss(student, teacher, **settings)


def gkd_default(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """``GKDTrainer.generalized_jsd_loss(..., temperature=T)``."""
    return _jsd(student, teacher, temperature=temperature)


def gkd_cured(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The same with ``beta=0``, times T²."""
    return temperature**2 * _jsd(student, teacher, temperature=temperature, beta=0)


def gkd_weighed(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """α·CE and the rest for ``gkd_cured``: trl knows no labels, so that the sum is ours."""
    labels = F.cross_entropy(student, targets)
    return alpha * labels + (1 - alpha) * gkd_cured(student, teacher, targets, temperature)


def _gkd_trainer(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, beta: float
) -> Tensor:
    """``GKDTrainer.compute_loss`` of a text whose logits are given, with the trainer's settings.

    Only what the method reads of a trainer is there: to make one takes a model and a tokeniser.
    """
    kind = load("trl", "trl.experimental.gkd").GKDTrainer
    given, taught = (F.pad(logits, (0, 0, 0, 1))[None] for logits in (student, teacher))
    trainer = SimpleNamespace(
        teacher_model=_Says(taught),
        beta=beta,
        temperature=temperature,
        generalized_jsd_loss=kind.generalized_jsd_loss,
    )
    text = F.pad(targets, (1, 0))[None]
    inputs = {"input_ids": text, "attention_mask": torch.ones_like(text), "labels": text}
    return kind.compute_loss(trainer, _Says(given), inputs)


class _Says:
    """A language model that answers any text with logits that are there already."""

    def __init__(self, logits: Tensor):
        self.logits = logits

    def __call__(self, **text: Tensor) -> _Says:
        return self

    def eval(self) -> _Says:
        return self


def gkd_trainer_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``GKDTrainer`` with ``GKDConfig(temperature=T)``, whose ``beta`` is 0.5."""
    return _gkd_trainer(student, teacher, targets, temperature, beta=0.5)


def gkd_trainer_cured(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """With ``beta=0``, networks that divide their logits by T, and T² outside."""
    cooled = (student / temperature, teacher / temperature)
    return temperature**2 * _gkd_trainer(*cooled, targets, temperature, beta=0.0)


def _distillation_trainer(
    student: Tensor, teacher: Tensor, temperature: float, beta: float
) -> Tensor:
    module = load("trl", "trl.trainer.distillation_trainer")
    head, mask = torch.eye(student.shape[1]), torch.ones(1, len(student))
    hidden = (student[None], teacher[None], head, head, mask)
    return module._chunked_divergence_loss(*hidden, beta=beta, temperature=temperature)[0]


def distillation_trainer_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """The loss of ``DistillationTrainer`` with ``DistillationConfig(temperature=T)``."""
    return _distillation_trainer(student, teacher, temperature, beta=1.0)


def distillation_trainer_cured(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """The same with ``beta=0``, times T²."""
    return temperature**2 * _distillation_trainer(student, teacher, temperature, beta=0.0)


def sentence_transformers_loss(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``DistillKLDivLoss(model, temperature=T)``: a row is a query, a column a candidate."""
    module = load("sentence-transformers", "sentence_transformers.sentence_transformer.losses")
    loss = module.DistillKLDivLoss(None, temperature=temperature)
    query = torch.ones(len(student), 1)  # the dot product with it is the candidate's score
    candidates = [column[:, None] for column in student.unbind(1)]
    return loss.compute_loss_from_embeddings([query, *candidates], teacher)


def _liger(student: Tensor, teacher: Tensor, targets: Tensor, **settings: float) -> Tensor:
    """Its loss begins at hidden states: those are the logits, and the head is the identity."""
    module = load("liger-kernel", "liger_kernel.chunked_loss")
    loss = module.LigerFusedLinearJSDLoss(compiled=False, **settings)
    head = torch.eye(student.shape[1])
    return loss(student, head, teacher, head, targets)


_SOFT_ALONE = {"weight_hard_loss": 0.0, "weight_soft_loss": 1.0}


def liger_default(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The teacher's part of ``LigerFusedLinearJSDLoss(temperature=T)``, whose ``beta`` is 0.5."""
    return _liger(student, teacher, targets, temperature=temperature, **_SOFT_ALONE)


def liger_cured(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """The same with ``beta=0``, times T²."""
    settings = {"temperature": temperature, "beta": 0.0}
    return temperature**2 * _liger(student, teacher, targets, **settings, **_SOFT_ALONE)


def liger_weighed(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """Labels and teacher by ``weight_hard_loss=alpha``, ``weight_soft_loss=T²·(1 - alpha)``."""
    soft = temperature**2 * (1 - alpha)
    weights = {"weight_hard_loss": alpha, "weight_soft_loss": soft}
    return _liger(student, teacher, targets, temperature=temperature, beta=0.0, **weights)


def _torchtune(student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
    return load("torchtune", "torchtune.modules.loss").ForwardKLLoss()(student, teacher, targets)


def torchtune_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``ForwardKLLoss()``, which has no temperature."""
    return _torchtune(student, teacher, targets)


def torchtune_cured(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """Of logits over T, less what the teacher gives against itself, times T²."""
    cooled, taught = student / temperature, teacher / temperature
    entropy = _torchtune(taught, taught, targets)
    return temperature**2 * (_torchtune(cooled, taught, targets) - entropy)


def _textbrewer(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return load("textbrewer", "textbrewer.losses").kd_ce_loss(student, teacher, temperature)


def textbrewer_default(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """``kd_ce_loss(z_s, z_t, T)``, which ``DistillationConfig`` chooses."""
    return _textbrewer(student, teacher, temperature)


def textbrewer_cured(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> Tensor:
    """Less what the teacher gives against itself, times T²."""
    entropy = _textbrewer(teacher, teacher, temperature)
    return temperature**2 * (_textbrewer(student, teacher, temperature) - entropy)
