"""Fake quantisation, settings of int8, latencies; bytes by hand, operators, a design, a quiz."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdnotes import edge
from kdnotes.course import onnx_block
from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import RoundedTraining
from kdnotes.course.questions import RIGHT, Item, Question
from kdnotes.methods import KD


def _steps(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def _per_row(weight: Tensor) -> Tensor:
    """The largest absolute weight of each channel, to be broadcast."""
    return weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True)


def _rounded(weight: Tensor, scale: Tensor, rounding=torch.round) -> Tensor:
    return scale * rounding(weight / scale)


class FakeQuantisation(Exercise):
    absolute = 1e-12

    def reference(self, weight, bits):
        largest = _per_row(weight)
        return _rounded(weight, largest.where(largest > 0, 1.0) / _steps(bits))

    def cases(self):
        """Convolutions whose channels differ in size, and linear layers; 8 bits and fewer."""
        generator = torch.Generator().manual_seed(0)
        sizes = torch.tensor([0.01, 0.3, 5.0, 0.1, 1.0])
        convolution = torch.randn(5, 3, 3, 3, generator=generator) * sizes[:, None, None, None]
        linear = torch.randn(5, 7, generator=generator) * sizes[:, None]
        return [(convolution, 8), (convolution, 4), (linear, 8), (linear, 3), (linear, 2)]

    def extremes(self):
        """Channels of zeros; very large and very small weights."""
        (zeros, _), *_, (linear, _) = self.cases()
        zeros[[1, 4]] = 0
        even = linear / _per_row(linear)
        return [(zeros, 8), (1e4 * even, 8), (1e-4 * even, 8), (1e-6 * even, 8)]

    def wrong_0_by_0(self, weight, bits):
        """Right, but a channel of zeros becomes NaN (0/0): give it any scale above 0."""
        return _rounded(weight, _per_row(weight) / _steps(bits))

    def wrong_least_scale(self, weight, bits):
        """The least scale is too large for small weights: treat the channel of zeros alone."""
        return _rounded(weight, (_per_row(weight) / _steps(bits)).clamp(min=1e-7))

    def wrong_one_scale(self, weight, bits):
        """You use one scale for all: each output channel has its own."""
        return _rounded(weight, weight.abs().max() / _steps(bits))

    def wrong_axis(self, weight, bits):
        """A scale for each *input* channel: the output channels are the first axis."""
        return self.reference(weight.transpose(0, 1), bits).transpose(0, 1)

    def wrong_steps(self, weight, bits):
        """The largest integer is 2^(b−1) − 1: one less than you divide by."""
        return _rounded(weight, _per_row(weight) / 2 ** (bits - 1))


def _summary(rest: list[float]) -> tuple[float, float]:
    return float(np.median(rest)), float(np.percentile(rest, 95))


class Latencies(Exercise):
    def reference(self, times, warm_up):
        return _summary(times[warm_up:])

    def cases(self):
        rng, cases = np.random.default_rng(0), []
        for count, warm_up in ((40, 5), (21, 3), (200, 10), (6, 0), (4, 3)):
            times = 1 + rng.exponential(0.3, count)
            times[:warm_up] += 20
            cases.append((times.tolist(), warm_up))
        return cases

    def wrong_sorted_first(self, times, warm_up):
        """You sort before you leave out the first: the fastest go, not the warm-up."""
        return _summary(sorted(times)[warm_up:])

    def wrong_nearest(self, times, warm_up):
        """You take one of the timings: interpolate between the neighbours of the percentile."""
        rest = sorted(times[warm_up:])
        return float(np.median(rest)), rest[int(0.95 * len(rest))]

    def wrong_mean(self, times, warm_up):
        """That is the mean: one slow moment moves it; take the median."""
        return float(np.mean(times[warm_up:])), _summary(times[warm_up:])[1]


# Of quantize_static, without those that name files.
SETTINGS = (
    "activation_type", "weight_type", "per_channel", "reduce_range", "quant_format",
    "calibrate_method", "op_types_to_quantize", "nodes_to_quantize", "nodes_to_exclude",
    "extra_options",
)  # fmt: skip


class Settings(Exercise):
    def reference(self, cuts_off):
        from onnxruntime.quantization import QuantType

        signed, unsigned = QuantType.QInt8, QuantType.QUInt8
        kinds = {"activation_type": unsigned, "weight_type": signed}
        return kinds | {"per_channel": True, "reduce_range": cuts_off}

    def cases(self):
        return [(False,), (True,)]

    def observe(self, settings):
        """What the settings make of the block: its integers, and the convolutions left in float."""
        if not isinstance(settings, Mapping):
            return settings
        import onnx
        from onnxruntime.quantization import quantize_static

        if unknown := [name for name in settings if name not in SETTINGS]:
            raise ValueError(f"the settings must be of {', '.join(SETTINGS)}, not {unknown[0]!r}")
        images = torch.randn(20, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
            source.write_bytes(onnx_block.residual_block())
            quantize_static(str(source), str(target), edge.CalibrationImages(images), **settings)
            held = {tensor.name: tensor for tensor in onnx.load(target).graph.initializer}
            counts = edge.operators(target)
        weight, zero = held["w1_quantized"], held["images_zero_point"]
        largest = np.abs(onnx.numpy_helper.to_array(weight).astype(int)).max()
        return {
            "convolutions left in float": counts.get("Conv", 0) + counts.get("FusedConv", 0),
            "activations": onnx.TensorProto.DataType.Name(zero.data_type),
            "weights": onnx.TensorProto.DataType.Name(weight.data_type),
            "bits of a weight": 7 if largest <= 64 else 8,
            "scales of a weight": max(1, int(np.prod(held["w1_scale"].dims, dtype=int))),
        }

    def without(self, cuts_off, *names):
        """The right settings, of which these are left to the library."""
        return {name: one for name, one in self.reference(cuts_off).items() if name not in names}

    def wrong_signed_activations(self, cuts_off):
        """Your activations are signed, as by default: on an x86 processor what reads a shortcut
        stays in float; take QuantType.QUInt8.
        """
        return self.without(cuts_off, "activation_type")

    def wrong_one_scale(self, cuts_off):
        """Each weight has one scale, as by default: set per_channel."""
        return self.without(cuts_off, "per_channel")

    def wrong_defaults(self, cuts_off):
        """These are the library's defaults: signed activations, one scale for all, 8 bits."""
        return {}


EXERCISES = {1: FakeQuantisation(), 2: Settings(), 3: Latencies()}


class Smaller(Question):
    """How many times smaller int8 makes a 3×3 convolution from 16 to 32 channels."""

    asks = "a ratio of bytes"
    hint = "count float32 (weights and biases) and int8 (weights, biases, scales) apart"
    absolute = 0.02
    weights, channels = 32 * 16 * 9, 32

    def expected(self):
        return self.ratio(8)

    def ratio(self, bytes_a_channel: int) -> float:
        float32 = 4 * (self.weights + self.channels)
        return float32 / (self.weights + bytes_a_channel * self.channels)

    def wrong_no_scales(self):
        """Each output channel has a scale beside its bias, and both take 4 bytes."""
        return self.ratio(4)

    def wrong_weights_alone(self):
        """The weights alone shrink that much; each output channel has a scale and a bias too."""
        return 4.0

    def wrong_small_biases(self):
        """The bias of an int8 layer has 32 bits, as its scale has."""
        return self.ratio(5)


BY_HAND = {4: Smaller()}

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


class Conversions(Question):
    """How many operators of the signed file only convert."""

    asks = "a whole number of operators"
    hint = "add two rows of the column of the signed file"

    def expected(self, counts):
        return sum(counts["signed"].get(kind, 0) for kind in CONVERSIONS)

    def wrong_unsigned(self, counts):
        """That is the column of the unsigned file."""
        return sum(counts["unsigned"].get(kind, 0) for kind in CONVERSIONS)

    def wrong_to_integers_alone(self, counts):
        """These only convert to integers; others convert back to floats."""
        return counts["signed"].get("QuantizeLinear", 0)

    def wrong_to_floats_alone(self, counts):
        """These only convert to floats; others convert to integers."""
        return counts["signed"].get("DequantizeLinear", 0)


READINGS = {5: Conversions()}


class Longer(RoundedTraining):
    """Does quantisation-aware training with a teacher gain from twice the epochs?"""

    factor = "epochs"  # on 2 seeds or more: the smoke profile has no more trained students

    def misses(self, design):
        if missed := super().misses(design):
            return missed
        arms = self.arms(design)
        if not all(isinstance(arm.method, KD) for arm in arms.values()):
            return "every side must learn from the teacher, with KD"
        if any(arm.method.alpha == 1 for arm in arms.values()):
            return "with α = 1 no teacher is asked"
        longest = max(arms[name].config.epochs for name in design.baselines or design.treatments)
        if any(arms[name].config.epochs != 2 * longest for name in design.treatments):
            return "the treatment must train for twice as many epochs as the baseline"
        return None


DESIGNS = {6: Longer()}

QUIZ = (
    Item(
        "A file called int8 is a quarter as large, as accurate, and no faster. What do you look at "
        "first?",
        {
            "The types of the operators in the graph that the runtime has optimised.": RIGHT,
            "The types of the numbers in the file.": (
                "in the file all weights are integers, whatever is executed"
            ),
            "The accuracy on more test images.": "accuracy cannot show in what a layer computes",
        },
    ),
    Item(
        "A camera hands over one image every 100 ms. Which number says how long each answer takes?",
        {
            "One second over the images a second of large batches.": (
                "a batch shares the overheads that a single image pays alone"
            ),
            "The median of calls without a pause between them.": (
                "that processor never rests, and its caches are full of this network"
            ),
            "The median of calls that come every 100 ms.": RIGHT,
        },
    ),
    Item(
        "QAT with a teacher beats rounding without training. Does the credit belong to the "
        "rounding in training?",
        {
            "Yes: nothing was rounded in training before.": (
                "the training itself is new too: more epochs, with a teacher"
            ),
            "Not before it beats training as long in float, rounded afterwards.": RIGHT,
            "Not before it beats the float network.": (
                "that asks whether anything is left to lose, not what won it back"
            ),
        },
    ),
)
