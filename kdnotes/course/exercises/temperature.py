"""Entropy at a temperature, the choice of an arm, a missing T², a design; a quiz."""

import math

import pandas as pd
import torch
import torch.nn.functional as F

from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import OnlyNLL
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.methods import KD


class Entropy(Exercise):
    logits, temperature = (0,), 1
    absolute = 1e-13

    def reference(self, logits, temperature):
        log_p = F.log_softmax(logits / temperature, dim=1)
        return float(-(log_p.exp() * log_p).sum(1).mean())

    def cases(self):
        logits = 5 * torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
        return [(logits, 1.0), (logits, 4.0), (logits[:4, :5], 2.0)]

    def extremes(self):
        """Logits of ±10⁴ beside ordinary ones, underflow, and entropies near 1e-9."""
        generator = torch.Generator().manual_seed(1)
        huge = torch.full((4, 10), -1e4).fill_diagonal_(1e4)
        certain = torch.randn(6, 10, generator=generator, dtype=torch.double)
        certain[:, 3] = 50.0
        ordinary = torch.randn(3, 10, generator=generator)
        mixed = torch.cat([200 * ordinary, ordinary])
        return [(torch.cat([huge, ordinary]), 2.0), (mixed, 1.0), (certain, 2.0)]

    def wrong_in_bits(self, logits, temperature):
        """That is in bits; use the natural logarithm for nats."""
        return self.reference(logits, temperature) / math.log(2)

    def wrong_entropy_of_mean(self, logits, temperature):
        """That is the entropy of the mean prediction; take each sample's, and then the mean."""
        p = F.softmax(logits / temperature, dim=1).mean(0)
        return float(-torch.xlogy(p, p).sum())


def _frame(names: list[str], rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(
        {"arm": name, "seed": seed, "validation_accuracy": accuracy, "test_accuracy": test}
        for name, (validation, test) in zip(names, rows, strict=True)
        for seed, accuracy in enumerate(validation)
    )


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("arm")[["validation_accuracy", "test_accuracy"]].mean()


class Choice(Exercise):
    def reference(self, frame):
        return str(_means(frame)["validation_accuracy"].idxmax())

    def cases(self):
        """Studies in which the means, and every other way to choose, favour different arms."""
        rows = [
            ((0.81, 0.82, 0.81, 0.82, 0.81), 0.74),  # the best mean on validation
            ((0.80,) * 5, 0.745),  # the second best there, and better on test
            ((0.79,) * 5, 0.79),  # the best by the smaller of validation and test
            ((0.76,) * 5, 0.83),  # the best by their mean
            ((0.70,) * 5, 0.86),  # the best on test
            ((0.70, 0.825, 0.825, 0.65, 0.825), 0.75),  # the best median
            ((0.61, 0.61, 0.61, 0.95, 0.61), 0.70),  # the best single run
            ((0.84, 0.61, 0.61, 0.61, 0.61), 0.70),  # the best with the first seed
            ((0.75, 0.75, 0.75, 0.75, 0.84), 0.72),  # the best with the last seed
            ((0.60,) * 5, 0.60),
        ]
        close = [rows[0], ((0.81,) * 5, 0.745), *rows[2:]]  # 0.4 points behind the best
        closest = [rows[0], ((0.8135,) * 5, 0.80), *rows[2:]]  # 1 % of the test accuracy decides
        names = [f"T={temperature}" for temperature in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)]
        tables = (rows, close, rows, close, closest)
        return [(_frame(names[i:] + names[:i], table),) for i, table in enumerate(tables)]

    def wrong_best_on_test(self, frame):
        """That chooses on the test set, which is then no longer a test; choose on validation."""
        return str(_means(frame)["test_accuracy"].idxmax())

    def wrong_best_together(self, frame):
        """That lets the test set help to choose; its accuracy is then too high."""
        return str(_means(frame).mean(axis=1).idxmax())

    def wrong_one_seed(self, frame):
        """That looks at one seed alone; compare means over the seeds."""
        rows = frame[frame["seed"] == 0].set_index("arm")
        return str(rows["validation_accuracy"].idxmax())

    def wrong_best_run(self, frame):
        """The single best run rewards variance; compare means over the seeds."""
        return str(frame.loc[frame["validation_accuracy"].idxmax(), "arm"])


class EquivalentAlpha(Exercise):
    temperature = 1

    def reference(self, alpha, temperature):
        return alpha / (alpha + (1 - alpha) / temperature**2)

    def cases(self):
        return [(0.1, 4.0), (0.5, 2.0), (0.9, 8.0)]

    def wrong_side(self, alpha, temperature):
        """The missing factor makes the soft term weaker, so α′ > α; T² is on the wrong side."""
        return alpha / (alpha + (1 - alpha) * temperature**2)

    def wrong_not_squared(self, alpha, temperature):
        """The factor is T squared, not T."""
        return alpha / (alpha + (1 - alpha) / temperature)

    def wrong_odds(self, alpha, temperature):
        """These are the odds α′/(1 − α′); the weight itself is odds/(1 + odds)."""
        return alpha * temperature**2 / (1 - alpha)


EXERCISES = {1: Entropy(), 2: Choice(), 3: EquivalentAlpha()}


READINGS = {4: OnlyNLL()}


class FalseAlarm(Question):
    """Ten independent differences that are 0 in truth, each judged alone at 95 %."""

    asks = "a probability between 0 and 1"
    hint = "first the probability that none of the ten is called resolved"
    absolute = 0.005

    def expected(self):
        return 1 - 0.95**10

    def wrong_none(self):
        """That is the probability that none is called resolved."""
        return 0.95**10

    def wrong_added(self):
        """Adding counts what happens twice twice; ask for the probability of none."""
        return 0.5

    def wrong_one(self):
        """That is one difference; there are ten chances."""
        return 0.05


BY_HAND = {5: FalseAlarm()}


class HigherTemperature(Comparison):
    """Is a higher temperature better, at one weight of the labels?"""

    factor = "temperature"
    least_seeds = 5
    metrics = ("test_accuracy", "test_nll")
    is_tuned_alike = True

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(method) is KD for method in (*treatments, *baselines)):
            return "both sides must be KD, so that nothing but its temperature can differ"
        if any(method.alpha == 1 for method in (*treatments, *baselines)):
            return "with α = 1 no teacher is asked, at any temperature"
        highest = max((method.temperature for method in baselines), default=0.0)
        if any(method.temperature <= highest for method in treatments):
            return "the treatment must have the higher temperature"
        return None


DESIGNS = {6: HigherTemperature()}

QUIZ = (
    Item(
        "Between two fixed networks KL(p_t ‖ p_s) hardly changes from T = 1 to T = 8. What follows "
        "for the temperature to train with?",
        {
            "All of these temperatures will train equally good students.": (
                "both networks were fixed: nothing in that curve has been trained"
            ),
            "The loss hardly changes with T either, so α keeps its meaning.": (
                "the loss is T² times this divergence"
            ),
            "Nothing: students trained at each T have to tell.": RIGHT,
        },
    ),
    Item(
        "KD minus cross-entropy is +0.6 ± 0.8 points, a 95 % interval over five paired seeds. What "
        "may you say?",
        {
            "KD gains 0.6 points.": "the interval holds 0, so that a gain is not shown",
            "KD gains nothing.": "the interval holds gains of more than a point as well",
            "Neither is shown: all from a loss of 0.2 to a gain of 1.4 points fits.": RIGHT,
            "KD gains something, with a probability of 95 %.": (
                "95 % is how often such intervals hold the true difference"
            ),
        },
    ),
    Item(
        "Eight temperatures were tried. Which number may be reported as the gain of the best one?",
        {
            "The largest of the eight gains on the test images.": (
                "a score that chose among eight is no measurement of the one it chose"
            ),
            "The test gain, on new seeds, of the T that did best on validation.": RIGHT,
            "The validation gain of the T that did best on validation.": (
                "the best of eight is partly the luckiest, and the luck is in that very score"
            ),
            "The test gain, on the same seeds, of the T that did best on validation.": (
                "the luck of these trainings helped T to be chosen, and shows in the test score too"
            ),
        },
    ),
)
