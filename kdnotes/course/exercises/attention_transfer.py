"""The attention map, its distance in the code form, the paper's weight; a design; a quiz."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses, methods
from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Comparison, Item, Question


def _feature(seed: int, *shape: int) -> Tensor:
    """A feature ``[batch, channels, height, width]`` of both signs."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _energy(feature: Tensor) -> Tensor:
    return feature.square().sum(dim=1).flatten(1)


class AttentionMap(Exercise):
    gradient_of = (0,)

    def reference(self, feature):
        return F.normalize(_energy(feature), dim=1)

    def cases(self):
        return [
            (_feature(0, 4, 3, 5, 5),),
            (3 * _feature(1, 2, 6, 4, 2),),
            (_feature(2, 3, 2, 2, 3),),
        ]

    def wrong_not_normalised(self, feature):
        """The map is not normalised: divide each image's map by its L2 norm."""
        return _energy(feature)

    def wrong_absolute(self, feature):
        """That is the sum of |F|; the energy is the sum of F²."""
        return F.normalize(feature.abs().sum(1).flatten(1), dim=1)

    def wrong_squared_last(self, feature):
        """The channels are summed before squaring, so that they cancel; square first."""
        return F.normalize(feature.sum(1).square().flatten(1), dim=1)

    def wrong_over_the_batch(self, feature):
        """Normalised over the batch: a map must not depend on the other images (dim=1)."""
        return F.normalize(_energy(feature), dim=0)


def _squares(students: list[Tensor], teachers: list[Tensor]) -> list[Tensor]:
    """(Q_s − Q_t)² of every pair, ``[B, P]``."""
    maps = (map(losses.attention_map, side) for side in (students, teachers))
    return [(ours - theirs).square() for ours, theirs in zip(*maps, strict=True)]


class AttentionDistance(Exercise):
    gradient_of = (0,)

    def reference(self, students, teachers):
        return sum(square.mean() for square in _squares(students, teachers))

    def parts(self):
        return {
            "the first pair's term": lambda s, t: _squares(s, t)[0].mean(),
            "the term of every later pair": lambda s, t: sum(
                (square.mean() for square in _squares(s, t)[1:]), torch.zeros(())
            ),
        }

    def cases(self):
        """Two pairs of stages, then one; channels differ, batches too."""
        two = [
            [_feature(10 * side, 4, 3 + 2 * side, 4, 4), _feature(10 * side + 1, 4, 6 - side, 2, 2)]
            for side in (0, 1)
        ]
        return [tuple(two), tuple([_feature(30 + side, 3, 2 + side, 3, 3)] for side in (0, 1))]

    def wrong_paper_form(self, students, teachers):
        """That is the paper form, the norm; the code form is the mean of the squares."""
        return sum(square.sum(1).sqrt().mean() for square in _squares(students, teachers))

    def wrong_sum_of_places(self, students, teachers):
        """Too large by the number of places, which differs between stages: take the mean."""
        return sum(square.sum(1).mean() for square in _squares(students, teachers))

    def wrong_not_normalised(self, students, teachers):
        """The maps are not normalised: divide each image's map by its L2 norm."""
        pairs = zip(students, teachers, strict=True)
        maps = ([f.square().mean(1) for f in pair] for pair in pairs)
        return sum((ours - theirs).square().mean() for ours, theirs in maps)


class NormWeight(Exercise):
    def reference(self, beta, student, teacher):
        return 2 * beta * float((student - teacher).norm()) / len(student)

    def cases(self):
        settings = enumerate([(16, 1000.0), (64, 100.0), (9, 10.0)])
        return [
            (
                beta,
                *(F.normalize(_feature(50 + 2 * i + side, n).square(), dim=0) for side in (0, 1)),
            )
            for i, (n, beta) in settings
        ]

    def wrong_equal_values(self, beta, student, teacher):
        """With this weight the two losses have equal values; for equal gradients derive d²: 2·d."""
        return self.reference(beta, student, teacher) / 2

    def wrong_no_mean(self, beta, student, teacher):
        """The mean over places is missing: divide by P."""
        return self.reference(beta, student, teacher) * len(student)


EXERCISES = {1: AttentionMap(), 2: AttentionDistance(), 3: NormWeight()}


class Spread(Question):
    """The code form of a map with all energy at one of four places, and one with equal energies."""

    asks = "the distance in the code form"
    hint = "divide both maps by their length, and take the mean of the squared differences"
    absolute = 0.002

    def expected(self):
        teacher, student = torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), torch.ones(1, 1, 1, 4)
        return float(losses.attention_transfer_loss([student], [teacher]))

    def wrong_paper_form(self):
        """That is the paper form, the norm; the code form is the mean of the squares."""
        return 1.0

    def wrong_sum_of_one(self):
        """You made the energies sum to 1; a map is divided by its length, so its squares do."""
        return (0.75**2 + 3 * 0.25**2) / 4

    def wrong_not_normalised(self):
        """The student's map is not normalised: its length is 2, not 1."""
        return 0.75


BY_HAND = {4: Spread()}


class OfThisImage(Question):
    """The arms whose likeness grew more for the map of the same image than for another's."""

    asks = "a list of names of arms, such as ['other images']"
    hint = "an arm counts if its whole interval lies right of 0"

    def expected(self, excess):
        return {arm for arm, interval in excess.items() if interval.above()}

    def choices(self, excess):
        return list(excess)


READINGS = {5: OfThisImage()}


def _is_labels_alone(method: methods.Method) -> bool:
    """Whether what is trained is cross-entropy, however it is written."""
    if type(method) is methods.CrossEntropy:
        return True
    weightless = type(method) is methods.AT and method.weight == 0
    return (type(method) is methods.KD or weightless) and method.alpha == 1


class WithoutSoftTargets(Comparison):
    """Does attention transfer help a student that has labels and no soft targets?"""

    least_seeds = 5

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(type(method) is methods.AT for method in treatments):
            return "the treatment must be AT"
        if any(method.alpha < 1 for method in treatments):
            return "the treatment has soft targets beside the maps: with α below 1 it holds KD"
        if any(method.weight == 0 for method in treatments):
            return "with β = 0 no map is compared"
        if not all(map(_is_labels_alone, baselines)):
            return "the baseline must be trained on the labels alone"
        return None


DESIGNS = {6: WithoutSoftTargets()}

QUIZ = (
    Item(
        "All features of a student are multiplied by 10. What happens to its normalised map?",
        {
            "It becomes 100 times as large.": "so does the length by which it is divided",
            "It becomes 10 times as large.": "that is what happens to the features",
            "It stays as it is.": RIGHT,
        },
    ),
    Item(
        "With the teacher's maps of other images a student gains as much as with those of its own "
        "images. What does that show?",
        {
            "That what a map says of its image is not what helps.": RIGHT,
            "That attention transfer does not help.": "both may be better than KD",
            "That the wrong maps are as good as random numbers.": (
                "they still are maps of this teacher, and have much in common"
            ),
        },
    ),
    Item(
        "Two loss terms have the same value at the start. Which pulls harder at the weights?",
        {
            "Neither: they pull alike.": "the value of a loss says nothing of its slope",
            "That cannot be told from the values.": RIGHT,
            "The one with more places.": "the value has been divided by that number already",
        },
    ),
)
