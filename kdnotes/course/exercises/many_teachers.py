"""Weighted teachers, CA-MKD's weights, the loss that trains a gate; a design; a quiz."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.methods import MultiTeacherKD

SIZES = ((3, 8), (2, 6), (4, 4))  # teachers and samples; equal, so that exchanged axes do not fail


def _teachers(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits ``[M, B, K]``, labels, and ``[B, M]``; each teacher is good on other samples."""
    (count, batch), classes = SIZES[seed], 10 - seed
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, batch, classes, generator=generator)
    targets = torch.randint(classes, (batch,), generator=generator)
    logits[torch.arange(batch) % count, torch.arange(batch), targets] += 4
    return logits, targets, 2 * torch.randn(batch, count, generator=generator)


def _divergences(z_s: Tensor, z_t: Tensor, t: float) -> Tensor:
    """T²·KL(p_t,m ‖ p_s) of every sample and teacher, ``[B, M]``."""
    return torch.stack([losses.kd_loss(z_s, z, t, reduction="none") for z in z_t], dim=1)


class WeightedTeachers(Exercise):
    gradient_of = (0,)
    logits, temperature = (0, 1), 3

    def reference(self, z_s, z_t, weights, t):
        return (weights * _divergences(z_s, z_t, t)).sum(dim=1).mean()

    def parts(self):
        def of(which: slice):
            return lambda z_s, z_t, w, t: self.reference(z_s, z_t[which], w[:, which], t)

        first, last, rest = slice(0, 1), slice(-1, None), slice(1, None)
        return {
            "the first teacher's term": of(first),
            "the last teacher's term": of(last),
            "every teacher's term but the first": of(rest),
        }

    def cases(self):
        cases = []
        for seed, t in enumerate((2.0, 4.0, 3.0)):
            z_t, _, gate = _teachers(seed)
            z_s = 2 * torch.randn(
                z_t.shape[1:], generator=torch.Generator().manual_seed(seed + 100)
            )
            cases.append((z_s, z_t, F.softmax(gate, dim=1), t))
        return cases

    def wrong_mean_weights(self, z_s, z_t, weights, t):
        """The weights are averaged over the batch, so that every sample trusts the same teachers;
        multiply sample by sample, sum over the teachers, and take the mean over samples last.
        """
        return self.reference(z_s, z_t, weights.mean(0, keepdim=True).expand_as(weights), t)

    def wrong_mean_of_teachers(self, z_s, z_t, weights, t):
        """Too small by the number of teachers: the weights of a sample sum to 1, so sum."""
        return (weights * _divergences(z_s, z_t, t)).mean()

    def wrong_direction(self, z_s, z_t, weights, t):
        """The KL is the wrong way round: the teacher's distribution comes first, KL(p_t ‖ p_s)."""
        reverse = torch.stack([losses.kd_loss(z, z_s, t, reduction="none") for z in z_t], dim=1)
        return (weights * reverse).sum(dim=1).mean()

    def wrong_mixture(self, z_s, z_t, weights, t):
        """That is the KL to the weighted mixture: the same gradient for the student, but smaller by
        the teachers' disagreement (Jensen); weigh the divergences.
        """
        log_p_t = F.log_softmax(z_t / t, dim=2)
        mixture = torch.logsumexp(weights.T.log()[:, :, None] + log_p_t, dim=0)
        return losses.kd_loss(z_s, t * mixture, t)

    def wrong_mean_logits(self, z_s, z_t, weights, t):
        """The teachers' logits are averaged, which is another target; weigh the divergences."""
        return losses.kd_loss(z_s, (weights.T[:, :, None] * z_t).sum(0), t)


def _errors(z_t: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every teacher with every label, ``[B, M]``."""
    return torch.stack([F.cross_entropy(z, y, reduction="none") for z in z_t], dim=1)


def _weights(errors: Tensor) -> Tensor:
    return (1 - F.softmax(errors, dim=1)) / (errors.shape[1] - 1)


class ConfidenceWeights(Exercise):
    logits = (0,)

    def reference(self, z_t, y):
        return _weights(_errors(z_t, y))

    def cases(self):
        return [_teachers(seed)[:2] for seed in range(3)]

    def wrong_sum(self, z_t, y):
        """The rows sum to M − 1: divide by it."""
        return 1 - F.softmax(_errors(z_t, y), dim=1)

    def wrong_order(self, z_t, y):
        """The weights grow with the error: the teacher that is most wrong is trusted most."""
        return F.softmax(_errors(z_t, y), dim=1)

    def wrong_softmax(self, z_t, y):
        """A softmax of −CE has the right order, but is not CA-MKD: it can trust one teacher alone,
        where (1 − softmax(CE))/(M − 1) stops at 1/(M − 1).
        """
        return F.softmax(-_errors(z_t, y), dim=1)

    def wrong_mean_errors(self, z_t, y):
        """The cross-entropies are averaged over the batch; each sample has its own weights."""
        errors = _errors(z_t, y)
        return _weights(errors.mean(0, keepdim=True).expand_as(errors))


def _mixture(log_weights: Tensor, z_t: Tensor, y: Tensor) -> Tensor:
    """−log Σ_m w_m·p_m(y) of every sample, ``[B]``."""
    return -torch.logsumexp(log_weights - _errors(z_t, y), dim=1)


class GateLoss(Exercise):
    gradient_of = (0,)
    logits = (0, 1)

    def reference(self, g, z_t, y):
        return _mixture(F.log_softmax(g, dim=1), z_t, y).mean()

    def cases(self):
        return [(gate, z_t, y) for z_t, y, gate in map(_teachers, range(3))]

    def wrong_mixture(self, g, z_t, y):
        """That is the mean of the errors, Σ w·(−log p): take the logarithm of the mixture."""
        return (F.softmax(g, dim=1) * _errors(z_t, y)).sum(1).mean()

    def wrong_no_softmax(self, g, z_t, y):
        """The gate's outputs are logits: without log_softmax the loss falls as they grow."""
        return _mixture(g, z_t, y).mean()

    def wrong_second_softmax(self, g, z_t, y):
        """The mixture is made of probabilities; F.cross_entropy takes logits: use F.nll_loss."""
        mixed = F.softmax(g, dim=1).T[:, :, None] * F.softmax(z_t, dim=2)
        return F.cross_entropy(mixed.sum(0), y)


EXERCISES = {1: WeightedTeachers(), 2: ConfidenceWeights(), 3: GateLoss()}


class WrongTogether(Question):
    """What CA-MKD leaves two wrong teachers of three: the label has 0.9, 0.1 and 0.1."""

    asks = "a share between 0 and 1"
    hint = "the errors are 1/p of the label; each share of their sum is taken off 1, then halved"
    absolute = 0.003

    def expected(self):
        errors = torch.tensor([0.9, 0.1, 0.1]).reciprocal()
        return float(((1 - errors / errors.sum()) / 2)[1:].sum())

    def wrong_one(self):
        """That is the weight of one of them; there are two."""
        return self.expected() / 2

    def wrong_right_one(self):
        """That is the weight of the right teacher."""
        return 1 - self.expected()

    def wrong_in_proportion(self):
        """That weighs in proportion to p of the label; CA-MKD takes weight off in proportion to
        1/p.
        """
        return 0.2 / 1.1

    def wrong_not_halved(self):
        """The weights of all three must sum to 1: divide by M − 1."""
        return 2 * self.expected()


BY_HAND = {4: WrongTogether()}


class Harmed(Question):
    """The rules that the useless teacher makes worse, judged as the chapter judges them."""

    asks = "a list of rules, such as ['average']; it may be empty"
    hint = "the first sentences compare each rule with itself; read the verb, and the metric"

    def expected(self, study):
        rules = self.choices(study)
        pairs = {rule: (f"{rule} + useless", rule) for rule in rules}
        pairs["over CE"] = "average + useless", "CE"
        pairs["of rules"] = "CA-MKD + useless", "average + useless"
        found = study.differences(pairs)
        return {rule for rule in rules if found[rule].below()}

    def choices(self, study):
        return [arm for arm in study.arms if f"{arm} + useless" in study.arms]


READINGS = {5: Harmed()}


class OneMore(Comparison):
    """Does one more teacher bring anything to the average?"""

    factor = "teachers"
    least_seeds = 5
    metrics = ("test_accuracy", "test_nll")

    def misses(self, design):
        sides = self.sides(design)
        if not all(type(one) is MultiTeacherKD for side in sides for one in side):
            return (
                "both sides must be averages (MultiTeacherKD), so that they differ in nothing but "
                "the teachers"
            )
        if any(one.alpha == 1 for side in sides for one in side):
            return "with α = 1 nothing is left of the teachers"
        more, fewer = (
            [[getattr(one, "key", id(one)) for one in method.teachers] for method in side]
            for side in sides
        )
        if any(len(set(keys)) != 3 or len(keys) != 3 for keys in more):
            return "the treatment must average all three teachers, each once"
        if any(len(keys) != 2 or len(set(keys)) != 2 for keys in fewer):
            return "the baseline must average the other two, so that one teacher is the difference"
        if any(not set(few) < set(many) for few in fewer for many in more):
            return "the two teachers of the baseline must be among the three of the treatment"
        return None


DESIGNS = {6: OneMore()}

QUIZ = (
    Item(
        "Three teachers, equal weights, the mean of their losses. What does the student's gradient "
        "see?",
        {
            "The teacher that is surest of the image.": (
                "each answer enters with the same weight, however sure it is"
            ),
            "One teacher, whose answer is the mean of the three.": RIGHT,
            "Three targets, of which it meets the nearest.": (
                "the losses are added, so that all of them pull on every step"
            ),
        },
    ),
    Item(
        "A student of three teachers beats that of the first one. What must be shown before the "
        "gain is the team's?",
        {
            "That the three teachers have different architectures.": (
                "how they were built does not tell whether one of them does it alone"
            ),
            "That the team's mean answer is more accurate on test images.": (
                "then the gain could be had from any other teacher of that accuracy"
            ),
            "That it beats the best single teacher too, and one with targets as soft.": RIGHT,
        },
    ),
    Item(
        "A gate is trained by labels, on the very images that one of its teachers was trained on. "
        "Whom may it trust too much?",
        {
            "The teacher that remembers these images.": RIGHT,
            "The teacher with the softest answers.": (
                "softness draws a gate that is trained by agreement with the student"
            ),
            "The teacher with the most parameters.": (
                "the gate sees outputs alone, and knows no sizes"
            ),
        },
    ),
)
