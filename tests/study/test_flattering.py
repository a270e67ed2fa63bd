"""The flattery of a choice: against loops over all ways, and against a case with a closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdnotes.study import Study, flattery


def made_up(validation, test):
    """A study of results ``[seeds, arms]``."""
    rows = [
        {"arm": f"a{arm}", "seed": 10 * seed, "validation_accuracy": v, "test_accuracy": t}
        for arm, columns in enumerate(zip(validation.T, test.T, strict=True))
        for seed, (v, t) in enumerate(zip(*columns, strict=True))
    ]
    return Study(pd.DataFrame(rows), {})


def lucky(rng, seeds, arms, correlation=0.5):
    """Arms of equal true means, whose luck shows on validation and test, and that of a seed in
    all arms.
    """
    own, other = rng.normal(size=(2, seeds, arms))
    test = correlation * own + np.sqrt(1 - correlation**2) * other
    seed = rng.normal(size=(seeds, 1))
    return own + seed, test + seed


def by_hand(validation, test, k):
    n, gaps = len(test), []
    for inside in itertools.combinations(range(n), k):
        outside = [seed for seed in range(n) if seed not in inside]
        best = max(range(test.shape[1]), key=lambda arm: validation[list(inside), arm].mean())
        gaps.append(test[list(inside), best].mean() - test[outside, best].mean())
    return np.mean(gaps)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_it_is_the_mean_over_all_ways_with_the_jackknife_over_seeds(k):
    validation, test = lucky(np.random.default_rng(k), 6, 3)
    found = flattery(made_up(validation, test), k)
    without = [
        by_hand(np.delete(validation, seed, 0), np.delete(test, seed, 0), k) for seed in range(6)
    ]
    spread = np.sum((np.array(without) - np.mean(without)) ** 2)
    half = stats.t.ppf(0.975, 5) * np.sqrt(5 / 6 * spread)
    assert found.mean == pytest.approx(by_hand(validation, test, k)) and found.n == 6
    assert found.half_width == pytest.approx(half)


def test_an_arm_that_always_wins_is_not_flattered():
    validation, test = lucky(np.random.default_rng(0), 8, 3)
    validation[:, 1] += 100
    found = flattery(made_up(validation, test), 3)
    assert found.points() == "+0.00 ± 0.00" and not found.has_spread


def test_a_difference_from_an_arm_that_is_not_chosen_is_flattered_as_much():
    rng = np.random.default_rng(1)
    validation, test = lucky(rng, 8, 3)
    minus_baseline = test - rng.normal(size=(8, 1))
    mean = flattery(made_up(validation, test), 3).mean
    assert flattery(made_up(validation, minus_baseline), 3).mean == pytest.approx(mean)


def test_among_and_the_metrics_can_be_named():
    validation, test = lucky(np.random.default_rng(2), 7, 4)
    some = flattery(made_up(validation, test), 2, ["a1", "a3"])
    assert some == flattery(made_up(validation[:, [1, 3]], test[:, [1, 3]]), 2)
    own = flattery(made_up(validation, test), 2, metric="validation_accuracy")
    assert own == flattery(made_up(validation, validation), 2)
    on_test = flattery(made_up(validation, test), 2, by="test_accuracy")
    assert on_test == flattery(made_up(test, test), 2)


def test_it_finds_the_flattery_of_equal_arms_as_often_as_it_says():
    """Of four equal arms: correlation × sd / √k × the expected largest of four normal numbers."""
    rng, k = np.random.default_rng(0), 3
    truth = 0.5 / np.sqrt(k) * 1.0293753730
    found = [flattery(made_up(*lucky(rng, 10, 4)), k) for _ in range(150)]
    means = np.array([one.mean for one in found])
    assert abs(means.mean() - truth) < 4 * means.std() / np.sqrt(len(means))
    assert np.mean([one.low < truth < one.high for one in found]) > 0.93


def test_without_common_luck_there_is_none():
    rng = np.random.default_rng(3)
    found = [flattery(made_up(*lucky(rng, 10, 4, correlation=0.0)), 3).mean for _ in range(100)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
