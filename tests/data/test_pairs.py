"""Tokens of one or two characters: how strings are cut, and in how many ways."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdnotes.data import PairVocabulary, Vocabulary, frequent_pairs, recut
from kdnotes.data.strings import split_types

PAIRS = PairVocabulary("abc", ("ab", "ca", "cc"))
STRINGS = ["".join(one) for one in itertools.product("abc", repeat=4)]


@given(st.lists(st.text("abc", max_size=7), max_size=8))
def test_there_and_back(strings):
    tokens = PAIRS.encode(strings, 7)
    assert tokens.shape == (len(strings), 9) and tokens.dtype == torch.int64
    assert PAIRS.decode(tokens) == strings


def test_a_string_is_cut_from_left_to_right():
    assert PAIRS.cut("cab") == ["ca", "b"]  # not c, ab
    assert PAIRS.cut("cccb") == ["cc", "c", "b"]
    assert PAIRS.encode(["cab", ""], 3).tolist() == [[7, 5, 2, 0, 8], [7, 0, 8, 8, 8]]
    assert (PAIRS.classes, PAIRS.begin, PAIRS.padding) == (7, 7, 8)


@given(st.text("abc", max_size=7))
def test_all_ways_to_cut_a_string(string):
    """Against all choices of borders between characters."""
    expected = set()
    for borders in itertools.product((True, False), repeat=max(len(string) - 1, 0)):
        parts, start = [], 0
        for place, is_border in enumerate(borders, start=1):
            if is_border:
                parts, start = [*parts, string[start:place]], place
        parts = tuple(one for one in (*parts, string[start:]) if one)
        if all(one in PAIRS.spelled for one in parts):
            expected.add(parts)
    found = PAIRS.cuts(string)
    assert set(found) == expected and len(found) == len(expected) == PAIRS.ways(string)
    assert tuple(PAIRS.cut(string)) in expected


def test_the_most_frequent_pairs_and_of_equals_the_first():
    assert frequent_pairs(["abab", "cab", "ca"], 3) == ("ab", "ca", "ba")
    assert frequent_pairs(["cb", "ab"], 1) == ("ab",)
    assert frequent_pairs(["cb", "a"], 5) == ("cb",)


def test_a_corpus_in_other_tokens():
    corpus = split_types(STRINGS, Vocabulary("abc"), "strings", (None, 5, 7), 0)
    same, other = recut(corpus, PAIRS), recut(corpus, PAIRS, ["abab", "b"])
    for part in ("train", "validation", "test"):
        assert getattr(same, part).text() == getattr(corpus, part).text()
    assert same.context == corpus.context == 5 and same.vocabulary == PAIRS
    assert other.train.text() == ["abab", "b"] and other.test.text() == corpus.test.text()
    assert len({corpus.key, same.key, other.key}) == 3
    assert other.train.tokens.shape[1] == other.test.tokens.shape[1]


def test_a_key_knows_pairs_that_no_string_has():
    corpus = split_types(STRINGS[:40], Vocabulary("abc"), "strings", (None, 5, 7), 0)
    keys = {recut(corpus, PairVocabulary("abc", (one,))).key for one in ("cb", "cc")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: PairVocabulary("abc", ("ab", "ab")), "pairs must be there once each"),
        (lambda: PairVocabulary("abc", ("abc",)), "of two of 'abc', not ('abc',)"),
        (lambda: PairVocabulary("abc", ("ad",)), "of two of 'abc', not ('ad',)"),
        (lambda: PairVocabulary(""), "characters must be a string"),
        (lambda: PAIRS.encode(["bbb"], 2), "at most 2 tokens, not 3"),
        (lambda: PAIRS.encode(["d"]), "must be made of 'abc', not of 'd'"),
        (lambda: PAIRS.cuts("c" * 30), "at most 10,000 ways to cut it, not 1,346,269"),
        (lambda: frequent_pairs(["ab"], 0), "count must be at least 1"),
    ],
)
def test_wrong_calls(wrong, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        wrong()
