"""Ranges of activations by a moving average: the formula, the order, and what is left alone."""

from __future__ import annotations

import math

import pytest
import torch
from edge_networks import IMAGES, network
from torch import nn

from kdnotes import edge
from kdnotes.training import predict


def chain() -> edge.FakeQuantised:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3, bias=False))
    nn.init.constant_(flat[1].weight, 0.01)
    return edge.FakeQuantised(flat, IMAGES)


def by_hand(values: list[float], weight: float) -> float:
    """By the weights of all images at once: the last has w, the one before it w(1 − w), …"""
    last = len(values) - 1
    shares = [weight * (1 - weight) ** (last - k) for k in range(last + 1)]
    shares[0] = (1 - weight) ** last
    return math.fsum(share * value for share, value in zip(shares, values, strict=True))


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_the_ends_are_the_moving_average_of_each_images_ends(weight):
    (layer,) = edge.moving_ranges(chain(), IMAGES, weight).layers()
    lows, highs = IMAGES.flatten(1).amin(1).tolist(), IMAGES.flatten(1).amax(1).tolist()
    assert float(layer.low) == pytest.approx(by_hand(lows, weight), rel=1e-5)
    assert float(layer.high) == pytest.approx(by_hand(highs, weight), rel=1e-5)


def test_the_order_of_the_images_counts_and_of_the_extremes_it_does_not():
    largest_first = IMAGES.flatten(1).amax(1).argsort(descending=True)
    ends = []
    for order in (largest_first, largest_first.flip(0)):
        (layer,) = edge.moving_ranges(chain(), IMAGES[order]).layers()
        ends.append(float(layer.high))
    assert ends[0] > ends[1] + 0.01
    (layer,) = chain().layers()
    assert float(layer.high) == float(IMAGES.max()) > max(ends)


def test_the_range_holds_0():
    for shift in (10, -10):
        (layer,) = edge.moving_ranges(chain(), IMAGES + shift).layers()
        assert float(layer.low) <= 0 <= float(layer.high)
        assert min(-float(layer.low), float(layer.high)) == 0


def test_one_image_repeated_gives_its_own_range():
    same = IMAGES[:1].repeat(5, 1, 1, 1)
    moved = edge.moving_ranges(edge.FakeQuantised(network(), IMAGES), same)
    alone = edge.FakeQuantised(network(), IMAGES[:1])
    for one, other in zip(moved.layers(), alone.layers(), strict=True):
        assert torch.allclose(one.low, other.low, atol=1e-6)
        assert torch.allclose(one.high, other.high, atol=1e-6)


def test_the_network_is_left_as_it_was_and_the_copy_rounds():
    fake = edge.FakeQuantised(network(), IMAGES)
    before = {name: tensor.clone() for name, tensor in fake.state_dict().items()}
    moved = edge.moving_ranges(fake, IMAGES)
    assert all(torch.equal(before[name], one) for name, one in fake.state_dict().items())
    found = [predict(one, IMAGES) for one in (fake, moved)]
    assert not torch.equal(*found)
    assert not torch.equal(found[1], predict(edge.fold(network()), IMAGES))


@pytest.mark.parametrize("weight", [0, 1, -0.1, float("nan"), "0.5"])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match="weight must"):
        edge.moving_ranges(chain(), IMAGES, weight)


def test_wrong_calls_are_refused():
    with pytest.raises(TypeError, match=r"network must be an edge\.FakeQuantised"):
        edge.moving_ranges(network(), IMAGES)
    with pytest.raises(ValueError, match="images"):
        edge.moving_ranges(edge.FakeQuantised(network(), IMAGES), IMAGES[0])
