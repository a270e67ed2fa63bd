"""What all runtimes can do here: write a file, load it on one thread, tell what is executed."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from kdnotes import checks

__all__ = ["Loaded", "Runtime", "by_precision", "counted", "example", "version"]

_check_module = checks.instance(nn.Module, said="a torch.nn.Module")


def version(package: str) -> str:
    """The installed version of a distribution, "" if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def by_precision(
    operators: Mapping[str, int], kinds: Mapping[str, Iterable[str]]
) -> dict[str, int]:
    """How many layers run in each precision, of those that run at all.

    Args:
        operators: how many of each type are executed.
        kinds: precision → types of convolutions and linear layers that compute in it.
    """
    found = {kind: sum(operators.get(one, 0) for one in types) for kind, types in kinds.items()}
    return {kind: number for kind, number in found.items() if number}


class Loaded(ABC):
    """A network's file, loaded by its runtime for the CPU and one thread.

    Args:
        files: all that a device must hold.
        batch: the most images that one call takes.
    """

    def __init__(self, files: tuple[Path, ...], batch: int = 1):
        self.files, self.batch = files, batch

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of images ``[B, C, 32, 32]``, at most ``batch`` of them."""

    @abstractmethod
    def bound(self, images: Tensor) -> Callable[[], object]:
        """A function without arguments that runs these images: what ``kdnotes.costs`` times.

        As much as the runtime allows of the conversion to its own arrays is done beforehand.
        """

    @abstractmethod
    def operators(self) -> dict[str, int]:
        """How many operators of each type are executed, as far as the runtime tells."""

    @abstractmethod
    def layers(self) -> dict[str, int]:
        """How many convolutions and linear layers are executed in which precision."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def precision(self) -> str:
        """What the layers compute in, such as "int8", or "int8 (5 of 12 layers), float32 (7)"."""
        counts = self.layers()
        if len(counts) < 2:
            return next(iter(counts), "unknown")
        (first, number), *others = sorted(counts.items(), key=lambda pair: -pair[1])
        rest = "".join(f", {kind} ({count})" for kind, count in others)
        return f"{first} ({number} of {sum(counts.values())} layers){rest}"

    def predict(self, images: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of all images, as many at a time as a call takes."""
        checks.images("images", images)
        return torch.cat([self(part) for part in images.split(self.batch)])


@dataclass(frozen=True)
class Runtime(ABC):
    """Writes and loads the files of one runtime. Fields of a subclass are settings of the export.

    What is not installed is imported by no module: ``missing`` tells what to do.
    """

    name: ClassVar[str]
    extra: ClassVar[str] = ""  # of this package; "" belongs to the core
    packages: ClassVar[tuple[str, ...]]
    suffix: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("float", "int8")

    @property
    def label(self) -> str:
        """The name, and the settings that are not the default, such as "OpenVINO, half"."""
        parts = [self.name]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.repr:
                word = field.name.replace("_", " ")
                parts.append(word if value is True else f"{word} {value}")
        return ", ".join(parts)

    def missing(self) -> str:
        """What to do before this runtime can be used here; "" if it can."""
        lacking = any(not version(package) for package in self.packages)
        return f'pip install "kdnotes[{self.extra}]"' if lacking else ""

    def versions(self) -> dict[str, str]:
        """The versions of the packages that write and run the file, of those that are installed."""
        return {package: found for package in self.packages if (found := version(package))}

    def beside(self, in_float: Path) -> Runtime:
        """The same runtime, for a network whose float ONNX file is there already."""
        return self

    def export(self, network: nn.Module, path: Path, calibration: Tensor | None = None) -> Path:
        """Write the network for this runtime: in float, or in int8 if calibration images are given.

        The network is exported in eval mode, and without gradients unless a setting says
        otherwise; it is left as it was.

        Args:
            network: from images ``[B, C, 32, 32]`` to logits, with ``in_channels``.
            path: the (first) file, in an existing folder.
            calibration: images ``[N, C, 32, 32]`` of the *training* set, prepared as its input.

        Raises:
            ModuleNotFoundError: the runtime is not installed.
            ValueError: it has no int8 here, or an argument is wrong.
        """
        _check_module("network", network)
        checks.new_file("path", path)
        channels = getattr(network, "in_channels", None)
        if channels is None:
            raise ValueError("network must have in_channels, the channels of its images")
        if calibration is not None:
            checks.images("calibration", calibration, channels)
            if "int8" not in self.kinds:
                raise ValueError(
                    f"calibration must be None for {self.name}, which has no int8 here"
                )
        self._needed()
        with torch.no_grad():
            self._write(copy.deepcopy(network).cpu().eval(), Path(path), calibration)
        return Path(path)

    def load(self, path: Path) -> Loaded:
        """The file of ``export`` on the CPU and one thread.

        Raises:
            ModuleNotFoundError: the runtime is not installed.
            ValueError: there is no such file.
        """
        checks.existing_file("path", path, f"a file of {self.name}")
        self._needed()
        return self._read(Path(path))

    @abstractmethod
    def _write(self, network: nn.Module, path: Path, calibration: Tensor | None) -> None:
        """Write the file of a network that is in eval mode; gradients are off."""

    @abstractmethod
    def _read(self, path: Path) -> Loaded:
        """Load a file that is there."""

    def _needed(self) -> None:
        if what := self.missing():
            raise ModuleNotFoundError(f"{self.name} is not installed: {what}")


def example(network: nn.Module, batch: int = 1) -> Tensor:
    """Images ``[batch, C, 32, 32]`` of zeros, to trace a network with."""
    return torch.zeros(batch, network.in_channels, 32, 32)


def counted(types: Iterable[str]) -> dict[str, int]:
    """How many there are of each, in the order of the alphabet."""
    return dict(sorted(Counter(types).items()))
