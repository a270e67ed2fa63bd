"""Intervals of means against scipy, and what is said of them."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from kdnotes.intervals import Interval, by_verdict, mean_interval, said, signed, verdict


def test_interval_equals_scipy_and_says_whether_zero_lies_outside():
    samples = [0.012, 0.018, 0.009, 0.021, 0.015]
    interval = mean_interval(samples)
    expected = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
    assert tuple(interval) == pytest.approx(
        (np.mean(samples), expected.low, expected.high), rel=1e-12
    )
    assert interval.resolved and interval.n == 5
    assert interval.half_width == pytest.approx((expected.high - expected.low) / 2)
    assert interval.points() == f"+1.50 ± {100 * interval.half_width:.2f}"
    assert interval.points(signed=False) == f"1.50 ± {100 * interval.half_width:.2f}"
    assert not mean_interval([-0.01, 0.012, 0.001]).resolved
    assert mean_interval([-x for x in samples]).resolved
    wider = mean_interval(samples, level=0.99)
    assert wider.low < interval.low and wider.high > interval.high


def test_every_quantile_is_that_of_scipys_t_distribution_to_the_last_bit():
    draws = np.random.default_rng(0)
    for count in range(2, 40):
        samples, level = draws.standard_normal(count), 1 - 0.05 / count
        quantile = stats.t.ppf((1 + level) / 2, count - 1)
        half = float(quantile * samples.std(ddof=1) / np.sqrt(count))
        assert mean_interval(samples, level).high == float(samples.mean()) + half


def test_an_interval_does_not_wait_for_scipys_distributions():
    """Their import takes a second, which every chapter would pay."""
    code = (
        "import sys; from kdnotes.intervals import mean_interval; mean_interval([1.0, 2.0, 4.0]); "
        "print('scipy.stats' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_a_difference_in_words():
    gain, loss, neither = Interval(2, 1, 3, 5), Interval(-2, -3, -1, 5), Interval(0.5, -1, 2, 5)
    words = [verdict(one) for one in (gain, loss, neither)]
    assert words == ["resolved gain", "resolved loss", "not resolved"]
    lower = [verdict(one, lower_is_better=True) for one in (gain, loss, neither)]
    assert lower == ["resolved loss", "resolved gain", "not resolved"]
    small = Interval(-0.0125, -0.02, -0.005, 5)
    assert said(small) == "−1.25 ± 0.75 points (resolved loss)"
    assert said(small, "nats", lower_is_better=True) == "−0.013 ± 0.007 nats (resolved gain)"
    assert (signed(-1.234), signed(1.236), signed(0.5, 1)) == ("−1.23", "+1.24", "+0.5")
    assert signed(-0.001) == "+0.00" and Interval(-1e-6, -0.01, 0.01, 5).points() == "+0.00 ± 1.00"
    sorted_out = by_verdict({"A": gain, "B": neither, "C": gain})
    assert sorted_out == "resolved gain: A, C; resolved loss: none; not resolved: B"


def test_one_sample_resolves_nothing():
    interval = mean_interval([0.5])
    assert (interval.low, interval.high, interval.n) == (-math.inf, math.inf, 1)
    assert not interval.resolved and interval.points() == "+50.00 ± ∞"
    assert said(interval, "nats") == "+0.500 ± ∞ nats (not resolved)"


# Pairs that are equal on paper: some of their differences are 0.0125 and 0.012499999999999956.
EQUAL_ON_PAPER = [0.7910 - 0.7785, 0.8035 - 0.7910, 0.9125 - 0.9000, 0.1250 - 0.1125]


@pytest.mark.parametrize(
    "samples",
    [
        [0.0125, 0.0125],
        [-0.0125] * 5,
        EQUAL_ON_PAPER,
        [0.0, 0.0],
        [7e3] * 3,
        [0.1 + 0.2, 0.3],
        [3e-9] * 4,
    ],
)
def test_an_interval_without_width_is_not_resolved_anywhere(samples):
    for level in (0.95, 0.9999):
        interval = mean_interval(samples, level)
        assert not (
            interval.has_spread or interval.resolved or interval.above() or interval.below()
        )
        assert not interval.above(interval.mean - 1) and not interval.below(interval.mean + 1)
        for lower in (False, True):
            assert verdict(interval, lower_is_better=lower) == "not resolved"


def test_a_small_spread_is_a_spread():
    for samples in ([0.01, 0.0101], [1e-6, 1.01e-6, 0.99e-6], [7e3, 7e3 + 1e-3]):
        assert mean_interval(samples).has_spread and mean_interval(samples, 0.5).above()
    assert not Interval(0.5, 0.4, 0.6, 1).has_spread  # one sample, whatever ends were given


def test_where_an_interval_lies_is_strict_at_its_ends():
    interval = Interval(0.5, 0.25, 0.75, 5)
    assert interval.above(0.2499) and not interval.above(0.25) and not interval.above(0.5)
    assert interval.below(0.7501) and not interval.below(0.75) and not interval.below(0.5)
    assert not Interval(0.5, 0.0, 1.0, 5).resolved
    assert not Interval(-0.5, -1.0, 0.0, 5).resolved


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(0.3, 1, 5)) for _ in range(1000)]
    assert 0.92 < np.mean([i.low < 0.3 < i.high for i in intervals]) < 0.98
