"""α at a step, a teacher that stops; the price of a chain; arms apart; a design; a quiz."""

import torch
import torch.nn.functional as F

from kdnotes import losses, methods
from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import OnlyNLL
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


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


EXERCISES = {1: AlphaOfStep(), 2: LossWithStop()}


class EqualWork(Question):
    """A chain of 6, 3 and 1.5 million MACs, the student last, each trained for 40 epochs."""

    asks = "a number of epochs"
    hint = "add up the work of the three trainings, in units of the student's"
    absolute = 0.5
    macs, epochs = (6.0, 3.0, 1.5), 40

    def expected(self):
        return self.epochs * sum(self.macs) / self.macs[-1]

    def wrong_equal_epochs(self):
        """These are equal epochs, not equal work: an epoch of a wider network costs more."""
        return float(self.epochs * len(self.macs))

    def wrong_student_left_out(self):
        """The student's own training is missing: it is the last part of the chain."""
        return self.epochs * sum(self.macs[:-1]) / self.macs[-1]

    def wrong_upside_down(self):
        """Upside down: the student is cheaper than the chain, so it gets more epochs, not fewer."""
        return self.epochs * self.macs[-1] / sum(self.macs)


BY_HAND = {3: EqualWork()}


READINGS = {4: OnlyNLL()}


class WhenToStop(Comparison):
    """Does a stop beat no stop, where its time is chosen?"""

    least_seeds = 5

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(one) is methods.ESKD and 0 < one.until < 1 for one in treatments):
            return "the treatment must be ESKD, which stops after the start and before the end"
        if len({one.until for one in treatments}) < 2:
            return "the time of the stop is to be chosen: name two of them or more as the treatment"
        if len(baselines) != 1:
            return "the baseline must be one arm, in which the teacher never leaves"
        (stays,) = baselines
        if type(stays) is not methods.KD and not (type(stays) is methods.ESKD and stays.until == 1):
            return "in the baseline the teacher must stay to the end: KD, or ESKD with until=1.0"
        if any(one.alpha == 1 for one in (*treatments, stays)):
            return "with α = 1 no teacher is asked, and nothing stops"
        return None


DESIGNS = {5: WhenToStop()}

QUIZ = (
    Item(
        "α rises from 0 to 0.5, and the student beats KD with α = 0.1. What has been shown?",
        {
            "A rising α is better than a constant one.": (
                "the mean weight of the labels has changed as well as its course"
            ),
            "This schedule is better than KD with α = 0.1.": RIGHT,
            "The student should see labels late.": "no schedule with labels early was compared",
        },
    ),
    Item(
        "An assistant costs three times as much as the student in each epoch; both train for 30 "
        "epochs. How long may KD alone train, for as much work?",
        {
            "30 epochs.": "that is what the student has, without the assistant's training",
            "60 epochs.": "this counts epochs of two networks as if they cost the same",
            "120 epochs.": RIGHT,
        },
    ),
    Item(
        "A script trains one network object with cross-entropy, then passes the same object on to "
        "KD, and compares the two scores. What is wrong?",
        {
            "Nothing: each method has as many epochs as the other.": (
                "the second one starts where the first one stopped"
            ),
            "KD's score holds the first training too.": RIGHT,
            "Cross-entropy's score is too high.": "it was measured after its own epochs",
        },
    ),
)
