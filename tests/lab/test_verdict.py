"""The rule of a verdict, its sentence, its error rates, and the number of seeds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from made_up import interval

from kdnotes.intervals import Metric
from kdnotes.lab.verdict import WORDS, Verdict, judge, power, seeds_needed
from kdnotes.metrics import mean_interval


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.4, 0.9, "not resolved"), (-0.4, 0.5, "not resolved"), (0.0, 0.5, "not resolved"),
        (0.0, 2.0, "not resolved"),
        (0.01, 0.5, "gain shown"), (0.1, 0.9, "gain shown"), (0.49, 1.3, "gain shown"),
        (0.5, 1.3, "gain of δ or more shown"), (0.7, 1.3, "gain of δ or more shown"),
        (0.1, 0.49, "gain shown, gain of δ or more excluded"),
        (0.01, 0.02, "gain shown, gain of δ or more excluded"),
        (0.0, 0.49, "gain of δ or more excluded"), (-0.3, 0.3, "gain of δ or more excluded"),
        (-0.9, 0.0, "gain of δ or more excluded"),
        (-0.9, -0.01, "loss shown"), (-0.9, -0.2, "loss shown"),
    ],
)  # fmt: skip
def test_the_rule_asks_where_the_interval_lies_against_0_and_delta(low, high, expected):
    assert judge(interval(low, high), 0.5) == expected


def test_every_word_says_the_facts_that_hold_and_no_other():
    """An interval made of every pair of places against 0 and δ = 0.5, the boundaries among them."""
    places, said = (-0.7, -0.2, 0.0, 0.2, 0.3, 0.5, 0.6, 0.9), set()
    for low, high in itertools.combinations(places, 2):
        word = judge(interval(low, high), 0.5)
        assert (
            word
            in ("gain of δ or more shown", "gain shown", "gain shown, gain of δ or more excluded")
        ) == (low > 0)
        assert (word == "gain of δ or more shown") == (low >= 0.5)
        assert (word.endswith("excluded") or word == "loss shown") == (high < 0.5)
        assert (word == "loss shown") == (high < 0)
        said.add(word)
    assert said == set(WORDS)


def test_one_seed_or_no_spread_resolves_nothing():
    for samples in ([9.0], [9.0, 9.0], [0.0, 0.0], [-9.0] * 3, [0.7910 - 0.7785, 0.8035 - 0.7910]):
        assert judge(mean_interval(samples), 0.5) == "not resolved"
        assert judge(mean_interval(samples), 1e-4) == "not resolved"


# Where the true gain is this, that word is a mistake: in 2.5 % of the experiments at most.
@pytest.mark.parametrize(
    ("true_gain", "mistake", "least"),
    [
        (0.0, "gain", 0.015), (-0.5, "gain", 0.0), (0.0, "loss shown", 0.015),
        (0.5, "gain of δ or more shown", 0.0), (0.9, "gain of δ or more shown", 0.005),
        (1.0, "gain of δ or more shown", 0.015),
        (1.0, "excluded", 0.015), (1.5, "excluded", 0.0),
    ],
)  # fmt: skip
def test_false_verdicts_are_as_rare_as_the_level_says(true_gain, mistake, least):
    draws = np.random.default_rng(0).normal(true_gain, 1, (3000, 6))
    words = [judge(mean_interval(draw), 1.0) for draw in draws]
    wrong = {
        "gain": ("gain of δ or more shown", "gain shown", "gain shown, gain of δ or more excluded")
    }
    share = np.mean([word in wrong.get(mistake, ()) or word.endswith(mistake) for word in words])
    assert least <= share < 0.035


def test_a_gain_just_below_delta_is_not_taken_for_one_of_delta():
    """A rule that calls it supported once 0 is excluded does so in nine of ten experiments."""
    draws = np.random.default_rng(0).normal(0.9, 1.0, (2000, 20))
    intervals = [mean_interval(draw) for draw in draws]
    words = [judge(one, 1.0) for one in intervals]
    assert np.mean([one.low > 0 and one.high >= 1.0 for one in intervals]) > 0.9
    assert np.mean([word == "gain of δ or more shown" for word in words]) < 0.025


def test_shares_of_the_words_follow_the_noncentral_t():
    draws = np.random.default_rng(2).normal(1.8, 1.0, (4000, 8))
    words = [judge(mean_interval(draw), 1.0) for draw in draws]
    assert np.mean([word == "gain of δ or more shown" for word in words]) == pytest.approx(
        power(8, 0.8, 1.0), abs=0.025
    )


# From statsmodels 0.15: TTestPower().power(effect, nobs, 0.025, alternative="larger")
@pytest.mark.parametrize(
    ("seeds", "effect", "expected"),
    [
        (3, 1.0, 0.178610),
        (5, 0.5, 0.138453),
        (5, 1.0, 0.401320),
        (10, 1.0, 0.803096),
        (30, 0.4, 0.562791),
    ],
)
def test_power_against_stored_values(seeds, effect, expected):
    assert power(seeds, effect, 1.0) == pytest.approx(expected, abs=1e-6)
    assert power(seeds, 3 * effect, 3.0) == pytest.approx(expected, abs=1e-6)


def test_power_by_simulation_and_its_mirror_image():
    draws = np.random.default_rng(1).normal(0.8, 1.0, (4000, 8))
    half = 2.364624 * draws.std(axis=1, ddof=1) / np.sqrt(8)
    above = (draws.mean(axis=1) - half > 0).mean()
    assert power(8, 0.8, 1.0) == pytest.approx(above, abs=0.025)
    below = ((draws - 0.8).mean(axis=1) + half < 0.8).mean()  # the same draws around 0
    assert below == pytest.approx(power(8, 0.8, 1.0), abs=0.025)


def test_seeds_needed_is_the_first_number_with_the_power_and_comes_with_a_range():
    differences = [0.9, 0.6, 1.1, 0.9, 0.7]
    for wanted in (0.8, 0.95):
        for smallest in (
            0.2,
            0.05,
            0.01,
        ):  # with thousands of seeds one more changes the power by 0.0001
            seeds = seeds_needed(differences, smallest, wanted).seeds
            sd = np.std(differences, ddof=1)
            assert power(seeds, smallest, sd) >= wanted > power(seeds - 1, smallest, sd)
    needed = seeds_needed(differences, 0.2)
    assert needed.sd == pytest.approx(np.std(differences, ddof=1))
    assert needed.low < needed.seeds < needed.high
    # 4·s²/χ² with the quantiles of four degrees of freedom
    assert needed.sd_low == pytest.approx(needed.sd * np.sqrt(4 / 11.1433), rel=1e-4)
    assert needed.sd_high == pytest.approx(needed.sd * np.sqrt(4 / 0.484419), rel=1e-4)


def test_seeds_needed_depends_on_the_spread_and_not_on_the_difference_seen():
    base = np.array([0.1, -0.2, 0.3, 0.0])
    assert seeds_needed(base, 0.2).seeds == seeds_needed(base + 5, 0.2).seeds
    assert (
        seeds_needed(2 * base, 0.2).seeds
        > seeds_needed(base, 0.2).seeds
        > seeds_needed(base, 0.4).seeds
    )


def test_seeds_needed_says_where_there_is_nothing_to_go_by():
    assert "One seed" in str(seeds_needed([0.3], 0.1)) and seeds_needed([0.3], 0.1).seeds is None
    assert "no spread" in str(seeds_needed([0.3, 0.3], 0.1))
    assert "more than 10,000" in str(seeds_needed([0.0, 1.0], 0.001))


@pytest.mark.parametrize(
    "call",
    [
        lambda: judge(interval(0, 1), 0.0), lambda: power(1, 1.0, 1.0),
        lambda: power(2.0, 1.0, 1.0), lambda: power(5, 1.0, 0.0),
        lambda: power(5, 1.0, 1.0, level=95), lambda: seeds_needed([0.1, 0.2], -1.0),
        lambda: seeds_needed([0.1, 0.2], 0.1, probability=80), lambda: seeds_needed([], 0.1),
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(call):
    with pytest.raises((ValueError, TypeError), match="must"):
        call()


@pytest.mark.parametrize(
    ("low", "high", "word", "meaning"),
    [
        (
            0.006,
            0.02,
            "Gain of δ or more shown",
            "The whole interval is a gain of δ = 0.5 points or more.",
        ),
        (
            0.005,
            0.02,
            "Gain of δ or more shown",
            "The whole interval is a gain of δ = 0.5 points or more.",
        ),
        (
            0.001,
            0.02,
            "Gain shown",
            "There is a gain; whether it is δ = 0.5 points or more is open.",
        ),
        (
            0.001,
            0.004,
            "Gain shown, gain of δ or more excluded",
            "There is a gain, but a smaller one than δ = 0.5 p",
        ),
        (
            -0.01,
            0.002,
            "Gain of δ or more excluded",
            "A gain of δ = 0.5 points or more is excluded; whether there is a",
        ),
        (-0.02, -0.001, "Loss shown", "The difference goes the other way: any gain is excluded"),
        (-0.01, 0.02, "Not resolved", "neither a gain is shown, nor is one of δ or more excluded."),
        (0.01, 0.01, "Not resolved", "All seeds gave the same difference"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(low, high, word, meaning):
    for larger_is_better, seen in ((True, interval(low, high)), (False, interval(-high, -low))):
        metric = Metric("test_accuracy", larger_is_better)
        said = str(Verdict(judge(metric.gain(seen), 0.005), seen, "new − old", metric, 0.005))
        assert said.startswith(f"{word}. new − old: ")
        assert meaning in said
