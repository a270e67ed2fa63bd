"""Losses whose switches stand as one likes: what the exercises on other libraries are tried on.

Nothing here needs another library: ``PLAIN`` is the arithmetic of two of them, by their settings.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.methods import OwnLoss

__all__ = ["KNOWN", "PLAIN", "Loss", "drawn", "made", "weights_of"]

Loss = Callable[[Tensor, Tensor, float], Tensor]


def drawn(seed: int, batch: int, classes: int) -> tuple[Tensor, Tensor]:
    """Logits of a student and of a teacher, ``[batch, classes]``, in doubles."""
    student, teacher = torch.randn(
        2, batch, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.double
    )
    return student, teacher


def _divergence(z_s: Tensor, z_t: Tensor, temperature: float) -> Tensor:
    """The terms of KL(p_t ‖ p_s), an image and a class each."""
    log_s, log_t = (F.log_softmax(z / temperature, dim=1) for z in (z_s, z_t))
    return log_t.exp() * (log_t - log_s)


MEANS: dict[str, Callable[[Tensor], Tensor]] = {
    "images": lambda terms: terms.sum(1).mean(),
    "elements": torch.mean,
    "sum": torch.sum,
}


def _loss(
    z_s: Tensor,
    z_t: Tensor,
    temperature: float,
    *,
    power: int,
    direction: str,
    mean: str,
    factor: float,
) -> Tensor:
    first, second = (z_s, z_t) if direction == "forward" else (z_t, z_s)
    return factor * temperature**power * MEANS[mean](_divergence(first, second, temperature))


def made(power: int, direction: str, mean: str, factor: float) -> Loss:
    """factor·T^power·KL, "forward" or "reverse", its terms put together by one of ``MEANS``.

    It can be pickled, as a submission is graded in a process of its own.
    """
    return functools.partial(_loss, power=power, direction=direction, mean=mean, factor=factor)


# Logits and labels on which settings are compared.
Z_S, Z_T = (3 * z for z in drawn(1, 6, 5))
Y = torch.tensor([0, 1, 2, 3, 4, 0])


def timm(
    temperature: float = 1.0,
    task_loss_weight: float | None = None,
    distill_loss_weight: float | None = None,
) -> tuple[Tensor, Tensor]:
    """What timm's task (1.0.31) makes of its settings: the two terms with their weights."""
    hard, soft = task_loss_weight, distill_loss_weight
    if soft is None:
        soft = 1.0 if hard is None else 1 - hard
    hard = 1.0 if hard is None else hard
    return hard * F.cross_entropy(Z_S, Y), soft * made(2, "forward", "images", 1.0)(
        Z_S, Z_T, temperature
    )


def modelopt(
    temperature: float = 1.0, reduction: str = "mean", kd_loss_weight: float = 0.5
) -> tuple[Tensor, Tensor]:
    """The same of modelopt's loss and its balancer (0.47.0)."""
    mean = {"mean": "elements", "batchmean": "images", "sum": "sum"}[reduction]
    soft = made(2, "forward", mean, kd_loss_weight)(Z_S, Z_T, temperature)
    return (1 - kd_loss_weight) * F.cross_entropy(Z_S, Y), soft


PLAIN = {"timm": timm, "modelopt": modelopt}
KNOWN = {
    "timm": {"temperature", "task_loss_weight", "distill_loss_weight"},
    "modelopt": {"temperature", "reduction", "kd_loss_weight"},
}


def weights_of(method: OwnLoss, soft: Loss, temperature: float) -> tuple[float, float] | None:
    """The weights of CE and of ``soft``, if a method's loss is made of these two alone.

    Values and gradients are compared, at three times of the training: a term that is detached
    teaches nothing, and a weight that drifts is another schedule.
    """
    y, given, terms = torch.tensor([0, 1, 2, 3, 0]), [], []
    for seed, progress in itertools.product(range(4), (0.1, 0.5, 0.9)):
        z_s, z_t = (2 * z for z in drawn(seed, 5, 4))
        z_s.requires_grad_()
        batch = SimpleNamespace(
            student_logits=z_s, targets=y, progress=progress, epoch=int(10 * progress), epochs=10
        )
        try:
            told = method.loss(batch, SimpleNamespace(logits=z_t, features={}, module=None))
            given.append(_felt(sum(told.values()) if isinstance(told, dict) else told, z_s))
        except Exception:  # one that needs more than logits and labels is another loss
            return None
        both = F.cross_entropy(z_s, y), soft(z_s, z_t, temperature)
        terms.append(torch.stack([_felt(term, z_s) for term in both], dim=1))
    wanted, columns = torch.cat(given), torch.cat(terms)
    found = torch.linalg.lstsq(columns, wanted[:, None]).solution[:, 0]
    is_sum = torch.allclose(columns @ found, wanted, rtol=1e-4, atol=1e-6)
    return tuple(found.tolist()) if is_sum and found.min() >= -1e-4 else None


def _felt(loss: Tensor, z_s: Tensor) -> Tensor:
    """A loss and its gradient with respect to the logits, one behind the other."""
    (gradient,) = torch.autograd.grad(loss, z_s, retain_graph=True)
    return torch.cat([loss.detach().view(1), gradient.flatten()]).double()
