"""Strings as tokens: a vocabulary of characters, and train, validation and test without overlap."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kdnotes import checks

END = 0  # the class "no more characters"; the characters are the classes from 1 on


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a language, and three tokens that are none.

    A model answers with one of ``classes``: the end of the string, or a character. ``begin`` and
    ``padding`` are inputs alone, so that no probability is lost on answers that never come.

    Args:
        characters: each once, such as "ABC".
    """

    characters: str
    unit: ClassVar[str] = "characters"  # what a length counts

    def __post_init__(self) -> None:
        if not isinstance(self.characters, str) or not self.characters:
            found = repr(self.characters)
            raise ValueError(f"characters must be a string of 1 character or more, not {found}")
        if len(set(self.characters)) < len(self.characters):
            raise ValueError(f"characters must be there once each, not {self.characters!r}")

    @property
    def spelled(self) -> Sequence[str]:
        """What the classes from 1 on stand for."""
        return self.characters

    def cut(self, string: str) -> Sequence[str]:
        """A string as tokens, each of them ``spelled``."""
        return string

    def cuts(self, string: str) -> list[Sequence[str]]:
        """All ways to cut a string into tokens; into characters there is one."""
        return [self.cut(string)]

    @property
    def classes(self) -> int:
        """What a model chooses from: the end, and what is ``spelled``."""
        return len(self.spelled) + 1

    @property
    def begin(self) -> int:
        """The input before the first character."""
        return self.classes

    @property
    def padding(self) -> int:
        """What stands behind the end; as a target it is masked."""
        return self.classes + 1

    def encode(self, strings: Sequence[str], length: int | None = None) -> Tensor:
        """Tokens ``[N, length + 2]`` int64: begin, characters, end, padding.

        Args:
            strings: the strings; none may be longer than ``length``.
            length: in tokens without begin and end; by default that of the longest string.

        Raises:
            ValueError: a character is not in the vocabulary, or a string is too long.
        """
        strings = list(strings)
        unknown = sorted(set("".join(strings)) - set(self.characters))
        if unknown:
            raise ValueError(f"strings must be made of {self.characters!r}, not of {unknown[0]!r}")
        return self.encode_cut([self.cut(one) for one in strings], length)

    def encode_cut(self, strings: Sequence[Sequence[str]], length: int | None = None) -> Tensor:
        """``encode`` of strings that are cut into tokens; ``length`` counts these."""
        longest = max(map(len, strings), default=0)
        length = longest if length is None else length
        checks.at_least(0)("length", length)
        if longest > length:
            raise ValueError(f"strings must have at most {length} {self.unit}, not {longest}")
        table = {one: number for number, one in enumerate(self.spelled, start=1)}
        tokens = np.full((len(strings), length + 2), self.padding, dtype=np.int64)
        tokens[:, 0] = self.begin
        for row, string in zip(tokens, strings, strict=True):
            row[1 : len(string) + 2] = [*(table[one] for one in string), END]
        return torch.from_numpy(tokens)

    def decode(self, tokens: Tensor) -> list[str]:
        """The strings of tokens ``[N, L]``: what stands between begin and the first end."""
        rows = []
        for row in tokens.tolist():
            row = row[1:] if row and row[0] == self.begin else row
            row = row[: row.index(END)] if END in row else row
            rows.append("".join(self.spelled[one - 1] for one in row if one < self.begin))
        return rows


@dataclass(frozen=True, eq=False)
class Strings:
    """Strings as tokens ``[N, L + 1]`` (``Vocabulary.encode``), and what a model sees of them.

    Args:
        tokens: begin, characters, end, padding.
        vocabulary: whose tokens they are.
    """

    tokens: Tensor
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def inputs(self) -> Tensor:
        """``[N, L]``: what stands before each target."""
        return self.tokens[:, :-1]

    @property
    def targets(self) -> Tensor:
        """``[N, L]``: the inputs, one place further: at place i stands what follows input i."""
        return self.tokens[:, 1:]

    @functools.cached_property
    def mask(self) -> Tensor:
        """``[N, L]`` bool: the targets that count, which are the characters and the end."""
        return self.targets != self.vocabulary.padding

    def take(self, positions: Tensor) -> Strings:
        """The strings at these positions, without the columns that are padding in all of them."""
        tokens = self.tokens[positions]
        used = int((tokens != self.vocabulary.padding).sum(dim=1).max()) if len(tokens) else 2
        return Strings(tokens[:, :used], self.vocabulary)

    def text(self) -> list[str]:
        """The strings as strings."""
        return self.vocabulary.decode(self.tokens)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Train, validation and test ``Strings`` of one vocabulary.

    Args:
        train, validation, test: all of one width.
        name: how it was loaded.
    """

    train: Strings
    validation: Strings
    test: Strings
    name: str

    @property
    def vocabulary(self) -> Vocabulary:
        return self.train.vocabulary

    @property
    def context(self) -> int:
        """Inputs of the longest string: the least context that a model needs."""
        return self.train.inputs.shape[1]

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of vocabulary and tokens: the identity of this corpus in every cache."""
        digest = hashlib.sha256("".join(self.vocabulary.spelled).encode())
        for part in (self.train, self.validation, self.test):
            digest.update(str(list(part.tokens.shape)).encode())
            digest.update(memoryview(part.tokens.contiguous().numpy()).cast("B"))
        return digest.hexdigest()


def split_types(
    strings: Sequence[str], vocabulary: Vocabulary, name: str, sizes: tuple[int | None, int, int],
    seed: int,
) -> Corpus:  # fmt: skip
    """A corpus of distinct strings: every string is in one part at most.

    Test and validation are drawn first, from seed 0, so that they are equal whatever the training
    strings are; then as many training strings as are asked for, by ``seed``.

    Args:
        strings: distinct.
        sizes: strings of train (``None``: all that remain), validation and test.

    Raises:
        ValueError: there are not so many strings.
    """
    train, validation, test = sizes
    for part, size in zip(("train", "validation", "test"), sizes, strict=True):
        if size is not None:
            checks.at_least(2)(f"{part}_strings", size)
    remaining = len(strings) - validation - test
    if remaining < (train or 2):
        wanted = f"{train or 2} for training, {validation} for validation and {test} for the test"
        have = f"{len(strings):,} different strings"
        raise ValueError(f"{name} must have {wanted}, but it has {have}")
    order = np.random.default_rng(0).permutation(len(strings))
    held, rest = order[: test + validation], order[test + validation :]
    rest = np.random.default_rng([seed, 1]).permutation(rest)[: train or remaining]
    longest = max(map(len, strings))
    parts = {"test": held[:test], "validation": held[test:], "train": rest}
    encoded = {
        part: Strings(vocabulary.encode([strings[one] for one in chosen], longest), vocabulary)
        for part, chosen in parts.items()
    }
    return Corpus(**encoded, name=name)
