"""A step of PS-KD, leaving at a sure exit, a virtual teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.course.attempt import Exercise


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
