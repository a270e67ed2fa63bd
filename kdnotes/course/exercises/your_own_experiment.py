"""A verdict from an interval, the number of seeds, a fair control."""

import math

import numpy as np
from scipy import stats

from kdnotes.course.attempt import Exercise
from kdnotes.lab import power


class Verdict(Exercise):
    def reference(self, low, mean, high, smallest):
        """A gain is shown; one of δ or more is shown; one of δ or more is excluded."""
        return self.gated(low, high, low > 0, low >= smallest, high < smallest)

    def gated(self, low, high, *facts):
        """An interval without width, or of NaN, shows and excludes nothing."""
        return facts if low < high else (False, False, False)

    def cases(self):
        """Every kind of interval, on both sides of 0 and δ and exactly there."""
        nan, inf = math.nan, math.inf
        halves = [
            *((-0.4, 0.1, 0.6), (0.1, 0.6, 1.1), (0.7, 0.9, 1.1), (0.1, 0.2, 0.3)),
            *((-0.2, 0.0, 0.2), (-0.9, -0.6, -0.3), (-0.1, 0.9, 1.9), (0.1, 0.4, 0.7)),
            *((-1.0, -0.2, 0.6), (0.0, 0.5, 1.0), (0.0, 0.125, 0.25), (0.5, 0.75, 1.0)),
            *((0.25, 0.375, 0.5), (-0.25, 0.125, 0.5), (-0.5, -0.25, 0.0), (0.75, 0.75, 0.75)),
            *((0.25, 0.25, 0.25), (0.5, 0.5, 0.5), (-0.25, -0.25, -0.25)),
            *((-inf, 0.75, inf), (nan, nan, nan)),  # one seed; none
        ]
        small = [(0.0078125, 0.01, 0.0121875, 0.0078125), (0.0004, 0.001, 0.0016, 0.005)]
        return [*((*interval, 0.5) for interval in halves), *small]

    def wrong_begins_at_0(self, low, mean, high, smallest):
        """An interval that begins exactly at 0 shows no gain: low > 0, not ≥."""
        return self.gated(low, high, low >= 0, low >= smallest, high < smallest)

    def wrong_begins_at_smallest(self, low, mean, high, smallest):
        """One that begins exactly at δ shows a gain of δ or more: low ≥ δ, not >."""
        return self.gated(low, high, low > 0, low > smallest, high < smallest)

    def wrong_ends_at_smallest(self, low, mean, high, smallest):
        """One that ends exactly at δ does not exclude a gain of δ: high < δ, not ≤."""
        return self.gated(low, high, low > 0, low >= smallest, high <= smallest)

    def wrong_width(self, low, mean, high, smallest):
        """An interval without width, as of equal differences, shows and excludes nothing."""
        return low > 0, low >= smallest, high < smallest

    def wrong_not_excluded(self, low, mean, high, smallest):
        """That a gain of δ is not excluded does not show one: from 0.1 to 0.9 it is open whether
        the gain is 0.5 or more, which needs low ≥ δ.
        """
        return self.gated(low, high, low > 0, low > 0 and high >= smallest, high < smallest)

    def wrong_any_gain(self, low, mean, high, smallest):
        """A gain that is shown is taken for one of δ or more: that needs low ≥ δ."""
        return self.gated(low, high, low > 0, low > 0, high < smallest)

    def wrong_mean(self, low, mean, high, smallest):
        """The mean must not decide: of a gain just below δ it lies above δ nearly half the time."""
        return self.gated(low, high, low > 0, mean >= smallest, high < smallest)


def _number(effect: float) -> int:
    return next(n for n in range(2, 10_000) if power(n, effect, 1.0) >= 0.8)


class Seeds(Exercise):
    def reference(self, treatment, baseline, smallest):
        return _number(smallest / np.std(np.subtract(treatment, baseline), ddof=1))

    def cases(self):
        """Accuracies in points: correlated, little correlated (two seeds to hundreds), few."""
        baseline = [78.1, 79.4, 78.8, 80.3, 79.1]
        loose = [79.6, 79.2, 80.4, 80.6, 78.4]
        few = ([80.0, 79.1, 79.5], [79.2, 79.0, 78.2], 0.4)
        two = ([80.2, 79.3, 79.4], [79.0, 78.0, 78.3], 2.0)
        close = ([79.0, 80.0, 79.9, 81.2, 79.8], baseline, 0.5)
        return [close, *((loose, baseline, smallest) for smallest in (0.5, 1.0, 0.19)), few, two]

    def wrong_sum_of_variances(self, treatment, baseline, smallest):
        """The variances of the arms are added, as if independent; a seed moves both arms together,
        so take the standard deviation of the differences seed by seed.
        """
        return _number(smallest / np.hypot(np.std(treatment, ddof=1), np.std(baseline, ddof=1)))

    def wrong_post_hoc(self, treatment, baseline, smallest):
        """That is post-hoc power, the p-value again; ask for the smallest gain of interest."""
        difference = np.subtract(treatment, baseline)
        return _number(abs(difference.mean()) / np.std(difference, ddof=1))

    def wrong_normal(self, treatment, baseline, smallest):
        """With few seeds t has heavier tails than the normal distribution: use experiment.power."""
        effect = smallest / np.std(np.subtract(treatment, baseline), ddof=1)
        return math.ceil((stats.norm.ppf([0.975, 0.8]).sum() / effect) ** 2)

    def wrong_ddof(self, treatment, baseline, smallest):
        """That standard deviation divides by n; from a sample it divides by n − 1 (ddof=1)."""
        return _number(smallest / np.std(np.subtract(treatment, baseline)))


def _constant(treatment: dict, alpha: float) -> dict:
    return treatment | {"alpha": (alpha, alpha)}


class Control(Exercise):
    def reference(self, treatment, idea):
        if idea == "schedule":
            return _constant(treatment, sum(treatment["alpha"]) / 2)
        return treatment | {"extra_weight": 0.0}

    def cases(self):
        settings = {"teacher": "lesson teacher", "temperature": 3.0, "alpha": (0.0, 0.5)}
        settings |= {"extra_weight": 5.0, "width": 24, "epochs": 72, "seeds": (0, 1, 2, 3, 4)}
        changes = {"alpha": (0.25, 0.75), "extra_weight": 0.5, "epochs": 48, "temperature": 2.0}
        both = (settings, settings | changes | {"width": 16})
        return [(dict(one), idea) for one in both for idea in ("extra term", "schedule")]

    def kept(self, treatment, idea):
        return treatment

    def wrong_no_teacher(self, treatment, idea):
        """Without the teacher the control credits the idea with all that distillation brings."""
        return self.reference(treatment, idea) | {"teacher": None}

    def wrong_first_value(self, treatment, idea):
        """The first value weighs the labels otherwise than the schedule does: hold its mean."""
        control = self.reference(treatment, idea)
        return _constant(control, treatment["alpha"][0]) if idea == "schedule" else control

    def wrong_in_place(self, treatment, idea):
        """The treatment itself is changed, and both arms are then the control: change a copy."""
        treatment.update(self.reference(treatment, idea))
        return treatment


EXERCISES = {1: Verdict(), 2: Seeds(), 3: Control()}
