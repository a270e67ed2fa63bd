"""Relative distances, rows of similarities; three numbers by hand, a reading, a design; a quiz."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, methods
from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import BetterThan
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _distances(embedding: Tensor) -> Tensor:
    """Lengths of all differences; that of a sample from itself has the gradient 0."""
    return torch.linalg.vector_norm(embedding[None] - embedding[:, None], dim=2)


class RelativeDistances(Exercise):
    gradient_of = (0,)

    def reference(self, embedding):
        distances = _distances(embedding)
        mean = distances.sum() / (len(distances) * (len(distances) - 1))
        return distances / mean if mean > 0 else distances

    def cases(self):
        twins = _drawn(2, 6, 4)
        twins[1] = twins[4]
        return [(_drawn(0, 5, 3),), (40 * _drawn(1, 7, 2),), (twins,), (torch.ones(3, 2),)]

    def wrong_not_relative(self, embedding):
        """These are the distances; divide them by their mean, so that the scale drops out."""
        return _distances(embedding)

    def wrong_mean_of_all(self, embedding):
        """The mean is over all B² pairs; a sample's distance to itself is not one of them."""
        distances = _distances(embedding)
        mean = distances.mean()
        return distances / mean if mean > 0 else distances

    def wrong_mean_a_row(self, embedding):
        """Each row is divided by a mean of its own; RKD has one mean for the whole batch."""
        distances = _distances(embedding)
        means = distances.sum(1, keepdim=True) / (len(distances) - 1)
        return distances / torch.where(means > 0, means, 1)

    def wrong_squared(self, embedding):
        """These are squared distances: take the root."""
        squares = (embedding[None] - embedding[:, None]).square().sum(2)
        mean = squares.sum() / (len(squares) * (len(squares) - 1))
        return squares / mean if mean > 0 else squares

    def wrong_mean_is_constant(self, embedding):
        """The mean is detached: it depends on the embedding too, and has a gradient."""
        distances = _distances(embedding)
        mean = distances.detach().sum() / (len(distances) * (len(distances) - 1))
        return distances / mean if mean > 0 else distances

    def wrong_naive_root(self, embedding):
        """The gradient is NaN: the square root has none at 0, where a sample meets itself."""
        distances = (embedding[None] - embedding[:, None]).square().sum(2).sqrt()
        mean = distances.sum() / (len(distances) * (len(distances) - 1))
        return distances / mean if mean > 0 else distances


def _products(feature: Tensor) -> Tensor:
    flat = feature.flatten(1)
    return flat @ flat.T


class SimilarityRows(Exercise):
    gradient_of = (0,)

    def reference(self, feature):
        return F.normalize(_products(feature), dim=1)

    def cases(self):
        return [
            (_drawn(0, 4, 3, 2, 2),),
            (5 * _drawn(1, 6, 4, 1, 3).relu(),),
            (_drawn(2, 3, 5, 2, 4),),
        ]

    def wrong_l1(self, feature):
        """The rows have the sum 1 (`normalize(G, 1)` sets p = 1, not dim = 1); the length is 1."""
        return F.normalize(_products(feature), p=1, dim=1)

    def wrong_cosines(self, feature):
        """These are cosines: the features are at length 1, not the rows of their products."""
        flat = F.normalize(feature.flatten(1), dim=1)
        return flat @ flat.T

    def wrong_columns(self, feature):
        """The columns have the length 1: divide each row by its own length."""
        return F.normalize(_products(feature), dim=0)

    def wrong_products(self, feature):
        """These are the products; divide each row by its length."""
        return _products(feature)

    def wrong_pooled(self, feature):
        """The places are averaged first; SP flattens the feature, places and all."""
        return F.normalize(_products(feature.mean((2, 3))), dim=1)

    def wrong_whole_matrix(self, feature):
        """The whole matrix has the length 1; each row should."""
        return _products(feature) / _products(feature).norm()


EXERCISES = {1: RelativeDistances(), 2: SimilarityRows()}


class Stretched(Question):
    """RKD-D of the points 5, 8, 20 against 0, 1, 5."""

    asks = "RKD-D"
    hint = "divide the three distances of each network by their mean first"
    absolute = 0.0005

    def expected(self):
        ours, theirs = torch.tensor([[5.0], [8.0], [20.0]]), torch.tensor([[0.0], [1.0], [5.0]])
        return round(float(losses.relational_distance_loss(ours, theirs)), 6)

    def wrong_not_relative(self):
        """That compares the distances themselves; RKD divides them by their mean first."""
        return (1.5 + 7.5 + 9.5) * 2 / 9


class Shifted(Question):
    """SP of (2, 1), (1, 2) against (1, 0), (0, 1)."""

    asks = "SP's loss"
    hint = "write down both matrices, divide each row by its length, and average four squares"
    absolute = 0.002

    def expected(self):
        ours = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        return float(losses.similarity_loss(ours, torch.eye(2)))

    def wrong_blind(self):
        """That would be RKD, which is blind to one vector added to all samples."""
        return 0.0

    def wrong_sum_of_rows(self):
        """That is the sum of a row's two squares; SP takes the mean of all four."""
        return 2 * self.expected()

    def wrong_l1(self):
        """The rows have the sum 1; SP's have the length 1."""
        return (4 / 9) ** 2


BY_HAND = {3: Stretched(), 4: Shifted()}


class AboveKD(BetterThan):
    """Of the relations and the hint, against KD."""

    asks = "a list of names of arms, such as ['KD + SP']; it may be empty"


READINGS = {5: AboveKD()}


class SimilarityAdds(Comparison):
    """Does SP add anything to KD?"""

    least_seeds = 5

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(one) is methods.SP and one.weight >= 1 for one in treatments):
            return "the treatment must be KD with SP, at a weight that can be felt (1 or more)"
        if any(one.alpha == 1 for one in treatments):
            return "with α = 1 the treatment is SP without KD"
        for one in baselines:
            is_kd = type(one) is methods.KD or (type(one) is methods.SP and one.weight == 0)
            if not is_kd:
                return "the baseline must be KD alone, or a gain may come from KD itself"
        return None


DESIGNS = {6: SimilarityAdds()}

QUIZ = (
    Item(
        "Which loss does not change if one vector is added to the teacher's embeddings of all "
        "images?",
        {
            "RKD, distances and angles.": RIGHT,
            "SP.": "its inner products are taken from the origin, and all of them change",
            "A hint without a regressor.": "it compares numbers with numbers, and all of them move",
        },
    ),
    Item(
        "The teacher's classes are permuted by mistake, the student's are not. Does DIST see it?",
        {
            "No: a correlation does not depend on the order.": (
                "it does not if *both* are put into another order; here one stays"
            ),
            "No: it compares relations, not classes.": (
                "its rows and columns are compared class with class"
            ),
            "Yes: class is compared with class.": RIGHT,
        },
    ),
    Item(
        "You halve the batch and keep SP's weight. How much does the term weigh beside the others?",
        {
            "About half.": "a row of length 1 has fewer entries now, and larger ones",
            "About twice.": RIGHT,
            "As much as before.": (
                "the squares of a row sum to 2 at most, whatever B is, and the mean is over B²"
            ),
        },
    ),
)
