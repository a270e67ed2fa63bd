"""Exercises of chapter 6: weights by uncertainty, a schedule, standardised logits, one step against the student."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.check import Exercise, Trap


def _logits(seed: int, *, certain: bool = False) -> Tensor:
    """Logits ``[6, 10]`` that require a gradient; with ``certain``, softmax underflows in half of the rows."""
    logits = 3 * torch.randn(6, 10, generator=torch.Generator().manual_seed(seed))
    if certain:
        logits[::2] *= 200
    return logits.requires_grad_(True)


def _with_gradient(value: object) -> object:
    """What is compared where it matters whether a gradient can flow through the answer."""
    if not isinstance(value, Tensor):
        return value
    return value.detach(), "with gradient" if value.requires_grad else "without gradient"


def _entropy(logits: Tensor, *, dim: int = 1) -> Tensor:
    log_p = F.log_softmax(logits, dim=dim)
    return -(log_p.exp() * log_p).sum(dim)


def _naive_entropy(logits: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    return -(p * p.log()).sum(1)


def _normalised(score: Tensor) -> Tensor:
    return (score / score.mean()).detach()


def _constant_row() -> Tensor:
    logits = _logits(2).detach()
    logits[1] = 5.0
    return logits.requires_grad_(True)


def _standardised(logits: Tensor, *, correction: int = 1, eps: float = 1e-7) -> Tensor:
    spread = logits.std(dim=1, keepdim=True, correction=correction)
    return (logits - logits.mean(dim=1, keepdim=True)) / (spread + eps)


def _stepped(change: Callable[[float, float, float, float], float]) -> Callable[[float, float, float, float], float]:
    """T after θ was changed by ``change(slope, sigmoid(θ), strength, rate)``."""

    def step(theta: float, slope: float, strength: float, rate: float) -> float:
        return 1 + 20 * _sigmoid(theta + change(slope, _sigmoid(theta), strength, rate))

    return step


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


ASCENT = _stepped(lambda slope, s, strength, rate: rate * strength * slope * 20 * s * (1 - s))


EXERCISES = {
    "06.1": Exercise(
        lambda logits: _normalised(_entropy(logits)),
        lambda: [(_logits(0),), (_logits(1, certain=True),)],
        (
            Trap(
                lambda logits: _entropy(logits) / _entropy(logits).mean(),
                "the values are right, but a gradient flows through the weights, and the student can lower the loss "
                "by becoming certain where it disagrees; detach them",
            ),
            Trap(lambda logits: _normalised(_naive_entropy(logits)),
                 "softmax and then log gives 0·(−∞) = NaN for certain samples; use log_softmax"),
            Trap(lambda logits: _entropy(logits).detach(),
                 "these are the entropies; divide them by their mean, or the size of the loss changes with them"),
            Trap(lambda logits: -_entropy(logits).detach(),
                 "the sign is wrong: an entropy is never negative; and divide by the mean"),
            Trap(lambda logits: _entropy(logits).detach() / math.log(logits.shape[1]),
                 "dividing by log K brings them into 0 … 1, but their mean still changes the size of the loss; "
                 "divide by the mean over the batch"),
            Trap(lambda logits: (_entropy(logits) / _entropy(logits).sum()).detach(),
                 "the weights sum to 1, so that the mean of weight times loss is too small by the batch size; "
                 "divide by the mean, not by the sum"),
            Trap(lambda logits: _normalised(math.log(logits.shape[1]) - _entropy(logits)),
                 "these are largest where the student is certain; the uncertain samples should weigh more"),
            Trap(lambda logits: _normalised(1 / (_entropy(logits) + 1e-7)),
                 "these are largest where the student is certain; the uncertain samples should weigh more"),
            Trap(lambda logits: _normalised(_entropy(logits, dim=0)),
                 "the softmax runs over the batch; each sample's probabilities run over the classes, dim=1"),
            Trap(lambda logits: F.softmax(_entropy(logits), dim=0).detach() * len(logits),
                 "a softmax of the entropies is another weighting; divide them by their mean"),
            Trap(lambda logits: _normalised(1 - F.softmax(logits, dim=1).max(1).values),
                 "1 − the largest probability is an uncertainty too, but here the entropy is asked for"),
        ),
        observe=_with_gradient,
    ),
    "06.2": Exercise(
        lambda step, steps, first, last: first + (last - first) * (step / (steps - 1) if steps > 1 else 0.0),
        lambda: [(0, 5, 4.0, 1.0), (1, 5, 4.0, 1.0), (4, 5, 4.0, 1.0), (3, 11, 0.0, 0.5), (10, 11, 0.0, 0.5)],
        (
            Trap(lambda step, steps, first, last: first + (last - first) * step / steps,
                 "off by one: the last step has the number steps − 1, so that step/steps never arrives at `last`"),
            Trap(lambda step, steps, first, last: first + (last - first) * (step + 1) / steps,
                 "off by one: the first step has the number 0 and should see `first` itself"),
            Trap(lambda step, steps, first, last: last + (first - last) * step / (steps - 1),
                 "the schedule runs backwards: it should begin at `first`"),
            Trap(lambda step, steps, first, last: first + (first - last) * step / (steps - 1),
                 "the sign is wrong: the schedule moves away from `last`"),
            Trap(lambda step, steps, first, last: last
                 + (first - last) * (1 + math.cos(math.pi * step / (steps - 1))) / 2,
                 "this is a cosine schedule; here it should be linear"),
            Trap(lambda step, steps, first, last: (last - first) * step / (steps - 1),
                 "this is the change since the start; add `first`"),
        ),
    ),
    "06.3": Exercise(
        _standardised,
        lambda: [(_logits(1),), (_constant_row(),)],
        (
            Trap(lambda logits: _standardised(logits, correction=0),
                 "the standard deviation divides by K; here by K − 1, as in the authors' code (torch's default)"),
            Trap(lambda logits: (logits - logits.mean(0)) / (logits.std(0) + 1e-7),
                 "this standardises each class over the batch, as batch norm does; each row over the classes, dim=1"),
            Trap(lambda logits: (logits - logits.mean()) / (logits.std() + 1e-7),
                 "this uses one mean and one deviation for the whole batch; one a row, dim=1 and keepdim=True"),
            Trap(lambda logits: _standardised(logits, eps=0.0),
                 "a row of equal logits gives 0/0 = NaN; add a small number to the standard deviation"),
            Trap(lambda logits: logits - logits.mean(dim=1, keepdim=True),
                 "the mean is gone, the scale is still there; divide by the standard deviation"),
            Trap(lambda logits: logits / (logits.std(dim=1, keepdim=True) + 1e-7),
                 "the scale is gone, the mean is still there; subtract it (a softmax does not see it, other code may)"),
            Trap(lambda logits: (logits - logits.mean(dim=1, keepdim=True)) / (logits.var(dim=1, keepdim=True) + 1e-7),
                 "this divides by the variance; divide by its square root"),
            Trap(lambda logits: F.normalize(logits - logits.mean(dim=1, keepdim=True), dim=1),
                 "the rows have length 1, not standard deviation 1: too small by √(K − 1)"),
            Trap(lambda logits: losses.standardize_logits(logits.detach()),
                 "the values are right, but no gradient reaches the student: do not detach the logits"),
            Trap(lambda logits: _standardised(F.softmax(logits, dim=1)),
                 "these are standardised probabilities; standardise the logits, and apply the softmax afterwards"),
        ),
        observe=_with_gradient,
    ),
    "06.4": Exercise(
        ASCENT,
        lambda: [(0.0, 0.1, 1.0, 0.5), (-2.9, 0.4, 0.5, 0.1), (1.0, -0.2, 0.3, 0.2)],
        (
            Trap(_stepped(lambda slope, s, strength, rate: -rate * strength * slope * 20 * s * (1 - s)),
                 "T descends with the student: the reversal is missing (or was applied twice)"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * slope * 20 * s * (1 - s)),
                 "the strength λ is not used: it multiplies the reversed gradient"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * slope),
                 "`slope` is the derivative with respect to T; the chain rule needs dT/dθ = 20·σ(θ)·(1 − σ(θ))"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * slope * s * (1 - s)),
                 "dT/dθ lacks the factor 20, the width of the range of T"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * slope * 20 * s),
                 "the derivative of the sigmoid is σ(θ)·(1 − σ(θ))"),
            Trap(lambda theta, slope, strength, rate: 1 + 20 * _sigmoid(theta) + rate * strength * slope,
                 "the step was taken on T itself; the parameter is θ, and T follows from it"),
            Trap(lambda theta, slope, strength, rate: theta + rate * strength * slope * 20
                 * _sigmoid(theta) * (1 - _sigmoid(theta)),
                 "this is the new θ; return the new T = 1 + 20·σ(θ)"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * abs(slope) * 20 * s * (1 - s)),
                 "the step ignores the sign of the slope: where the loss falls with T, ascending lowers T"),
        ),
    ),
}  # fmt: skip
