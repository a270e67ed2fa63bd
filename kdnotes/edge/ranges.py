"""Ranges of activations as some converters find them: a moving average, in the images' order."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.simulate import FakeQuantised

__all__ = ["moving_ranges"]


def moving_ranges(network: FakeQuantised, images: Tensor, weight: float = 0.05) -> FakeQuantised:
    """A copy whose ranges of activations are a moving average over the images, in their order.

    The first image gives each range; every further one moves its two ends by ``weight`` of the way
    to its own lowest and highest value. In the end the range holds 0. (The lowest and highest value
    of all images, which ``FakeQuantised`` takes, have no order.)

    Args:
        network: which is left as it was.
        images: ``[N, C, 32, 32]`` of the *training* set, in the order of the calibration.
        weight: of a new image, between 0 and 1; by default that of LiteRT's quantiser
            (ai-edge-quantizer's smoothing factor of 0.95).
    """
    checks.instance(FakeQuantised, said="an edge.FakeQuantised")("network", network)
    checks.images("images", images, getattr(network, "in_channels", None))
    checks.share("weight", weight)
    moved, ends, hooks = copy.deepcopy(network).eval(), {}, []

    def see(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        ends[layer] = given[0].flatten(1).aminmax(dim=1)

    for layer in moved.layers():
        layer.observing = True  # it passes its input on, unrounded
        hooks.append(layer.register_forward_pre_hook(see))
    with torch.no_grad():
        moved(images)
    for layer, hook in zip(moved.layers(), hooks, strict=True):
        hook.remove()
        low, high = (_followed(values, weight) for values in ends[layer])
        layer.low, layer.high, layer.observing = low.clamp(max=0), high.clamp(min=0), False
    return moved


def _followed(values: Tensor, weight: float) -> Tensor:
    average = values[0].clone()
    for value in values[1:]:
        average += weight * (value - average)
    return average
