"""Networks of equal shape as one network, which computes what each of them does alone."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kdnotes.models import compound, networks
from kdnotes.models.stacked_layers import (
    NotStackableError,
    Stacked,
    StackedBatchNorm2d,
    StackedConv2d,
    StackedDropout,
    StackedLinear,
    need,
)

__all__ = ["NotStackableError", "is_stackable", "stack"]


class StackedPeers(Stacked):
    """The cohorts of all seeds: logits ``[batch, networks × peers, classes]``."""

    def __init__(self, layers: Sequence[compound.Peers]):
        super().__init__(layers)
        cohorts = (layer.networks for layer in layers)
        self.networks = nn.ModuleList(map(_merge, zip(*cohorts, strict=True)))

    def forward(self, images: Tensor) -> Tensor:
        logits = [network(images).unflatten(1, (self.count, -1)) for network in self.networks]
        return torch.stack(logits, dim=2).flatten(1, 2)


class StackedFirst(Stacked):
    """The first peer's logits, ``[batch, networks × classes]``."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.unflatten(1, (self.count, -1))[:, :, 0].flatten(1)


LAYERS: dict[type, Callable[..., Stacked]] = {
    nn.Conv2d: StackedConv2d,
    networks.StridedPointwise: StackedConv2d,
    nn.BatchNorm2d: StackedBatchNorm2d,
    nn.Linear: StackedLinear,
    nn.Dropout: StackedDropout,
    nn.Dropout2d: StackedDropout,
    compound.Peers: StackedPeers,
    compound.First: StackedFirst,
}
# What treats each channel by itself serves all networks side by side as it is; the others hold such
# layers, and do nothing in ``forward`` but call them and add what they give.
BY_CHANNEL = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Sequential, nn.ModuleDict,
    networks.TeacherNet, networks.StudentNet, networks.ResidualStudent, networks.BasicBlock,
    compound.MultiExitStudent, compound.Exit, compound.Cohort,
)  # fmt: skip


def stack(several: Sequence[nn.Module]) -> nn.Module:
    """One network that computes what all do. It holds their numbers, which become views of it.

    Raises:
        NotStackableError: they are not ``is_stackable``.
    """
    need(len({(repr(one), _numbers(one)) for one in several}) == 1)
    return _merge(several)


def is_stackable(several: Sequence[nn.Module], images: Tensor) -> bool:
    """Whether the networks differ in their numbers alone, and such ones can be stacked.

    That is tried with two copies of the first on these images, once in a process for networks that
    look alike. Not so are networks with layers of other kinds than the course's, with hooks, or
    with parts that share their numbers.
    """
    one = several[0]
    try:
        kinds = {(repr(each), _numbers(each)) for each in several}
        need(len(kinds) == 1 and not any(map(_is_altered, one.modules())))
    except Exception:  # whatever a network raises in a shape that it was not made for
        return False
    what = (*kinds.pop(), *map(type, one.modules()), images.shape, images.dtype)
    return _computes_the_same(_Tried(what, one, images))


@dataclass(frozen=True)
class _Tried:
    """What a trial's result depends on, and what it is tried with."""

    what: tuple
    network: nn.Module = field(compare=False)
    images: Tensor = field(compare=False)


@functools.lru_cache(maxsize=8)  # which keeps as many networks alive
def _computes_the_same(tried: _Tried) -> bool:
    two = [copy.deepcopy(tried.network).eval() for _ in range(2)]
    images = tried.images
    try:
        merged = stack(two)
        with torch.no_grad():
            alone, beside = two[0](images), merged(torch.cat([images, images], dim=1))
            return all(torch.allclose(one, alone, 1e-3, 1e-4) for one in beside.chunk(2, dim=1))
    except Exception:  # as above
        return False


def _is_altered(module: nn.Module) -> bool:
    """By hooks, or by a ``forward`` of its own: nothing that its class or ``repr`` tells."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return any(hooks) or "forward" in vars(module)


def _merge(several: Sequence[nn.Module]) -> nn.Module:
    one = several[0]
    need(not _is_altered(one))
    kind = type(one)
    if kind in LAYERS or "stacked" in vars(kind):  # of other kinds their class says it itself
        return LAYERS.get(kind, vars(kind).get("stacked"))(several)
    need(_is_by_channel(one) and not one._parameters and not one._buffers)
    merged = copy.copy(one)
    merged._modules = {
        name: _merge([each._modules[name] for each in several]) for name in one._modules
    }
    return merged


def _is_by_channel(module: nn.Module) -> bool:
    """Of these kinds, or of a class made from one of them with the same ``forward``."""
    kind = type(module)
    same = any(isinstance(module, one) and kind.forward is one.forward for one in BY_CHANNEL)
    return same and kind.__call__ is nn.Module.__call__


def _numbers(network: nn.Module) -> tuple:
    """Names, shapes and kinds of all parameters and buffers; none may have two names."""
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    need(len(names) == len(list(network.parameters())))
    trained = tuple(one.requires_grad for one in network.parameters())
    state = network.state_dict()
    return trained, tuple((name, one.shape, one.dtype, one.device) for name, one in state.items())
