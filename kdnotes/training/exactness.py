"""Whether a stack of networks computes, to the last bit, what each does alone: it is tried."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kdnotes.data import Splits
from kdnotes.machine import alone, isolated, single_thread
from kdnotes.models.stacked import is_stackable
from kdnotes.training.config import Config
from kdnotes.training.loop import build
from kdnotes.training.students import Students

STACKED = 5  # networks in a stack, at most: a larger one no longer fits the processor's cache


def is_exact(
    factory: Callable[[], nn.Module], data: Splits, config: Config, count: int = STACKED
) -> bool:
    """Whether up to ``count`` such students in one network compute, to the last bit, what each does
    alone.

    It is tried, once in a process: kernels differ from processor to processor. On a GPU, whose
    kernels differ with the sizes, they are equal but for rounding, and that will do.
    """
    network = build(factory, 0)
    if config.device != "cpu":
        return is_stackable([network], data.train.images[:2])
    size = min(config.batch_size, len(data.train))
    what = f"{network!r} {data.train.images.shape[1:]}"
    return _is_exact(_Tried(what, size, network, data.train.images), count)


@dataclass(frozen=True)
class _Tried:
    """What a trial's result depends on, and what it is tried with."""

    what: str
    size: int
    network: nn.Module = field(compare=False)
    images: Tensor = field(compare=False)


@functools.lru_cache(maxsize=64)
def _is_exact(tried: _Tried, count: int) -> bool:
    network = tried.network.to(memory_format=torch.channels_last)
    images = [tried.images.roll(number, 0)[: tried.size] for number in range(count)]
    with alone(), isolated(), single_thread():
        if not is_stackable([network], images[0][:2]):
            return False
        together = _one_step(network, images)
        return all(
            torch.equal(mine, theirs)
            for size in range(1, count)
            for one, other in zip(_one_step(network, images[:size]), together, strict=False)
            for mine, theirs in zip(one, other, strict=True)
        )


def _one_step(network: nn.Module, images: list[Tensor]) -> list[list[Tensor]]:
    """Each copy's logits, gradients and running statistics after a forward and a backward pass."""
    copies = [copy.deepcopy(network) for _ in images]
    students = Students(copies, list(range(len(images))), images[0].device, is_stacked=True)
    students.train()
    students.seed_dropout(0)
    outputs = [logits for logits, _ in students.forward(images, False)]
    torch.autograd.backward([(one * one.detach().roll(1, 0)).mean() for one in outputs])
    students.collect_gradients()
    return [
        [logits.detach(), *students.gradients(number), *one.buffers()]
        for number, (logits, one) in enumerate(zip(outputs, copies, strict=True))
    ]
