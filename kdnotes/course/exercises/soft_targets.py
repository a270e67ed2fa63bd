"""The soft loss, its gradient, its limit at high T, and label smoothing."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.attempt import Exercise, stretched


def _logits(seed: int, batch: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2.0 * torch.randn(2, batch, classes, generator=generator)
    return student, teacher


class SoftLoss(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 2
    reference = staticmethod(losses.kd_loss)

    def cases(self):
        return [(*_logits(1, 5, 10), 1.0), (*_logits(2, 5, 10), 4.0), (*_logits(3, 3, 4), 2.0)]

    def extremes(self):
        """In the first case a probability underflows to 0 on both sides, but the loss is finite."""
        confident = torch.tensor([[0.0, 1.0, -400.0], [2.0, 0.0, 1.0]])
        unsure = torch.tensor([[1.0, 0.0, -500.0], [0.0, 1.0, 2.0]])
        huge = [stretched(z) for z in _logits(8, 5, 10)]
        return [(confident, unsure, 2.0), (*huge, 1.0), (*huge, 4.0)]

    def wrong_softmax_twice(self, z_s, z_t, t):
        """The softmax is applied twice: log_softmax wants logits, and a softmax of probabilities
        is nearly uniform whatever the student says.
        """
        return t**2 * losses.kd_loss(losses.soften(z_s, t), z_t / t, 1.0)

    def wrong_softmax_in_kl_div(self, z_s, z_t, t):
        """F.kl_div expects the student as log-probabilities: give it log_softmax, not softmax."""
        p_s, p_t = (losses.soften(z, t) for z in (z_s, z_t))
        return t**2 * F.kl_div(p_s, p_t, reduction="batchmean")

    def wrong_entropy_left(self, z_s, z_t, t):
        """That is T² times the cross-entropy: its gradient is right, but the teacher's entropy is
        still in it; subtract it, so that the loss is 0 where the student equals the teacher.
        """
        return t**2 * losses.soft_cross_entropy(z_s / t, losses.soften(z_t, t))


class SoftGradient(Exercise):
    logits, temperature = (0, 1), 2

    def reference(self, z_s, z_t, t):
        return t / len(z_s) * (losses.soften(z_s, t) - losses.soften(z_t, t))

    def cases(self):
        return [(*_logits(4, 5, 10), 4.0), (*_logits(5, 3, 4), 2.0)]


class Limit(Exercise):
    logits = (0, 1)

    def reference(self, z_s, z_t):
        return (z_s - z_t).var(dim=1, correction=0) / 2

    def cases(self):
        z_s, z_t = _logits(6, 5, 10)
        return [(z_s, z_t), (z_s + 3.0, z_t), _logits(7, 3, 4)]

    def wrong_denominator(self, z_s, z_t):
        """The variance has K − 1 in its denominator: the limit has all K (correction=0)."""
        return (z_s - z_t).var(dim=1) / 2

    def wrong_not_centred(self, z_s, z_t):
        """The differences are not centred: a constant added to all logits of a sample changes no
        probability, so it must not change the limit; subtract the mean over classes.
        """
        return (z_s - z_t).square().mean(dim=1) / 2


class Smoothing(Exercise):
    def reference(self, alpha, classes):
        return 1 - alpha, (1 - alpha) * math.log(classes)

    def cases(self):
        return [(0.9, 10), (0.1, 10), (0.75, 3)]

    def wrong_no_entropy(self, alpha, classes):
        """ε is right, but the two losses are not equal: the divergence lacks the uniform teacher's
        entropy, log K, times its weight.
        """
        return 1 - alpha, 0.0

    def wrong_other_classes_alone(self, alpha, classes):
        """That is the mass of the other classes; ε is spread over all K, the right one included."""
        return (1 - alpha) * (classes - 1) / classes, (1 - alpha) * math.log(classes)


EXERCISES = {1: SoftLoss(), 2: SoftGradient(), 3: Limit(), 4: Smoothing()}
