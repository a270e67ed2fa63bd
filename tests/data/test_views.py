"""Views: equal to a slow reference, and of the image alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny_data

from kdnotes.data import Split, Views
from kdnotes.data import views as views_module


def slow_view(split: Split, position: int, views: Views, view: int) -> torch.Tensor:
    """One image, padded by repeating its border, cropped and flipped: the reference."""
    image, index = split.images[position], int(split.index[position])
    generator = np.random.Philox(key=[views.seed, view % views.count])
    bits = int(generator.random_raw(index + 1)[-1]) >> 1
    span, pad = 2 * views.padding + 1, views.padding
    top, left = pad + bits % span - pad, pad + (bits >> 16) % span - pad
    padded = np.pad(image.numpy(), ((0, 0), (pad, pad), (pad, pad)), mode="edge")
    cropped = padded[:, top : top + 32, left : left + 32]
    turned = views.flip and (bits >> 32) % 2
    return torch.from_numpy((cropped[:, :, ::-1] if turned else cropped).copy())


@pytest.mark.parametrize(
    "views", [Views(), Views(3, padding=4, flip=False, seed=5), Views(1, padding=0), Views(2, 40)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_views_equal_a_slow_reference(views, channels):
    split = tiny_data(channels).train
    for view in range(views.count):
        taken = views.take(split, torch.arange(20), view)
        expected = torch.stack([slow_view(split, position, views, view) for position in range(20)])
        assert torch.equal(taken, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("limit", [0, 2**30])
def test_a_reader_gives_what_take_gives_also_in_memory(channels, limit, monkeypatch):
    split, views, taken = tiny_data(channels).train, Views(3), []
    original = Views.take
    monkeypatch.setattr(views_module, "_KEPT_BYTES", limit)
    monkeypatch.setattr(Views, "take", lambda *args: taken.append(len(args[2])) or original(*args))
    read = views.reader(split)
    for positions in (torch.tensor([3]), torch.tensor([5, 0, 5, 19]), torch.arange(20)):
        for view in (0, 2, 0, 1):
            found, expected = read(positions, view), original(views, split, positions, view)
            assert torch.equal(found, expected) and found.stride() == expected.stride()
    assert taken == ([len(split)] * 3 if limit else [1] * 4 + [4] * 4 + [20] * 4)


def test_a_view_depends_on_the_image_alone_not_on_company_order_or_subset():
    split, views = tiny_data().train, Views()
    everything = views.take(split, torch.arange(60), 3)
    positions = torch.tensor([41, 7, 0, 59])
    assert torch.equal(views.take(split, positions, 3), everything[positions])
    assert torch.equal(views.take(split, torch.tensor([7]), 3), everything[[7]])
    subset = split.take(torch.tensor([7, 41]))
    assert torch.equal(views.take(subset, torch.tensor([1, 0]), 3), everything[[41, 7]])


def test_views_are_deterministic_leave_generators_alone_and_differ():
    split, views, everything = tiny_data().train, Views(), torch.arange(60)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    taken = [views.take(split, everything, view) for view in range(8)]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    views_module._draws.cache_clear()
    assert torch.equal(views.take(split, everything, 5), taken[5])
    assert torch.equal(views.take(split, everything, 8 + 5), taken[5])
    distinct = len({tuple(v.flatten().tolist()) for v in taken})
    assert distinct == 8
    assert not torch.equal(Views(seed=1).take(split, everything, 0), taken[0])


def test_plain_view_is_the_image_and_shifts_and_flips_are_uniform():
    split = tiny_data().train
    plain = Views(count=1, padding=0, flip=False).take(split, torch.arange(60), 0)
    assert torch.equal(plain, split.images)
    draws = views_module._draws(0, 0, 50_000)
    for shift in (0, 16):
        shares = np.bincount((draws >> shift) % 5) / len(draws)
        assert np.abs(shares - 0.2).max() < 0.01
    assert abs(((draws >> 32) % 2).mean() - 0.5) < 0.01
    pairs = np.bincount((draws % 5) * 5 + (draws >> 16) % 5) / len(draws)
    assert np.abs(pairs - 0.04).max() < 0.005  # row and column shift are independent
