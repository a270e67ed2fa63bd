"""Audit a loss, settings and weights of other libraries; a weight by hand, a design; a quiz."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import BetterThan
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.course.switches import KNOWN, PLAIN, Loss, drawn, made, weights_of
from kdnotes.methods import KD, OwnLoss


def _power(loss: Loss) -> int:
    z_s, z_t = drawn(0, 4, 3)
    return round(math.log2(loss(2 * z_s, 2 * z_t, 2.0) / loss(z_s, z_t, 1.0)))


def _direction(loss: Loss) -> str:
    """Of a sure teacher and an undecided student, KL(p_t ‖ p_s) has a limit, the other has none."""
    sure = torch.zeros(4, 3, dtype=torch.double)
    sure[:, 0] = 50
    undecided = torch.zeros_like(sure)
    grows = loss(undecided, 2 * sure, 1.0) > 1.5 * loss(undecided, sure, 1.0)
    return "reverse" if grows else "forward"


def _mean(loss: Loss) -> str:
    """What twice the images, and a class more in which nobody believes, make of the loss."""
    pair = drawn(0, 4, 3)
    before = loss(*pair, 1.0)
    if loss(*(z.repeat(2, 1) for z in pair), 1.0) > 1.5 * before:
        return "sum"
    wider = (F.pad(z, (0, 1), value=-100.0) for z in pair)
    return "elements" if loss(*wider, 1.0) < 0.9 * before else "images"


class Audit(Exercise):
    def reference(self, loss):
        return _power(loss), _direction(loss), _mean(loss)

    def cases(self):
        """All positions are met, and most in pairs; inner factors make the size alone useless."""
        positions = (
            (2, "forward", "images", 1.0),
            (2, "forward", "elements", 1.0),
            (0, "forward", "images", 0.3),
            (2, "reverse", "images", 0.9),
            (0, "reverse", "elements", 7.0),
            (1, "forward", "sum", 0.05),
            (2, "reverse", "sum", 1.0),
            (0, "forward", "elements", 12.0),
            (1, "reverse", "images", 4.0),
        )
        return [(made(*one),) for one in positions]

    def wrong_batch_alone(self, loss):
        """Twice the images leave a mean over images and a mean over all elements alike: to tell
        them apart, change the number of classes.
        """
        power, direction, mean = self.reference(loss)
        return power, direction, "sum" if mean == "sum" else "images"

    def wrong_one_image(self, loss):
        """A batch of one image hides the batch: its sum is its mean; double the batch."""
        power, direction, mean = self.reference(loss)
        return power, direction, "images" if mean == "sum" else mean

    def wrong_softened(self, loss):
        """Twice T alone also makes both answers more alike: double the logits with it, so that
        the softened answers stay as they are.
        """
        z_s, z_t = (0.01 * z for z in drawn(0, 4, 3))
        power = round(math.log2(loss(z_s, z_t, 2.0) / loss(z_s, z_t, 1.0)))
        return power, _direction(loss), _mean(loss)

    def wrong_way_round(self, loss):
        """The directions are exchanged: KL(p_t ‖ p_s), "forward", is the one that stays finite
        where a teacher is sure and the student undecided.
        """
        power, direction, mean = self.reference(loss)
        return power, "reverse" if direction == "forward" else "forward", mean


class LibrarySettings(Exercise):
    def reference(self, library, alpha, temperature):
        if library == "timm":
            return {"temperature": temperature, "task_loss_weight": alpha}
        weight = {"kd_loss_weight": 1 - alpha, "reduction": "batchmean"}
        return {"temperature": temperature} | weight

    def cases(self):
        return [
            ("timm", 0.1, 2.0), ("modelopt", 0.1, 2.0), ("timm", 0.7, 4.0), ("modelopt", 0.3, 5.0),
            ("timm", 0.0, 1.0), ("modelopt", 0.0, 3.0),
        ]  # fmt: skip

    def observe(self, settings):
        """Both terms that they give, by each library that has such settings."""
        if not isinstance(settings, Mapping):
            return settings
        known = set().union(*KNOWN.values())
        if unknown := [name for name in settings if name not in known]:
            listed = ", ".join(sorted(known))
            raise ValueError(f"the settings must be of {listed}, not {unknown[0]!r}")
        if settings.get("reduction", "mean") not in ("mean", "batchmean", "sum"):
            raise ValueError("reduction must be 'mean', 'batchmean' or 'sum'")
        fitting = [name for name, names in KNOWN.items() if names >= set(settings)]
        return {name: PLAIN[name](**settings) for name in fitting}

    def without(self, case, left):
        """The right settings, of which one is left to the library."""
        return {name: one for name, one in self.reference(*case).items() if name != left}

    def wrong_mean(self, *case):
        """The default reduction of modelopt is the mean over all elements, classes too: set it."""
        return self.without(case, "reduction")

    def wrong_two_ones(self, *case):
        """Without weights timm adds both terms with weight 1: α is lost."""
        return self.without(case, "task_loss_weight")

    def wrong_distil_weight(self, library, alpha, temperature):
        """With `distill_loss_weight` alone timm's labels keep the weight 1, so that the ratio of
        the two terms is another one: give the weight of the labels.
        """
        if library == "timm":
            return {"temperature": temperature, "distill_loss_weight": 1 - alpha}
        return self.reference(library, alpha, temperature)

    def wrong_temperature(self, *case):
        """The default temperature is 1 in both: set it."""
        return self.without(case, "temperature")

    def wrong_meaning(self, library, alpha, temperature):
        """`kd_loss_weight` weighs the teacher's term, and α the labels."""
        right = self.reference(library, alpha, temperature)
        return right | {"kd_loss_weight": alpha} if library == "modelopt" else right


class Converted(Exercise):
    def reference(self, alpha, temperature, classes):
        return self.balanced(alpha, (1 - alpha) * classes * temperature**2)

    def balanced(self, labels, teacher):
        """The teacher's share, and the size of both."""
        return teacher / (labels + teacher), labels + teacher

    def cases(self):
        return [(0.1, 2.0, 10), (0.8, 4.0, 20), (0.5, 1.0, 100), (0.0, 3.0, 7), (1.0, 8.0, 5)]

    def wrong_labels(self, alpha, temperature, classes):
        """That is the weight that the labels get; v weighs the teacher's term."""
        weight, factor = self.reference(alpha, temperature, classes)
        return 1 - weight, factor

    def wrong_divided(self, alpha, temperature, classes):
        """The factors are on the wrong side: where its soft term is too small, its weight must be
        larger.
        """
        return self.balanced(alpha, (1 - alpha) / (classes * temperature**2))

    def wrong_classes(self, alpha, temperature, classes):
        """Right for a mean over images; this library's soft term is too small by K as well."""
        return self.balanced(alpha, (1 - alpha) * temperature**2)

    def wrong_square(self, alpha, temperature, classes):
        """K is there, T² is not: its soft term is too small by both."""
        return self.balanced(alpha, (1 - alpha) * classes)

    def wrong_not_a_share(self, alpha, temperature, classes):
        """The weights of the two terms must sum to 1: divide by their sum."""
        return (1 - alpha) * classes * temperature**2, 1.0

    def wrong_inverse(self, alpha, temperature, classes):
        """The weight is right; the factor is the inverse: *its* loss is the smaller one."""
        weight, factor = self.reference(alpha, temperature, classes)
        return weight, 1 / factor


EXERCISES = {1: Audit(), 2: LibrarySettings(), 3: Converted()}


class Effective(Question):
    """The α of our loss that is trained where both factors are missing, K = 10, T = 4, α = 0.1."""

    asks = "a weight between 0 and 1"
    hint = "write down both weights as they are trained, and divide by their sum"
    absolute = 0.002

    def expected(self):
        return self.share(10 * 4.0**2)

    def share(self, factor: float) -> float:
        return 0.1 / (0.1 + 0.9 / factor)

    def wrong_classes(self):
        """T² is missing as well: the soft term is too small by both factors."""
        return self.share(10)

    def wrong_square(self):
        """The classes divide as well: the soft term is too small by both factors."""
        return self.share(4.0**2)

    def wrong_temperature(self):
        """The factor of the temperature is T², not T."""
        return self.share(10 * 4.0)

    def wrong_ratio(self):
        """That is the ratio of the two weights; asked is the labels' share of their sum."""
        return 0.1 * 10 * 4.0**2 / 0.9

    def wrong_teacher(self):
        """That is the teacher's share."""
        return 1 - self.expected()


BY_HAND = {4: Effective()}


class WorseThan(BetterThan):
    """The arms that a figure of paired differences resolves to be worse than its baseline."""

    def expected(self, study, baseline="KD"):
        pairs = {arm: (arm, baseline) for arm in self.choices(study, baseline)}
        return {arm for arm, difference in study.differences(pairs).items() if difference.below()}


READINGS = {5: WorseThan()}


class ReversedTuned(Comparison):
    """Does the reversed direction cost accuracy, where α is chosen for both directions alike?"""

    factor = "method"
    least_seeds = 5
    metrics = ("test_accuracy",)
    is_tuned_alike = True

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not baselines or any(type(one) is not KD for one in baselines):
            return "the baseline is KD, with several α to choose from"
        temperatures = {one.temperature for one in baselines}
        if len(temperatures) > 1:
            return "keep one temperature: the question is about α"
        (temperature,) = temperatures
        if any(not isinstance(one, OwnLoss) or one.teacher is None for one in treatments):
            return "the treatment is an OwnLoss with the teacher"
        backwards = made(2, "reverse", "images", 1.0)
        weights = [weights_of(one, backwards, temperature) for one in treatments]
        if None in weights or any(soft <= 1e-6 for _, soft in weights):
            return (
                "the treatment's loss must be α·CE and (1 − α)·T²·KL(p_s ‖ p_t), with KD's T: "
                "the direction alone differs"
            )
        if min(len(treatments), len(baselines)) < 2:
            return "one α cannot show that no α helps: give both directions several to choose from"
        shares = sorted(hard / (hard + soft) for hard, soft in weights)
        if [round(one, 4) for one in shares] != sorted(round(one.alpha, 4) for one in baselines):
            return "both directions must try the same α: else one of them is tuned further"
        return None


DESIGNS = {6: ReversedTuned()}

QUIZ = (
    Item(
        "Where student and teacher agree, a library's loss and its gradient are 0. Is it ours?",
        {
            "Yes.": "any factor, and the other direction, have both zeros too",
            "Yes, up to a factor.": "the reversed KL has both zeros too",
            "Factor and direction are still open.": RIGHT,
        },
    ),
    Item(
        "Your library takes the mean over all elements. What can you change instead?",
        {
            "The learning rate, times K.": "it scales both terms, and one of them alone is small",
            "Nothing: Adam ignores the size of a loss.": (
                "of the whole loss, yes; here one of two terms is smaller"
            ),
            "The weight of the labels.": RIGHT,
        },
    ),
    Item(
        "In bfloat16 the loss of a student near its teacher is noisy, and sometimes below 0. What "
        "helps?",
        {
            "A lower learning rate.": "the error is in the loss, before any step is taken",
            "Casting the logits to float32 before the softmax.": RIGHT,
            "A higher temperature.": "T² magnifies what rounding left",
        },
    ),
)
