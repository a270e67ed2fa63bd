"""Strings in tokens of one or two characters: a vocabulary that another model does not share."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from kdnotes import checks
from kdnotes.data.strings import Corpus, Strings, Vocabulary

MOST_WAYS = 10_000


@dataclass(frozen=True)
class PairVocabulary(Vocabulary):
    """Characters, and pairs of them that are one token.

    A string is cut from left to right, and a pair is taken wherever one begins. A model may write
    it in another way as well: ``cuts`` has all of them.

    Args:
        characters: each once, such as "ABC".
        pairs: of two of them, each once, such as ("AB", "CA").
    """

    pairs: tuple[str, ...] = ()
    unit: ClassVar[str] = "tokens"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = set(self.characters)
        if len(set(self.pairs)) < len(self.pairs) or not all(
            isinstance(one, str) and len(one) == 2 and known.issuperset(one) for one in self.pairs
        ):
            raise ValueError(
                f"pairs must be there once each, of two of {self.characters!r}, not {self.pairs!r}"
            )

    @property
    def spelled(self) -> Sequence[str]:
        return (*self.characters, *self.pairs)

    def cut(self, string: str) -> Sequence[str]:
        tokens, place = [], 0
        while place < len(string):
            size = 2 if string[place : place + 2] in self.pairs else 1
            tokens.append(string[place : place + size])
            place += size
        return tokens

    def ways(self, string: str) -> int:
        """In how many ways a string can be cut into tokens: up to 1.6 times more a character."""
        before, now = 0, 1
        for place in range(len(string)):
            ends = place > 0 and string[place - 1 : place + 1] in self.pairs
            before, now = now, now + (before if ends else 0)
        return now

    def cuts(self, string: str) -> list[Sequence[str]]:
        """All ways to cut a string into tokens, of which ``cut`` is one.

        Raises:
            ValueError: there are more than 10,000 (``ways``).
        """
        if self.ways(string) > MOST_WAYS:
            count = self.ways(string)
            raise ValueError(
                f"string must have at most {MOST_WAYS:,} ways to cut it, not {count:,}"
            )
        found: list[list[Sequence[str]]] = [[()]]  # of each beginning
        for end in range(1, len(string) + 1):
            found.append([(*one, string[end - 1]) for one in found[-1]])
            pair = string[max(end - 2, 0) : end]
            if pair in self.pairs:
                found[-1] += [(*one, pair) for one in found[-3]]
        return found[-1]


def frequent_pairs(strings: Sequence[str], count: int) -> tuple[str, ...]:
    """The most frequent pairs of neighbours in strings, at most ``count``; of equals the first."""
    checks.at_least(1)("count", count)
    found = Counter(a + b for one in strings for a, b in itertools.pairwise(one))
    return tuple(sorted(found, key=lambda pair: (-found[pair], pair))[:count])


def recut(corpus: Corpus, vocabulary: Vocabulary, train: Sequence[str] | None = None) -> Corpus:
    """The strings of a corpus as tokens of another vocabulary.

    Args:
        corpus: its validation and test strings stay the same strings.
        vocabulary: of all their characters.
        train: other training strings, such as those that a teacher has written.
    """
    parts = {
        "train": corpus.train.text() if train is None else list(train),
        "validation": corpus.validation.text(),
        "test": corpus.test.text(),
    }
    longest = max(len(vocabulary.cut(one)) for part in parts.values() for one in part)
    encoded = {
        name: Strings(vocabulary.encode(part, longest), vocabulary) for name, part in parts.items()
    }
    return Corpus(**encoded, name=corpus.name)
