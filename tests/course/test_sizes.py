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
    """Results that are given, not trained: KD's gain in each seed, and the seconds of a pair."""

    def give(gains, seconds):
        def compare(arms, seeds, **options):
            rows = [
                {"arm": arm, "seed": seed, "test_accuracy": 0.8 + gain}
                for arm, gained in (("CE", np.zeros(len(seeds))), ("KD", gains))
                for seed, gain in zip(seeds, gained, strict=True)
            ]
            return study.Study(pd.DataFrame(rows), {})

        monkeypatch.setattr(study, "compare", compare)
        taken = dict.fromkeys(sizes.SIZES, seconds)
        monkeypatch.setattr(sizes, "seconds_a_pair", lambda s: taken)
        return sizes.compare_sizes(TinySettings(), range(len(gains)))

    return give


def test_every_size_is_trained_with_the_baseline(session_cache):
    table = sizes.compare_sizes(TinySettings(), range(2), workers=1, report=None)
    assert list(table.index) == list(sizes.SIZES)
    assert (table["seconds a pair"] > 0).all() and (table["low"] <= table["high"]).all()
    assert len(set(table["CE %"])) > 1  # they do differ


def test_the_width_is_that_of_the_interval_of_as_many_seeds(given):
    gains = np.random.default_rng(0).normal(0.01, 0.005, 30)
    table = given(gains, seconds=10.0)  # 30 pairs in 5 minutes
    expected = 100 * mean_interval(gains).half_width
    assert table["width"].tolist() == pytest.approx([expected] * len(sizes.SIZES))
    assert (table["low"] < expected).all() and (expected < table["high"]).all()


def test_the_width_knows_time_and_spread_and_no_effect(given):
    gains = np.random.default_rng(1).normal(0.0, 0.005, 10)
    width = given(gains, 10.0)["width"].iloc[0]
    assert given(gains + 0.1, 10.0)["width"].iloc[0] == pytest.approx(width)
    assert given(2 * gains, 10.0)["width"].iloc[0] == pytest.approx(2 * width)
    assert given(gains, 40.0)["width"].iloc[0] > 2 * width  # a quarter of the pairs


def test_sizes_are_compared_on_seeds_of_no_report_and_no_choice():
    assert set(sizes.SEEDS).isdisjoint(baseline.CHOICE_SEEDS) and min(sizes.SEEDS) > 1000


def test_the_record_holds_every_size_on_these_seeds():
    record = sizes.stored()
    assert record["seeds"] == list(sizes.SEEDS) and list(record["sizes"]) == list(sizes.SIZES)
    for one in record["sizes"].values():
        assert len(one["CE"]) == len(one["KD"]) == len(sizes.SEEDS)
    assert sizes.of_the_lesson() in sizes.SIZES


@pytest.mark.parametrize(
    ("mine", "other", "words"),
    [
        ((0.3, 0.2, 0.5), (0.4, 0.3, 0.7), ["It is the lesson's size"]),
        ((0.3, 0.2, 0.5), (0.2, 0.1, 0.3), ["The lesson has", "overlap: no difference is shown"]),
        ((0.9, 0.7, 1.2), (0.2, 0.1, 0.3), ["The lesson has", "do not overlap"]),
    ],
)
def test_it_is_told_which_size_the_rule_would_take(mine, other, words):
    rows = {sizes.of_the_lesson(): mine, "another": other}
    compared = pd.DataFrame.from_dict(rows, "index", columns=["width", "low", "high"])
    assert all(word in sizes.told(compared) for word in words)


def test_what_is_written_is_what_is_read(tmp_path, monkeypatch):
    given = {name: {"CE": [0.79, 0.8], "KD": [0.8, 0.82], "seconds": 7.5} for name in sizes.SIZES}
    monkeypatch.setattr(sizes, "measure", lambda s: given)
    monkeypatch.setattr(sizes, "RECORD", tmp_path / "sizes.toml")
    sizes.write_record(sizes.RECORD)
    assert sizes.stored()["sizes"] == given
