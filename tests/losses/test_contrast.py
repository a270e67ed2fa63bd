"""The contrastive loss against its closed form, the authors' code's form, and limits."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdnotes import losses

NAN = math.nan


def random_case(rng):
    """Cosines of anchors with 1 + M candidates, a temperature and a level."""
    shape = int(rng.integers(1, 8)), int(rng.integers(2, 30))
    return rng.uniform(-1, 1, shape), float(rng.uniform(0.05, 2)), float(rng.normal())


def test_the_loss_equals_its_closed_form_in_500_random_cases():
    rng = np.random.default_rng(0)
    for _ in range(500):
        s, temperature, level = random_case(rng)
        expected = []
        for row in s:
            odds = [math.exp(x / temperature - level) / (len(row) - 1) for x in row]
            total = -math.log(odds[0] / (1 + odds[0]))
            expected.append(total - sum(math.log(1 / (1 + one)) for one in odds[1:]))
        given = torch.from_numpy(s), level, temperature
        found = losses.contrastive_loss(*given, reduction="none")
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        assert losses.contrastive_loss(*given).item() == pytest.approx(np.mean(expected))


def as_in_the_authors_code(s, images, temperature):
    """Their Z, their noise P_n = 1/N and their 1e-7, for the first batch."""
    x = (s / temperature).exp()
    x = x / (x.mean() * images)
    noise = (s.shape[1] - 1) / images
    positive = (x[:, 0] / (x[:, 0] + noise + 1e-7)).log()
    negative = (noise / (x[:, 1:] + noise + 1e-7)).log()
    return -(positive.sum() + negative.sum()) / len(s)


@pytest.mark.parametrize("images", [50, 500, 50_000])
def test_with_the_level_of_the_batch_it_is_the_authors_loss_whatever_the_number_of_images(images):
    torch.manual_seed(0)
    s = 2 * torch.rand(6, 21, dtype=torch.float64) - 1
    level = losses.contrast_level(s, 0.3)
    assert level == pytest.approx((s / 0.3).exp().mean().log().item())
    found = losses.contrastive_loss(s, level, 0.3).item()
    assert found == pytest.approx(as_in_the_authors_code(s, images, 0.3).item(), rel=5e-3)


def stored_case():
    """Similarities ``[6, 5]`` of the student's anchors and of the teacher's."""
    i, j = torch.arange(1, 7, dtype=torch.float64), torch.arange(1, 5)
    order = torch.stack([torch.roll(torch.arange(6), -n) for n in range(6)])[:, :5]

    def unit(wave, shift):
        return F.normalize(wave(torch.outer(i, j) + shift), dim=1)

    return [
        (unit(torch.sin, shift) @ unit(torch.cos, other).T).gather(1, order)
        for shift, other in ((0, 2), (1, 0))
    ]


# Of ``CRDLoss`` of torchdistill 1.1.5 in float64 with eps = 0, by T: its ``contrast_memory`` of the
# embeddings, memories and ``order`` of ``stored_case``, then ``compute_contrast_loss`` of each.
TORCHDISTILL = {
    0.07: (24.636865546760628, 1.0729382676635748),
    0.5: (4.548681908895894, 1.2891109188035887),
}


@pytest.mark.parametrize("temperature", TORCHDISTILL)
def test_the_loss_equals_stored_values_of_torchdistill(temperature):
    for s, expected in zip(stored_case(), TORCHDISTILL[temperature], strict=True):
        level = losses.contrast_level(s, temperature)
        found = losses.contrastive_loss(s, level, temperature)
        assert found.item() == pytest.approx(expected, 1e-10)


def test_a_candidate_drawn_blindly_has_one_chance_in_all():
    """At equal similarities the level is theirs over T, and each σ(h) is 1/(M + 1)."""
    s = torch.full((3, 8), 0.4)
    level = losses.contrast_level(s, 0.5)
    assert level == pytest.approx(0.8)
    expected = math.log(8) + 7 * math.log(8 / 7)
    assert losses.contrastive_loss(s, level, 0.5).item() == pytest.approx(expected)


def test_gradcheck():
    torch.manual_seed(1)
    s = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    for reduction in ("mean", "none"):
        assert torch.autograd.gradcheck(
            lambda x, r=reduction: losses.contrastive_loss(x, 0.3, 0.5, reduction=r), s
        )


def test_the_gradient_raises_its_own_and_lowers_the_others():
    s = torch.zeros(5, 9, requires_grad=True)
    losses.contrastive_loss(s).backward()
    assert (s.grad[:, 0] < 0).all() and (s.grad[:, 1:] > 0).all()


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_extremes_are_finite_with_finite_gradients(size):
    s = size * torch.tensor([[1.0, -1, 1], [-1, 1, 1], [0, 0, 0]], requires_grad=True)
    s.retain_grad()
    level = losses.contrast_level(s)
    value = losses.contrastive_loss(s, level)
    value.backward()
    assert math.isfinite(level) and value.isfinite() and s.grad.isfinite().all()


def test_the_order_of_negatives_and_of_anchors_does_not_matter():
    torch.manual_seed(2)
    s = torch.randn(6, 9)
    moved = s[torch.randperm(6)][:, [0, *range(8, 0, -1)]]
    torch.testing.assert_close(losses.contrastive_loss(moved), losses.contrastive_loss(s))
    assert losses.contrast_level(moved) == pytest.approx(losses.contrast_level(s))


def test_training_two_projections_by_it_finds_each_samples_own():
    """Two random views of hidden vectors: after training each anchor prefers its own sample."""
    torch.manual_seed(3)
    hidden = torch.randn(12, 4)
    views = [hidden @ torch.randn(4, 7), hidden @ torch.randn(4, 5)]
    maps = [torch.randn(one.shape[1], 6, requires_grad=True) for one in views]
    order = torch.stack([torch.roll(torch.arange(12), -i) for i in range(12)])

    def similarities():
        ours, theirs = (F.normalize(x @ m, dim=1) for x, m in zip(views, maps, strict=True))
        return (ours @ theirs.T).gather(1, order)

    level = losses.contrast_level(similarities(), 0.2)
    optimizer = torch.optim.Adam(maps, 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        losses.contrastive_loss(similarities(), level, 0.2).backward()
        optimizer.step()
    assert (similarities().argmax(dim=1) == 0).all()


S = torch.zeros(3, 4)
WRONG = {
    "similarities must be a floating-point tensor, not list": (([[0.0, 1.0]],), {}),
    "similarities must have the shape [batch, 1 + negatives], 1 negative or more, not [3, 1]": (
        (S[:, :1],),
        {},
    ),
    "similarities must have the shape [batch, 1 + negatives], 1 negative or more, not [4]": (
        (S[0],),
        {},
    ),
    "similarities must be finite, but 12 of 12 numbers are NaN or infinite": ((S * NAN,), {}),
    "similarities must hold at least one sample, not 0": ((S[:0],), {}),
    "temperature must be a finite number above 0, not 0": ((S,), {"temperature": 0}),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_calls_are_refused(message):
    given, named = WRONG[message]
    for loss in (losses.contrastive_loss, losses.contrast_level):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            loss(*given, **named)


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (NAN, "level must be a finite number, not nan"),
        (torch.tensor(1.0), "level must be a number, not a float32 tensor"),
    ],
)
def test_a_wrong_level_is_refused(level, message):
    with pytest.raises((TypeError, ValueError), match=message):
        losses.contrastive_loss(S, level)


def test_a_wrong_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'none', not 'sum'"):
        losses.contrastive_loss(S, reduction="sum")
