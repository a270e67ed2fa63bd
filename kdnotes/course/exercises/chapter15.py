"""Exercises of chapter 15: bytes of an int8 network, fake quantisation, a summary of latencies, settings of int8."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdnotes import edge
from kdnotes.course.check import Exercise, Trap


def _bytes(weights: list[int], channels: list[int]) -> int:
    return sum(weights) + 8 * sum(channels)


def _weight_cases() -> list[tuple]:
    """Convolutions whose channels differ in size, and linear layers; 8 bits and fewer; channels of zeros; extremes."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([0.01, 0.3, 5.0, 0.1, 1.0])
    convolution = torch.randn(5, 3, 3, 3, generator=generator) * sizes[:, None, None, None]
    linear = torch.randn(5, 7, generator=generator) * sizes[:, None]
    with_zeros = convolution.clone()
    with_zeros[[1, 4]] = 0
    even = linear / linear.abs().amax(1, keepdim=True)
    return [
        (convolution, 8), (convolution, 4), (linear, 8), (linear, 3), (linear, 2),
        (with_zeros, 8), (1e4 * even, 8), (1e-4 * even, 8), (1e-6 * even, 8),
    ]  # fmt: skip


def _per_row(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.ndim - 1))


def _fake(weight: Tensor, bits: int) -> Tensor:
    largest = weight.flatten(1).abs().amax(1)
    scale = _per_row(torch.where(largest > 0, largest, 1.0), weight) / (2 ** (bits - 1) - 1)
    return scale * (weight / scale).round()


def _not_a_number(weight: Tensor, bits: int) -> Tensor:
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2 ** (bits - 1) - 1)
    return scale * (weight / scale).round()


def _epsilon(weight: Tensor, bits: int) -> Tensor:
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2 ** (bits - 1) - 1) + 1e-8
    return scale * (weight / scale).round()


def _least_scale(least: float):
    def wrong(weight: Tensor, bits: int) -> Tensor:
        scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2 ** (bits - 1) - 1)
        scale = scale.clamp(min=least)
        return scale * (weight / scale).round()

    return wrong


def _one_scale(weight: Tensor, bits: int) -> Tensor:
    scale = weight.abs().max() / (2 ** (bits - 1) - 1)
    return scale * (weight / scale).round()


def _input_channels(weight: Tensor, bits: int) -> Tensor:
    return _fake(weight.transpose(0, 1), bits).transpose(0, 1)


def _too_many(weight: Tensor, bits: int) -> Tensor:
    """2^(bits − 1) steps, as if the largest integer existed."""
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / 2 ** (bits - 1)
    return scale * (weight / scale).round()


def _unsigned_range(weight: Tensor, bits: int) -> Tensor:
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2**bits - 1)
    return scale * (weight / scale).round()


def _integers(weight: Tensor, bits: int) -> Tensor:
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2 ** (bits - 1) - 1)
    return (weight / scale).round()


def _cut(weight: Tensor, bits: int) -> Tensor:
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2 ** (bits - 1) - 1)
    return scale * (weight / scale).trunc()


def _floored(weight: Tensor, bits: int) -> Tensor:
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / (2 ** (bits - 1) - 1)
    return scale * (weight / scale).floor()


def _signed_largest(weight: Tensor, bits: int) -> Tensor:
    largest = 2 ** (bits - 1) - 1
    scale = _per_row(weight.flatten(1).amax(1), weight) / largest
    return scale * (weight / scale).round().clamp(-largest, largest)


def _lopsided(weight: Tensor, bits: int) -> Tensor:
    """All 2^bits integers of the two's complement."""
    scale = _per_row(weight.flatten(1).abs().amax(1), weight) / 2 ** (bits - 1)
    return scale * (weight / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _asymmetric(weight: Tensor, bits: int) -> Tensor:
    low, high = _per_row(weight.flatten(1).amin(1), weight), _per_row(weight.flatten(1).amax(1), weight)
    scale = (high - low) / (2**bits - 1)
    return low + scale * ((weight - low) / scale).round()


GRIDS = (
    (_one_scale, "you use one scale for all: each output channel has its own"),
    (_input_channels, "a scale for each *input* channel: the output channels are the first axis"),
    (_too_many, "the largest integer is 2^(b−1) − 1: one less than you divide by"),
    (_unsigned_range, "2^b − 1 steps are those of the whole range: a sign takes one bit"),
    (_integers, "these are the integers: multiply by the scale again"),
    (_cut, "you cut off the fraction: round to the nearest integer"),
    (_floored, "you round down: round to the nearest integer"),
    (_signed_largest, "you scale by the largest weight: take the largest *absolute* weight"),
    (_lopsided, "this grid reaches to −2^(b−1): the grid is symmetric, from −(2^(b−1) − 1) on"),
    (_asymmetric, "this has a zero point: the weights' grid is symmetric, and 0 stays 0"),
)


def _zeros_kept(wrong):
    """The same mistake of a learner who has thought of the channels of zeros."""
    return lambda weight, bits: wrong(weight, bits).nan_to_num(0)


def _time_cases() -> list[tuple]:
    rng = np.random.default_rng(0)
    cases = []
    for count, warm_up in ((40, 5), (21, 3), (200, 10), (6, 0), (4, 3)):
        times = 1 + rng.exponential(0.3, count)
        times[:warm_up] += 20
        cases.append((times.tolist(), warm_up))
    return cases


def _summary(times: list[float], warm_up: int) -> tuple[float, float]:
    rest = times[warm_up:]
    return float(np.median(rest)), float(np.percentile(rest, 95))


def _mean_and_95(times: list[float], warm_up: int) -> tuple[float, float]:
    return float(np.mean(times[warm_up:])), float(np.percentile(times[warm_up:], 95))


def _with_warm_up(times: list[float], warm_up: int) -> tuple[float, float]:
    return _summary(times, 0)


def _fifth(times: list[float], warm_up: int) -> tuple[float, float]:
    return float(np.median(times[warm_up:])), float(np.percentile(times[warm_up:], 5))


def _largest(times: list[float], warm_up: int) -> tuple[float, float]:
    return float(np.median(times[warm_up:])), max(times[warm_up:])


def _last(times: list[float], warm_up: int) -> tuple[float, float]:
    return _summary(times[: len(times) - warm_up], 0)


def _sorted_first(times: list[float], warm_up: int) -> tuple[float, float]:
    return _summary(sorted(times), warm_up)


def _nearest_rank(times: list[float], warm_up: int) -> tuple[float, float]:
    rest = sorted(times[warm_up:])
    return float(np.median(rest)), rest[int(0.95 * len(rest))]


# 15.4: settings are compared by what they make of a residual block


@functools.cache
def _residual_block() -> bytes:
    """An ONNX file: convolutions and ReLUs, one activation of which is read twice, by a convolution and an addition."""
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization.shape_inference import quant_pre_process

    rng, nodes, held = np.random.default_rng(0), [], []
    for number, source in enumerate(("images", "a0", "a1", "total")):
        held.append(numpy_helper.from_array(rng.normal(size=(4, 4, 3, 3)).astype(np.float32), f"w{number}"))
        held.append(numpy_helper.from_array(rng.normal(size=4).astype(np.float32), f"b{number}"))
        inputs = [source, f"w{number}", f"b{number}"]
        nodes.append(helper.make_node("Conv", inputs, [f"c{number}"], pads=[1] * 4, kernel_shape=[3, 3]))
        if number < 2:
            nodes.append(helper.make_node("Relu", [f"c{number}"], [f"a{number}"]))
        if number == 2:
            nodes += [
                helper.make_node("Add", ["c2", "a0"], ["sum"]),
                helper.make_node("Relu", ["sum"], ["total"]),
            ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, 8, 8]) for name in ("images", "c3")]
    graph = helper.make_graph(nodes, "block", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(model, str(prepared), skip_symbolic_shape=True)
        return prepared.read_bytes()


def _executed(settings: Any) -> Any:
    """What these settings make of the block: its integers, and the convolutions that the runtime leaves in float."""
    if not isinstance(settings, Mapping):
        return settings
    import onnx
    from onnx import TensorProto, numpy_helper
    from onnxruntime import quantization

    images = torch.randn(20, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(_residual_block())
        quantization.quantize_static(str(source), str(target), edge.CalibrationImages(images), **settings)
        held = {tensor.name: tensor for tensor in onnx.load(target).graph.initializer}
        counts = edge.operators(target)
    weight, zero = held["w1_quantized"], held["images_zero_point"]
    largest = np.abs(numpy_helper.to_array(weight).astype(int)).max()
    kinds = {TensorProto.INT8: "signed", TensorProto.UINT8: "unsigned"}
    return {
        "convolutions left in float": sum(counts.get(kind, 0) for kind in ("Conv", "FusedConv")),
        "activations": kinds.get(zero.data_type, "of other bits"),
        "weights": kinds.get(weight.data_type, "of other bits"),
        "bits of a weight": 7 if largest <= 64 else 8,
        "scales of a weight": max(1, int(np.prod(held["w1_scale"].dims, dtype=int))),
    }


def _settings(cuts_off: bool) -> dict[str, Any]:
    from onnxruntime.quantization import QuantType

    return {
        "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8,
        "per_channel": True, "reduce_range": cuts_off,
    }  # fmt: skip


def _without(*names: str):
    """The right settings, of which these are left to the library."""
    return lambda cuts_off: {name: value for name, value in _settings(cuts_off).items() if name not in names}


def _unsigned_weights(cuts_off: bool) -> dict[str, Any]:
    return _settings(cuts_off) | {"weight_type": _settings(cuts_off)["activation_type"]}


EXERCISES = {
    "15.1": Exercise(
        _bytes,
        lambda: [([108, 2592, 480], [12, 24, 10]), ([1000], [10]), ([9, 90], [3, 30])],
        (
            Trap(lambda w, c: 4 * sum(w) + 8 * sum(c), "a weight takes 1 byte in int8, not 4"),
            Trap(lambda w, c: sum(w), "scales and biases are missing: 8 bytes an output channel"),
            Trap(lambda w, c: sum(w) + 4 * sum(c), "each output channel has a scale *and* a bias, 4 bytes each"),
            Trap(
                lambda w, c: sum(w) + 5 * sum(c), "the bias is a 32-bit integer, 4 bytes: at 8 bits it would overflow"
            ),
            Trap(lambda w, c: sum(w) + 8 * len(c), "a scale and a bias for each output channel, not for each layer"),
            Trap(lambda w, c: 8 * (sum(w) + 8 * sum(c)), "these are bits: a byte has 8"),
        ),
    ),
    "15.2": Exercise(
        _fake,
        _weight_cases,
        (
            Trap(
                _not_a_number,
                "right, but a channel of zeros becomes NaN (0/0): give it any scale above 0, and it stays zeros",
            ),
            Trap(_epsilon, "an ε that is added to every scale changes small weights: treat the channel of zeros alone"),
            *(
                Trap(_least_scale(least), "the least scale is too large for small weights: treat zeros alone")
                for least in (torch.finfo(torch.float32).eps, 1e-7, 1e-8)
            ),
            *(Trap(answer, message) for wrong, message in GRIDS for answer in (wrong, _zeros_kept(wrong))),
        ),
        absolute=1e-12,
    ),
    "15.3": Exercise(
        _summary,
        _time_cases,
        (
            Trap(_with_warm_up, "the warm-up is still in it: leave out the first timings"),
            Trap(_last, "you left out the last timings: the warm-up comes first"),
            Trap(_sorted_first, "you sort before you leave out the first: that removes the fastest, not the warm-up"),
            Trap(
                _nearest_rank,
                "you take one of the timings: interpolate between the two neighbours of the 95th percentile",
            ),
            Trap(_mean_and_95, "this is the mean: one slow moment moves it; take the median"),
            Trap(_fifth, "this is the 5th percentile: 95 % of the timings must lie *below*"),
            Trap(_largest, "this is the slowest of all: the 95th percentile leaves 5 % above it"),
        ),
    ),
    "15.4": Exercise(
        _settings,
        lambda: [(False,), (True,)],
        (
            Trap(
                _without("activation_type"),
                "your activations are signed, as by default: on an x86 processor what reads a shortcut then stays in "
                "float; take QuantType.QUInt8",
            ),
            Trap(_without("per_channel"), "each weight has one scale, as by default: set per_channel"),
            Trap(_without("reduce_range"), "your weights always have 8 bits: set reduce_range where sums are cut off"),
            Trap(lambda cuts_off: _settings(True), "your weights always have 7 bits: only where sums are cut off"),
            Trap(lambda cuts_off: _settings(not cuts_off), "reduce_range belongs where sums *are* cut off"),
            Trap(_unsigned_weights, "your weights are unsigned: with a scale for each channel they are signed"),
            Trap(
                lambda cuts_off: {},
                "these are the defaults of the library: signed activations, one scale for all, weights of 8 bits",
            ),
            Trap(
                _without("activation_type", "per_channel"),
                "signed activations and one scale for each weight are the defaults of the library: set both",
            ),
        ),
        observe=_executed,
    ),
}
