"""A runtime that needs nothing: PyTorch itself, wrong by what a test asks for."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from kdnotes.edge.runtimes import Loaded, Runtime


@dataclass(frozen=True)
class MadeUp(Runtime):
    shift: float = 0.0
    negated: bool = False

    name = "made up"
    extra = "nothing"
    packages = ("torch",)
    suffix = ".pt2"

    def _write(self, network, path, calibration):
        images = torch.zeros(2, network.in_channels, 32, 32)
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network, (images,), dynamic_shapes=shapes), path)

    def _read(self, path):
        return Program(path, self)


class Program(Loaded):
    def __init__(self, path, runtime):
        super().__init__((path,), batch=7)
        self.network, self.runtime = torch.export.load(path).module(), runtime
        self.calls = []

    def __call__(self, images):
        self.calls.append(len(images))
        with torch.inference_mode():
            logits = self.network(images) + self.runtime.shift
        return -logits if self.runtime.negated else logits

    def bound(self, images):
        return functools.partial(self, images)

    def operators(self):
        return {"aten.conv2d": 11, "aten.linear": 1}

    def layers(self):
        return {"float32": 4, "int8": 8}


@dataclass(frozen=True)
class NotThere(MadeUp):
    name = "not there"
    packages = ("torch", "no-such-package")


@dataclass(frozen=True)
class OnlyFloat(MadeUp):
    name = "only float"
    kinds = ("float",)


@dataclass(frozen=True)
class Failing(MadeUp):
    name = "failing"

    def _read(self, path):
        raise RuntimeError("of another\nversion")
