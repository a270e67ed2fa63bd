"""Which seeds an argument means, and how they are told."""

from __future__ import annotations

import pytest

from kdnotes.study.seeds import FIRST_CHOICE_SEED, in_words, seeds_of


def test_a_number_begins_at_0_or_where_a_choice_begins():
    assert seeds_of("seeds", 3) == (0, 1, 2)
    assert seeds_of("seeds", 2, FIRST_CHOICE_SEED) == (1000, 1001)


@pytest.mark.parametrize("seeds", [range(5, 8), [7, 5, 6], (0,), range(9, 3, -2)])
def test_seeds_stay_as_they_are_given(seeds):
    assert seeds_of("seeds", seeds, FIRST_CHOICE_SEED) == tuple(seeds)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (range(5), "0 to 4"),
        ([3, 1, 2], "1 to 3"),
        ((7,), "7"),
        ([4, 5], "4, 5"),
        ((9, 3, 5), "3, 5, 9"),
    ],
)
def test_seeds_in_words(seeds, words):
    assert in_words(seeds) == words
