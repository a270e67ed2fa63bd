"""ONNX files in ONNX Runtime: how they run, which operators, and where integers are cut off."""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional as F

from kdnotes import checks

if TYPE_CHECKING:
    import onnx

__all__ = ["OnnxNetwork", "cut_off", "operators"]


class OnnxNetwork:
    """An ONNX file on the CPU and one thread; call it with images to get logits."""

    def __init__(self, path: Path):
        checks.existing_file("path", path, "an ONNX file")
        self.session = _session(str(path))

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"images": images.contiguous().numpy()})[0])

    def predict(self, images: Tensor, batch_size: int = 500) -> Tensor:
        """Logits ``[N, classes]`` of all images, batch by batch."""
        return torch.cat([self(part) for part in images.split(batch_size)])

    def bound(self, images: Tensor) -> Callable[[], None]:
        """A function without arguments that runs the network on these images: what is to be timed.

        Input and output are bound beforehand, so that the time is the runtime's, without this
        class's conversions. After a call the logits are in
        ``bound(images).args[0].get_outputs()[0].numpy()``.
        """
        binding, value = self.session.io_binding(), onnxruntime.OrtValue.ortvalue_from_numpy
        given, logits = value(images.contiguous().numpy()), value(self(images).numpy())
        binding.bind_ortvalue_input("images", given)
        binding.bind_ortvalue_output("logits", logits)
        call = functools.partial(self.session.run_with_iobinding, binding)
        call.memory = given, logits  # borrowed by the binding: else freed while it writes there
        return call


def operators(path: Path) -> dict[str, int]:
    """How many operators of each type ONNX Runtime executes, after it has optimised the file.

    The file does not tell: in an int8 file of this package each operator stands in float between
    conversions, and only the runtime's optimisation for this processor makes integer operators of
    them, such as ``QLinearConv``, where it can. A ``Conv`` that is left computes in float.
    """
    counts = Counter(node.op_type for node in _optimised(path).graph.node)
    return dict(sorted(counts.items()))


def cut_off(path: Path, images: Tensor) -> dict[str, float]:
    """The share of each integer layer's outputs that this processor computed wrongly, by its name.

    Each convolution and linear layer of the optimised graph is computed again, from the runtime's
    own input to it, in exact arithmetic. An output counts that is more than one step of its grid
    away (one step is rounding): sums of products were cut off, see ``quantise``, ``reduce_range``.

    Args:
        path: a file of ``quantise``.
        images: ``[N, C, 32, 32]``, prepared as the network's input.
    """
    from onnx import ValueInfoProto, numpy_helper

    checks.images("images", images)
    model = _optimised(path)
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("QLinearConv", "QGemm")]
    names = sorted({name for node in layers for name in (node.input[0], node.output[0])})
    del model.graph.output[:]
    model.graph.output.extend(ValueInfoProto(name=name) for name in names)
    unchanged = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _session(model.SerializeToString(), graph_optimization_level=unchanged)
    shown = session.run(names, {"images": images.contiguous().numpy()})
    arrays = constants | dict(zip(names, shown, strict=True))
    held, shares = {name: torch.tensor(array) for name, array in arrays.items()}, {}
    for node in layers:
        wrong = (held[node.output[0]].double() - exact_output(node, held)).abs() > 1
        shares[node.input[3].removesuffix(".weight_quantized")] = float(wrong.double().mean())
    return shares


def exact_output(node: onnx.NodeProto, held: dict[str, Tensor]) -> Tensor:
    """The integers that a ``QLinearConv`` or ``QGemm`` of the optimised graph should return.

    In float64, in which sums of products of 8-bit numbers are exact.

    Args:
        node: the layer.
        held: its inputs, by their names in the graph.
    """
    from onnx import helper

    options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    names, linear = list(node.input), node.op_type == "QGemm"
    if linear:
        names.append(names.pop(6))  # the bias, which is the last input of QLinearConv
    limits = torch.iinfo(held[names[7]].dtype)
    inputs = (held[name].double() for name in names if name)
    x, x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero, *bias = inputs
    x, weight = x - x_zero, weight - w_zero.view(-1, *[1] * (weight.ndim - 1))
    channels_last = linear or bool(options.get("channels_last"))
    if linear:
        total = F.linear(x, weight, *bias)
    else:
        top, left, bottom, right = options["pads"]
        x = F.pad(x.movedim(-1, 1) if channels_last else x, (left, right, top, bottom))
        how = {"stride": options["strides"], "dilation": options["dilations"]}
        total = F.conv2d(x, weight, *bias, **how, groups=options["group"]).movedim(1, -1)
    exact = torch.round(total * (x_scale * w_scale / y_scale)) + y_zero
    exact = exact.clamp(limits.min, limits.max)
    return exact if channels_last else exact.movedim(-1, 1)


def _optimised(path: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of a file for this processor."""
    import onnx

    checks.existing_file("path", path, "an ONNX file")
    with tempfile.TemporaryDirectory() as folder:
        optimised = str(Path(folder, "optimised.onnx"))
        _session(str(path), optimized_model_filepath=optimised)
        return onnx.load(optimised)


def _session(model: str | bytes, **settings: Any) -> onnxruntime.InferenceSession:
    """A file, or its bytes, on one thread; only errors are told."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in settings.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
