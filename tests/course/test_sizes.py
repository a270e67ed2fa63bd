"""Sizes are told apart by the width of an interval in equal time, whatever the effect is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import TinySettings

from kdnotes import study
from kdnotes.course import baseline, sizes
from kdnotes.intervals import mean_interval


@pytest.fixture
def given(monkeypatch):
    """Results that are given, not trained: KD's gain in each seed, and the seconds of a run."""

    def give(gains, seconds):
        def compare(arms, seeds, **options):
            rows = [
                {"arm": arm, "seed": seed, "seconds": seconds + slow, "test_accuracy": 0.8 + gain}
                for arm, gained in (("CE", np.zeros(len(seeds))), ("KD", gains))
                for seed, gain, slow in zip(seeds, gained, range(len(seeds)), strict=True)
            ]
            return study.Study(pd.DataFrame(rows), {})

        monkeypatch.setattr(study, "compare", compare)
        return sizes.compare_sizes(TinySettings(), range(len(gains)))

    return give


def test_every_size_is_trained_with_the_baseline(session_cache):
    table = sizes.compare_sizes(TinySettings(), range(2), workers=1, report=None)
    assert list(table.index) == list(sizes.SIZES)
    assert (table["seconds a pair"] > 0).all() and (table["low"] <= table["high"]).all()
    assert len(set(table["CE %"])) > 1  # they do differ


def test_the_width_is_that_of_the_interval_of_as_many_seeds(given):
    gains = np.random.default_rng(0).normal(0.01, 0.005, 30)
    table = given(gains, seconds=5.0)  # 30 pairs in 5 minutes
    expected = 100 * mean_interval(gains).half_width
    assert table["width"].tolist() == pytest.approx([expected] * len(sizes.SIZES))
    assert (table["low"] < expected).all() and (expected < table["high"]).all()


def test_the_width_knows_time_and_spread_and_no_effect(given):
    gains = np.random.default_rng(1).normal(0.0, 0.005, 10)
    width = given(gains, 5.0)["width"].iloc[0]
    assert given(gains + 0.1, 5.0)["width"].iloc[0] == pytest.approx(width)
    assert given(2 * gains, 5.0)["width"].iloc[0] == pytest.approx(2 * width)
    assert given(gains, 20.0)["width"].iloc[0] > 2 * width  # a quarter of the pairs


def test_sizes_are_compared_on_seeds_of_no_report_and_no_choice():
    assert set(sizes.SEEDS).isdisjoint(baseline.CHOICE_SEEDS) and min(sizes.SEEDS) > 1000
