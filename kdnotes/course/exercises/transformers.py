"""The loss of two tokens, their joint answer; two numbers by hand, a reading, a design; a quiz."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.intervals import Interval
from kdnotes.lab import Design
from kdnotes.methods import KD, CrossEntropy, DeiT, HardKD, TwoClassTokens
from kdnotes.models import VisionTransformer, mean_of_softmaxes
from kdnotes.study.arms import at_seed
from kdnotes.training import build


def _drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _labels(first, second, teacher, targets, alpha):
    return alpha * F.cross_entropy(first, targets)


def _answers(first, second, teacher, targets, alpha):
    return (1 - alpha) * F.cross_entropy(second, teacher.argmax(1))


def _soft(logits: Tensor, teacher: Tensor) -> Tensor:
    return F.cross_entropy(logits, teacher.softmax(1))


class TokenLoss(Exercise):
    gradient_of = (0, 1)
    logits = (0, 1, 2)

    def reference(self, *case):
        return _labels(*case) + _answers(*case)

    def parts(self):
        return {"the term of the labels": _labels, "the term of the teacher's answers": _answers}

    def cases(self):
        """The teacher is often wrong, and the tokens disagree."""
        cases = []
        for seed, (images, classes, alpha) in enumerate(((6, 5, 0.3), (9, 4, 0.5), (4, 10, 0.8))):
            first, second, teacher = 2 * _drawn(seed, 3, images, classes)
            targets = (teacher + 3 * _drawn(50 + seed, images, classes)).argmax(1)
            cases.append((first, second, teacher, targets, alpha))
        return cases

    def wrong_exchanged(self, first, second, teacher, targets, alpha):
        """The tokens are exchanged: the first learns the labels, the second from the teacher."""
        return self.reference(second, first, teacher, targets, alpha)

    def wrong_first_alone(self, first, second, teacher, targets, alpha):
        """Both terms read the first token: nothing trains the second."""
        return self.reference(first, first, teacher, targets, alpha)

    def wrong_second_alone(self, first, second, teacher, targets, alpha):
        """Both terms read the second token: nothing trains the first."""
        return self.reference(second, second, teacher, targets, alpha)

    def wrong_joint(self, first, second, teacher, targets, alpha):
        """Both terms read the joint answer; each token has a loss of its own."""
        joint = mean_of_softmaxes(torch.stack([first, second], 1))
        return self.reference(joint, joint, teacher, targets, alpha)

    def wrong_own_answers(self, first, second, teacher, targets, alpha):
        """The second token learns its own largest logit: the answer is the teacher's."""
        return self.reference(first, second, second, targets, alpha)

    def wrong_two_class_tokens(self, first, second, teacher, targets, alpha):
        """Both tokens learn the labels: that is the control, which asks no teacher."""
        one_hot = F.one_hot(targets, first.shape[1])
        return self.reference(first, second, one_hot, targets, alpha)

    def wrong_soft(self, first, second, teacher, targets, alpha):
        """The second token learns the teacher's softmax; asked for is its answer, one class."""
        return alpha * F.cross_entropy(first, targets) + (1 - alpha) * _soft(second, teacher)

    def wrong_divergence(self, first, second, teacher, targets, alpha):
        """The second term is a KL with the teacher's softmax; its answer is one class."""
        apart = _soft(second, teacher) - _soft(teacher, teacher)
        return alpha * F.cross_entropy(first, targets) + (1 - alpha) * apart


class JointAnswer(Exercise):
    gradient_of = logits = (0,)

    def reference(self, logits):
        return F.log_softmax(logits, 2).logsumexp(1) - math.log(logits.shape[1])

    def cases(self):
        """Tokens that agree and that do not, one of them surer; two and three of them."""
        return [
            (3 * _drawn(0, 5, 2, 4),),
            (_drawn(1, 4, 3, 10) * torch.tensor([6.0, 1.0, 2.0])[:, None],),
            (_drawn(3, 7, 2, 3) * torch.tensor([8.0, 0.5])[:, None] - 2,),
        ]

    def wrong_mean_of_logits(self, logits):
        """That is the mean of the logits, as in the authors' code; the softmax comes first."""
        return logits.mean(1)

    def wrong_softmax_of_mean(self, logits):
        """The logits are averaged before the softmax; average what comes out of it."""
        return F.log_softmax(logits.mean(1), 1)

    def wrong_mean_of_logarithms(self, logits):
        """That is the mean of the logarithms; asked for is the logarithm of the mean."""
        return F.log_softmax(logits, 2).mean(1)

    def wrong_sum(self, logits):
        """These probabilities sum to the number of tokens: divide by it."""
        return F.log_softmax(logits, 2).logsumexp(1)

    def wrong_half(self, logits):
        """The sum is divided by 2, whatever the number of tokens."""
        return F.log_softmax(logits, 2).logsumexp(1) - math.log(2)

    def wrong_probabilities(self, logits):
        """These are the probabilities; asked for are their logarithms."""
        return F.softmax(logits, 2).mean(1)

    def wrong_axis(self, logits):
        """The softmax is taken over the tokens; it is over the classes."""
        return F.log_softmax(logits, 1).logsumexp(1) - math.log(logits.shape[1])


EXERCISES = {1: TokenLoss(), 2: JointAnswer()}


class Pairs(Question):
    """Of 8×8 patches and a token, against 4×4 and a token."""

    asks = "how many times as many"
    hint = "count the vectors first, then the pairs"
    absolute = 0.05

    def expected(self):
        return (65 / 17) ** 2

    def wrong_no_token(self):
        """The token is missing: it is a vector among the others, in both cases."""
        return (64 / 16) ** 2

    def wrong_vectors(self):
        """That is the ratio of the vectors; each of them is compared with each."""
        return 65 / 17

    def wrong_places(self):
        """That is the ratio of the places; the vectors are compared in pairs, the token too."""
        return 64 / 16

    def wrong_without_itself(self):
        """You leave out the pair of each vector with itself."""
        return (65 * 64) / (17 * 16)

    def wrong_way_round(self):
        """The ratio is the other way round: small patches make more pairs."""
        return (17 / 65) ** 2


class InColour(Question):
    """Parameters of patches of 8 minus those of patches of 4, at three channels and width 64."""

    asks = "a number of parameters"
    hint = "a patch has its edge squared times the channels as inputs, and each place a position"
    projected = 64 * 3 * (8**2 - 4**2)
    placed = 64 * ((32 // 4) ** 2 - (32 // 8) ** 2)

    def expected(self):
        return self.projected - self.placed

    def wrong_grey(self):
        """That is the difference at one channel."""
        return self.projected // 3 - self.placed

    def wrong_no_positions(self):
        """Those are the weights that project a patch; there are fewer positions to learn."""
        return self.projected

    def wrong_more_positions(self):
        """Patches of 8 have fewer places, hence fewer positions: subtract them."""
        return self.projected + self.placed

    def wrong_one_number(self):
        """A position is a vector of the network's width, not one number."""
        return self.projected - self.placed // 64


BY_HAND = {3: Pairs(), 4: InColour()}


class StillPossible(Question):
    """The differences that are not resolved, and of which a gain of a point is not excluded."""

    asks = "a list of names of differences, such as ['answers']; it may be empty"
    hint = "two things count: the interval holds 0, and its upper end is 1 point or more"

    def expected(self, judged: Mapping[str, Interval]) -> set[str]:
        return {name for name, one in judged.items() if not one.resolved and not one.below(0.01)}

    def choices(self, judged: Mapping[str, Interval]) -> list[str]:
        return list(judged)


READINGS = {5: StillPossible()}


class DoorOfItsOwn(Comparison):
    """Do the same answers of the same teacher bring more through a token of their own?"""

    factor = "method"
    least_seeds = 5
    metrics = ("test_accuracy",)
    is_tuned_alike = True

    def misses(self, design: Design) -> str | None:
        treatments, baselines = self.sides(design)
        if any(type(one) is not DeiT for one in treatments):
            return "the treatment must be DeiT, whose second token learns from the teacher alone"
        if any(isinstance(one, (CrossEntropy, TwoClassTokens)) for one in baselines):
            return "the baseline asks no teacher: a gain may be the teacher's, and not the door's"
        if any(type(one) is DeiT for one in baselines):
            return "the baseline has a token for the teacher, too: the door does not differ"
        if any(type(one) not in (HardKD, KD) for one in baselines):
            return "the baseline is HardKD, or KD of soft answers: the same without the door"
        return _of_tokens(design) or (_of_answers(treatments, baselines) if baselines else None)


def _of_tokens(design: Design) -> str | None:
    """Both sides have two tokens."""
    if {_tokens(design, name) for name in design.treatments} != {2}:
        return "DeiT needs a student with two tokens (tokens=2)"
    if any(_tokens(design, name) != 2 for name in design.baselines):
        return "one side has a token and a classifier more, which may help by themselves"
    return None


def _tokens(design: Design, name: str) -> int:
    """The tokens of an arm's student; 0 of a network that has none."""
    seed = design.report_seeds[0]
    student = build(at_seed(name, design.complete_arms[name], seed).student, seed)
    return len(student.stages.tokens.tokens) if isinstance(student, VisionTransformer) else 0


def _of_answers(treatments: list[DeiT], baselines: list[KD | HardKD]) -> str | None:
    """Both sides hear the same answers, and the labels as loudly."""
    ours, theirs = (set(map(_setting, side)) for side in (treatments, baselines))
    if {kind for kind, *_ in ours} != {kind for kind, *_ in theirs}:
        return "one side hears the teacher's answer, the other its probabilities"
    if {0, 1} & {alpha for _, alpha, _ in ours | theirs}:
        return "with α = 1 the teacher is asked nothing, and with α = 0 nobody learns the labels"
    return None if ours == theirs else "both sides must have, or try, the same α (and T)"


def _setting(one: DeiT | KD | HardKD) -> tuple[str, float, float | None]:
    """What is asked of the teacher, α, and T where there is one."""
    kind = one.target if isinstance(one, DeiT) else "hard" if isinstance(one, HardKD) else "soft"
    return kind, one.alpha, None if kind == "hard" else one.temperature


DESIGNS = {6: DoorOfItsOwn()}

QUIZ = (
    Item(
        "A paper's network with a distillation token beats its network with one token and the same "
        "teacher. What has the token shown?",
        {
            "A door of its own hands over more.": "a second classifier came with it, too",
            "The convolutional teacher matters.": "the same teacher speaks on both sides",
            "Nothing yet: two things differ.": RIGHT,
        },
    ),
    Item(
        "Patches of 4 become patches of 2. What grows most?",
        {
            "The parameters of a block.": "its matrices serve every vector alike",
            "The pairs that attention compares.": RIGHT,
            "The classifier of a token.": "it reads a token, and no patch",
        },
    ),
    Item(
        'A hint from the CNN\'s map to the stage "tokens" is refused. Why?',
        {
            "What tokens give has no places.": RIGHT,
            "The widths differ.": "a regressor bridges channels of any two numbers",
            "A transformer has no maps.": "its patches keep their places in every block of theirs",
        },
    ),
)
