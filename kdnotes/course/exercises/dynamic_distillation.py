"""Weights by uncertainty, a schedule, standardised logits, a curriculum; a design; a quiz."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, methods
from kdnotes.course.answers import Graded
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.lab import Design


def _logits(seed: int, rows: int = 6) -> Tensor:
    return 3 * torch.randn(rows, 10, generator=torch.Generator().manual_seed(seed))


def _entropy(logits: Tensor, dim: int = 1) -> Tensor:
    log_p = F.log_softmax(logits, dim=dim)
    return -(log_p.exp() * log_p).sum(dim)


def _normalised(score: Tensor) -> Tensor:
    return score / score.mean()


class Weights(Exercise):
    gradient_of = (0,)
    logits = (0,)

    def reference(self, logits):
        entropy = _entropy(logits.detach())
        return _normalised(entropy) if entropy.sum() > 0 else torch.ones_like(entropy)

    def cases(self):
        return [(_logits(0),), (_logits(5, rows=8),)]

    def extremes(self):
        """Half of the logits huge; in doubles entropies of 1e-7 to 1e-11, and near 1e-9 all of them
        (they are not 0, and weigh differently); entropies of 0 alone.
        """
        half, certain = _logits(1), []
        half[::2] *= 200
        for gaps in ([18.0, 20.0, 22.0, 24.0, 26.0, 28.0], [26.0, 26.1, 26.3, 26.6, 27.0, 27.5]):
            logits = _logits(3).double() / 3
            logits[:, 4] = torch.tensor(gaps)
            certain.append((logits,))
        return [(half,), *certain, (1e4 * torch.eye(10)[:6],)]

    def wrong_0_by_0(self, logits):
        """Right, but where all samples are certain the mean is 0, and 0/0 is NaN; all weigh 1."""
        return _normalised(_entropy(logits)).detach()

    def wrong_attached(self, logits):
        """A gradient flows through the weights: the student can lower the loss by being certain."""
        return _normalised(_entropy(logits))

    def wrong_small_is_0(self, logits):
        """All weigh 1 where entropies are small; small ones differ too, and only zeros do not."""
        entropy = _entropy(logits.detach())
        return _normalised(entropy) if entropy.mean() > 1e-7 else torch.ones_like(entropy)

    def wrong_not_normalised(self, logits):
        """Divide the entropies by their mean, or the size of the loss changes with them."""
        return _entropy(logits).detach()


class Schedule(Exercise):
    def reference(self, step, steps, first, last):
        """Exactly ``first`` and ``last`` at the ends; first + (last − first) may be rounded."""
        fraction = step / max(steps - 1, 1)
        return (1 - fraction) * first + fraction * last

    def cases(self):
        places = (0, 5), (1, 5), (3, 5), (4, 5), (0, 1), (5, 8), (0, 2), (1, 2)
        return [*((*place, 4.0, 1.0) for place in places), (3, 11, 0.1, 0.5), (10, 11, 0.1, 0.5)]

    def wrong_start(self, step, steps, first, last):
        """Off by one: the first step has the number 0 and should see `first` itself."""
        return first + (last - first) * (step + 1) / steps

    def wrong_single_step(self, step, steps, first, last):
        """Of a single step (steps = 1) the value is `first`."""
        return last if steps == 1 else self.reference(step, steps, first, last)

    def wrong_whole_division(self, step, steps, first, last):
        """The `//` rounds down: the schedule stays at `first` until the last step."""
        return first + (last - first) * (step // max(steps - 1, 1))


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)


def _deviation(logits: Tensor, correction: int = 1) -> Tensor:
    return logits.std(dim=1, keepdim=True, correction=correction)


class Standardised(Exercise):
    gradient_of = (0,)
    logits = (0,)

    def reference(self, logits):
        return _centred(logits) / (_deviation(logits) + 1e-7)

    def cases(self):
        """With a row of equal logits, and with rows so small that a large guard changes them."""
        equal = _logits(2, rows=10).index_fill(0, torch.tensor([1]), 5.0)
        small = torch.cat([0.01 * _logits(3, rows=5), _logits(4, rows=5)])
        return [(_logits(1, rows=10),), (equal,), (small,), (_logits(5, rows=10)[:4, :4],)]

    def observe(self, outcome):
        """Without the finite gradients of rows of equal logits, which depend on the ε."""
        value, gradients = outcome
        gradient = gradients[0][0][0] if gradients else None
        if gradient is None or value.shape != gradient.shape:
            return outcome
        constant = value.abs().amax(dim=1, keepdim=True) < 1e-6
        return Graded(value, [[[gradient.masked_fill(constant & gradient.isfinite(), 0.0)]]])

    def wrong_ddof(self, logits):
        """The deviation divides by K; here by K − 1, as in the authors' code (torch's default)."""
        return _centred(logits) / (_deviation(logits, correction=0) + 1e-7)

    def wrong_0_by_0(self, logits):
        """A row of equal logits gives 0/0 = NaN; add a small number to the standard deviation."""
        return _centred(logits) / _deviation(logits)

    def wrong_replaced_nan(self, logits):
        """The values are right, but a row of equal logits has the gradient NaN: 0/0 was computed
        before it was replaced; add a small number to the standard deviation.
        """
        return self.wrong_0_by_0(logits).nan_to_num(0.0)

    def wrong_keepdim(self, logits):
        """Without keepdim=True each column gets the mean of another row; only N ≠ K fails."""
        return (logits - logits.mean(dim=1)) / (logits.std(dim=1) + 1e-7)


def _temperature(theta: float, width: float = 20) -> float:
    return 1 + width / (1 + math.exp(-theta))


def _slope(theta: float) -> float:
    """The derivative of the sigmoid."""
    return math.exp(-theta) / (1 + math.exp(-theta)) ** 2


class CurriculumStep(Exercise):
    def reference(self, theta, slope, strength, rate):
        return _temperature(theta + rate * strength * slope * 20 * _slope(theta))

    def cases(self):
        return [(0.0, 0.1, 1.0, 0.5), (-2.9, 0.4, 0.5, 0.1), (1.0, -0.2, 0.3, 0.2)]

    def wrong_not_reversed(self, theta, slope, strength, rate):
        """T descends with the student: the reversal is missing (or was applied twice)."""
        return self.reference(theta, -slope, strength, rate)

    def wrong_no_chain_rule(self, theta, slope, strength, rate):
        """The chain rule is missing: `slope` is that for T, and dT/dθ = 20·σ(θ)·(1 − σ(θ))."""
        return _temperature(theta + rate * strength * slope)

    def wrong_no_width(self, theta, slope, strength, rate):
        """The derivative dT/dθ lacks the factor 20, the width of the range of T."""
        return self.reference(theta, slope / 20, strength, rate)


EXERCISES = {1: Weights(), 2: Schedule(), 3: Standardised(), 4: CurriculumStep()}


class SurestTarget(Question):
    """A certain teacher's probability after standardising, with three classes at T = 1."""

    asks = "a probability"
    hint = "standardise first: what is then the distance between the first logit and the others?"
    absolute = 0.004

    def expected(self):
        logits = losses.standardize_logits(torch.tensor([[30.0, 0.0, 0.0]]))
        return float(losses.soften(logits, 1.0)[0, 0])

    def wrong_denominator(self):
        """The standard deviation divides by K; here by K − 1."""
        return 1 / (1 + 2 * math.exp(-3 / math.sqrt(2)))

    def wrong_not_standardised(self):
        """That is the softmax of the logits as they are; standardise them first."""
        return 1.0

    def wrong_logit_alone(self):
        """The others are not at 0 after standardising: what counts is the distance from them."""
        return 1 / (1 + 2 * math.exp(-2 / math.sqrt(3)))


BY_HAND = {5: SurestTarget()}


class LowerNLL(Question):
    """The arms whose test NLL is resolved below KD's, all differences judged together."""

    asks = "a list of names of arms, such as ['CE']"
    hint = "lower is better: look for intervals that lie wholly left of 0"

    def expected(self, result):
        against = {arm: (arm, "KD") for arm in self.choices(result)}
        found = result.differences(against, "test_nll")
        return {arm for arm, difference in found.items() if difference.below()}

    def choices(self, result):
        return [arm for arm in result.arms if arm != "KD"]


READINGS = {6: LowerNLL()}


def _moving(method: methods.Method) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """(first, last) of T and of α, of a schedule or of KD; of another method nothing."""
    if type(method) is methods.AnnealedKD:
        return method.temperature, method.alpha
    if type(method) is methods.KD:
        return (method.temperature,) * 2, (method.alpha,) * 2
    return None


class MovingTemperature(Comparison):
    """Does it matter that T moves, where its mean is the same?"""

    least_seeds = 5
    metrics = ("test_accuracy", "test_nll")

    def misses(self, design: Design) -> str | None:
        sides = [
            [_moving(design.method(name)) for name in side]
            for side in (design.treatments, design.baselines)
        ]
        if None in (*sides[0], *sides[1]):
            return "both sides must be AnnealedKD or KD, so that nothing but T can differ"
        if any(first == last for (first, last), _ in sides[0]):
            return "the treatment must move T"
        if any(first != last for (first, last), _ in sides[1]):
            return "the baseline must hold T still"
        every = [*sides[0], *sides[1]]
        if len({round(sum(temperature), 9) for temperature, _ in every}) > 1:
            return "the means of T differ: a better mean would look like an effect of moving"
        if len({alpha for _, alpha in every}) > 1:
            return "α differs too: give both sides the same"
        if any(first != last or first == 1 for _, (first, last) in every):
            return "α must stay where it is, below 1, so that only T moves"
        return None


DESIGNS = {7: MovingTemperature()}

QUIZ = (
    Item(
        "Someone multiplies each image's KL by the student's entropy, detached, and does not "
        "divide by the mean entropy. What else does that change?",
        {
            "Nothing: the weights are constants in the backward pass.": (
                "a constant weight still scales the loss"
            ),
            "The teacher counts less and less as the student becomes sure.": RIGHT,
            "The student can lower the loss by becoming certain.": (
                "that way is closed, as the weights are detached"
            ),
        },
    ),
    Item(
        "All logits of a student are doubled. What becomes of its standardised soft term?",
        {
            "It stays as it is.": RIGHT,
            "It is that of half the temperature.": "so it is with plain logits",
            "It is four times as large.": "no power of the factor is left after standardising",
        },
    ),
    Item(
        "T²·KL rises with T everywhere, and T is learned with the student, but the gradient "
        "reversal was forgotten. Where does T go?",
        {
            "Towards its upper bound.": "an optimiser without reversal makes the loss smaller",
            "Nowhere, as the student learns faster than T.": (
                "T has a gradient of its own, whatever the student does"
            ),
            "Towards its lower bound.": RIGHT,
        },
    ),
)
