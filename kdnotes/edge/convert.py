"""From a trained network to what a device gets: no batch norms, ONNX, 8-bit integers."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kdnotes import checks
from kdnotes.files import replacing
from kdnotes.models import input_shape

__all__ = ["CalibrationImages", "export", "fold", "quantise", "save"]

_check_module = checks.instance(nn.Module, said="a torch.nn.Module")


def fold(network: nn.Module) -> nn.Module:
    """A copy in eval mode, batch norms folded into the convolutions before them: the same function.

    Only a batch norm that directly follows a convolution in an ``nn.Sequential`` can be folded.

    Raises:
        ValueError: some batch norm follows no convolution.
    """
    _check_module("network", network)
    folded = copy.deepcopy(network).eval()
    for chain in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for k in range(1, len(chain)):
            if isinstance(chain[k], nn.BatchNorm2d) and isinstance(chain[k - 1], nn.Conv2d):
                fused = fuse_conv_bn_eval(chain[k - 1], chain[k])
                fused.bias.requires_grad_(fused.weight.requires_grad)  # torch freezes a new bias
                chain[k - 1], chain[k] = fused, nn.Identity()
    norms = nn.modules.batchnorm._BatchNorm
    left = ", ".join(name for name, part in folded.named_modules() if isinstance(part, norms))
    if left:
        raise ValueError(f"network must have a convolution before each batch norm, not so: {left}")
    return folded


def save(network: nn.Module, path: Path) -> Path:
    """Write weights and buffers as safetensors, completely or not at all."""
    _check_module("network", network)
    checks.new_file("path", path)
    state = network.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(Path(path)) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    return Path(path)


def export(network: nn.Module, path: Path, *, channels: int | None = None) -> Path:
    """Write the network as ONNX, in eval mode, completely or not at all.

    Its input "images" ``[B, C, height, width]``, of the network's ``models.input_shape``, and
    output "logits" have a batch of any size.

    Args:
        network: from images to logits; it is left as it was.
        path: the file, in an existing folder.
        channels: of the input; by default the network's ``in_channels``.

    Raises:
        ValueError: no channels are known, or the network takes one size of batch alone.
    """
    import onnx  # not by processes that only run a network, whose memory is measured

    _check_module("network", network)
    checks.new_file("path", path)
    shape = input_shape(network) or (channels, 32, 32)
    if shape[0] is None:
        raise ValueError("channels must be given for a network without in_channels")
    example = torch.zeros(2, channels or shape[0], *shape[1:])  # a batch of 1 would be a constant
    with torch.no_grad(), warnings.catch_warnings():  # no gradient: strides are exported as such
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # inside the exporter
        program = torch.onnx.export(
            copy.deepcopy(network).eval(), (example,), dynamo=True, verbose=False,
            input_names=["images"], output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    model = program.model_proto
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]  # stack traces: most of a small file, and full of paths
    if not graph.input[0].type.tensor_type.shape.dim[0].dim_param:  # torch says nothing of it
        raise ValueError(
            f"network ({type(network).__name__}) must take a batch of any size, but its export "
            "takes 2 images alone: where it asks len(x), x.shape[0] leaves the size open"
        )
    with replacing(Path(path)) as temporary:
        onnx.save(model, temporary)
    return Path(path)


def quantise(
    path: Path, target: Path, calibration: Tensor, *, per_channel: bool = True,
    reduce_range: bool = False, signed_activations: bool = False,
) -> Path:  # fmt: skip
    """Static int8 quantisation of weights and activations; ``target``, completely or not at all.

    ``operators`` and ``cut_off`` tell what became of it on this processor.

    Args:
        path: the float file of ``export``.
        target: the int8 file.
        calibration: images ``[N, C, 32, 32]`` from the *training* set, prepared as the network's
            input: they show the range of each activation.
        per_channel: a scale for each output channel of a weight, or one for all.
        reduce_range: weights of 7 bits. An x86 processor without VNNI instructions adds products of
            8-bit numbers in pairs, in 16 bits, and cuts off what is larger (ONNX Runtime's guide to
            quantisation); 7 bits leave room.
        signed_activations: activations from −128 to 127 instead of 0 to 255: ONNX Runtime's own
            default, to show what it costs. On an x86 processor the runtime turns signed activations
            into unsigned ones only where one operator alone reads them. A shortcut is read twice,
            so a residual network stays in float in part.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    checks.existing_file("path", path, "an ONNX file")
    checks.new_file("target", target)
    checks.images("calibration", calibration)
    kind = quantization.QuantType
    with tempfile.TemporaryDirectory() as folder, replacing(Path(target)) as temporary:
        prepared = str(Path(folder, "prepared.onnx"))
        quant_pre_process(str(path), prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared, str(temporary), CalibrationImages(calibration), per_channel=per_channel,
            reduce_range=reduce_range, quant_format=quantization.QuantFormat.QDQ,
            activation_type=kind.QInt8 if signed_activations else kind.QUInt8,
            weight_type=kind.QInt8,
        )  # fmt: skip
    return Path(target)


class CalibrationImages:
    """Hands the images to ONNX Runtime's calibration, a batch at a time, then ``None``."""

    def __init__(self, images: Tensor, batch_size: int = 50):
        self.batches = iter(images.split(batch_size))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.contiguous().numpy()}
