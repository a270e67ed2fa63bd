"""ONNX Runtime, which belongs to the core: the yardstick of the others."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from kdnotes.edge.convert import export, quantise
from kdnotes.edge.runtime import OnnxNetwork, operators
from kdnotes.edge.runtimes.interface import Loaded, Runtime, by_precision

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
    """

    signed_activations: bool = False
    reduce_range: bool = True

    name = "ONNX Runtime"
    packages = ("onnxruntime",)
    suffix = ".onnx"

    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        if calibration is None:
            export(network, path)
            return
        with tempfile.TemporaryDirectory() as folder:
            in_float = export(network, Path(folder, "float.onnx"))
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
