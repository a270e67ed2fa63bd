"""A language whose every string and every probability is known: nested brackets."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.data.strings import Corpus, Strings, Vocabulary


def _kinds(name: str, value: Any) -> None:
    is_even = isinstance(value, str) and value and len(value) % 2 == 0
    if not is_even or len(set(value)) < len(value):
        wanted = "distinct characters, an opening one before its closing one, such as '()[]'"
        raise ValueError(f"{name} must be {wanted}, not {value!r}")


@dataclass(frozen=True)
class Brackets:
    """Well-nested strings of brackets with 1 to ``pairs`` pairs, and a distribution over them.

    A string is written from left to right. As long as pairs are left, it goes on with an opening
    bracket with probability ``opening``; else it closes
    what is open, or ends if nothing is. The first character always opens. When no pair is left, all
    that is open is closed. Which bracket closes, a character far before decides.

    Args:
        pairs: 1 to 8; with two kinds 6 pairs give 10,066 strings.
        kinds: opening and closing brackets in turn; the first kind is drawn twice as often as each
            of the others.
        opening: between 0 and 1.
    """

    pairs: int = bound(checks.at_least(1), 6)
    kinds: str = bound(_kinds, "()[]")
    opening: float = bound(checks.share, 0.5)

    def __post_init__(self) -> None:
        checks.fields(self)
        checks.whole("pairs", self.pairs, 1, 8)

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.kinds)

    @property
    def shares(self) -> list[float]:
        """Of each kind among the opening brackets: the first is twice as frequent as another."""
        count = len(self.kinds) // 2
        return [2 / (count + 1), *([1 / (count + 1)] * (count - 1))]

    @property
    def strings(self) -> list[str]:
        """All strings, in a fixed order."""
        return list(_enumerate(self))

    @property
    def probabilities(self) -> Tensor:
        """Of each of ``strings``, ``[N]`` float64; they sum to 1."""
        return torch.tensor(list(_enumerate(self).values()), dtype=torch.float64)

    def tokens(self) -> Strings:
        """All strings as tokens, in the order of ``strings``."""
        return Strings(self.vocabulary.encode(self.strings, 2 * self.pairs), self.vocabulary)

    def next_probabilities(self, prefix: str) -> dict[str, float]:
        """What follows a prefix of the language, with its probability; the end is "".

        Raises:
            ValueError: no string begins so.
        """
        stack: list[str] = []
        used = 0
        for one in prefix:
            place = self.kinds.find(one)
            if place >= 0 and place % 2 == 0 and used < self.pairs:
                stack.append(self.kinds[place + 1])
                used += 1
            elif place >= 0 and place % 2 and stack and stack[-1] == one:
                stack.pop()
            else:
                raise ValueError(f"prefix must begin a string of the language, not {prefix!r}")
        return self._options(stack, used)

    def _options(self, stack: list[str], used: int) -> dict[str, float]:
        opening = 0.0 if used == self.pairs else 1.0 if used == 0 else self.opening
        options = {
            kind: opening * share
            for kind, share in zip(self.kinds[::2], self.shares, strict=True)
            if opening
        }
        if opening < 1:
            options[stack[-1] if stack else ""] = 1 - opening
        return options

    def sample(self, count: int, seed: int) -> list[str]:
        """Strings drawn by their probabilities, with repetition."""
        checks.at_least(1)("count", count)
        checks.at_least(0)("seed", seed)
        table = _enumerate(self)
        strings, weights = list(table), np.array(list(table.values()))
        drawn = np.random.default_rng(seed).choice(len(strings), count, p=weights / weights.sum())
        return [strings[one] for one in drawn]


@functools.lru_cache(maxsize=4)
def _enumerate(language: Brackets) -> dict[str, float]:
    """Each string with its probability, shortest first."""
    finished, unfinished = {}, {"": 1.0}
    while unfinished:
        longer = {}
        for prefix, probability in unfinished.items():
            for following, share in language.next_probabilities(prefix).items():
                if following:
                    longer[prefix + following] = probability * share
                else:
                    finished[prefix] = probability * share
        unfinished = longer
    return dict(sorted(finished.items(), key=lambda item: (len(item[0]), item[0])))


def bracket_corpus(
    language: Brackets,
    train_strings: int,
    *,
    validation_strings: int = 1000,
    test_strings: int = 1000,
    subset_seed: int = 0,
) -> Corpus:
    """Strings drawn by their probabilities, so that some come several times.

    A string may be in two parts: what a model has learned is seen exactly, from the probabilities
    of all strings, and not from a test set.

    Args:
        train_strings, validation_strings, test_strings: how many to draw, 2 or more.
        subset_seed: which training strings are drawn.
    """
    checks.instance(Brackets, said="a kdnotes.data.Brackets")("language", language)
    checks.at_least(0)("subset_seed", subset_seed)
    seeds = {"train": 2 + subset_seed, "validation": 0, "test": 1}
    sizes = {"train": train_strings, "validation": validation_strings, "test": test_strings}
    parts = {}
    for part, size in sizes.items():
        checks.at_least(2)(f"{part}_strings", size)
        tokens = language.vocabulary.encode(language.sample(size, seeds[part]), 2 * language.pairs)
        parts[part] = Strings(tokens, language.vocabulary)
    return Corpus(**parts, name=repr(language))
