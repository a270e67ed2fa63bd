"""McNemar's test, Holm's correction, the mistakes that a student copies; a test by hand, the end of
an interval, an honest choice.
"""

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdnotes import methods
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _alone(a: Tensor, b: Tensor) -> tuple[int, int]:
    """How often each is right where the other is wrong."""
    return int((a & ~b).sum()), int((~a & b).sum())


class McNemar(Exercise):
    tolerance = 1e-6

    def reference(self, a, b):
        first, second = _alone(a, b)
        return float(stats.binomtest(first, first + second).pvalue) if first + second else 1.0

    def cases(self):
        """Of both right, one alone, the other alone, none; and one network against itself."""
        generator, cases = torch.Generator().manual_seed(0), []
        for counts in ((150, 22, 9, 19), (40, 3, 11, 6), (430, 30, 21, 19), (30, 5, 5, 10)):
            kinds = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
            pairs = kinds.repeat_interleave(torch.tensor(counts), dim=0)
            cases.append(tuple(pairs[torch.randperm(len(pairs), generator=generator)].T))
        return [*cases, (cases[0][0], cases[0][0])]

    def wrong_unpaired(self, a, b):
        """That is unpaired; only images that exactly one network gets right tell the two apart."""
        p, q = float(a.double().mean()), float(b.double().mean())
        error = np.sqrt((p + q) * (1 - (p + q) / 2) / len(a))
        return float(2 * stats.norm.sf(abs(p - q) / error))

    def wrong_doubled_tail(self, a, b):
        """Twice the smaller tail can be above 1: cut it off at 1."""
        first, second = _alone(a, b)
        return float(2 * stats.binom.cdf(min(first, second), first + second, 0.5))

    def wrong_all_images(self, a, b):
        """Too many trials: leave out the images on which the two agree."""
        return float(stats.binomtest(_alone(a, b)[0], len(a)).pvalue)


def _holm(p_values: list[float], monotone: bool = True, most: float = 1.0) -> list[float]:
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        value = (len(p_values) - rank) * p_values[index]
        largest = max(largest, value) if monotone else value
        adjusted[index] = float(min(largest, most))
    return adjusted


class Holm(Exercise):
    tolerance = 1e-9

    def reference(self, p_values):
        return _holm(p_values)

    def cases(self):
        lists = (
            [0.03, 0.004, 0.5, 0.02],
            [0.011, 0.012, 0.013, 0.04, 0.9],
            [0.6, 0.7],
            [0.01, 0.01, 0.5],
            [0.2, 0.01, 0.4, 0.01],
        )
        return [(list(one),) for one in lists]

    def wrong_bonferroni(self, p_values):
        """That is Bonferroni's; Holm's factors fall: m for the smallest, then m − 1, and so on."""
        return [min(len(p_values) * value, 1.0) for value in p_values]

    def wrong_not_monotone(self, p_values):
        """A larger p-value must not become smaller than a smaller one: take the running maximum."""
        return _holm(p_values, monotone=False)

    def wrong_above_1(self, p_values):
        """A p-value cannot exceed 1: cut it off there."""
        return _holm(p_values, most=np.inf)

    def wrong_ties(self, p_values):
        """The first of equal values is `p_values.index(value)`: sort the places, not the values."""
        adjusted = [0.0] * len(p_values)
        for value, result in zip(sorted(p_values), sorted(_holm(p_values)), strict=True):
            adjusted[p_values.index(value)] = result
        return adjusted


class CopiedMistakes(Exercise):
    logits = (0, 1)

    def reference(self, z_s, z_t, y):
        return float((z_s.argmax(1) == z_t.argmax(1))[z_t.argmax(1) != y].double().mean())

    def cases(self):
        generator, cases = torch.Generator().manual_seed(1), []
        for n in (400, 150):
            y = torch.randint(5, (n,), generator=generator)
            shared, own_s, own_t = torch.randn(3, n, 5, generator=generator)
            both = 2.0 * torch.nn.functional.one_hot(y, 5) + shared
            cases.append((both + own_s, both + own_t, y))
        return cases

    def wrong_all_images(self, z_s, z_t, y):
        """That is the agreement on all images; look only at those which the teacher gets wrong."""
        return float((z_s.argmax(1) == z_t.argmax(1)).double().mean())

    def wrong_any_error(self, z_s, z_t, y):
        """Every error of the student there counts; copied means the teacher's *own* wrong class."""
        return float((z_s.argmax(1) != y)[z_t.argmax(1) != y].double().mean())

    def wrong_denominator(self, z_s, z_t, y):
        """The denominator is all images; take those which the teacher gets wrong."""
        copied = (z_s.argmax(1) == z_t.argmax(1)) & (z_t.argmax(1) != y)
        return float(copied.double().mean())


EXERCISES = {1: McNemar(), 2: Holm(), 3: CopiedMistakes()}


class OneAgainstFive(Question):
    """McNemar's test of two networks: 1 image is the first's alone, 5 are the second's."""

    asks = "the p-value, on both sides"
    hint = "six coins: how likely is a split at least as uneven as 1 : 5?"
    absolute = 0.002

    def expected(self):
        return float(stats.binomtest(1, 6).pvalue)

    def wrong_one_sided(self):
        """That is one side; 5 : 1 would be as uneven."""
        return self.expected() / 2

    def wrong_exactly(self):
        """That is 1 : 5 and 5 : 1; splits that are more uneven count too."""
        return 2 * float(stats.binom.pmf(1, 6, 0.5))

    def wrong_agreeing_images(self):
        """Images on which the two agree say nothing of which is better: leave them out."""
        return float(stats.binomtest(1, 10).pvalue)


BY_HAND = {4: OneAgainstFive()}


class LeastGain(Question):
    """The lower end of the interval of KD minus CE, as the chapter prints it."""

    asks = "the lower end of an interval, in points"
    hint = "look at KD minus CE in the experiment: a mean, and half the width of its interval"
    absolute = 0.015  # the mean and the half-width are rounded

    def expected(self, result):
        return 100 * result.difference("KD", "CE").low

    def wrong_mean(self, result):
        """That is the middle of the interval."""
        return 100 * result.difference("KD", "CE").mean

    def wrong_half_width(self, result):
        """That is half the width of the interval."""
        return 100 * result.difference("KD", "CE").half_width

    def wrong_upper_end(self, result):
        """That is the upper end."""
        return 100 * result.difference("KD", "CE").high


READINGS = {5: LeastGain()}


class HonestChoice(Comparison):
    """Is label smoothing, at the best of several ε, better than cross-entropy?"""

    factor = "method"
    least_seeds = 5
    metrics = ("test_accuracy",)

    def misses(self, design):
        settings = [design.method(name) for name in design.treatments]
        if not all(type(method) is methods.LabelSmoothing for method in settings):
            return "the treatment must be label smoothing, all of its settings"
        if len({method.epsilon for method in settings if method.epsilon > 0}) < 2:
            return "there is nothing to choose: name two settings above 0 or more as the treatment"
        if any(type(design.method(name)) is not methods.CrossEntropy for name in design.baselines):
            return "the baseline must be cross-entropy"
        return None


DESIGNS = {6: HonestChoice()}

QUIZ = (
    Item(
        "Twenty methods change nothing, and each has an interval at 95 % of its own. What is to be "
        "expected?",
        {
            "None of them looks resolved.": "each interval misses once in twenty times",
            "About one of them looks resolved.": RIGHT,
            "Nearly all of them look resolved.": "an interval at 95 % misses seldom, not mostly",
        },
    ),
    Item(
        "Validation chooses one of eight settings on seeds 0 to 2, and its test accuracy on these "
        "seeds is reported. What is wrong?",
        {
            "Nothing, the test images did not choose.": (
                "a training that was lucky on validation images tends to be lucky on others"
            ),
            "The test images have chosen.": "no test score was looked at before the report",
            "The luck of these seeds is in the report.": RIGHT,
        },
    ),
    Item(
        "McNemar's test of two trained networks gives p < 0.001. What follows?",
        {
            "The method that trained the better one is better.": (
                "the next seed of either method gives other networks, which may differ otherwise"
            ),
            "These two networks do not err equally often.": RIGHT,
            "The difference in accuracy is large.": (
                "with many images a small difference is told from none, too"
            ),
        },
    ),
)
