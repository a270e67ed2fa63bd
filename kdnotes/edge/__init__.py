"""What a network becomes on a small device: an ONNX file, eight-bit integers, and a budget of memory.

Post-training quantisation and its timings are ONNX Runtime's own. What it cannot run (weights of fewer bits) and what
must be trained through (quantisation-aware training) is simulated by ``FakeQuantised``: numbers are rounded to the grid
of the integers, but kept as floats.
"""

from __future__ import annotations

import copy
import functools
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kdnotes import store as cache
from kdnotes.costs import processor
from kdnotes.training import predict

__all__ = [
    "FakeQuantised", "OnnxNetwork", "Start", "cut_off", "export", "fake_quantise", "fold", "machine", "operators",
    "quantise", "resident_memory", "save", "weight_scales", "working_memory",
]  # fmt: skip


def machine() -> dict[str, str]:
    """Processor, cores and versions, to name the machine beside its timings; no host name and no path."""
    import onnxruntime

    return {
        "processor": processor(),
        "VNNI": _has_vnni(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "ONNX Runtime": onnxruntime.__version__,
    }


def _has_vnni() -> str:
    """Whether an x86 processor multiplies and adds 8-bit numbers in 32 bits; Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next(line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        return "unknown"
    return "yes" if {"avx512_vnni", "avx_vnni"} & set(flags) else "no"


def fold(network: nn.Module) -> nn.Module:
    """A copy in eval mode whose batch norms are folded into the convolutions before them: the same function.

    Only a batch norm that directly follows a convolution in an ``nn.Sequential`` can be folded.

    Raises:
        ValueError: some batch norm follows no convolution.
    """
    _check_network(network)
    folded = copy.deepcopy(network).eval()
    for chain in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for k in range(1, len(chain)):
            if isinstance(chain[k], nn.BatchNorm2d) and isinstance(chain[k - 1], nn.Conv2d):
                fused = fuse_conv_bn_eval(chain[k - 1], chain[k])
                fused.bias.requires_grad_(fused.weight.requires_grad)  # torch freezes a bias that is new
                chain[k - 1], chain[k] = fused, nn.Identity()
    left = [name for name, module in folded.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if left:
        raise ValueError(f"network must have a convolution before each batch norm, not so: {', '.join(left)}")
    return folded


def weight_scales(weight: Tensor, bits: int) -> Tensor:
    """Scale of each output channel, ``[channels]``: its largest absolute weight over 2^(bits − 1) − 1.

    Symmetric: the integers run from −(2^(bits − 1) − 1) to 2^(bits − 1) − 1, and 0 stays 0. A channel of zeros gets 1.
    """
    largest = weight.detach().abs().flatten(1).amax(1)
    return torch.where(largest > 0, largest / _largest_integer(bits), 1.0)


def fake_quantise(weight: Tensor, bits: int) -> Tensor:
    """The weights ``[channels, …]`` on their grid, still as floats; the gradient passes through the rounding."""
    largest, zeros = _largest_integer(bits), torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, weight_scales(weight, bits), zeros, 0, -largest, largest)


class FakeQuantised(nn.Module):
    """A network, batch norm folded, whose convolutions and linear layers compute as if with integers.

    Weights are symmetric per output channel, and their scales follow the weights in training. The input of each layer
    is asymmetric per tensor, in the range that ``calibration`` showed, which then stays. With ``None`` bits nothing is
    rounded: the control, with the same weights and buffers.

    Args:
        network: the trained network in float; it is left as it was.
        calibration: images ``[N, C, 32, 32]`` of the *training* set, prepared as the network's input.
        weight_bits, activation_bits: 2 … 8, or ``None`` for float.
    """

    def __init__(
        self, network: nn.Module, calibration: Tensor, weight_bits: int | None = 8, activation_bits: int | None = 8
    ):
        super().__init__()
        _check_images(calibration, network)
        for name, bits in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
            if bits is not None:
                _check_bits(name, bits)
        self.network = fold(network)
        for attribute in ("num_classes", "in_channels"):
            if hasattr(network, attribute):
                setattr(self, attribute, getattr(network, attribute))
        self._replace_layers()
        predict(self.network, calibration)
        for layer in self.layers():
            layer.observing, layer.weight_bits, layer.activation_bits = False, weight_bits, activation_bits
            layer.low, layer.high = layer.low.clone(), layer.high.clone()  # no longer tensors of inference mode

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def layers(self) -> list[_Layer]:
        """The layers that are quantised, in the order in which they were built."""
        return [module for module in self.modules() if isinstance(module, _Layer)]

    def as_float(self) -> nn.Module:
        """A copy of the network inside, folded, without fake quantisation: what is exported."""
        plain = copy.deepcopy(self.network)
        _swap(plain, _Layer, lambda layer: layer.inner)
        return plain.eval()

    def _replace_layers(self) -> None:
        _swap(self.network, (nn.Conv2d, nn.Linear), _Layer)


def _swap(network: nn.Module, kinds: type | tuple[type, ...], build: Callable[[nn.Module], nn.Module]) -> None:
    for parent in list(network.modules()):
        if not isinstance(parent, _Layer):
            for name, child in list(parent.named_children()):
                if isinstance(child, kinds):
                    setattr(parent, name, build(child))


class _Layer(nn.Module):
    """A convolution or linear layer whose input and weight are rounded."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.observing = inner, True
        self.weight_bits: int | None = None
        self.activation_bits: int | None = None
        for name in ("low", "high"):  # the range always holds 0, which padding and ReLU need exactly
            self.register_buffer(name, torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.observing:
            self.low, self.high = torch.minimum(self.low, x.min()), torch.maximum(self.high, x.max())
        if self.activation_bits is not None:
            top = 2**self.activation_bits - 1
            scale = ((self.high - self.low) / top).clamp(min=1e-12)
            zero = torch.round(-self.low / scale).to(torch.int32)
            x = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, top)
        weight = self.inner.weight
        weight = weight if self.weight_bits is None else fake_quantise(weight, self.weight_bits)
        if isinstance(self.inner, nn.Linear):
            return nn.functional.linear(x, weight, self.inner.bias)
        return self.inner._conv_forward(x, weight, self.inner.bias)


@dataclass(frozen=True, eq=False)
class Start:
    """Builds a ``FakeQuantised`` network from a finished run's weights: the student of an arm, for one seed.

    Args:
        factory: builds the network in float.
        state: its trained weights and buffers, such as ``run.state``.
        calibration, weight_bits, activation_bits: see ``FakeQuantised``.
    """

    factory: Callable[[], nn.Module]
    state: dict[str, Tensor]
    calibration: Tensor
    weight_bits: int | None = 8
    activation_bits: int | None = 8

    def __call__(self) -> FakeQuantised:
        network = self.factory()
        network.load_state_dict(self.state)
        return FakeQuantised(network, self.calibration, self.weight_bits, self.activation_bits)

    @property
    def key(self) -> str:
        """What the built network depends on, its code too: the identity of this start in the cache of runs."""
        code = [Start, FakeQuantised, _Layer, _swap, fold, fake_quantise, weight_scales, _largest_integer]
        settings = [self.factory, self.state, self.calibration, self.weight_bits, self.activation_bits]
        return cache.fingerprint([code, settings])


def save(network: nn.Module, path: Path) -> Path:
    """Write weights and buffers as safetensors, completely or not at all."""
    from safetensors.torch import save_file

    _check_network(network)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with _replacing(path) as temporary:
        save_file(tensors, temporary)
    return Path(path)


def export(network: nn.Module, path: Path, *, channels: int | None = None) -> Path:
    """Write the network as ONNX: in eval mode, with a batch of any size, input "images", output "logits".

    Args:
        network: from images ``[B, C, 32, 32]`` to logits; it is left as it was.
        path: the file, in an existing folder.
        channels: of the input; by default the network's ``in_channels``.
    """
    import onnx

    _check_network(network)
    channels = channels or getattr(network, "in_channels", None)
    if channels is None:
        raise ValueError("channels must be given for a network without in_channels")
    ready, example = copy.deepcopy(network).eval(), torch.zeros(2, channels, 32, 32)  # 2: of 1 it would be a constant
    with torch.no_grad(), warnings.catch_warnings():  # no gradient: strided convolutions are exported as such
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries inside the exporter
        program = torch.onnx.export(
            ready, (example,), dynamo=True, verbose=False, input_names=["images"], output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del part.metadata_props[:]  # stack traces: most of a small file, and full of paths
    with _replacing(path) as temporary:
        onnx.save(model, temporary)
    return Path(path)


class OnnxNetwork:
    """An ONNX file in ONNX Runtime, on the CPU and one thread; call it with images to get logits."""

    def __init__(self, path: Path):
        if not Path(path).is_file():
            raise ValueError(f"path must be an ONNX file, not {str(path)!r}")
        self.session = _session(str(path), _options())

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"images": images.contiguous().numpy()})[0])

    def predict(self, images: Tensor, batch_size: int = 500) -> Tensor:
        """Logits ``[N, classes]`` of all images, batch by batch."""
        return torch.cat([self(part) for part in images.split(batch_size)])

    def bound(self, images: Tensor) -> Callable[[], None]:
        """A function without arguments that runs the network on these images: what is to be timed.

        Input and output are bound beforehand, so that the time is the runtime's, without this class's conversions. The
        logits are in ``bound(images).args[0].get_outputs()[0].numpy()`` after a call.
        """
        import onnxruntime

        binding = self.session.io_binding()
        given, logits = (
            onnxruntime.OrtValue.ortvalue_from_numpy(one.contiguous().numpy()) for one in (images, self(images))
        )
        binding.bind_ortvalue_input("images", given)
        binding.bind_ortvalue_output("logits", logits)
        call = functools.partial(self.session.run_with_iobinding, binding)
        call.memory = given, logits  # a binding borrows them: without this they would be freed while it writes there
        return call


def _options():
    """Settings of a session: one thread, and only errors are told."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _session(model: str | bytes, options):
    import onnxruntime

    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def operators(path: Path) -> dict[str, int]:
    """How many operators of each type ONNX Runtime executes on this processor, after it has optimised the file.

    The file does not tell: in an int8 file of this module each operator stands in float between conversions, and only
    the runtime's optimisation makes integer operators of them, such as ``QLinearConv``, where it can. A ``Conv`` that
    is left computes in float.
    """
    counts = Counter(node.op_type for node in _optimised(path).graph.node)
    return dict(sorted(counts.items()))


def cut_off(path: Path, images: Tensor) -> dict[str, float]:
    """The share of each integer layer's outputs that this processor computed wrongly, by the layer's name.

    Each convolution and linear layer of the optimised graph is computed again, from the runtime's own input to it, in
    exact arithmetic. An output counts that is more than one step of its grid away (one step is rounding): sums of
    products were cut off, see ``reduce_range`` of ``quantise``.

    Args:
        path: a file of ``quantise``.
        images: ``[N, C, 32, 32]``, prepared as the network's input.
    """
    from onnx import helper, numpy_helper

    _check_images(images)
    model = _optimised(path)
    layers = [node for node in model.graph.node if node.op_type in ("QLinearConv", "QGemm")]
    held = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer}
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    shown = {node.input[0]: kinds[node.input[2]] for node in layers}
    shown |= {node.output[0]: kinds[_inputs(node)[6]] for node in layers}
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in shown.items())
    options = _options()
    options.graph_optimization_level = type(options.graph_optimization_level).ORT_DISABLE_ALL
    session = _session(model.SerializeToString(), options)
    values = dict(zip(shown, session.run(list(shown), {"images": images.contiguous().numpy()}), strict=True))
    shares = {}
    for node in layers:
        x, found = (torch.from_numpy(values[name]) for name in (node.input[0], node.output[0]))
        wrong = (found.double() - _exact(node, x, held)).abs() > 1
        shares[node.input[3].removesuffix(".weight_quantized")] = float(wrong.double().mean())
    return shares


def _inputs(node) -> list[str]:
    """Names of scale and zero of the input; weight, its scale and zero; scale and zero of the output; bias or ""."""
    names = [*node.input[1:], ""]
    return names[:5] + names[6:8] + names[5:6] if node.op_type == "QGemm" else names[:8]


def _exact(node, x: Tensor, held: dict[str, Tensor]) -> Tensor:
    """The integers that a ``QLinearConv`` or ``QGemm`` of the optimised graph should return for ``x``.

    In float64, in which sums of products of 8-bit numbers are exact.
    """
    from onnx import helper

    options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    *inputs, bias = (held[name].double() if name else None for name in _inputs(node))
    x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero = inputs
    per_channel = [-1] + [1] * (weight.ndim - 1)
    x, weight = x.double() - x_zero, weight - w_zero.view(per_channel)
    if node.op_type == "QGemm":
        total = nn.functional.linear(x, weight, bias)
    else:
        x = x.permute(0, 3, 1, 2) if options.get("channels_last") else x
        top, left, bottom, right = options["pads"]
        total = nn.functional.conv2d(
            nn.functional.pad(x, (left, right, top, bottom)), weight, bias, options["strides"], 0,
            options["dilations"], options["group"],
        )  # fmt: skip
        total = total.permute(0, 2, 3, 1) if options.get("channels_last") else total.movedim(1, -1)
    exact = torch.round(total * (x_scale * w_scale / y_scale)) + y_zero
    limits = torch.iinfo(held[_inputs(node)[6]].dtype)
    exact = exact.clamp(limits.min, limits.max)
    return exact if node.op_type == "QGemm" or options.get("channels_last") else exact.movedim(-1, 1)


def _optimised(path: Path):
    """The graph that ONNX Runtime makes of a file for this processor, as an ONNX model."""
    import onnx

    if not Path(path).is_file():
        raise ValueError(f"path must be an ONNX file, not {str(path)!r}")
    with tempfile.TemporaryDirectory() as folder:
        options = _options()
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        _session(str(path), options)
        return onnx.load(options.optimized_model_filepath)


def quantise(
    path: Path, target: Path, calibration: Tensor, *, per_channel: bool = True, reduce_range: bool = False,
    signed_activations: bool = False,
) -> Path:  # fmt: skip
    """Static int8 quantisation of an ONNX file by ONNX Runtime: weights and activations.

    ``operators`` and ``cut_off`` tell what became of it on this processor.

    Args:
        path: the float file of ``export``.
        target: the int8 file.
        calibration: images ``[N, C, 32, 32]`` from the *training* set, prepared as the network's input: they show the
            range of each activation.
        per_channel: a scale for each output channel of a weight, or one for all.
        reduce_range: weights of 7 bits. An x86 processor without VNNI instructions adds products of 8-bit numbers in
            pairs, in 16 bits, and cuts off what is larger (ONNX Runtime's guide to quantisation); 7 bits leave room.
        signed_activations: activations from −128 to 127 instead of 0 to 255: ONNX Runtime's own default, to show what
            it costs. On an x86 processor the runtime turns signed activations into unsigned ones only where one
            operator alone reads them. A shortcut is read twice, so a residual network stays in float in part.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not Path(path).is_file():
        raise ValueError(f"path must be an ONNX file, not {str(path)!r}")
    _check_images(calibration)
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder, _replacing(target) as temporary:
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(str(path), prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared, temporary, CalibrationImages(calibration), per_channel=per_channel,
            reduce_range=reduce_range,
            quant_format=quantization.QuantFormat.QDQ, weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QInt8 if signed_activations else quantization.QuantType.QUInt8,
        )  # fmt: skip
    return Path(target)


class CalibrationImages:
    """Hands the images to ONNX Runtime's calibration, a batch at a time, then ``None``."""

    def __init__(self, images: Tensor, batch_size: int = 50):
        self.batches = iter(images.split(batch_size))

    def get_next(self) -> dict[str, object] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.contiguous().numpy()}


def working_memory(network: nn.Module) -> dict[str, int]:
    """Numbers that must be held at once while each layer computes: its input, its output, and a waiting shortcut.

    For one 32×32 image, by layer name; times 1 byte in int8, times 4 in float32. Batch norms are folded; activations
    and pooling are taken to work in place, as runtimes for small devices do.
    """
    folded, found, hooks = fold(network), {}, []
    block: dict[str, int] = {}

    def count(name: str, inside: str | None, shortcut: bool):
        def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            waiting = 0
            if inside is not None:
                first = inputs[0].data_ptr() == block[f"{inside} pointer"]
                waiting = output.numel() if shortcut else 0 if first else block[inside]
            found[name] = inputs[0].numel() + output.numel() + waiting

        return hook

    def enter(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            block[name], block[f"{name} pointer"] = inputs[0].numel(), inputs[0].data_ptr()

        return hook

    blocks = [name for name, module in folded.named_modules() if hasattr(module, "shortcut")]
    for name, module in folded.named_modules():
        if name in blocks:
            hooks.append(module.register_forward_pre_hook(enter(name)))
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            inside = next((one for one in blocks if name.startswith(f"{one}.")), None)
            hooks.append(module.register_forward_hook(count(name, inside, ".shortcut." in name)))
    with torch.inference_mode():
        folded(torch.zeros(1, folded.in_channels, 32, 32))
    return found


def resident_memory(
    loads: dict[str, Callable[[], Callable]], images: Tensor, repeats: int = 3
) -> dict[str, list[float]]:
    """Growth of a fresh process's resident memory by loading a network and running it, in MiB, ``repeats`` times each.

    Each measurement has a process of its own, which has imported the libraries before it starts to count. Allocators
    keep what they have used, so the growth after the runs is near the peak; it includes what the runtime sets up once,
    and is only as exact as the system's pages and the allocator allow.

    Args:
        loads: name → picklable function that loads a network, such as ``functools.partial(OnnxNetwork, path)``.
        images: one batch, ``[B, C, 32, 32]``.
    """
    _check_images(images)
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"repeats must be a whole number of at least 1, not {repeats!r}")
    jobs = [(name, load) for _ in range(repeats) for name, load in loads.items()]
    grown: dict[str, list[float]] = {name: [] for name in loads}
    with ThreadPoolExecutor(2) as pool:  # each thread waits for a process
        values = pool.map(lambda job: _in_fresh_process(job[1], tuple(images.shape)), jobs)
        for (name, _), value in zip(jobs, values, strict=True):
            grown[name].append(value)
    return grown


def _in_fresh_process(load: Callable[[], Callable], shape: tuple[int, ...]) -> float:
    code = "import pickle, sys; from kdnotes import edge; print(edge._growth(*pickle.load(sys.stdin.buffer)))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps((load, shape)), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"the process that measures memory failed: {done.stderr.decode().strip()[-500:]}")
    return float(done.stdout)


def _growth(load: Callable[[], Callable], shape: tuple[int, ...]) -> float:
    import onnxruntime  # noqa: F401 (counted as a library, not as the network)
    import psutil

    torch.set_num_threads(1)
    images, process = torch.zeros(shape), psutil.Process()
    before = process.memory_info().rss
    with torch.inference_mode():
        network = load()
        if isinstance(network, nn.Module):
            network.eval()
        after = statistics.median([_after(network, images, process) for _ in range(5)])
    return (after - before) / 2**20


def _after(network: Callable, images: Tensor, process) -> int:
    network(images)
    return process.memory_info().rss


@contextmanager
def _replacing(path: Path) -> Iterator[str]:
    """A temporary name in the folder of ``path``, renamed to it at the end, removed on an error."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"path must be in an existing folder, not {str(path.parent)!r}")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    os.close(handle)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _largest_integer(bits: int) -> int:
    _check_bits("bits", bits)
    return 2 ** (bits - 1) - 1


def _check_bits(name: str, bits: int) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
        raise ValueError(f"{name} must be a whole number from 2 to 8, not {bits!r}")


def _check_network(network: nn.Module) -> None:
    if not isinstance(network, nn.Module):
        raise TypeError(f"network must be a torch.nn.Module, not {type(network).__name__}")


def _check_images(images: Tensor, network: nn.Module | None = None) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images) or not images.is_floating_point():
        found = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a floating-point tensor [N, C, 32, 32] of 1 image or more, not {found}")
    channels = getattr(network, "in_channels", images.shape[1])
    if channels != images.shape[1]:
        raise ValueError(f"images must have {channels} channels, not {images.shape[1]}")
