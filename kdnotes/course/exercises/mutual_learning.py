"""Losses of peers that teach each other, their ensemble, disagreement; a design; a quiz."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, methods, models
from kdnotes.course.attempt import Exercise, stretched
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _peers(seed: int, count: int, batch: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Logits ``[B, M, K]`` of peers that are often, not always, of one opinion; and labels."""
    generator = torch.Generator().manual_seed(seed)
    shared = 2 * torch.randn(batch, 1, classes, generator=generator)
    scale = torch.linspace(0.5, 3, count).view(1, count, 1)
    logits = scale * (shared + torch.randn(batch, count, classes, generator=generator))
    return logits, torch.randint(classes, (batch,), generator=generator)


def _kl(own: Tensor, other: Tensor) -> Tensor:
    """KL(p_other ‖ p_own), with a gradient to both."""
    log_p, log_q = F.log_softmax(other, dim=1), F.log_softmax(own, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


class PeerLosses(Exercise):
    gradient_of = (0,)
    logits = (0,)
    reference = staticmethod(losses.mutual_losses)

    def parts(self):
        return {
            "the peers' term": lambda z, y: losses.peer_divergences(z),
            "the labels' term": lambda z, y: [F.cross_entropy(own, y) for own in z],
        }

    def cases(self):
        sizes = enumerate([(3, 8), (2, 6), (4, 4)])
        peers = (_peers(seed, *size, 10 - seed) for seed, size in sizes)
        return [(list(z.unbind(dim=1)), y) for z, y in peers]

    def taught(self, z, y, term, divisor):
        """CE of each peer plus ``term(own, other)`` of the others, summed and divided."""
        sums = [sum(term(own, other) for other in z if other is not own) for own in z]
        return [F.cross_entropy(own, y) + one / divisor for own, one in zip(z, sums, strict=True)]

    def wrong_attached(self, z, y):
        """The values are right, but each loss also moves the other peers: detach who teaches."""
        return self.taught(z, y, _kl, len(z) - 1)

    def wrong_direction(self, z, y):
        """The KL is the wrong way round: KL(p_j ‖ p_i), and F.kl_div(log_p_i, p_j) is that."""
        return self.taught(z, y, lambda own, other: _kl(other.detach(), own), len(z) - 1)

    def wrong_sum(self, z, y):
        """That is a sum over the other peers: divide by M − 1, or the labels count ever less."""
        return self.taught(z, y, lambda own, other: _kl(own, other.detach()), 1)


def _mean_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    return F.softmax(logits / temperature, dim=2).mean(dim=1)


def _clear(logits: Tensor, margin: float) -> Tensor:
    """The images on which the most probable class is ahead by a margin."""
    first, second = _mean_probabilities(logits.double()).topk(2, dim=1).values.unbind(dim=1)
    return logits[first - second > margin]


class Ensemble(Exercise):
    logits = (0,)

    def reference(self, z):
        return _mean_probabilities(z).argmax(dim=1)

    def cases(self):
        """In the fourth a second softmax changes three answers; then one near a tie, and images on
        which a temperature of 0.95 or 1.05 changes the answer.
        """
        near = torch.zeros(1, 2, 10)
        near[..., 2], near[..., 5] = 8.0, 8.003
        many = _clear(_peers(3, 3, 4000)[0], 1e-3)
        right, *others = (_mean_probabilities(many, t).argmax(dim=1) for t in (1.0, 0.95, 1.05))
        delicate = torch.cat([many[other != right] for other in others])
        peers = (_peers(*one)[0] for one in ((0, 3, 40), (1, 2, 30), (2, 4, 4), (27, 3, 40)))
        return [(one,) for one in (*peers, near, delicate)]

    def extremes(self):
        """Three peers, two of which agree; and many large logits, such as 9000 against 10000."""
        classes = torch.tensor([[1, 1, 4], [3, 0, 3], [2, 5, 5], [6, 6, 2]])
        many = _clear(stretched(_peers(4, 3, 40)[0]), 0.1)
        moved = many + 1e4 - many.amax(dim=2, keepdim=True)
        return [(1e4 * (2.0 * F.one_hot(classes, 10) - 1),), (many,), (moved,)]

    def wrong_mean_logits(self, z):
        """The logits are averaged, so that the largest decide; average the probabilities."""
        return z.mean(dim=1).argmax(dim=1)

    def wrong_vote(self, z):
        """A majority vote forgets how sure each peer is; average the probabilities."""
        return F.one_hot(z.argmax(dim=2), z.shape[2]).sum(dim=1).argmax(dim=1)

    def wrong_axis(self, z):
        """The softmax runs over the peers; logits are [N, M, K], so the classes are dim=2."""
        return F.softmax(z, dim=1).mean(dim=1).argmax(dim=1)


class Disagreement(Exercise):
    logits = (0,)
    cases = Ensemble.cases

    def reference(self, z):
        pairs = list(itertools.combinations(z.argmax(dim=2).unbind(dim=1), 2))
        return sum(float((a != b).double().mean()) for a, b in pairs) / len(pairs)

    def wrong_not_all_agree(self, z):
        """The images on which not all peers agree grow with M; average over pairs."""
        predicted = z.argmax(dim=2)
        return float((predicted != predicted[:, :1]).any(dim=1).double().mean())

    def wrong_itself(self, z):
        """Each peer is compared with itself too: leave those out (divide by M(M − 1)/2 pairs)."""
        return self.reference(z) * (z.shape[1] - 1) / z.shape[1]


EXERCISES = {1: PeerLosses(), 2: Ensemble(), 3: Disagreement()}


class SecondLoss(Question):
    """L_2 of two peers, (0.9, 0.1) and (0.5, 0.5), the label being the first class."""

    asks = "a loss in nats"
    hint = "the cross-entropy of peer 2, and the KL in which peer 1 comes first"
    absolute = 0.004

    def expected(self):
        return self.labels() + _kl(self.second, self.first).item()

    first, second = (torch.tensor([p]).log() for p in ((0.9, 0.1), (0.5, 0.5)))

    def labels(self):
        return F.cross_entropy(self.second, torch.tensor([0])).item()

    def wrong_direction(self):
        """The KL is the wrong way round: the peer that teaches comes first, KL(p_1 ‖ p_2)."""
        return self.labels() + _kl(self.first, self.second).item()

    def wrong_peer(self):
        """That is the loss of peer 1; asked for is that of peer 2."""
        labels = F.cross_entropy(self.first, torch.tensor([0])).item()
        return labels + _kl(self.first, self.second).item()

    def wrong_without_labels(self):
        """The cross-entropy with the label is missing."""
        return _kl(self.second, self.first).item()


BY_HAND = {4: SecondLoss()}


class StillPossible(Question):
    """What two lengths that are not resolved from one another may still differ by."""

    asks = "a number of points"
    hint = "the last row: its interval ends at the mean plus the half-width"
    absolute = 0.02

    def expected(self, intervals):
        return 100 * intervals["longest − shortest"].high

    def wrong_mean(self, intervals):
        """That is the estimate; the interval holds larger values too."""
        return 100 * intervals["longest − shortest"].mean

    def wrong_half_width(self, intervals):
        """That is the half-width alone: it is counted from the mean, not from 0."""
        return 100 * intervals["longest − shortest"].half_width

    def wrong_smallest(self, intervals):
        """That is the lower end: the least that the interval holds."""
        return 100 * intervals["longest − shortest"].low

    def wrong_other_row(self, intervals):
        """That is the gain at the longest training, which is compared with 0."""
        *_, longest, _ = intervals.values()
        return 100 * longest.high


READINGS = {5: StillPossible()}


class PeersBesideATeacher(Comparison):
    """Do peers add anything where both learn from a teacher?"""

    factor = "weight"
    least_seeds = 5

    def misses(self, design):
        treatments, baselines = self.sides(design)
        everyone = (*treatments, *baselines)
        if not all(type(method) is methods.DML for method in everyone):
            return "both sides must be DML, so that nothing but the peers' term can differ"
        arms = (design.complete_arms[name] for name in (*design.treatments, *design.baselines))
        if not all(isinstance(arm.student(), models.Cohort) for arm in arms):
            return "DML trains a models.Cohort: give both sides a student that has peers"
        if any(method.teacher is None for method in everyone):
            return "all peers must have a teacher, on both sides"
        if any(method.alpha == 1 for method in everyone):
            return "with α = 1 the teacher is not listened to"
        if any(method.weight != 0 for method in baselines):
            return "the peers of the baseline must not teach each other: weight 0"
        if any(method.weight == 0 for method in treatments):
            return "the peers of the treatment must teach each other: a weight above 0"
        return None


DESIGNS = {6: PeersBesideATeacher()}

QUIZ = (
    Item(
        "In KL(p_2 ‖ p_1), the peers' term of peer 1, p_2 is not detached. What happens?",
        {
            "The value of the loss is wrong.": "detaching changes no value, only gradients",
            "Peer 2 is also pulled towards peer 1.": RIGHT,
            "Peer 1 gets no gradient.": "its own probabilities are in the term as before",
        },
    ),
    Item(
        "The ensemble of two peers beats one student that was trained alone. What has been shown?",
        {
            "That these two together beat that one; not what mutual learning adds.": RIGHT,
            "Mutual learning helps.": "two students trained alone make an ensemble, too",
            "The peers are diverse.": "nobody has looked at where they disagree",
        },
    ),
    Item(
        "Two peers train for 40 epochs. Which single student had as much training time?",
        {
            "One of 40 epochs.": "there are two networks in each step",
            "One of 20 epochs.": "the peers cost more than one student of 40 epochs, not less",
            "One of 80 epochs.": RIGHT,
        },
    ),
)
