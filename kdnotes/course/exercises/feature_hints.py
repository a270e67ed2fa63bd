"""The hint with its regressor, linear CKA, what the regressor costs; a design; a quiz."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, methods, metrics
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _smaller(student: Tensor, teacher: Tensor) -> list[int]:
    return [min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True)]


class Hint(Exercise):
    gradient_of = (0, 1, 2, 3)

    def reference(self, student, teacher, weight, bias):
        return self.difference(student, teacher.detach(), weight, bias).square().mean()

    def difference(self, student, teacher, weight, bias):
        one, other = losses.match_size(student, teacher)
        return torch.einsum("tc,bchw->bthw", weight, one) + bias[:, None, None] - other

    def cases(self):
        """Equal sizes, a larger teacher, a larger student; not square, and of a broken ratio."""
        shapes = (
            (2, (3, 4, 4), (5, 4, 4)),
            (3, (3, 4, 4), (5, 8, 8)),
            (2, (4, 8, 8), (4, 4, 4)),
            (3, (3, 8, 4), (5, 2, 2)),
            (2, (3, 8, 4), (5, 4, 2)),
            (3, (2, 3, 3), (4, 7, 7)),
        )
        cases = []
        for seed, (batch, own, theirs) in enumerate(shapes):
            generator = torch.Generator().manual_seed(seed)
            sizes = (batch, *own), (batch, *theirs), (theirs[0], own[0]), (theirs[0],)
            cases.append(tuple(torch.randn(*size, generator=generator) for size in sizes))
        return cases

    def wrong_sum(self, student, teacher, weight, bias):
        """That is a sum over the batch and the feature: take the mean of the squares."""
        return self.difference(student, teacher.detach(), weight, bias).square().sum()

    def wrong_channels_cut_off(self, student, teacher, weight, bias):
        """You cut off channels: use the regressor; channel 3 has other meanings in two networks."""
        one, other = losses.match_size(student, teacher.detach())
        return (one - other[:, : one.shape[1]]).square().mean()

    def wrong_repeated_elements(self, student, teacher, weight, bias):
        """Pooling to a larger size only repeats elements: pool the larger of the two."""
        teacher = F.adaptive_avg_pool2d(teacher, student.shape[2:])
        return self.reference(student, teacher, weight, bias)

    def wrong_whole_ratios(self, student, teacher, weight, bias):
        """Windows of a whole ratio leave elements out: take adaptive_avg_pool2d."""
        rows, columns = _smaller(student, teacher)
        features = (
            F.avg_pool2d(one, (one.shape[2] // rows, one.shape[3] // columns))
            for one in (student, teacher)
        )
        return self.reference(*features, weight, bias)


def _uncentred(x: Tensor, y: Tensor) -> float:
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


class CKA(Exercise):
    def reference(self, x, y):
        return _uncentred(x - x.mean(0), y - y.mean(0))

    def cases(self):
        generator = torch.Generator().manual_seed(5)
        x = torch.randn(30, 6, generator=generator, dtype=torch.float64)
        mixed = x @ torch.randn(6, 4, generator=generator, dtype=torch.float64)
        noise = torch.randn(30, 4, generator=generator, dtype=torch.float64)
        pairs = (x + 2, x + 2), (x + 1, mixed + noise - 3), (x, noise + 1)
        return [*pairs, (2 * x[:12] + 1, mixed[:12])]

    def wrong_uncentred(self, x, y):
        """The features are not centred: subtract each dimension's mean over the images."""
        return _uncentred(x, y)

    def wrong_not_normalised(self, x, y):
        """That is HSIC up to a factor: divide by √(HSIC(x, x)·HSIC(y, y))."""
        return float(((x - x.mean(0)).T @ (y - y.mean(0))).square().sum())

    def wrong_estimate(self, x, y):
        """That is the unbiased estimate: the exercise asks for the plain one."""
        return metrics.cka(x, y)


class RegressorCost(Exercise):
    def reference(self, student, teacher, kernel):
        return (student * kernel**2 + 1) * teacher, 0

    def cases(self):
        return [(24, 64, 1), (12, 32, 3), (5, 5, 1)]

    def wrong_no_bias(self, student, teacher, kernel):
        """The bias is missing: one number for each of the teacher's channels."""
        return student * kernel**2 * teacher, 0

    def wrong_deployed(self, student, teacher, kernel):
        """The regressor is thrown away: deployment costs nothing more."""
        return ((student * kernel**2 + 1) * teacher,) * 2


EXERCISES = {1: Hint(), 2: CKA(), 3: RegressorCost()}


class AnotherOrder(Question):
    """A hint without a regressor, the student's channels being the teacher's in another order."""

    asks = "the hint, a mean of squares"
    hint = "subtract channel from channel, and take the mean of the squares"
    absolute = 0.01

    def expected(self):
        student, teacher = torch.tensor([[2.0, 1.0, 0.5]]), torch.tensor([[0.5, 2.0, 1.0]])
        return float(losses.hint_loss(student, teacher))

    def wrong_sum(self):
        """That is the sum of the squares; the hint is their mean over the channels."""
        return 3 * self.expected()

    def wrong_half(self):
        """Half of it: the paper has a factor of ½, the hint of this course has none."""
        return self.expected() / 2

    def wrong_absolute(self):
        """That is the mean of the absolute differences: square them."""
        return 1.0

    def wrong_with_regressor(self):
        """That is what a regressor could reach; here channel 1 is compared with channel 1."""
        return 0.0


BY_HAND = {4: AnotherOrder()}


class Nearest(Question):
    """The teacher's stages that are the most alike one for some stage of the student."""

    asks = "a list of the teacher's stages, such as ['block1']"
    hint = "each row has one largest number; name the columns in which these stand"

    def expected(self, table):
        return set(table.idxmax(axis=1))

    def choices(self, table):
        return list(table.columns)


READINGS = {5: Nearest()}


class Phases(Comparison):
    """Is the two-phase form of a hint better than the joint one?

    Alone in the loss a hint's weight hardly matters to AdamW; beside KD it decides. So no single
    weight treats both forms alike, and each chooses its own among the same ones.
    """

    factor = "alone"
    least_seeds = 5
    is_tuned_alike = True

    def misses(self, design):
        treatments, baselines = self.sides(design)
        both = (*treatments, *baselines)
        if not all(type(method) is methods.FitNets for method in both):
            return "both sides must be FitNets, so that nothing but the form of the hint can differ"
        if any(method.weight == 0 for method in both):
            return "with w = 0 there is no hint: that side is KD"
        if any(method.alone == 0 for method in treatments):
            return "the treatment must be the two-phase form: alone above 0"
        if any(method.alone > 0.9 for method in treatments):
            return "hardly anything is left of KD: let the hint be alone for 0.9 of it at most"
        if any(method.alone > 0 for method in baselines):
            return "the baseline must be the joint form: alone = 0"
        tried = [sorted({method.weight for method in side}) for side in (treatments, baselines)]
        if min(map(len, tried)) < 2:
            return "one w does not treat both forms alike: give each side several to choose from"
        if tried[0] != tried[1]:
            return "both forms must try the same w: else one of them is tuned further"
        return None


DESIGNS = {6: Phases()}

QUIZ = (
    Item(
        "A regressor is missing in the optimiser's list of parameters. What is the student "
        "trained to do?",
        {
            "Nothing: without the regressor the hint sends it no gradient.": (
                "a layer that does not learn passes gradients on all the same"
            ),
            "To match the teacher through a fixed random layer.": RIGHT,
            "To match the teacher's channels one by one.": (
                "the layer is still there, and mixes the channels"
            ),
        },
    ),
    Item(
        "A hint gains half a point over KD at equal epochs, and takes longer. What shows that the "
        "hint did it, and not the time?",
        {
            "More seeds of the same two arms.": "they make the same gain surer, time included",
            "A test of both on other images.": "their times would be as unequal as before",
            "KD, trained for as much time as the hint takes.": RIGHT,
        },
    ),
    Item(
        "The channels of a layer are put into another order, and the layer after it is adapted. "
        "What changes?",
        {
            "Neither the answers nor the CKA with another layer.": RIGHT,
            "The answers stay, the CKA with another layer falls.": (
                "inner products of images do not depend on the order of their numbers"
            ),
            "The answers, as every filter now sees other channels.": (
                "the adapted layer undoes the order"
            ),
        },
    ),
)
