"""Results: differences paired by seed, judged together, told in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdnotes.study import Study, together


def made_up(**columns):
    """A study whose results are given, not trained."""
    rows = [
        {"arm": arm, "seed": seed, "validation_accuracy": value - 0.01, "test_accuracy": value}
        for arm, values in columns.items()
        for seed, value in enumerate(values)
    ]
    return Study(pd.DataFrame(rows), {})


def test_difference_equals_the_paired_t_test():
    rng = np.random.default_rng(0)
    baseline = rng.normal(0.8, 0.03, 7)
    better = baseline + rng.normal(0.01, 0.004, 7)
    result = made_up(ce=baseline, kd=better)
    mean, low, high = result.difference("kd", "ce")
    expected = stats.ttest_rel(better, baseline).confidence_interval(0.95)
    by_hand = (np.mean(better - baseline), expected.low, expected.high)
    assert (mean, low, high) == pytest.approx(by_hand, rel=1e-9)
    significant = stats.ttest_rel(better, baseline).pvalue < 0.05
    assert result.difference("kd", "ce").resolved == significant
    assert result.difference("ce", "kd").mean == pytest.approx(-mean)
    single = stats.ttest_1samp(baseline, 0).confidence_interval(0.95)
    assert tuple(result.interval("ce"))[1:] == pytest.approx((single.low, single.high))


def test_pairing_is_by_seed_not_by_row():
    rows = made_up(ce=[0.1, 0.2, 0.3], kd=[0.2, 0.3, 0.4])
    shuffled = Study(rows.frame.iloc[[2, 0, 1, 4, 5, 3]], {})
    assert shuffled.difference("kd", "ce").half_width == pytest.approx(0, abs=1e-12)


def test_table_says_which_differences_are_resolved():
    result = made_up(ce=[0.80, 0.81, 0.82], kd=[0.85, 0.86, 0.871], noise=[0.70, 0.95, 0.80])
    table = result.table("ce")
    assert table["resolved"].to_dict() == {"ce": "", "kd": "yes", "noise": "no"}
    assert table.loc["kd", "difference from ce"].startswith("+5.03 ± ")
    assert table.loc["ce", "test_accuracy %"].startswith("81.00 ± ")


def test_differences_judged_together_are_corrected_for_their_number():
    rng = np.random.default_rng(1)
    result = made_up(**{arm: rng.normal(0.8, 0.01, 5) for arm in ("ce", "a", "b", "c")})
    pairs = {f"{arm} − ce": (arm, "ce") for arm in ("a", "b", "c")}
    corrected = result.differences(pairs)
    assert list(corrected) == list(pairs)
    for name, (arm, other) in pairs.items():
        test = stats.ttest_rel(result.values(arm), result.values(other))
        expected = test.confidence_interval(1 - 0.05 / 3)
        assert tuple(corrected[name])[1:] == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert result.differences({"a − ce": ("a", "ce")}) == {"a − ce": result.difference("a", "ce")}
    uneven = together({"five": [1.0, 2.0, 3.0, 4.0, 5.5], "three": [1.0, 2.0, 3.5]})
    assert [interval.n for interval in uneven.values()] == [5, 3]
    assert together({}) == {}


def test_table_judges_its_differences_together():
    """The difference of one arm is resolved by itself and not among three: no "yes" there."""
    steps = [0.010, 0.012, 0.030, 0.025, 0.004]
    ce = [0.80, 0.81, 0.82, 0.80, 0.81]
    kd = [base + step for base, step in zip(ce, steps, strict=True)]
    noise = {"n1": [0.70, 0.95, 0.80, 0.90, 0.60], "n2": [0.95, 0.70, 0.80, 0.60, 0.90]}
    assert made_up(ce=ce, kd=kd).table("ce").loc["kd", "resolved"] == "yes"
    among, alone = made_up(ce=ce, kd=kd, **noise), made_up(ce=ce, kd=kd).difference("kd", "ce")
    corrected = among.differences({arm: (arm, "ce") for arm in ("kd", "n1", "n2")})["kd"]
    assert alone.resolved and not corrected.resolved
    table = among.table("ce")
    words = {"ce": "", "kd": "only uncorrected", "n1": "no", "n2": "no"}
    assert table["resolved"].to_dict() == words
    half = table.loc["kd", "difference from ce"].split(" ± ")[1]
    assert half > f"{100 * alone.half_width:.2f}"


def test_two_seeds_that_happen_to_agree_resolve_nothing():
    result = made_up(ce=[0.7785, 0.7910], kd=[0.7910, 0.8035])
    assert result.table("ce").loc["kd"].to_dict() == {
        "test_accuracy %": "79.72 ± 7.94", "difference from ce": "+1.25 ± 0.00", "resolved": "no",
    }  # fmt: skip


def test_table_names_a_corrected_level_and_judges_by_it():
    result = made_up(ce=[0.80, 0.81, 0.82], kd=[0.85, 0.86, 0.871], near=[0.82, 0.835, 0.85])
    assert result.table("ce")["resolved"].to_dict() == {"ce": "", "kd": "yes", "near": "yes"}
    table = result.table("ce", level=0.999)
    words = {"ce": "", "kd": "yes", "near": "only uncorrected"}
    assert table["resolved (99.9 %)"].to_dict() == words
    narrow, wide = (result.difference("kd", "ce", level=level) for level in (0.95, 0.999))
    assert table.loc["kd", "difference from ce (99.9 %)"] == wide.points() != narrow.points()
    # Each arm alone stays at 95 %.
    assert table["test_accuracy %"].equals(result.table("ce")["test_accuracy %"])


def test_verdicts_are_sentences_of_differences_judged_together():
    result = made_up(ce=[0.70, 0.72, 0.71], kd=[0.80, 0.82, 0.815], ls=[0.71, 0.70, 0.72])
    verdicts = result.verdicts([("kd", "ce"), ("ls", "ce"), ("ce", "kd")])
    told = str(verdicts).splitlines()
    assert told[0].startswith("kd beats ce: +10.17 ± ") and told[0].endswith(" points")
    assert told[1].startswith("ls is not resolved from ce: +0.00 ± ")
    assert told[2].startswith("ce is worse than kd: −10.17 ± ")
    assert told[3] == "(test accuracy; 3 paired seeds, all intervals together at 95 %)"
    wide = result.differences({"a": ("kd", "ce"), "b": ("ls", "ce"), "c": ("ce", "kd")})["a"]
    assert wide.points() in told[0] and result.difference("kd", "ce").points() not in told[0]
    assert verdicts["kd", "ce"] == wide != result.difference("kd", "ce")


def test_of_what_is_better_when_it_is_smaller_a_fall_beats():
    result = made_up(ce=[0.7, 0.72, 0.71], kd=[0.70, 0.72, 0.71])
    frame = result.frame.assign(test_nll=[1.0, 1.1, 1.2, 0.5, 0.61, 0.7])
    told = str(Study(frame, {}).verdicts([("kd", "ce")], "test_nll"))
    assert told.startswith("kd beats ce: −0.4967")
