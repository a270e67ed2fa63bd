"""Strings in tokens of one or two characters: a vocabulary that another model does not share."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from kdnotes import checks
from kdnotes.data.strings import Corpus, Strings, Vocabulary


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

    def cuts(self, string: str) -> list[tuple[str, ...]]:
        """All ways to cut a string into tokens, of which ``cut`` is one."""
        ways: list[list[tuple[str, ...]]] = [[()]]  # of each beginning
        for end in range(1, len(string) + 1):
            pair = string[end - 2 : end]
            ways.append([(*one, string[end - 1]) for one in ways[-1]])
            if end > 1 and pair in self.pairs:
                ways[-1] += [(*one, pair) for one in ways[-3]]
        return ways[-1]


def frequent_pairs(strings: Sequence[str], count: int) -> tuple[str, ...]:
    """The ``count`` most frequent pairs of neighbours in strings; of equals the first by name.

    Raises:
        ValueError: there are not so many.
    """
    checks.at_least(1)("count", count)
    found = Counter(a + b for one in strings for a, b in itertools.pairwise(one))
    if len(found) < count:
        raise ValueError(f"count must be at most the strings' {len(found)} pairs, not {count}")
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
