"""The language of brackets: its strings, its probabilities, and what is drawn from it."""

from __future__ import annotations

import math
import re

import pytest
import torch
from scipy import stats

from kdnotes.data import Brackets, bracket_corpus

SMALL = Brackets(pairs=3)


def catalan(n):
    return math.comb(2 * n, n) // (n + 1)


def is_nested(string, kinds="()[]"):
    while string:
        shorter = string
        for number in range(0, len(kinds), 2):
            shorter = shorter.replace(kinds[number : number + 2], "")
        if shorter == string:
            return False
        string = shorter
    return True


@pytest.mark.parametrize(("kinds", "count"), [("()", 1), ("()[]", 2), ("()[]{}", 3)])
def test_all_strings_are_there_once(kinds, count):
    language = Brackets(3, kinds)
    strings = language.strings
    assert len(strings) == len(set(strings)) == sum(catalan(n) * count**n for n in (1, 2, 3))
    assert all(is_nested(one, kinds) and 0 < len(one) <= 6 for one in strings)


@pytest.mark.parametrize("opening", [0.1, 0.5, 0.9])
def test_probabilities_sum_to_1(opening):
    for pairs in (1, 3, 5):
        total = Brackets(pairs, opening=opening).probabilities.sum()
        assert float(total) == pytest.approx(1, abs=1e-12)


def test_a_probability_by_hand():
    """An opening bracket of the first kind (2/3), a closing one (1/2), the end (1/2)."""
    found = dict(zip(SMALL.strings, SMALL.probabilities.tolist(), strict=True))
    assert found["()"] == pytest.approx(2 / 3 * 1 / 2 * 1 / 2)
    assert found["[()]"] == pytest.approx(1 / 3 * (1 / 2 * 2 / 3) * 1 / 2 * 1 / 2 * 1 / 2)
    assert found["((()))"] == pytest.approx(2 / 3 * (1 / 2 * 2 / 3) ** 2)  # all closed, for sure


def test_each_probability_is_the_product_along_its_string():
    for string, probability in zip(SMALL.strings, SMALL.probabilities.tolist(), strict=True):
        product = SMALL.next_probabilities(string)[""]
        for place, one in enumerate(string):
            product *= SMALL.next_probabilities(string[:place])[one]
        assert product == pytest.approx(probability)


def test_frequencies_of_what_is_drawn():
    drawn, p = SMALL.sample(20_000, 0), SMALL.probabilities
    observed = [drawn.count(one) for one in SMALL.strings]
    assert stats.chisquare(observed, (p * 20_000).tolist()).pvalue > 1e-3
    assert drawn == SMALL.sample(20_000, 0) != SMALL.sample(20_000, 1)


def test_a_corpus_of_brackets():
    corpus = bracket_corpus(SMALL, 50, validation_strings=20, test_strings=30)
    assert [len(part) for part in (corpus.train, corpus.validation, corpus.test)] == [50, 20, 30]
    assert corpus.context == 7 and set(corpus.train.text()) <= set(SMALL.strings)
    other = bracket_corpus(SMALL, 50, validation_strings=20, test_strings=30, subset_seed=1)
    assert other.key != corpus.key and torch.equal(other.test.tokens, corpus.test.tokens)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: Brackets(0), ValueError, "pairs must be at least 1"),
        (lambda: Brackets(9), ValueError, "pairs must be a whole number from 1 to 8"),
        (lambda: Brackets(2.0), TypeError, "pairs must be an integer"),
        (lambda: Brackets(2, "("), ValueError, "kinds must be distinct characters"),
        (lambda: Brackets(2, "(((("), ValueError, "kinds must be distinct characters"),
        (lambda: Brackets(2, opening=1.0), ValueError, "opening must lie between 0 and 1"),
        (lambda: SMALL.sample(0, 0), ValueError, "count must be at least 1"),
        (lambda: SMALL.next_probabilities("(]"), ValueError, "prefix must begin a string"),
        (lambda: SMALL.next_probabilities("(((("), ValueError, "prefix must begin a string"),
        (lambda: SMALL.next_probabilities("x"), ValueError, "prefix must begin a string"),
        (lambda: bracket_corpus("()", 5), TypeError, "language must be a kdnotes.data.Brackets"),
        (lambda: bracket_corpus(SMALL, 1), ValueError, "train_strings must be at least 2"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()
