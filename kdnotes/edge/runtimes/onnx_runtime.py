"""ONNX Runtime, which belongs to the core: the yardstick of the others."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from kdnotes.edge.convert import export, quantise
from kdnotes.edge.runtime import OnnxNetwork, operators
from kdnotes.edge.runtimes.interface import Loaded, Runtime, by_precision
from kdnotes.files import replacing

__all__ = ["OnnxRuntime"]

LAYERS = {
    "int8": ("QLinearConv", "QGemm", "ConvInteger", "MatMulInteger", "QLinearMatMul"),
    "float32": ("Conv", "FusedConv", "NhwcFusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"),
}


@dataclass(frozen=True)
class OnnxRuntime(Runtime):
    """ONNX files of ``edge.export`` and ``edge.quantise``.

    Args:
        signed_activations: ONNX Runtime's own default. On x86 the convolutions that read a
            block's input then stay in float; 0 to 255 is the cure.
        reduce_range: weights of 7 bits, which x86 processors without VNNI need (``edge.cut_off``).
        in_float: the float file of the very network, where there is one: torch's exporter takes
            more than a second.
    """

    signed_activations: bool = False
    reduce_range: bool = True
    in_float: Path | None = dataclasses.field(default=None, repr=False)

    name = "ONNX Runtime"
    packages = ("onnxruntime",)
    suffix = ".onnx"

    def beside(self, in_float: Path) -> OnnxRuntime:
        return dataclasses.replace(self, in_float=in_float)

    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            in_float = self.in_float or export(network, Path(folder, "float.onnx"))
            if calibration is None:
                with replacing(path) as temporary:
                    shutil.copyfile(in_float, temporary)
                return
            quantise(
                in_float, path, calibration, reduce_range=self.reduce_range,
                signed_activations=self.signed_activations,
            )  # fmt: skip

    def _read(self, path: Path) -> Loaded:
        return _Session(path)


class _Session(Loaded):
    def __init__(self, path: Path):
        super().__init__((path,), batch=500)
        self.network = OnnxNetwork(path)

    def __call__(self, images: Tensor) -> Tensor:
        return self.network(images)

    def bound(self, images: Tensor) -> Callable[[], object]:
        return self.network.bound(images)

    def operators(self) -> dict[str, int]:
        return operators(self.files[0])

    def layers(self) -> dict[str, int]:
        return by_precision(self.operators(), LAYERS)
