"""Strings as tokens: there and back, what counts, and splits that share no string."""

from __future__ import annotations

import pickle
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdnotes.data import Strings, Vocabulary
from kdnotes.data.strings import split_types

ABC = Vocabulary("abc")
NAMES = [f"{first}{second}{third}" for first in "abc" for second in "abc" for third in "abc"]


@given(st.lists(st.text("abc", max_size=7), max_size=8))
def test_there_and_back(strings):
    tokens = ABC.encode(strings, 7)
    assert tokens.shape == (len(strings), 9) and tokens.dtype == torch.int64
    assert ABC.decode(tokens) == strings
    assert ABC.decode(tokens[:, 1:]) == strings


def test_the_tokens_of_a_string():
    assert ABC.encode(["ab", ""], 3).tolist() == [[4, 1, 2, 0, 5], [4, 0, 5, 5, 5]]
    assert (ABC.classes, ABC.begin, ABC.padding) == (4, 4, 5)


def test_a_string_without_an_end_is_decoded_to_its_last_character():
    assert ABC.decode(torch.tensor([[4, 1, 1, 3]])) == ["aac"]


def test_targets_are_the_inputs_one_place_further_and_the_mask_has_characters_and_end():
    strings = Strings(ABC.encode(["ab", "", "abc"]), ABC)
    assert torch.equal(strings.inputs[:, 1:], strings.targets[:, :-1])
    assert strings.mask.sum(dim=1).tolist() == [3, 1, 4]
    assert bool((strings.targets[strings.mask] < ABC.classes).all())
    assert bool((strings.targets[~strings.mask] == ABC.padding).all())


def test_taking_rows_drops_columns_of_padding():
    strings = Strings(ABC.encode(["ab", "abc", "a"]), ABC)
    few = strings.take(torch.tensor([2, 0]))
    assert few.tokens.tolist() == [[4, 1, 0, 5], [4, 1, 2, 0]]
    assert few.text() == ["a", "ab"]


def split(train=None, seed=0):
    return split_types(NAMES, ABC, "names", (train, 5, 7), seed)


def test_no_string_is_in_two_parts():
    corpus = split()
    parts = [set(part.text()) for part in (corpus.train, corpus.validation, corpus.test)]
    assert [len(part) for part in parts] == [15, 5, 7]
    assert set.union(*parts) == set(NAMES)


def test_test_strings_are_equal_whatever_the_training_strings_are():
    few, other = split(4), split(4, seed=1)
    assert few.test.text() == other.test.text() == split().test.text()
    assert few.validation.text() == other.validation.text()
    assert few.train.text() != other.train.text()


def test_a_corpus_keeps_its_key_through_a_pickle():
    corpus = split(4)
    again = pickle.loads(pickle.dumps(corpus))
    assert again.key == corpus.key != split(5).key
    assert corpus.context == 4


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: Vocabulary(""), ValueError, "characters must be a string of 1 character or more"),
        (lambda: Vocabulary(["a"]), ValueError, "characters must be a string"),
        (lambda: Vocabulary("aba"), ValueError, "once each, not 'aba'"),
        (lambda: ABC.encode(["abd"]), ValueError, "made of 'abc', not of 'd'"),
        (lambda: ABC.encode(["abc"], 2), ValueError, "at most 2 characters, not 3"),
        (lambda: ABC.encode([], -1), ValueError, "length must be at least 0"),
        (lambda: split(16), ValueError, "names must have 16 for training, 5 for validation"),
        (lambda: split(1), ValueError, "train_strings must be at least 2, not 1"),
        (lambda: split(2.0), TypeError, "train_strings must be an integer"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()
