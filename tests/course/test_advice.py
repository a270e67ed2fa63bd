"""The tables for whoever has to choose, from the comparison on tiny data."""

from __future__ import annotations

import pytest
from helpers import TinySettings

from kdnotes.course import advice, comparison, goals


@pytest.fixture(scope="module")
def result(session_cache):
    return comparison.compare_methods(TinySettings(), workers=1, report=None)


def test_the_table_has_a_row_a_goal_and_the_intervals_of_the_comparison(result):
    table = advice.table(result)
    assert list(table.index) == [goal.name for goal in goals.GOALS]
    for goal in goals.GOALS:
        answer, row = result.answers[goal.name], table.loc[goal.name]
        assert row["choose"].startswith(answer.method)
        assert (row["leader minus choice"] == "") == (answer.leader == answer.method)
        digits = 2 if goal.score == "accuracy" else 4
        assert row["minus CE"] == "" or len(row["minus CE"].partition(".")[2].split()[0]) == digits


def test_with_a_margin_of_0_the_leader_is_chosen(result):
    shown = advice.by_margin(result, (0, 1))
    for goal, answer in result.answers.items():
        assert shown.loc[goal, "margin × 1"] == answer.method
        assert shown.loc[goal, "margin × 0"] == answer.leader


def test_the_table_compares_with_kd_at_its_own_temperature(result):
    table = advice.probabilities(result, ["CE", "KD"])
    minus = result.study.difference("CE", "KD", "test_calibrated_nll").mean
    assert table.loc["CE", "minus KD"].startswith(f"{minus:+.4f}".replace("-", "−"))
    assert table.loc["KD", "minus KD"] == ""
