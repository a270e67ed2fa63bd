"""OpenVINO, and NNCF for its int8."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes.edge.convert import export
from kdnotes.edge.runtimes.interface import Loaded, Runtime, counted
from kdnotes.files import replacing

__all__ = ["OpenVino"]

LAYERS = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")
TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}


@dataclass(frozen=True)
class OpenVino(Runtime):
    """A graph (``.xml``) and its weights (``.bin``), for one image a call.

    The network comes through ONNX: OpenVINO's converter from PyTorch reports its use to its makers.

    Args:
        half: weights are stored as float16, which is ``openvino.save_model``'s own default.
    """

    half: bool = False

    name = "OpenVINO"
    extra = "openvino"
    packages = ("openvino", "nncf")
    suffix = ".xml"

    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        import openvino

        shape = [1, network.in_channels, 32, 32]
        with tempfile.TemporaryDirectory() as folder:
            model = openvino.Core().read_model(str(export(network, Path(folder, "float.onnx"))))
            model.reshape(shape)
            _fold(model)
            if calibration is not None:
                model = _in_int8(model, calibration)
            written = Path(folder, "model.xml")
            openvino.save_model(model, str(written), compress_to_fp16=self.half)
            for part in (".bin", ".xml"):  # the graph last: it is what is asked for
                with replacing(path.with_suffix(part)) as temporary:
                    temporary.write_bytes(written.with_suffix(part).read_bytes())

    def _read(self, path: Path) -> Loaded:
        return _Compiled((path, path.with_suffix(".bin")))


def _fold(model: Any) -> None:
    """Compute what no longer depends on the images: half of the graph that comes through ONNX."""
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)


def _in_int8(model: Any, calibration: Tensor) -> Any:
    with _silent(), contextlib.redirect_stdout(io.StringIO()):  # its bars
        import nncf

        images = nncf.Dataset([one.numpy() for one in calibration.split(1)])
        return nncf.quantize(model, images, subset_size=len(calibration))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """NNCF imported in here reports to nobody that it is used: it asks this variable once."""
    before = os.environ.get("NNCF_CI")
    os.environ["NNCF_CI"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NNCF_CI"]
        else:
            os.environ["NNCF_CI"] = before


class _Compiled(Loaded):
    def __init__(self, files: tuple[Path, ...]):
        import openvino

        super().__init__(files)
        # By default it ties its thread to one core, and waits there for whoever computes on it.
        threads = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        self.model = openvino.Core().compile_model(str(files[0]), "CPU", threads)
        self.request = self.model.create_infer_request()

    def __call__(self, images: Tensor) -> Tensor:
        found = self.request.infer([images.contiguous().numpy()])
        return torch.from_numpy(found[0].copy())

    def bound(self, images: Tensor) -> Callable[[], object]:
        import openvino

        request = self.model.create_infer_request()
        request.set_input_tensor(openvino.Tensor(images.contiguous().numpy()))
        return request.infer

    def operators(self) -> dict[str, int]:
        return counted(
            kind for kind, _ in self._executed() if kind not in ("Input", "Output", "Const")
        )

    def layers(self) -> dict[str, int]:
        return counted(precision for kind, precision in self._executed() if kind in LAYERS)

    def _executed(self) -> list[tuple[str, str]]:
        """Type and precision of each node of the graph that the processor's plugin has made."""
        nodes = (node.get_rt_info() for node in self.model.get_runtime_model().get_ops())
        told = [
            (str(one["layerType"].astype(str)), str(one["runtimePrecision"].astype(str)))
            for one in nodes
        ]
        return [(kind, TYPES.get(precision, precision)) for kind, precision in told]
