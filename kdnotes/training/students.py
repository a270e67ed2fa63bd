"""The networks that are trained together: students of equal shape as one, or one of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdnotes.machine import seed_generators, stream
from kdnotes.models import Cohort, StridedPointwise, forward_features
from kdnotes.models.stacked import stack
from kdnotes.models.stacked_layers import Stacked, StackedDropout, in_storage_order, storage_of
from kdnotes.training.evaluation import predict


class Trained(NamedTuple):
    """A parameter: what gets the gradient, what the optimiser changes, and each network's own."""

    leaf: Tensor
    numbers: Tensor
    own: Sequence[nn.Parameter]
    is_matrix: bool


class Students:
    """Networks side by side, one a seed.

    Args:
        networks: of equal shape; they stay usable, and show the numbers of this step.
        seeds: of their dropout.
        device: where the networks are.
        is_stacked: whether they are made one (``models.stacked.is_stackable``); else there is one.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        seeds: Sequence[int],
        device: torch.device,
        is_stacked: bool,
    ):
        self.networks, self.seeds, self.device = list(networks), list(seeds), device
        self.generators = [torch.Generator(device) for _ in seeds]
        self.is_stacked = is_stacked
        self.merged = stack(self.networks) if is_stacked else self.networks[0]
        for layer in self.merged.modules():
            if isinstance(layer, StackedDropout):
                layer.generators = self.generators
        self.layout = torch.channels_last if self.is_stacked else layout_of(self.merged)
        self.trained = list(self._trained())

    def _trained(self) -> Iterator[Trained]:
        if not self.is_stacked:
            for one in self.merged.parameters():
                if one.requires_grad:
                    yield Trained(one, one, (), one.ndim > 1)
            return
        for layer in self.merged.modules():
            for name, own in layer.own.items() if isinstance(layer, Stacked) else ():
                leaf = getattr(layer, name)
                if leaf.requires_grad:
                    yield Trained(leaf, storage_of(leaf), own, own[0].ndim > 1)

    def train(self) -> None:
        """Training mode, also for whoever calls a single network or a layer of it."""
        for network in (self.merged, *self.networks):
            network.train()

    def seed_dropout(self, step: int) -> None:
        """Seed the masks of a step: what a method draws in one cannot shift those of the next."""
        purpose = f"dropout {step}"
        if not self.is_stacked:
            seed_generators(self.device, self.seeds[0], purpose)
        for generator, seed in zip(self.generators, self.seeds, strict=True):
            generator.manual_seed(stream(seed, purpose))

    def forward(
        self, images: Sequence[Tensor], needs_features: bool
    ) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """Logits and features of each network for its own images, in memory of their own."""
        beside = images[0] if len(images) == 1 else _side_by_side(images)
        if not needs_features:
            return [(logits, {}) for logits in self._apart(self.merged(beside))]
        together, features = forward_features(self.merged, beside)
        apart = {name: self._apart(feature) for name, feature in features.items()}
        return [
            (logits, {name: feature[number] for name, feature in apart.items()})
            for number, logits in enumerate(self._apart(together))
        ]

    def _apart(self, output: Tensor) -> list[Tensor]:
        if len(self.networks) == 1:
            return [output]
        parts = output.unflatten(1, (len(self.networks), -1)).unbind(1)
        layout = torch.channels_last if output.ndim == 4 else torch.contiguous_format
        return [part.contiguous(memory_format=layout) for part in parts]

    def forget_gradients(self) -> None:
        """Before the gradients of the next step."""
        for one in self.trained:
            for parameter in (one.leaf, *one.own):
                parameter.grad = None

    def collect_gradients(self) -> None:
        """Hand the optimiser the gradients, also those of single layers that a method called."""
        for leaf, numbers, own, _ in self.trained:
            if any(one.grad is not None for one in own):
                parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in own]
                called = torch.cat(parts)
                called = F.pad(called, (0, len(leaf) - len(called))) if leaf.ndim == 1 else called
                leaf.grad = called if leaf.grad is None else leaf.grad + called
            if numbers is not leaf:
                numbers.grad = None if leaf.grad is None else in_storage_order(leaf.grad)

    def gradients(self, number: int) -> Iterator[Tensor]:
        """One network's gradients of the last step."""
        for one in self.trained:
            if one.leaf.grad is not None:
                used = one.leaf.grad[: sum(map(len, one.own))] if one.own else one.leaf.grad
                yield used.chunk(len(self.networks))[number]

    def predict(self, images: Tensor) -> list[Tensor]:
        """Each network's logits ``[N, classes]``; of cohorts ``[N, peers, classes]``.

        One after the other: of many images a convolution is as fast as of many networks.
        """
        networks = [one.stages if isinstance(one, Cohort) else one for one in self.networks]
        return [predict(network, images, self.device) for network in networks]


def _side_by_side(images: Sequence[Tensor]) -> Tensor:
    """Images ``[B, C, h, w]`` as ``[B, networks × C, h, w]``, channels last. (``torch.cat`` takes
    more than twice as long.)
    """
    batch, channels, height, width = images[0].shape
    beside = images[0].new_empty(batch, height, width, len(images) * channels)
    for part, own in zip(beside.split(channels, dim=3), images, strict=True):
        part.copy_(own.permute(0, 2, 3, 1))
    return beside.permute(0, 3, 1, 2)


def layout_of(model: nn.Module) -> torch.memory_format:
    """Channels last, unless that would corrupt memory (see ``models.StridedPointwise``)."""
    unsafe = any(
        max(one.kernel_size) == 1 < max(one.stride) and not isinstance(one, StridedPointwise)
        for one in model.modules()
        if isinstance(one, nn.Conv2d)
    )
    return torch.contiguous_format if unsafe else torch.channels_last
