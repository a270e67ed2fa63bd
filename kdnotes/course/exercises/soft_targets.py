"""The soft loss, its gradient, its limit at high T, label smoothing; a number read; a quiz."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.attempt import Exercise, stretched
from kdnotes.course.questions import RIGHT, Item, Question


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


class Softened(Question):
    """The probability of the first of two classes with the logits 2 and 0, at T = 2."""

    asks = "a probability between 0 and 1"
    hint = "divide both logits by T, take exponentials, and divide by their sum"
    absolute = 0.005

    def expected(self):
        return float(losses.soften(torch.tensor([[2.0, 0.0]]), 2.0)[0, 0])

    def wrong_unsoftened(self):
        """That is the probability at T = 1: divide the logits by T first."""
        return float(losses.soften(torch.tensor([[2.0, 0.0]]), 1.0)[0, 0])

    def wrong_product(self):
        """T divides the logits, it does not multiply them."""
        return float(losses.soften(torch.tensor([[2.0, 0.0]]), 0.5)[0, 0])

    def wrong_other_class(self):
        """That is the probability of the other class."""
        return 1 - self.expected()


BY_HAND = {5: Softened()}


class Pull(Question):
    """The factor by which the teacher's gradient changes from T = 1 to T = 4, with T² in the loss.

    The chapter passes temperature → length of the gradient with T².
    """

    asks = "a factor, larger than 1 where the pull grows"
    hint = "divide the length at T = 4 by that at T = 1"
    relative = 0.02

    def expected(self, pulls):
        return pulls[4.0] / pulls[1.0]

    def wrong_without(self, pulls):
        """That is the factor without T², and the loss has T² in it."""
        return self.expected(pulls) / 4.0**2

    def wrong_square(self, pulls):
        """That is T² itself, but the gradient of KL alone changes with T, too."""
        return 4.0**2

    def wrong_way(self, pulls):
        """That is the way back, from T = 4 to T = 1."""
        return 1 / self.expected(pulls)

    def wrong_difference(self, pulls):
        """That is the difference of the two lengths, not their ratio."""
        return pulls[4.0] - pulls[1.0]


READINGS = {6: Pull()}

QUIZ = (
    Item(
        "The temperature of a teacher's softmax is raised from 1 to 4. What changes?",
        {
            "The order of the classes, on images of which the teacher is unsure.": (
                "the ratio of two probabilities is exp((z_i − z_j)/T), which crosses 1 at no T"
            ),
            "The teacher's accuracy, a little.": (
                "the largest logit stays the largest, whatever it is divided by"
            ),
            "How much probability lies off the top class.": RIGHT,
            "The teacher tells something that it did not tell before.": (
                "the probabilities at T = 1 already give all differences of the logits"
            ),
        },
    ),
    Item(
        "The teacher is fixed. In place of KL(p_t ‖ p_s) you minimise the cross-entropy of p_s "
        "with the target p_t. What does the student notice?",
        {
            "Nothing: it gets the same gradients.": RIGHT,
            "It becomes surer, as the teacher's entropy is minimised too.": (
                "the entropy of a fixed teacher is a constant, which has no gradient"
            ),
            "It ends at another place, as the cross-entropy does not reach 0.": (
                "two losses can have their smallest value at one place, and differ in that value"
            ),
        },
    ),
    Item(
        "T = 4 and α = 0.1, and the code forgets the factor T². What is trained?",
        {
            "The right loss, with a smaller learning rate.": (
                "a learning rate scales both terms, and here only one is scaled"
            ),
            "A loss in which the teacher counts for more than 1 − α says.": (
                "the factor that is missing is larger than 1"
            ),
            "A loss whose soft gradient points elsewhere.": (
                "a constant factor changes the length of a gradient, not its direction"
            ),
            "A loss in which the labels count for more than α says.": RIGHT,
        },
    ),
)
