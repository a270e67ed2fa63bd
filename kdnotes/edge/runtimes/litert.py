"""LiteRT (once TensorFlow Lite), whose converter has an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.runtimes import litert_converter
from kdnotes.edge.runtimes.interface import Loaded, Runtime, counted, example
from kdnotes.files import replacing

__all__ = ["CONVERTER", "LiteRT", "make_converter"]

CONVERTER = "KDNOTES_LITERT"  # the variable that names the converter's Python
CONVERTS = ("litert-torch", "ai-edge-quantizer")
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")
REMEMBERED = 8  # files in float
_converted_files: dict[str, bytes] = {}  # by the digest of a program and its converter
ASK = (
    "import importlib.metadata as m, json; "
    f"print(json.dumps({{one: m.version(one) for one in {CONVERTS!r}}}))"
)


def make_converter(folder: Path) -> Path:
    """An environment in ``folder`` (new) with litert-torch, from the package index; its Python.

    It takes about 3 GB, most of it PyTorch of the version that runs here, and does not exist for
    Windows. Name the returned path in the variable ``KDNOTES_LITERT``, or as ``converter`` of
    ``LiteRT``.

    Raises:
        ValueError: the folder is there already.
        subprocess.CalledProcessError: pip could not install it.
    """
    if Path(folder).exists():
        raise ValueError(f"folder must be new, not {str(folder)!r}")
    venv.create(folder, with_pip=True)
    python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python").absolute()
    torch_here = f"torch=={torch.__version__.partition('+')[0]}"
    subprocess.run([python, "-m", "pip", "install", "-q", "litert-torch", torch_here], check=True)
    return python


@dataclass(frozen=True)
class LiteRT(Runtime):
    """A flat file (``.tflite``), for one image a call; in int8, its input and output are int8 too.

    Args:
        ranges: of the activations: "extremes" of all calibration images, or "moving average", the
            quantizer's default, in which the last images count most: it depends on their order.
        converter: the Python of an environment with litert-torch, whose typing-extensions Jupyter
            cannot use; ``None``: the variable ``KDNOTES_LITERT``.
    """

    ranges: str = "extremes"
    converter: str | Path | None = field(default=None, repr=False)

    name = "LiteRT"
    extra = "litert"
    packages = ("ai-edge-litert",)
    suffix = ".tflite"

    def __post_init__(self) -> None:
        checks.one_of("extremes", "moving average")("ranges", self.ranges)

    def missing(self) -> str:
        """What to install; and if the converter lacks, how to make its environment."""
        python = self._python()
        if super().missing() or (python and Path(python).is_file()):
            return super().missing()
        said = f", which names no file now: {python}" if python else ""
        return f"kdnotes.edge.runtimes.make_converter(folder), its path in {CONVERTER}{said}"

    def versions(self) -> dict[str, str]:
        """Of the runtime, and of the converter in its environment."""
        if not (python := self._python()) or not Path(python).is_file():
            return super().versions()
        done = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True)
        return super().versions() | (json.loads(done.stdout) if done.returncode == 0 else {})

    def _python(self) -> str:
        return str(self.converter or os.environ.get(CONVERTER, ""))

    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        program = torch.export.export(network, (example(network),))
        with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
            if calibration is None:
                temporary.write_bytes(self._converted(program))
                return
            in_float, images = Path(folder, "float.tflite"), Path(folder, "images.npy")
            in_float.write_bytes(self._converted(program))
            np.save(images, calibration.numpy())
            options = ["--float", in_float, "--calibration", images, "--ranges", self.ranges]
            self._call(temporary, *options)

    def _converted(self, program: torch.export.ExportedProgram) -> bytes:
        """The file in float, which is remembered: int8 begins with the same one."""
        digest = hashlib.sha256(f"{self._python()} {program.graph_module.code}".encode())
        for name, tensor in sorted((program.state_dict | program.constants).items()):
            digest.update(name.encode() + tensor.detach().numpy().tobytes())
        key = digest.hexdigest()
        if key not in _converted_files:
            with tempfile.TemporaryDirectory() as folder:
                saved, output = Path(folder, "network.pt2"), Path(folder, "float.tflite")
                torch.export.save(program, saved)
                shape = map(str, program.example_inputs[0][0].shape)
                self._call(output, "--program", saved, "--shape", *shape)
                if len(_converted_files) >= REMEMBERED:
                    del _converted_files[next(iter(_converted_files))]
                _converted_files[key] = output.read_bytes()
        return _converted_files[key]

    def _call(self, *options: str | Path) -> None:
        """The converter, in its environment.

        With -I, neither the folder of this file nor PYTHONPATH reaches it.
        """
        command = [self._python(), "-I", litert_converter.__file__, *options]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"the converter of {CONVERTER} ended with an error: {said}")

    def _read(self, path: Path) -> Loaded:
        return _Interpreter(path)


class _Interpreter(Loaded):
    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        super().__init__((path,))
        self.run = Interpreter(model_path=str(path), num_threads=1)
        self.run.allocate_tensors()
        ((self.given,), (self.returned,)) = (
            self.run.get_input_details(), self.run.get_output_details(),
        )  # fmt: skip

    def __call__(self, images: Tensor) -> Tensor:
        self.bound(images)()
        logits = self.run.get_tensor(self.returned["index"])
        scale, zero = self.returned["quantization"]
        if logits.dtype != np.float32:  # int8: the file ends in integers
            logits = scale * (logits.astype(np.float32) - zero)
        return torch.from_numpy(logits.astype(np.float32))

    def bound(self, images: Tensor) -> Callable[[], object]:
        given, kind = images.contiguous().numpy(), self.given["dtype"]
        scale, zero = self.given["quantization"]
        if kind != np.float32:  # int8: the file begins with integers
            limits = np.iinfo(kind)
            given = np.clip(np.round(given / scale) + zero, limits.min, limits.max).astype(kind)
        self.run.set_tensor(self.given["index"], given)
        return self.run.invoke

    def operators(self) -> dict[str, int]:
        return counted(one["op_name"] for one in self.run._get_ops_details())

    def layers(self) -> dict[str, int]:
        types = {one["index"]: np.dtype(one["dtype"]).name for one in self.run.get_tensor_details()}
        nodes = [one for one in self.run._get_ops_details() if one["op_name"] in LAYERS]
        return counted(types[one["outputs"][0]] for one in nodes)
