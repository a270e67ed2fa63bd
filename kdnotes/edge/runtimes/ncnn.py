"""ncnn, whose files pnnx writes."""

from __future__ import annotations

import functools
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kdnotes.edge.runtimes.interface import Loaded, Runtime, counted, example
from kdnotes.files import replacing

__all__ = ["Ncnn"]

LAYERS = ("Convolution", "ConvolutionDepthWise", "InnerProduct")


@dataclass(frozen=True)
class Ncnn(Runtime):
    """A graph (``.param``) and its weights (``.bin``), for one image a call.

    Its tools for int8 are programs of their own, which the packages do not hold.

    Args:
        half: weights and activations are float16 where the processor can, the default of pnnx and
            of ncnn.
    """

    half: bool = False

    name = "ncnn"
    extra = "ncnn"
    packages = ("ncnn", "pnnx")
    suffix = ".param"
    kinds = ("float",)

    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        import pnnx

        images = example(network)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, but pnnx reads it
            traced = Path(folder, "network.pt")
            torch.jit.trace(network, images).save(str(traced))
            shape = str(list(images.shape)).replace(" ", "")
            command = [pnnx.EXEC_PATH, traced.name, f"inputshape={shape}", f"fp16={self.half:d}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"pnnx ended with {done.returncode}: {done.stderr.strip()}")
            for part in (".bin", ".param"):  # the graph last: it is what is asked for
                with replacing(path.with_suffix(part)) as temporary:
                    temporary.write_bytes(Path(folder, f"network.ncnn{part}").read_bytes())

    def _read(self, path: Path) -> Loaded:
        return _Net((path, path.with_suffix(".bin")), self.half)


class _Net(Loaded):
    def __init__(self, files: tuple[Path, ...], half: bool):
        import ncnn

        super().__init__(files)
        self.half, self.net = half, ncnn.Net()
        options = self.net.opt
        options.num_threads, options.use_vulkan_compute = 1, False
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(options, name, half)
        options.use_bf16_storage = False
        if self.net.load_param(str(files[0])) or self.net.load_model(str(files[1])):
            raise ValueError(f"path must be a file of ncnn, not {str(files[0])!r}")

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(np.array(self._run(self._mat(images)))).reshape(1, -1)

    def bound(self, images: Tensor) -> Callable[[], object]:
        return functools.partial(self._run, self._mat(images))

    def operators(self) -> dict[str, int]:
        return counted(layer.type for layer in self.net.layers() if layer.type != "Input")

    def layers(self) -> dict[str, int]:
        number = sum(layer.type in LAYERS for layer in self.net.layers())
        return {"float16 where the processor can" if self.half else "float32": number}

    def _mat(self, images: Tensor):
        import ncnn

        if len(images) != 1:  # it knows no batches, and would leave the others out
            raise ValueError(f"images must be one image, not {len(images)}")
        return ncnn.Mat(images[0].contiguous().numpy()).clone()  # else it borrows the array

    def _run(self, image):
        extractor = self.net.create_extractor()
        extractor.input("in0", image)
        return extractor.extract("out0")[1]
