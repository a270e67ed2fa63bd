"""Integers simulated in float: to train through the rounding, and to try few bits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.convert import fold
from kdnotes.store import fingerprint
from kdnotes.training import predict

__all__ = ["FakeQuantised", "Start", "fake_quantise", "weight_scales"]


def weight_scales(weight: Tensor, bits: int) -> Tensor:
    """Scale of each output channel, ``[channels]``: largest absolute weight over 2^(bits − 1) − 1.

    Symmetric: the integers run from −(2^(bits − 1) − 1) to 2^(bits − 1) − 1, and 0 stays 0. A
    channel of zeros gets 1.
    """
    checks.whole("bits", bits, 2, 8)
    largest = weight.detach().abs().flatten(1).amax(1)
    return torch.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0)


def fake_quantise(weight: Tensor, bits: int) -> Tensor:
    """Weights ``[channels, …]`` on their grid, still floats; the gradient passes the rounding."""
    scales, top = weight_scales(weight, bits), 2 ** (bits - 1) - 1
    zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -top, top)


class FakeQuantised(nn.Module):
    """A network, batch norm folded, whose convolutions and linear layers compute as in integers.

    Weights are symmetric per output channel, and their scales follow the weights in training. The
    input of each layer is asymmetric per tensor, in the range that ``calibration`` showed, which
    then stays. With ``None`` bits nothing is rounded: the control, of equal weights and buffers.

    Args:
        network: the trained network in float; it is left as it was.
        calibration: images ``[N, C, 32, 32]`` of the *training* set, prepared as its input.
        weight_bits, activation_bits: 2 … 8, or ``None`` for float.
    """

    def __init__(
        self, network: nn.Module, calibration: Tensor,
        weight_bits: int | None = 8, activation_bits: int | None = 8,
    ):  # fmt: skip
        super().__init__()
        checks.images("calibration", calibration, getattr(network, "in_channels", None))
        bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
        for name, number in bits.items():
            if number is not None:
                checks.whole(name, number, 2, 8)
        self.network = fold(network)
        for attribute in ("num_classes", "in_channels"):
            if hasattr(network, attribute):
                setattr(self, attribute, getattr(network, attribute))
        _swap(self, (nn.Conv2d, nn.Linear), functools.partial(_Layer, **bits))
        predict(self.network, calibration)
        for layer in self.layers():
            layer.observing = False

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def layers(self) -> list[_Layer]:
        """The layers that are quantised, in the order in which they were built."""
        return [module for module in self.modules() if isinstance(module, _Layer)]

    def as_float(self) -> nn.Module:
        """A copy of the network inside, folded, without fake quantisation: what is exported."""
        plain = copy.deepcopy(self)
        _swap(plain, _Layer, lambda layer: layer.inner)
        return plain.network.eval()


class _Layer(nn.Module):
    """A convolution or linear layer whose input and weight are rounded."""

    def __init__(self, inner: nn.Module, weight_bits: int | None, activation_bits: int | None):
        super().__init__()
        self.inner, self.observing = inner, True
        self.weight_bits, self.activation_bits = weight_bits, activation_bits
        for name in ("low", "high"):  # the range holds 0, which padding and ReLU need exactly
            self.register_buffer(name, torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.observing:
            self.low.copy_(torch.minimum(self.low, x.min()))
            self.high.copy_(torch.maximum(self.high, x.max()))
            return self.inner(x)
        if self.activation_bits is not None:
            top = 2**self.activation_bits - 1
            scale = ((self.high - self.low) / top).clamp(min=1e-12)
            zero = torch.round(-self.low / scale).to(torch.int32)
            x = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, top)
        if self.weight_bits is None:
            return self.inner(x)
        weight = fake_quantise(self.inner.weight, self.weight_bits)
        return torch.func.functional_call(self.inner, {"weight": weight}, x)


def _swap(network: nn.Module, kind: Any, build: Callable[[nn.Module], nn.Module]) -> None:
    """Put ``build(layer)`` in the place of every layer of this kind."""
    for name, layer in list(network.named_modules(remove_duplicate=False)):
        if isinstance(layer, kind):
            network.set_submodule(name, build(layer))


@dataclass(frozen=True, eq=False)
class Start:
    """Builds a ``FakeQuantised`` from a finished run's weights: an arm's student, for one seed.

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
        """What the built network depends on, its code too: this start's identity in the store."""
        return fingerprint([Start, FakeQuantised, vars(self)])
