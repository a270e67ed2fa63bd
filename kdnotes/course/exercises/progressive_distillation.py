"""α at a step, a teacher that stops, the price of a chain."""

import torch
import torch.nn.functional as F

from kdnotes import losses
from kdnotes.course.attempt import Exercise


class AlphaOfStep(Exercise):
    def reference(self, epoch, batch, epochs, batches, first, last):
        return first + (epoch * batches + batch) / (epochs * batches) * (last - first)

    def cases(self):
        """Start, middle, last step, and a falling α."""
        rising = [(0, 0, 4, 5, 0.0, 0.5), (1, 3, 4, 5, 0.0, 0.5), (3, 4, 4, 5, 0.1, 0.9)]
        return [*rising, (2, 1, 6, 3, 0.5, 0.0)]

    def wrong_end(self, epoch, batch, epochs, batches, first, last):
        """The last step reaches `last`; α belongs to the share that is done, which is below 1."""
        done = (epoch * batches + batch) / (epochs * batches - 1)
        return first + done * (last - first)

    def wrong_start(self, epoch, batch, epochs, batches, first, last):
        """The term `first` is missing: α starts there, not at 0."""
        return self.reference(epoch, batch, epochs, batches, first, last) - first


class LossWithStop(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 7

    def reference(self, z_s, z_t, y, step, steps, until, alpha, t):
        return self.loss(step / steps < until, z_s, z_t, y, alpha, t)

    def loss(self, speaks, z_s, z_t, y, alpha, t):
        labels = F.cross_entropy(z_s, y)
        kd = alpha * labels + (1 - alpha) * losses.kd_loss(z_s, z_t, t)
        return kd if speaks else labels

    def parts(self):
        return {"the soft term": self.soft, "the labels' term": self.hard}

    def soft(self, z_s, z_t, y, step, steps, until, alpha, t):
        return (1 - alpha) * (step / steps < until) * losses.kd_loss(z_s, z_t, t)

    def hard(self, z_s, z_t, y, step, steps, until, alpha, t):
        return (alpha if step / steps < until else 1) * F.cross_entropy(z_s, y)

    def cases(self):
        """Before, at and after the end, without one; and ends that cut a step in two."""
        settings = [
            (0, 10, 0.5, 0.1, 2.0),
            (3, 10, 0.5, 0.1, 2.0),
            (5, 10, 0.5, 0.1, 2.0),
            (8, 10, 0.75, 0.3, 4.0),
            (9, 10, 1.0, 0.5, 3.0),
            (7, 10, 0.75, 0.3, 2.0),
            *((step, steps, 0.25, 0.3, 2.0) for steps in (9, 10, 11) for step in (2, 3)),
        ]
        cases = []
        for seed, setting in enumerate(settings):
            generator = torch.Generator().manual_seed(seed)
            batch, classes = (6, 10) if seed % 2 == 0 else (5, 4)
            z_s, z_t = 2 * torch.randn(2, batch, classes, generator=generator)
            y = torch.randint(classes, (batch,), generator=generator)
            cases.append((z_s, z_t, y, *setting))
        return cases

    def wrong_end(self, z_s, z_t, y, step, steps, until, alpha, t):
        """One step too long: the teacher speaks while *less than* `until` is done."""
        return self.loss(step / steps <= until, z_s, z_t, y, alpha, t)

    def wrong_rounded_end(self, z_s, z_t, y, step, steps, until, alpha, t):
        """A step too early: step k has the fraction k / steps behind it, unrounded."""
        return self.loss(step < int(until * steps), z_s, z_t, y, alpha, t)

    def wrong_weight_kept(self, *case):
        """After the stop the labels keep the weight α: the loss shrinks; alone they weigh 1."""
        return self.soft(*case) + case[6] * F.cross_entropy(case[0], case[2])


class EqualWork(Exercise):
    def reference(self, macs, epochs):
        return epochs * sum(macs) / macs[-1]

    def cases(self):
        chains = ([4.0, 1.0], 30), ([8.0, 3.0, 2.0], 36), ([0.5], 10), ([3.0, 1.0, 1.7], 7)
        return [([1e6 * one for one in macs], n) for macs, n in (*chains, ([2.0, 5.0, 1.0], 20))]

    def wrong_equal_epochs(self, macs, epochs):
        """These are equal epochs, not equal work: an epoch of a wider network costs more."""
        return float(epochs * len(macs))

    def wrong_student_left_out(self, macs, epochs):
        """The student's own training is missing: it is the last part of the chain."""
        return epochs * sum(macs[:-1]) / macs[-1]

    def wrong_upside_down(self, macs, epochs):
        """Upside down: the student is cheaper than the chain, so it gets more epochs, not fewer."""
        return epochs * macs[-1] / sum(macs)


EXERCISES = {1: AlphaOfStep(), 2: LossWithStop(), 3: EqualWork()}
