"""The whole loss, the gap recovered, a paired interval; a design; a quiz."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats

from kdnotes import losses
from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import BetterThan
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.methods import KD, LabelSmoothing


class WholeLoss(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 3

    def reference(self, *case):
        return self.hard(*case) + self.soft(*case)

    def hard(self, z_s, z_t, y, t, alpha):
        return alpha * F.cross_entropy(z_s, y)

    def soft(self, z_s, z_t, y, t, alpha):
        return (1 - alpha) * losses.kd_loss(z_s, z_t, t)

    def parts(self):
        return {"the soft term": self.soft, "the labels' term": self.hard}

    def cases(self):
        generator = torch.Generator().manual_seed(0)
        z_s, z_t = (3 * torch.randn(8, 10, generator=generator) for _ in range(2))
        y = torch.randint(10, (8,), generator=generator)
        few = z_s[:3, :4], z_t[:3, :4], y[:3] % 4
        return [(z_s, z_t, y, 4.0, 0.1), (z_s, z_t, y, 2.0, 0.7), (*few, 3.0, 0.4)]

    def wrong_no_weights(self, z_s, z_t, y, t, alpha):
        """The weights α and 1 − α are missing."""
        return F.cross_entropy(z_s, y) + losses.kd_loss(z_s, z_t, t)

    def wrong_entropy_left(self, z_s, z_t, y, t, alpha):
        """The soft term is a cross-entropy: the same gradient, but too large by T² times the
        teacher's entropy.
        """
        soft = t**2 * losses.soft_cross_entropy(z_s / t, losses.soften(z_t, t))
        return alpha * F.cross_entropy(z_s, y) + (1 - alpha) * soft


class Gap(Exercise):
    def reference(self, student, baseline, teacher):
        return (student - baseline) / (teacher - baseline)

    def cases(self):
        """The last but one is better than its teacher, the last had one worse than the baseline."""
        likely = [(0.82, 0.79, 0.91), (0.78, 0.79, 0.91), (0.5, 0.4, 0.9)]
        return [*likely, (0.93, 0.79, 0.91), (0.80, 0.82, 0.78)]

    def wrong_ratio(self, student, baseline, teacher):
        """That credits the student for what it reaches without a teacher; subtract the baseline."""
        return student / teacher

    def wrong_at_most_1(self, student, baseline, teacher):
        """That stops at 1: a student better than its teacher closes more than the whole gap."""
        return min(1.0, self.reference(student, baseline, teacher))

    def wrong_absolute(self, student, baseline, teacher):
        """The gap has a sign: it is negative where the teacher is worse than the baseline."""
        return (student - baseline) / abs(teacher - baseline)


def _interval(difference: np.ndarray, quantile: float, ddof: int = 1) -> tuple[float, float]:
    half = quantile * difference.std(ddof=ddof) / np.sqrt(len(difference))
    return float(difference.mean() - half), float(difference.mean() + half)


class Interval(Exercise):
    def reference(self, a, b):
        return _interval(np.subtract(a, b), stats.t.ppf(0.975, len(a) - 1))

    def cases(self):
        five = [0.81, 0.79, 0.83, 0.80, 0.82], [0.80, 0.775, 0.825, 0.79, 0.80]
        return [five, ([0.70, 0.75, 0.72], [0.755, 0.69, 0.70])]

    def wrong_unpaired(self, a, b):
        """That is the unpaired interval; the seeds are shared: take differences first."""
        middle, spread = np.mean(a) - np.mean(b), np.hypot(np.std(a, ddof=1), np.std(b, ddof=1))
        half = stats.t.ppf(0.975, 2 * len(a) - 2) * spread / np.sqrt(len(a))
        return float(middle - half), float(middle + half)

    def wrong_normal(self, a, b):
        """1.96 is for many samples; with a few seeds use Student's t, n − 1 degrees of freedom."""
        return _interval(np.subtract(a, b), stats.norm.ppf(0.975))

    def wrong_ddof(self, a, b):
        """The standard deviation divides by n; for a sample divide by n − 1 (ddof=1)."""
        return _interval(np.subtract(a, b), stats.t.ppf(0.975, len(a) - 1), ddof=0)

    def wrong_pairs(self, a, b):
        """The lists are sorted, which breaks the pairs: entry i of both lists is the same seed."""
        return self.reference(sorted(a), sorted(b))

    def wrong_no_root(self, a, b):
        """Divide the deviation by √n: the interval is of the mean, not of single seeds."""
        return _interval(np.subtract(a, b), stats.t.ppf(0.975, len(a) - 1) * np.sqrt(len(a)))


EXERCISES = {1: WholeLoss(), 2: Gap(), 3: Interval()}


class ImageLuck(Question):
    """Of 10,000 images KD alone gets 300 right, CE alone 100: the standard error of KD − CE."""

    asks = "the standard error in points, such as 0.12"
    hint = "d is the share of images that exactly one of the two gets right"
    absolute = 0.005

    def expected(self):
        return 100 * ((300 + 100) / 10_000 / 10_000) ** 0.5

    def wrong_difference(self):
        """That takes the images by which the two differ in number, 200; count all on which exactly
        one is right.
        """
        return 100 * (200 / 10_000 / 10_000) ** 0.5

    def wrong_no_images(self):
        """That is √d in points: divide by √N as well."""
        return 100 * self.expected()

    def wrong_no_root(self):
        """That is d in points, without the root and without N."""
        return 4.0


BY_HAND = {5: ImageLuck()}


class Better(BetterThan):
    """Of the arms of two lengths."""

    asks = "a list of names of arms, such as ['LS, half']; it may be empty"


READINGS = {6: Better()}


class AgainstSmoothing(Comparison):
    """Is KD's gain more than what softened targets bring without a teacher? KD against label
    smoothing, at any settings.
    """

    factor = "method"
    least_seeds = 5
    metrics = ("test_accuracy", "test_nll")
    is_tuned_alike = True

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(method) is KD for method in treatments):
            return "the treatment must be KD: the question is about its gain"
        if all(method.alpha == 1 for method in treatments):
            return "with α = 1 nothing is left of the teacher"
        if not all(type(method) is LabelSmoothing for method in baselines):
            return "the baseline must soften its targets without a teacher, or the gain may be that"
        if baselines and all(method.epsilon == 0 for method in baselines):
            return "with ε = 0 the targets are not softened"
        if any(method.epsilon == 1 for method in baselines):
            return "with ε = 1 nothing is left of the labels"
        return None


DESIGNS = {4: AgainstSmoothing()}

QUIZ = (
    Item(
        "Why does each seed give both arms the same initial weights and the same batches?",
        {
            "Luck that both arms share then drops out of their difference.": RIGHT,
            "The interval of a paired difference is always the narrower one.": (
                "pairing costs degrees of freedom, and without shared luck nothing pays for them"
            ),
            "Fewer test images are needed then.": (
                "the test images are another source of luck, which no seed controls"
            ),
        },
    ),
    Item(
        "Plain student 80 %, distilled student 82 %, teacher 90 %. What is a fair summary?",
        {
            "It retains 91 % of the teacher's knowledge.": (
                "the plain student, which met no teacher, retains 89 % by that measure"
            ),
            "It agrees with its teacher on 91 % of the images.": (
                "accuracies do not say on which images two networks agree"
            ),
            "It recovers a fifth of the gap between plain student and teacher.": RIGHT,
            "It recovers nine tenths of the gap between chance and teacher.": (
                "that gap is mostly closed by labels, without any teacher"
            ),
        },
    ),
    Item(
        "A student never saw class 7. Its logit for 7 is to be raised by one number b. How is b "
        "chosen?",
        {
            "So that the test accuracy is highest: it is a single number.": (
                "a test set that chooses one number has chosen"
            ),
            "So that the accuracy on validation images is highest.": RIGHT,
            "So that the recall of class 7 on validation images is highest.": (
                "recall only grows with b, up to calling every image a 7"
            ),
        },
    ),
)
