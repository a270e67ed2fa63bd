"""A verdict from an interval, the number of seeds, what is not excluded; a design; a quiz."""

import math

import numpy as np
from scipy import stats

from kdnotes import lab
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.course.switches import made, weights_of
from kdnotes.lab import power
from kdnotes.methods import KD, OwnLoss


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


EXERCISES = {1: Verdict(), 2: Seeds()}


class StillPossible(Question):
    """The upper end for 9 seeds, a mean of 0.1, a standard deviation of 0.6; t is 2.31."""

    asks = "the gain in points, such as 0.8"
    hint = "which end of the interval says what is still possible?"
    absolute = 0.005

    def expected(self):
        return 0.1 + 2.31 * 0.6 / math.sqrt(9)

    def wrong_lower_end(self):
        """That is the lower end; large gains are excluded by the upper one."""
        return 0.1 - 2.31 * 0.6 / math.sqrt(9)

    def wrong_half_width(self):
        """That is half the width: add it to the mean."""
        return 2.31 * 0.6 / math.sqrt(9)

    def wrong_one_seed(self):
        """The standard deviation is that of one seed; the mean of n has it divided by √n."""
        return 0.1 + 2.31 * 0.6

    def wrong_n(self):
        """Divide by √n, not by n."""
        return 0.1 + 2.31 * 0.6 / 9

    def wrong_normal(self):
        """With so few seeds 1.96 is too small: take the t that is given."""
        return 0.1 + 1.96 * 0.6 / math.sqrt(9)


BY_HAND = {3: StillPossible()}

LOSS = "loss shown"
FACTS = {
    "gain": {"gain shown", "gain of δ or more shown", "gain shown, gain of δ or more excluded"},
    "δ or more": {"gain of δ or more shown"},
    "excluded": {"gain of δ or more excluded", "gain shown, gain of δ or more excluded", LOSS},
    "loss": {LOSS},
}


class DearerMethod(Question):
    """What the interval of the report shows if a gain below one point is of no interest."""

    asks = f"a list of some of {list(FACTS)}; it may be empty"
    hint = "compare both ends of the interval with 0 and with 1 point, row by row of the rule"

    def expected(self, study):
        word = lab.judge(study.difference("mix", "KD"), 0.01)
        return {fact for fact, words in FACTS.items() if word in words}

    def choices(self, study):
        return list(FACTS)


READINGS = {4: DearerMethod()}


def _half_of_each(z_s, z_t, temperature):
    directions = (made(2, direction, "images", 0.5) for direction in ("forward", "reverse"))
    return sum(loss(z_s, z_t, temperature) for loss in directions)


class Patient(Comparison):
    """Does the mixture still beat KD where both train for 100 epochs?"""

    least_seeds = 5
    metrics = ("test_accuracy",)
    epochs = 100

    def misses(self, design):
        treatments, baselines = self.sides(design)
        names = (*design.treatments, *design.baselines)
        if any(design.complete_arms[name].config.epochs != self.epochs for name in names):
            return f"the objection is about long training: both sides take {self.epochs} epochs"
        if any(not isinstance(one, OwnLoss) or one.teacher is None for one in treatments):
            return "the treatment is the mixture with r = 0.5: an OwnLoss with the teacher"
        if not baselines or any(type(one) is not KD for one in baselines):
            return "the baseline is KD, with the same teacher"
        if any(one.alpha == 1 for one in baselines):
            return "with α = 1 the baseline asks no teacher"
        if not all(self._is_mixture(one, kd) for one in treatments for kd in baselines):
            return "the treatment's loss is not the mixture with r = 0.5 and KD's T and α"
        return None

    @staticmethod
    def _is_mixture(method, kd):
        """Its terms are CE and the mean of both KL, weighed as in KD; tried on numbers."""
        weights = weights_of(method, _half_of_each, kd.temperature)
        if weights is None or min(weights) < -1e-6 or sum(weights) <= 1e-6:
            return False
        return abs(weights[0] / sum(weights) - kd.alpha) < 1e-4


DESIGNS = {5: Patient()}

QUIZ = (
    Item(
        "The interval of a gain goes from −0.2 to +0.9 points, and δ is 0.5. What does it say?",
        {
            "The method has no effect.": "gains up to the upper end are as possible as none",
            "The method gains 0.35 points.": "that is the middle; the interval holds 0, too",
            "Neither a gain nor its absence is shown.": RIGHT,
        },
    ),
    Item(
        "Five seeds gave “not resolved”. You can afford more. What keeps the error rates?",
        {
            "Add a seed at a time, and stop when the interval excludes 0.": (
                "each further look is a further chance of a false alarm"
            ),
            "Take the five as a pilot, and judge a fixed number of new seeds.": RIGHT,
            "Lower δ until the rule decides.": "a δ that the result has chosen is no criterion",
        },
    ),
    Item(
        "A new loss is compared with KD: same teacher, T, α, images and seeds; but the new loss "
        "trains for 50 epochs, KD for 36. The interval lies above 0. What made the gain?",
        {
            "The loss.": "the epochs differ, too",
            "The epochs.": "the loss differs, too",
            "That cannot be told.": RIGHT,
        },
    ),
)
