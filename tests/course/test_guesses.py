"""Guesses before an experiment: what is asked, what is kept, what is said afterwards."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kdnotes.course import check, guesses
from kdnotes.intervals import Interval, mean_interval

GAIN = Interval(0.0100, 0.0046, 0.0154, 5)
ARMS = ("CE", "KD", "DKD")


@pytest.fixture(autouse=True)
def new_kernel(monkeypatch):
    monkeypatch.setattr(guesses, "_asked", {})
    monkeypatch.setattr(guesses, "_shown", set())


def asked(capsys, guess=None, **options):
    check.predict("05", "By how much?", guess, **options)
    question, told = capsys.readouterr().out.splitlines()
    assert question == "Prediction 05: By how much?"
    return told


def came(capsys, value):
    check.outcome("05", value)
    question, said = capsys.readouterr().out.splitlines()
    assert question == "Prediction 05: By how much?"
    return said


def test_without_a_guess_the_question_and_the_outcome_are_printed(capsys):
    told = asked(capsys, None, unit="points")
    assert told == "Your guess, a number in points: none yet."
    assert came(capsys, GAIN) == "You made no guess; it was +1.00 ± 0.54 points."


def test_dots_are_no_guess_either(capsys):
    assert asked(capsys, ...) == "Your guess, a number: none yet."


@pytest.mark.parametrize(
    ("guess", "told", "said"),
    [
        (1.5, "+1.5", "+1.5 points; it was +1.00 ± 0.54 points, off by 0.5 points, inside"),
        (2, "+2", "+2 points; it was +1.00 ± 0.54 points, off by 1 points, outside"),
        (-1.0, "−1", "−1 points; it was +1.00 ± 0.54 points, off by 2 points, outside"),
        (np.float32(1.5), "+1.5", "off by 0.5 points, inside"),
        (torch.tensor(1.5), "+1.5", "off by 0.5 points, inside"),
    ],
)
def test_a_number_and_the_interval_that_it_lies_in_or_not(guess, told, said, capsys):
    assert asked(capsys, guess, unit="points") == f"Your guess, a number in points: {told} points."
    line = came(capsys, GAIN)
    assert line.startswith("You said ") and said in line and line.endswith("the interval.")


def test_an_end_of_the_interval_lies_in_it(capsys):
    asked(capsys, 0.46, unit="points")
    assert came(capsys, Interval(0.01, 0.46 / 100, 0.0154, 5)).endswith("inside the interval.")


@pytest.mark.parametrize("samples", [[0.01], [0.01, 0.01]])
def test_an_interval_without_spread_judges_nothing(samples, capsys):
    asked(capsys, 1.0, unit="points")
    line = came(capsys, mean_interval(samples))
    assert "no interval to judge it by" in line and "inside" not in line


@pytest.mark.parametrize(
    ("unit", "value", "said"),
    [
        ("%", 0.8024, "it was 80.24 %, off by 0.24 %."),
        ("points", 0.0123, "it was +1.23 points, off by 78.8 points."),
        ("", 0.8024, "it was 0.8024, off by 79.2."),
        ("nats", Interval(0.5, 0.4, 0.6, 3), "it was 0.5 ± 0.1 nats, off by 79.5 nats, outside"),
        ("times", math.nan, "it was nan times, which is no number: this run cannot tell."),
    ],
)
def test_a_fraction_is_shown_as_percent_where_the_unit_says_so(unit, value, said, capsys):
    asked(capsys, 80, unit=unit)
    assert said in came(capsys, value)


def test_what_is_no_fraction_is_not_taken_for_points(capsys):
    asked(capsys, 1, unit="points")
    with pytest.raises(ValueError, match=r"value must be a fraction.*'points'.*not 1\.5"):
        check.outcome("05", 1.5)


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        ("higher", "higher; it was lower, not what you said."),
        (" Lower ", "lower; it was lower, as you said."),
    ],
)
def test_a_choice(guess, said, capsys):
    choices = ("higher", "lower", "not resolved")
    told = asked(capsys, guess, choices=choices)
    assert told.startswith("Your guess, one of 'higher', 'lower', 'not resolved': ")
    assert came(capsys, "lower") == f"You said {said}"


def test_choices_may_be_numbers_and_a_truth_value_is_no_number(capsys):
    assert asked(capsys, 2, choices=(1, 2.0)) == "Your guess, one of 1, 2.0: 2.0."
    with pytest.raises(ValueError, match="not True"):
        check.predict("05", "By how much?", True, choices=(1, 2))
    assert asked(capsys, True, choices=(True, False)).endswith(": True.")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["KD", "DKD", "CE"], "KD > CE > DKD; it was KD > DKD > CE, 2 of 3 pairs in your order."),
        (["DKD", "CE", "KD"], "it was DKD > CE > KD, 0 of 3 pairs in your order."),
        (["KD", ("CE", "DKD")], "it was KD > CE = DKD, 2 of 2 pairs in your order."),
        ([("KD", "CE", "DKD")], "it was KD = CE = DKD, 0 of 0 pairs in your order."),
    ],
)
def test_an_order(value, said, capsys):
    asked(capsys, ["kd", "CE", "DKD"], order=ARMS)
    assert said in came(capsys, value)


BAD = [
    ("1.5", {"unit": "points"}, TypeError, "a number in points, such as 1.5, or None, not '1.5'"),
    (True, {}, TypeError, "a number, such as 1.5, or None, not True"),
    (math.nan, {}, ValueError, "a number, such as 1.5, or None, not nan"),
    (math.inf, {}, ValueError, "not inf"),
    ([1.5], {}, TypeError, "a number, such as 1.5, or None"),
    ("much", {"choices": ("more", "less")}, ValueError, "one of 'more', 'less', or None, not 'm"),
    (["more"], {"choices": ("more", "less")}, ValueError, "one of 'more', 'less'"),
    ("CE", {"order": ARMS}, TypeError, "a list of all of 'CE', 'KD', 'DKD'"),
    (["CE", "KD"], {"order": ARMS}, ValueError, "all of 'CE', 'KD', 'DKD'"),
    (["CE", "KD", "KD"], {"order": ARMS}, ValueError, "all of 'CE', 'KD', 'DKD'"),
    (["CE", "KD", "DKD", "LS"], {"order": ARMS}, ValueError, "not 'LS'"),
]


@pytest.mark.parametrize(("guess", "options", "error", "message"), BAD)
def test_a_bad_guess_is_told_what_is_allowed_and_the_earlier_one_stays(
    guess, options, error, message, capsys
):
    asked(capsys, 1.0)
    with pytest.raises(error) as found:
        check.predict("05", "By how much?", guess, **options)
    assert message in str(found.value)
    assert came(capsys, 2.0) == "You said 1; it was 2, off by 1."


def test_a_question_is_of_one_kind():
    with pytest.raises(TypeError, match="not both"):
        check.predict("05", "?", choices=("a",), order=("a",))


@pytest.mark.parametrize(
    ("options", "value", "error"),
    [
        ({"choices": ("a", "b")}, "c", ValueError),
        ({"order": ARMS}, ["CE", "KD"], ValueError),
        ({"order": ARMS}, ["CE", "KD", "KD", "DKD"], ValueError),
        ({"order": ARMS}, "CE", TypeError),
        ({}, "2", TypeError),
    ],
)
def test_an_outcome_of_another_kind_is_refused(options, value, error):
    check.predict("05", "?", **options)
    with pytest.raises(error, match="value must"):
        check.outcome("05", value)


def test_an_outcome_without_a_question_is_told_all_the_same(capsys):
    check.outcome("07", 0.51234)
    assert capsys.readouterr().out == (
        "Prediction 07: not asked in this kernel (run its cell first); it was 0.5123.\n"
    )


def test_both_cells_run_again_in_any_order(capsys):
    asked(capsys, 1.0)
    first = came(capsys, 2.0)
    asked(capsys, 1.0)
    assert came(capsys, 2.0) == came(capsys, 2.0) == first


def test_a_guess_after_the_outcome_is_called_so(capsys):
    asked(capsys, None)
    came(capsys, 2.0)
    asked(capsys, 2.0)
    late = "You said 2 (after the outcome had been shown); it was 2, off by 0."
    assert came(capsys, 2.0) == late
    asked(capsys, 2.0)  # the same guess again does not make it an earlier one
    assert came(capsys, 2.0) == late


def test_a_guess_changed_after_the_outcome_is_called_so(capsys):
    asked(capsys, 1.0)
    assert "after" not in came(capsys, 2.0)
    asked(capsys, 2.0)
    assert "after the outcome" in came(capsys, 2.0)


def test_questions_of_other_keys_stay_apart(capsys):
    check.predict("05", "First?", 1.0)
    check.predict("05 NLL", "Second?", 3.0)
    check.outcome("05", 1.0)
    assert "You said 1;" in capsys.readouterr().out
