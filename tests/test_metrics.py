"""Metrics against torchmetrics, scipy and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from kdnotes import metrics


def sample(count=500, classes=7, scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (count,), generator=generator)
    logits = scale * torch.randn(count, classes, generator=generator)
    logits[torch.arange(count), targets] += 2
    return logits, targets


def test_evaluate_equals_torchmetrics(capsys):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    worst = 0.0
    for seed in range(20):
        logits, targets = sample(scale=0.5 + seed / 4, seed=seed)
        measured, classes = metrics.evaluate(logits, targets), logits.shape[1]
        probabilities = logits.double().softmax(1)
        accuracy = functional.multiclass_accuracy(logits, targets, classes, average="micro").item()
        ece = functional.multiclass_calibration_error(
            probabilities, targets, classes, n_bins=15, norm="l1"
        ).item()
        assert measured["accuracy"] == pytest.approx(accuracy, abs=1e-6)
        worst = max(worst, abs(measured["ece"] - ece))
    with capsys.disabled():
        print(f"\nECE, torchmetrics, 20 cases: largest difference {worst:.1e} ", end="")
    assert worst < 1e-6


@pytest.mark.parametrize("sizes", [(200, 3, 2), (30, 30), (1, 1, 1), (500, 100, 20, 4, 1)])
def test_balanced_accuracy_equals_torchmetrics(sizes):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    targets = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    for seed in range(10):
        logits = torch.randn(
            len(targets), len(sizes), generator=torch.Generator().manual_seed(seed)
        )
        expected = functional.multiclass_accuracy(
            logits, targets, len(sizes), average="macro"
        ).item()
        assert metrics.balanced_accuracy(logits, targets) == pytest.approx(expected, abs=1e-6)


def test_balanced_accuracy_by_hand():
    """Always the largest class: 90 of 100 are right, 1 of 4 classes, 1 of the 3 that occur."""
    targets = torch.tensor([0] * 90 + [1] * 6 + [2] * 3 + [3])
    logits = torch.zeros(100, 4)
    logits[:, 0] = 1
    assert metrics.accuracy(logits, targets) == 0.9
    assert metrics.balanced_accuracy(logits, targets) == 0.25
    assert metrics.balanced_accuracy(logits[:99], targets[:99]) == pytest.approx(1 / 3)
    logits, targets = sample(490)
    equal = torch.arange(490) % 7
    assert metrics.balanced_accuracy(logits, equal) == pytest.approx(
        metrics.accuracy(logits, equal), rel=1e-12
    )
    with pytest.raises(ValueError, match="one class for each"):
        metrics.balanced_accuracy(logits[:0], targets[:0])


def test_calibration_error_by_hand():
    """Confidences 0.8 (right), 0.8 (wrong), 0.6 (right): |0.5 − 0.8|·2/3 + |1 − 0.6|/3."""
    p = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4]], dtype=torch.float64)
    ece = metrics.expected_calibration_error(p.log(), torch.tensor([0, 1, 0]))
    assert ece == pytest.approx(0.3 * 2 / 3 + 0.4 / 3)
    assert metrics.expected_calibration_error(
        p.log(), torch.tensor([0, 1, 0]), bins=1
    ) == pytest.approx(1 / 15)


def test_negative_log_likelihood_equals_closed_form():
    logits, targets = sample()
    z = logits.double().numpy()
    expected = np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), targets])
    assert metrics.negative_log_likelihood(logits, targets) == pytest.approx(expected, rel=1e-12)
    assert metrics.negative_log_likelihood(
        torch.zeros(3, 8), torch.tensor([0, 1, 7])
    ) == pytest.approx(math.log(8))


def test_accuracy_and_agreement_by_hand():
    first = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    second = torch.tensor([[9.0, 1.0, 0.0], [0.0, 2.0, 3.0], [0.0, 1.0, 2.0], [2.0, 3.0, 0.0]])
    assert metrics.accuracy(first, torch.tensor([0, 1, 0, 0])) == 0.75
    assert metrics.agreement(first, second) == 0.5


def test_gap_recovered():
    assert metrics.gap_recovered(0.85, 0.80, 0.90) == pytest.approx(0.5)
    assert metrics.gap_recovered(0.78, 0.80, 0.90) == pytest.approx(-0.2)
    assert math.isnan(metrics.gap_recovered(0.85, 0.9, 0.9))


@pytest.mark.parametrize(("only", "other"), [(0, 0), (1, 0), (3, 3), (10, 2), (5, 30), (200, 150)])
def test_mcnemar_equals_the_binomial_sum(only, other):
    """Two-sided exact p-value, 2·P(X ≤ min) of a fair coin, at most 1; and statsmodels'."""
    both, neither = 40, 10
    right = torch.tensor([True] * (both + only) + [False] * (other + neither))
    other_right = torch.tensor([True] * both + [False] * only + [True] * other + [False] * neither)
    targets = torch.zeros(len(right), dtype=torch.long)
    logits = [torch.stack([hits.float(), (~hits).float()], 1) for hits in (right, other_right)]
    discordant = only + other
    tail = sum(math.comb(discordant, k) for k in range(min(only, other) + 1)) / 2**discordant
    assert metrics.mcnemar(*logits, targets) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
    assert metrics.mcnemar(*reversed(logits), targets) == metrics.mcnemar(*logits, targets)


# CKA


def unbiased_hsic(first, second):
    """Of two Gram matrices: Σ over different i, j, q, r of k_ij·l_ij + k_ij·l_qr − 2·k_ij·l_iq."""
    i, j, q, r = np.array(list(itertools.permutations(range(len(first)), 4))).T
    return np.mean(
        first[i, j] * second[i, j] + first[i, j] * second[q, r] - 2 * first[i, j] * second[i, q]
    )


def u_centred(gram):
    """Less what makes the sums of rows and columns 0 where the diagonal is (1310.2926)."""
    count, gram = len(gram), gram - np.diag(np.diag(gram))
    rows = gram.sum(axis=1) / (count - 2)
    centred = gram - rows[:, None] - rows[None, :] + gram.sum() / ((count - 1) * (count - 2))
    return centred - np.diag(np.diag(centred))


def product_of_centred(first, second):
    count = len(first)
    return (u_centred(first) * u_centred(second)).sum() / (count * (count - 3))


def alignment(hsic, first, second):
    """CKA; None where the estimate for one of the two alone is below 0, or above it by rounding."""
    own = [hsic(gram, gram) for gram in (first, second)]
    sizes = [np.square(gram - gram.mean()).mean() for gram in (first, second)]
    if min(np.divide(own, sizes)) < 1e-2:
        return None
    return hsic(first, second) / math.sqrt(own[0] * own[1])


def random_representations(rng, count):
    """Two of them, the second in part a function of the first."""
    first = 10.0 ** rng.uniform(-3, 3) * rng.standard_normal((count, rng.integers(1, 9)))
    second = rng.standard_normal((count, rng.integers(1, 9)))
    if rng.random() < 0.7:
        second = 10.0 ** rng.uniform(-3, 3) * (
            first @ rng.standard_normal((first.shape[1], 3)) + second[:, :1]
        )
    return first + rng.standard_normal(), second + 3 * rng.standard_normal()


def test_cka_equals_the_sums_over_four_samples_and_over_centred_matrices_in_1000_random_cases(
    capsys,
):
    rng = np.random.default_rng(0)
    worst = {"sums": 0.0, "matrices": 0.0}
    cases = {"sums": 0, "matrices": 0}
    while cases["sums"] < 1000:
        for name, counts in (("sums", (4, 7)), ("matrices", (8, 60))):
            count = int(rng.integers(*counts))
            pair = random_representations(rng, count)
            first, second = (one @ one.T for one in pair)
            expected = alignment(
                unbiased_hsic if name == "sums" else product_of_centred, first, second
            )
            if expected is None:
                continue
            found = metrics.cka(*map(torch.tensor, pair))
            worst[name] = max(worst[name], abs(found - expected) / max(1, abs(expected)))
            cases[name] += 1
    with capsys.disabled():
        found = ", ".join(f"{name} {worst[name]:.1e} ({cases[name]:,} cases)" for name in worst)
        print(f"\nCKA: largest differences {found} ", end="")
    assert max(worst.values()) < 1e-8


def representation(count=40, dimensions=12, seed=0):
    return torch.randn(
        count, dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def test_cka_is_blind_to_rotation_scale_and_shift_and_sees_other_linear_maps():
    first = representation()
    second = representation(dimensions=5, seed=1) + 2 * representation()[:, :5]
    rotation = torch.linalg.qr(representation(12, seed=2))[0]
    expected = metrics.cka(first, second)
    assert 0.1 < expected < 0.95
    for same in (
        first @ rotation,
        1e-6 * first,
        -1e6 * first,
        first + 100,
        first[:, torch.randperm(12)],
    ):
        assert metrics.cka(same, second) == pytest.approx(expected, abs=1e-9)
        assert metrics.cka(second, same) == pytest.approx(expected, abs=1e-9)
        assert metrics.cka(first, same) == pytest.approx(1.0, abs=1e-9)
    stretched = first * torch.linspace(0.01, 3, 12)
    assert metrics.cka(stretched, first) < 0.95
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    assert metrics.cka(first[order], second[order]) == pytest.approx(expected, abs=1e-9)
    assert metrics.cka(first[order], second) < expected - 0.1  # samples belong together


def test_a_table_of_cka_holds_what_cka_gives_for_each_pair():
    ours = [representation(20, size, size) for size in (3, 8, 30)] + [torch.ones(20, 2)]
    theirs = [representation(20, 5, 1).float(), representation(20, 4, 2).reshape(20, 2, 2)]
    expected = [[metrics.cka(one, other) for other in theirs] for one in ours]
    np.testing.assert_array_equal(metrics.cka_table(ours, theirs), expected)
    assert np.isnan(expected[3]).all() and not np.isnan(expected[:3]).any()


def test_cka_of_unrelated_features_is_0_on_average_even_of_more_dimensions_than_samples():
    found = [
        metrics.cka(representation(40, 2000, seed), representation(40, 3000, 100 + seed))
        for seed in range(20)
    ]
    plain = []  # the plain estimate, from centred Gram matrices
    for seed in range(3):
        first, second = representation(40, 2000, seed), representation(40, 3000, 100 + seed)
        grams = [one @ one.T for one in (first - first.mean(0), second - second.mean(0))]
        plain.append(float((grams[0] * grams[1]).sum() / (grams[0].norm() * grams[1].norm())))
    assert abs(np.mean(found)) < 0.02 and max(map(abs, found)) < 0.1 and min(found) < 0 < max(found)
    assert min(plain) > 0.9


def test_cka_takes_feature_maps_of_any_shape_and_float32_and_leaves_them():
    torch.manual_seed(0)
    maps, other = torch.randn(30, 4, 3, 3), torch.randn(30, 7)
    maps[:, 0, 0] += other[:, :3]
    before = maps.clone()
    expected = metrics.cka(maps.flatten(1).double(), other.double())
    found = metrics.cka(maps.requires_grad_(), other)
    assert type(found) is float and found == pytest.approx(expected, rel=1e-6)
    assert torch.equal(maps, before)


@pytest.mark.parametrize("value", [0.0, 0.1, 7e3])
def test_cka_of_a_constant_is_nan(value):
    for count in (4, 7, 13):
        for dtype in (torch.float32, torch.float64):
            constant = torch.full((count, 3), value, dtype=dtype)
            assert math.isnan(metrics.cka(constant, representation(count)))
            assert math.isnan(metrics.cka(representation(count), constant))
