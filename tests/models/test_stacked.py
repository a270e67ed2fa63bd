"""Networks as one: the same numbers as each alone, and what is refused."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdnotes.models import (
    Cohort,
    MultiExitStudent,
    ResidualStudent,
    StudentNet,
    TeacherNet,
    VisionTransformer,
    stacked,
)
from kdnotes.models.stacked import NotStackableError, is_stackable, stack
from kdnotes.models.stacked_layers import StackedConv2d, StackedDropout, storage_of

RESIDUAL = functools.partial(ResidualStudent, in_channels=1, width=4)
NETWORKS = {
    "residual": RESIDUAL,
    "residual, colour": functools.partial(ResidualStudent, width=12, num_classes=7),
    "separable": functools.partial(StudentNet, in_channels=1, width=8),
    "separable, colour": functools.partial(StudentNet, width=4),
    "teacher": functools.partial(TeacherNet, in_channels=1, width=4),
    "exits": functools.partial(MultiExitStudent, RESIDUAL),
    "cohort": functools.partial(
        Cohort, (RESIDUAL, functools.partial(StudentNet, in_channels=1, width=4))
    ),
    "transformer": functools.partial(VisionTransformer, 7, 3, 16, depth=3, heads=2),
    "transformer, two tokens": functools.partial(
        VisionTransformer, 10, 1, 48, depth=2, patch=8, tokens=2
    ),
}
EACH = pytest.mark.parametrize("name", NETWORKS)


def several(name: str, count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    networks = [NETWORKS[name]().double() for _ in range(count)]
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, (nn.Dropout, nn.Dropout2d)):
                layer.p = 0.0  # ``test_dropout_…`` looks at it
    return networks


@EACH
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_stack_computes_what_each_network_does(name, count):
    alone = several(name, count)
    inside = [copy.deepcopy(one) for one in alone]
    images = [torch.randn(6, alone[0].in_channels, 32, 32).double() for _ in alone]
    merged = stack(inside)
    together = merged(torch.cat(images, 1)).chunk(count, 1)
    (sum((part * (1 + k)).square().mean() for k, part in enumerate(together))).backward()
    for k, (network, one) in enumerate(zip(alone, inside, strict=True)):
        logits = network(images[k])
        torch.testing.assert_close(together[k], logits, rtol=1e-10, atol=1e-10)
        (logits * (1 + k)).square().mean().backward()
        for buffer, other in zip(network.buffers(), one.buffers(), strict=True):
            torch.testing.assert_close(other, buffer, rtol=1e-10, atol=1e-10)
    own = {id(p): (layer, key, k) for layer in merged.modules() for key, parts in
           getattr(layer, "own", {}).items() for k, p in enumerate(parts)}  # fmt: skip
    for network, one in zip(alone, inside, strict=True):
        pairs = zip(network.parameters(), one.parameters(), strict=True)
        for mine, theirs in pairs:
            layer, key, k = own[id(theirs)]
            gradient = getattr(layer, key).grad
            if mine.grad is None:  # of exits, and of other peers
                assert gradient is None or not gradient.any()
                continue
            part = gradient[: count * len(mine)].chunk(count)[k]
            torch.testing.assert_close(part, mine.grad, rtol=1e-8, atol=1e-10)


@EACH
def test_evaluation_and_a_single_network_show_the_numbers_of_the_stack(name):
    inside = several(name, 2)
    merged = stack(inside).eval()
    images = torch.randn(4, inside[0].in_channels, 32, 32).double()
    with torch.no_grad():
        for one in merged.parameters():
            one.mul_(1.5)
        together = merged(images.repeat(1, 2, 1, 1)).chunk(2, 1)
        for one, part in zip(inside, together, strict=True):
            torch.testing.assert_close(one.eval()(images), part, rtol=1e-10, atol=1e-10)
    assert not torch.equal(*together)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "size"), [(1, 4), (3, 2), (3, 4)])
def test_products_are_the_convolutions_that_they_replace(kernel, size, stride, bias):
    torch.manual_seed(1)
    make = functools.partial(nn.Conv2d, 8, 12, kernel, stride, kernel // 2, bias=bias)
    if (kernel, size, stride) == (1, 4, 2):
        make = functools.partial(nn.Conv2d, 8, 12, 1, 2, bias=bias)
    layers = [make().double() for _ in range(3)]
    weights = [layer.weight.detach().clone().requires_grad_() for layer in layers]
    images = [torch.randn(5, 8, size, size).double().requires_grad_() for _ in layers]
    merged = StackedConv2d(layers)
    outputs = merged(torch.cat(images, 1)).chunk(3, 1)
    for layer, weight, image, output in zip(layers, weights, images, outputs, strict=True):
        wanted = F.conv2d(image, weight, layer.bias, stride, kernel // 2)
        torch.testing.assert_close(output, wanted)
        other = torch.randn_like(wanted)
        found = torch.autograd.grad(
            (output * other).sum(), [image, merged.weight], retain_graph=True
        )
        expected = torch.autograd.grad((wanted * other).sum(), [image, weight])
        torch.testing.assert_close(found[0], expected[0])
        place = next(k for k, one in enumerate(layers) if one is layer)
        torch.testing.assert_close(found[1].chunk(3)[place], expected[1])


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_dropout_of_each_network_comes_from_its_own_generator(kind):
    merged = StackedDropout([kind(0.4) for _ in range(3)])
    x = torch.ones(50, 3 * 20, 4, 4)

    def outputs(seeds):
        merged.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return merged(x).chunk(3, 1)

    first, second = outputs([1, 2, 3]), outputs([7, 2, 1])
    assert torch.equal(first[1], second[1]) and torch.equal(first[0], second[2])
    assert not torch.equal(first[2], second[0]) and not torch.equal(first[0], first[1])
    assert first[0].unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert (first[0] == 0).double().mean() == pytest.approx(0.4, abs=0.05)
    by_channel = (first[0] == first[0][:, :, :1, :1]).all()
    assert bool(by_channel) == (kind is nn.Dropout2d)
    assert torch.equal(merged.eval()(x), x)


def test_numbers_fill_registers_and_what_is_added_stays_zero():
    inside = several("residual", 3)
    merged = stack(inside)
    for parameter in merged.parameters():
        numbers = storage_of(parameter)
        assert len(numbers) % 8 == 0 and len(numbers) >= parameter.numel()
    norm = merged.stages.stem[1]
    assert len(norm.weight) % 8 == 0 and not norm.weight[12:].any()


class Own(nn.Module):
    def forward(self, x):
        return x.flatten(1).softmax(dim=1)


class Renamed(ResidualStudent):
    """With nothing of its own."""


class Changed(ResidualStudent):
    def forward(self, images):
        return super().forward(images) / 2


def hooked():
    network = RESIDUAL()
    network.stages.stem[0].register_forward_hook(lambda *_: None)
    return network


def sharing():
    network = RESIDUAL()
    network.stages.stage3[1].residual[0].weight = network.stages.stage3[1].residual[3].weight
    return network


def chain(*layers):
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), *layers)


REFUSED = {
    "an unknown layer": lambda: chain(Own()),
    "a norm over channels": lambda: chain(nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(900, 4)),
    "a linear layer on maps": lambda: chain(nn.Linear(15, 4), nn.Flatten()),
    "flat from another dimension": lambda: chain(nn.Flatten(2), nn.Linear(225, 4), nn.Flatten()),
    "a hook": hooked,
    "shared weights": sharing,
    "a forward of its own": lambda: Changed(in_channels=1, width=4),
    "channels that fill no register": functools.partial(RESIDUAL, width=2),
    "a strided pointwise convolution with padding": lambda: chain(
        nn.Conv2d(4, 4, 1, 2, 1), nn.Flatten(), nn.Linear(256, 4)
    ),
    "padding that is no zero": lambda: chain(
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(900, 4)
    ),
    "a norm without running statistics": lambda: chain(
        nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(900, 4)
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_stacked_is_refused(what):
    assert not is_stackable([REFUSED[what]()], torch.randn(2, 1, 32, 32))


def test_what_can_be_stacked():
    images = torch.randn(2, 1, 32, 32)
    assert is_stackable([RESIDUAL()] * 3, images)
    assert is_stackable([Renamed(in_channels=1, width=4)], images)
    assert is_stackable([chain(nn.Flatten(), nn.Linear(900, 4))], images)


def test_networks_that_look_alike_are_tried_once(monkeypatch):
    tried, honest = [], stacked.stack
    monkeypatch.setattr(stacked, "stack", lambda two: tried.append(1) or honest(two))
    wide = functools.partial(RESIDUAL, width=20)
    images = torch.randn(2, 1, 32, 32)
    assert all(is_stackable([wide(), wide()], images) for _ in range(3)) and len(tried) == 1
    for number, (network, others) in enumerate(
        [(wide(width=24), images), (wide().double(), images.double()), (wide(), images[:, :, :16])]
    ):
        is_stackable([network], others)
        assert len(tried) == number + 2


def test_what_alters_one_of_networks_that_look_alike_is_seen():
    images = torch.randn(2, 1, 32, 32)
    assert is_stackable([RESIDUAL()], images) and not is_stackable([hooked()], images)
    own = RESIDUAL()
    own.stages.stem.forward = lambda x: x
    assert not is_stackable([own], images)
    assert not is_stackable([RESIDUAL().requires_grad_(False), RESIDUAL()], images)
    assert not is_stackable([Changed(in_channels=1, width=4)], images)


def test_networks_that_differ_are_refused_and_left_as_they_were():
    other = [RESIDUAL(), RESIDUAL(width=8)]
    assert not is_stackable(other, torch.randn(2, 1, 32, 32))
    with pytest.raises(NotStackableError):
        stack(other)
    frozen = [RESIDUAL(), RESIDUAL().requires_grad_(False)]
    before = [one.data_ptr() for network in frozen for one in network.parameters()]
    with pytest.raises(NotStackableError):
        stack(frozen)
    assert before == [one.data_ptr() for network in frozen for one in network.parameters()]
