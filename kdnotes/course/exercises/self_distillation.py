"""A step of PS-KD, a sure exit, a virtual teacher; a number, a reading, a design; a quiz."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import methods
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _mixed(labels: Tensor, past: Tensor, share: float) -> Tensor:
    return (1 - share) * F.one_hot(labels, past.shape[1]) + share * past


class SelfDistillationStep(Exercise):
    gradient_of = logits = (3,)

    def reference(self, previous, positions, y, z, alpha, epoch, epochs):
        updated = previous.index_copy(0, positions, F.softmax(z.detach(), dim=1))
        return _mixed(y, previous[positions], alpha * (epoch + 1) / epochs), updated

    def cases(self):
        """Of (epoch, epochs, α, N, B, K, classes present): in epoch 0 the buffer holds labels."""
        generator = torch.Generator().manual_seed(0)
        cases = []
        settings = (
            (0, 10, 0.8, 12, 4, 5, 5),
            (1, 10, 0.8, 12, 4, 5, 5),
            (3, 10, 0.8, 12, 4, 5, 4),
            (9, 10, 0.3, 12, 4, 5, 5),
            (3, 6, 0.8, 9, 6, 4, 4),
        )
        for epoch, epochs, alpha, samples, batch, classes, present in settings:
            previous = F.softmax(2 * torch.randn(samples, classes, generator=generator), dim=1)
            positions = torch.randperm(samples, generator=generator)[:batch]
            y = torch.randint(present, (batch,), generator=generator)
            z = 3 * torch.randn(batch, classes, generator=generator)
            if epoch == 0:
                previous = F.one_hot(previous.argmax(dim=1), classes).to(previous.dtype)
                y = previous[positions].argmax(dim=1)
            cases.append((previous, positions, y, z, alpha, epoch, epochs))
        return cases

    def wrong_key(self, previous, positions, y, z, alpha, epoch, epochs):
        """The place in the batch is the key, where after shuffling another image stands."""
        places = torch.arange(len(positions))
        return self.reference(previous, places, y, z, alpha, epoch, epochs)

    def wrong_present(self, previous, positions, y, z, alpha, epoch, epochs):
        """The target is made of the present prediction; take the previous one from the buffer."""
        updated = self.reference(previous, positions, y, z, alpha, epoch, epochs)[1]
        return _mixed(y, updated[positions], alpha * (epoch + 1) / epochs), updated

    def wrong_attached(self, previous, positions, y, z, alpha, epoch, epochs):
        """The buffer keeps the gradient of this batch; detach what you store."""
        targets = self.reference(previous, positions, y, z, alpha, epoch, epochs)[0]
        return targets, previous.index_copy(0, positions, F.softmax(z, dim=1))


def _at(logits: Tensor, exits: Tensor) -> tuple[Tensor, Tensor]:
    return exits, logits.argmax(dim=2)[exits, torch.arange(logits.shape[1])]


def _first(logits: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
    """The first exit that is sure, else the last."""
    return _at(logits, torch.cat([sure[:-1], torch.ones_like(sure[:1])]).int().argmax(dim=0))


def _confidence(logits: Tensor) -> Tensor:
    return F.softmax(logits, dim=2).amax(dim=2)


class Leave(Exercise):
    logits = (0,)

    def reference(self, logits, threshold):
        return _first(logits, _confidence(logits) > threshold)

    def cases(self):
        """Some images are sure early, some late, some never, and the last exit errs too.

        Then two images whose largest probability is the threshold itself; two exits and four.
        """
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(3, 8, 4, generator=generator)
        logits *= torch.tensor([1.5, 2.5, 3.5]).view(3, 1, 1)
        none = -500.0
        edge = torch.tensor([
            [[0.0, 0.0, none, none], [0.0, 0.0, none, none]],
            [[0.0, none, none, 0.0], [0.0, 3.0, 0.0, 0.0]],
            [[0.0, 0.0, 5.0, 0.0], [0.0, 0.0, 5.0, 0.0]],
        ])  # fmt: skip
        two, four = (3 * torch.randn(*s, generator=generator) for s in ((2, 6, 5), (4, 9, 3)))
        cases = [(logits, 0.6), (logits, 0.8), (logits, 0.97), (-logits, 0.5)]
        return [*cases, (edge, 0.5), (two, 0.8), (four, 0.97)]

    def wrong_at_the_threshold(self, logits, threshold):
        """An image whose probability equals the threshold leaves here; it has to exceed it."""
        return _first(logits, _confidence(logits) >= threshold)

    def wrong_never_sure(self, logits, threshold):
        """The first exit is taken where none is sure (argmax without True is 0), not the last."""
        return _at(logits, (_confidence(logits) > threshold).int().argmax(dim=0))

    def wrong_most_confident(self, logits, threshold):
        """The most confident exit is known after computing all; take the first that is sure."""
        return _at(logits, _confidence(logits).argmax(dim=0))

    def wrong_class(self, logits, threshold):
        """The classes are those of the last exit; an image takes the answer of its own exit."""
        return self.reference(logits, threshold)[0], logits[-1].argmax(dim=1)


class EquivalentEpsilon(Exercise):
    def reference(self, a, weight, classes):
        return weight * (1 - a) * classes / (classes - 1)

    def cases(self):
        return [(0.9, 0.5, 10), (0.99, 0.1, 100), (0.8, 1.0, 4)]

    def wrong_all_wrong_classes(self, a, weight, classes):
        """That is the share of the wrong classes; ε is spread over all K, so times K/(K − 1)."""
        return weight * (1 - a)

    def wrong_one_class(self, a, weight, classes):
        """That is the target of one wrong class; ε is K times that."""
        return weight * (1 - a) / (classes - 1)


EXERCISES = {1: SelfDistillationStep(), 2: Leave(), 3: EquivalentEpsilon()}


class Mistrust(Question):
    """The first of 40 epochs whose target favours another class than the label, with λ = 0.8 and
    an image of which the student says 0.1 for the label and 0.9 for one other class.
    """

    asks = "the number of an epoch, counted from 1"
    hint = "compare the two entries of q, and solve for λ_e"

    def expected(self):
        return 28

    def wrong_label_alone(self):
        """That compares λ_e·0.9 with 1 − λ_e; the label also has λ_e·0.1 from the past."""
        return 27

    def wrong_half(self):
        """That is where λ_e exceeds one half; the past gives the label something, too."""
        return 26

    def wrong_at_once(self):
        """The weight of the past is λ only in the last epoch; it begins with λ/E."""
        return 1

    def wrong_equal(self):
        """In that epoch the label is still ahead."""
        return 27.77


BY_HAND = {4: Mistrust()}


class Exits(Question):
    """The exits at which a difference is resolved."""

    asks = "a list of names of exits, such as ['stage1']; it may be empty"
    hint = "a difference is resolved where its interval excludes 0, whatever its sign"

    def expected(self, differences):
        return {exit for exit, interval in differences.items() if interval.resolved}

    def choices(self, differences):
        return list(differences)


READINGS = {5: Exits()}


class DeepestExit(Comparison):
    """Do the deepest exit's probabilities teach the others anything? BYOT against the same network
    without them.
    """

    factor = "alpha"
    least_seeds = 5

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(method) is methods.BYOT for method in treatments):
            return "the treatment must be BYOT: the question is about its teaching"
        if any(method.alpha == 1 for method in treatments):
            return "with alpha = 1 the exits before the deepest hear no label any more"
        if any(method.alpha == 0 for method in treatments):
            return "with alpha = 0 the deepest exit's probabilities teach nobody"
        if not all(type(method) is methods.BYOT for method in baselines):
            return "the baseline must train exits, too: else the exits may be the cause"
        if any(method.alpha != 0 for method in baselines):
            return "at the exits of the baseline the probabilities must not teach: alpha = 0"
        return None


DESIGNS = {6: DeepestExit()}

QUIZ = (
    Item(
        "Two epochs shuffle 50,000 images, each on its own. Predictions are stored by the place in "
        "the epoch. How many of them meet their own image again, on average?",
        {
            "All, if the batches are of equal size.": (
                "the size of a batch does not say which images are in it"
            ),
            "One.": RIGHT,
            "One in K.": "so many meet an image of the same class, which is another image",
        },
    ),
    Item(
        "A student that learns from its own past has a better NLL than cross-entropy. What must be "
        "tried before the past gets the credit?",
        {
            "Cross-entropy on more seeds.": (
                "they make the interval narrower, and leave open what the gain is made of"
            ),
            "KD from a larger teacher.": "that brings something from outside, another question",
            "Label smoothing, with an ε that was chosen too.": RIGHT,
        },
    ),
    Item(
        "In a network with exits, an image is unsure everywhere and leaves at the deepest exit. "
        "What has it cost?",
        {
            "More than the plain student.": RIGHT,
            "As much as the plain student.": "the exits on its way have computed something, too",
            "As much as the mean image.": "a mean is no bound: some images cost less, some more",
        },
    ),
)
