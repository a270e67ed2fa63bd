"""Metrics against torchmetrics, scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

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
        ece = functional.multiclass_calibration_error(probabilities, targets, classes, n_bins=15, norm="l1").item()
        assert measured["accuracy"] == pytest.approx(accuracy, abs=1e-6)
        worst = max(worst, abs(measured["ece"] - ece))
    with capsys.disabled():
        print(f"\nECE, torchmetrics, 20 cases: largest difference {worst:.1e} ", end="")
    assert worst < 1e-6


def test_calibration_error_by_hand():
    """Confidences 0.8 (right), 0.8 (wrong), 0.6 (right): |0.5 − 0.8|·2/3 + |1 − 0.6|/3."""
    p = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4]], dtype=torch.float64)
    ece = metrics.expected_calibration_error(p.log(), torch.tensor([0, 1, 0]))
    assert ece == pytest.approx(0.3 * 2 / 3 + 0.4 / 3)
    assert metrics.expected_calibration_error(p.log(), torch.tensor([0, 1, 0]), bins=1) == pytest.approx(1 / 15)


def test_negative_log_likelihood_equals_closed_form():
    logits, targets = sample()
    z = logits.double().numpy()
    expected = np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), targets])
    assert metrics.negative_log_likelihood(logits, targets) == pytest.approx(expected, rel=1e-12)
    assert metrics.negative_log_likelihood(torch.zeros(3, 8), torch.tensor([0, 1, 7])) == pytest.approx(math.log(8))


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
    """Two-sided exact p-value, 2·P(X ≤ min) of a fair coin, at most 1; and statsmodels' where it is installed."""
    both, neither = 40, 10
    right = torch.tensor([True] * (both + only) + [False] * (other + neither))
    other_right = torch.tensor([True] * both + [False] * only + [True] * other + [False] * neither)
    targets = torch.zeros(len(right), dtype=torch.long)
    logits = [torch.stack([hits.float(), (~hits).float()], 1) for hits in (right, other_right)]
    discordant = only + other
    tail = sum(math.comb(discordant, k) for k in range(min(only, other) + 1)) / 2**discordant
    assert metrics.mcnemar(*logits, targets) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
    assert metrics.mcnemar(*reversed(logits), targets) == metrics.mcnemar(*logits, targets)


def test_interval_equals_scipy_and_says_whether_zero_lies_outside():
    samples = [0.012, 0.018, 0.009, 0.021, 0.015]
    interval = metrics.mean_interval(samples)
    expected = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
    assert tuple(interval) == pytest.approx((np.mean(samples), expected.low, expected.high), rel=1e-12)
    assert interval.resolved and interval.n == 5
    assert interval.half_width == pytest.approx((expected.high - expected.low) / 2)
    assert interval.points() == f"+1.50 ± {100 * interval.half_width:.2f}"
    assert interval.points(signed=False) == f"1.50 ± {100 * interval.half_width:.2f}"
    assert not metrics.mean_interval([-0.01, 0.012, 0.001]).resolved
    assert metrics.mean_interval([-x for x in samples]).resolved
    wider = metrics.mean_interval(samples, level=0.99)
    assert wider.low < interval.low and wider.high > interval.high


def test_one_sample_resolves_nothing():
    interval = metrics.mean_interval([0.5])
    assert (interval.low, interval.high, interval.n) == (-math.inf, math.inf, 1) and not interval.resolved


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [metrics.mean_interval(rng.normal(0.3, 1, 5)) for _ in range(1000)]
    assert 0.92 < np.mean([i.low < 0.3 < i.high for i in intervals]) < 0.98
