"""Transformers as one network: to the last bit what each computes alone, and what is refused.

(``test_stacked`` compares the stack with the networks' own ``forward``.)
"""

from __future__ import annotations

import copy
import dataclasses
import functools

import pytest
import torch
from helpers import CONFIG, TRANSFORMER, tiny_data
from torch import nn

from kdnotes import training
from kdnotes.data import Splits
from kdnotes.machine import single_thread
from kdnotes.models import VisionTransformer
from kdnotes.models.stacked import is_stackable
from kdnotes.models.transformer import Attention, Block
from kdnotes.training.optimizer import Group, OneCycleAdamW
from kdnotes.training.students import Students

SIZES = {
    "one token": functools.partial(VisionTransformer, 10, 1, 48, depth=3, patch=8),
    "two tokens": functools.partial(VisionTransformer, 10, 1, 64, depth=2, joint=1, tokens=2),
    "colour": functools.partial(VisionTransformer, 7, 3, 48, depth=2, patch=8, tokens=2),
}


def trained(networks: list[nn.Module], images: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Of each network all that can be seen of it in three steps of the optimiser and after."""
    networks = copy.deepcopy(networks)
    students = Students(networks, range(len(networks)), torch.device("cpu"), is_stacked=True)
    numbers = [one.numbers for one in students.trained]
    optimizer, seen = OneCycleAdamW([Group(numbers, 0.1)], 4e-3, 3), [[] for _ in networks]
    for step in range(3):
        outputs = students.forward([one.roll(step, 0) for one in images], needs_features=True)
        tensors = [[logits, *features.values()] for logits, features in outputs]
        losses = [sum((x * x.detach().roll(1, 0)).mean() for x in mine) for mine in tensors]
        students.forget_gradients()
        torch.autograd.backward(losses)
        students.collect_gradients()
        for number, mine in enumerate(tensors):
            gradients = [one.clone() for one in students.gradients(number)]
            seen[number] += [x.detach() for x in mine] + gradients
        optimizer.step()
    for one, image, mine in zip(networks, images, seen, strict=True):
        mine += [*copy.deepcopy(one).parameters(), training.predict(one, image)]
    return seen


def with_channels(data: Splits, channels: int) -> Splits:
    images = data.train.images.repeat(1, channels, 1, 1)
    return dataclasses.replace(data, train=dataclasses.replace(data.train, images=images))


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("batch", [3, 8])
def test_a_network_computes_the_same_whatever_lies_beside_it(name, batch):
    networks = [training.build(SIZES[name], seed) for seed in range(6)]
    data = with_channels(tiny_data(), networks[0].in_channels)
    if not training.is_exact(SIZES[name], data, CONFIG, 6):
        pytest.skip("the kernels of this processor round otherwise in a stack: none is made on it")
    images = list(data.train.images[: 6 * batch].split(batch))
    with single_thread():
        alone = [trained([networks[k]], [images[k]])[0] for k in (0, 1)]
        for count in range(2, 7):
            for order in (slice(0, count), slice(count - 1, None, -1)):  # at both ends of a stack
                beside = trained(networks[:count][order], images[:count][order])[order]
                for mine, other in zip(alone, beside, strict=False):
                    assert all(map(torch.equal, mine, other))


class Changed(Block):
    def forward(self, x, first=None):
        return super().forward(x, first) / 2


class Renamed(Attention):
    """With nothing of its own: what is known of its class is not known of this one."""


def replaced(name: str, part: nn.Module) -> nn.Module:
    network = TRANSFORMER(depth=3, joint=2)
    network.set_submodule(name, part)
    return network


def hooked(name: str) -> nn.Module:
    network = TRANSFORMER(depth=3, joint=2)
    network.get_submodule(name).register_forward_hook(lambda *_: None)
    return network


REFUSED = {
    "a block of its own": lambda: replaced("stages.tokens.blocks.1", Changed(16, 2)),
    "an attention of its own": lambda: replaced("stages.block1.attention", Renamed(16, 2)),
    "another activation": lambda: replaced("stages.block1.mlp.2", nn.ReLU()),
    "a norm without a bias": lambda: replaced("stages.tokens.norm", nn.LayerNorm(16, bias=False)),
    "patches that overlap": lambda: replaced(
        "stages.patches.projection", nn.Conv2d(1, 16, 8, stride=8, padding=4)
    ),
    "another classifier": lambda: replaced("stages.tokens.tokens.0.classifier", nn.Identity()),
    "a hook in a block": lambda: hooked("stages.block1.mlp.1"),
    "a hook at the tokens": lambda: hooked("stages.tokens.norm"),
    "a width that fills no register": lambda: VisionTransformer(4, 1, 24),
    "few numbers a patch": lambda: TRANSFORMER(patch=2),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_stacked_is_refused(what):
    assert not is_stackable([REFUSED[what]()], torch.randn(2, 1, 32, 32))


def test_images_of_another_size_are_left_to_each_network_alone():
    networks = [TRANSFORMER(), TRANSFORMER()]
    assert is_stackable(networks, torch.randn(2, 1, 32, 32))
    assert not is_stackable(networks, torch.randn(2, 1, 64, 64))
    assert is_stackable([TRANSFORMER(image_size=64)], torch.randn(2, 1, 64, 64))
