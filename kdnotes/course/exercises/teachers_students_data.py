"""Parameters of a convolution, calibration, a teacher's outputs, costs; a quiz."""

import torch
from torch import Tensor, nn

from kdnotes.course.attempt import Exercise
from kdnotes.course.questions import RIGHT, Item, Question


class Parameters(Exercise):
    def reference(self, c, d):
        return 9 * c + c + c * d + d

    def cases(self):
        return [(32, 64), (128, 256), (5, 3)]

    def wrong_standard_convolution(self, c, d):
        """That is a standard convolution; the 3×3 part sees one channel at a time."""
        return 9 * c * d + d

    def wrong_no_biases(self, c, d):
        """The weights are right; each part also has a bias an output channel."""
        return 9 * c + c * d


def _binned(where: Tensor, confidence: Tensor, correct: Tensor, bins: int) -> float:
    """The error over bins of the numbers 1 … ``bins``; what lies outside is in none."""
    gaps = [(correct - confidence)[where == number].sum().abs() for number in range(1, bins + 1)]
    return float(sum(gaps)) / len(confidence)


class CalibrationError(Exercise):
    def reference(self, confidence, correct, bins):
        return _binned((confidence * bins).ceil(), confidence, correct, bins)

    def cases(self):
        generator = torch.Generator().manual_seed(0)
        cases = []
        for count, bins in ((40, 5), (200, 15)):
            confidence, luck = torch.rand(2, count, generator=generator, dtype=torch.double)
            confidence = 0.3 + 0.7 * confidence
            cases.append((confidence, (luck < confidence**2).double(), bins))
        edges = torch.tensor([2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8], dtype=torch.double) / 8
        correct = torch.tensor([1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0], dtype=torch.double)
        return [*cases, (edges, correct, 4), (edges[:9], correct[:9], 8)]

    def wrong_mean_of_bins(self, confidence, correct, bins):
        """All bins count equally here; weigh each by its share of the samples."""
        where = (confidence * bins).ceil()
        gaps = [(correct - confidence)[where == number].mean().abs() for number in where.unique()]
        return float(sum(gaps)) / len(gaps)

    def wrong_one_bin(self, confidence, correct, bins):
        """That is one bin, where over- and under-confidence cancel; take absolute values by bin."""
        return float((correct - confidence).mean().abs())

    def wrong_edges(self, confidence, correct, bins):
        """A confidence of exactly 1 is in no bin, and one on an edge is in the bin above; bin m
        holds (m − 1)/bins < confidence ≤ m/bins.
        """
        return _binned((confidence * bins).floor() + 1, confidence, correct, bins)

    def wrong_edges_but_1(self, confidence, correct, bins):
        """What lies on an edge is in the bin below: (m − 1)/bins < confidence ≤ m/bins."""
        where = ((confidence * bins).floor() + 1).clamp(max=bins)
        return _binned(where, confidence, correct, bins)


class _Dropout(nn.Dropout):
    """Drops the same units at every call, so that a trap can be recognised by its numbers."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        kept = torch.rand(features.shape, generator=torch.Generator().manual_seed(0)) >= self.p
        return features * kept / (1 - self.p)


class TeacherOutputs(Exercise):
    def reference(self, model, images):
        with torch.no_grad():
            return model.eval()(images)

    def cases(self):
        """Networks in training mode, one with dropout of everything, which shows the mode."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            features = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
            model = nn.Sequential(*features, _Dropout(0.5), nn.Linear(4 * 36, 3))
            images = torch.randn(16, 1, 8, 8) + 1
            head = (nn.ReLU(), nn.Dropout(1.0), nn.Linear(6, 4))
            other = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), *head)
            return [(model, images), (other, torch.randn(5, 3, 2, 2))]

    def observe(self, logits):
        if not isinstance(logits, Tensor):
            return logits
        usable = "for training" if not logits.is_inference() else "for inference alone"
        gradient = "with gradient" if logits.requires_grad else "without gradient"
        return logits.detach().clone(), gradient, usable

    def kept(self, model, images):
        untouched = {name: one.grad is None for name, one in model.named_parameters()}
        return dict(model.state_dict()), untouched

    def wrong_training_mode(self, model, images):
        """The model is in training mode: batch norm uses this batch, and its statistics move."""
        return model(images).detach()

    def wrong_with_gradients(self, model, images):
        """The values are right, but they carry gradients into the teacher; use no_grad()."""
        return model.eval()(images)

    def wrong_as_it_came(self, model, images):
        """The model is in training mode, and gradients flow: eval() and no_grad() are missing."""
        return model(images)

    def wrong_inference_mode(self, model, images):
        """inference_mode() marks the outputs: a loss that keeps them for its gradient refuses
        them. Use no_grad().
        """
        with torch.inference_mode():
            return model.eval()(images)

    def wrong_gradients_left(self, model, images):
        """The outputs are right, but gradients have flowed into the teacher's weights."""
        logits = model.eval()(images)
        if logits.requires_grad:
            logits.sum().backward()
        return logits.detach()

    def wrong_trained_afterwards(self, model, images):
        """The outputs are right, but the teacher is changed after the call: a pass in training mode
        moves the statistics of batch norm.
        """
        logits = self.reference(model, images)
        model.train()(images)
        return logits


EXERCISES = {1: Parameters(), 2: CalibrationError(), 3: TeacherOutputs()}


class TwoBins(Question):
    """The ECE of five answers, in two bins: one is alone in its bin, four share the other."""

    asks = "the ECE, a fraction"
    hint = "first the bins, then accuracy and mean confidence of each"
    absolute = 0.002
    confidence = (0.4, 0.6, 0.8, 0.9, 0.9)
    correct = (1.0, 0.0, 1.0, 1.0, 0.0)

    def _gaps(self):
        confidence, correct = (torch.tensor(one) for one in (self.confidence, self.correct))
        where = (2 * confidence).ceil()
        return [float((correct - confidence)[where == number].mean().abs()) for number in (1, 2)]

    def expected(self):
        first, second = self._gaps()
        return first / 5 + second * 4 / 5

    def wrong_mean_of_bins(self):
        """A bin counts with its share of the images, and here both count the same."""
        return sum(self._gaps()) / 2

    def wrong_one_bin(self):
        """That is one bin for all, in which too sure and too unsure cancel."""
        return abs(sum(self.correct) - sum(self.confidence)) / 5

    def wrong_sum(self):
        """The gaps of the bins are added; their mean is asked for, by the share of the images."""
        return sum(self._gaps())


BY_HAND = {4: TwoBins()}


class ShrinksLeast(Question):
    """The cost that falls by the smallest factor from teacher to student."""

    asks = "the name of a column, such as 'file MB'"
    hint = "divide the teacher's row by the student's, column by column"

    def expected(self, costs):
        return str((costs.loc["teacher"] / costs.loc["student"]).idxmin())

    def choices(self, costs):
        return list(costs.columns)


READINGS = {5: ShrinksLeast()}

QUIZ = (
    Item(
        "A student has a fiftieth of the teacher's multiply-accumulates. What do you know of its "
        "latency on one image?",
        {
            "It is about a fiftieth.": (
                "starting an operation and moving data take time that no multiply-accumulate counts"
            ),
            "It is less than a fiftieth: a small network stays in the cache.": (
                "the fixed cost of each operation does not shrink with the network"
            ),
            "Nothing exact, before it is measured on the device.": RIGHT,
        },
    ),
    Item(
        "On the test images to which a network gives a confidence near 0.9 it is right in 78 %. "
        "What would you do?",
        {
            "Divide its logits by a temperature above 1, fitted on validation images.": RIGHT,
            "Divide its logits by a temperature below 1, fitted on validation images.": (
                "that makes the network surer, and it is right less often than it says"
            ),
            "Divide its logits by a temperature above 1, fitted on these test images.": (
                "images that chose a temperature cannot measure what it repairs"
            ),
            "Train it longer, until 90 % of these images are right.": (
                "calibration is about saying 78 % where 78 % are right, whatever the accuracy is"
            ),
        },
    ),
    Item(
        "A teacher is asked for its outputs under torch.no_grad(), but left in training mode. What "
        "happens to it?",
        {
            "Nothing lasting: without gradients no weight changes.": (
                "not all that a network remembers is a weight with a gradient"
            ),
            "Its outputs are noisy now, and the batch norms' running statistics move.": RIGHT,
            "Its outputs are noisy now; eval() later brings the old teacher back.": (
                "eval() switches to the running statistics, and these have moved by then"
            ),
        },
    ),
)
