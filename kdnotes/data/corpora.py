"""Corpora by name: the embedded surnames, and a text file of the reader's own."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np

from kdnotes import checks
from kdnotes.data.strings import Corpus, Vocabulary, split_types

SURNAMES = Path(__file__).parents[1] / "assets" / "surnames.npz"

SURNAMES_SHA256 = "2bd9802b0dbfff6d273d263d9a0167425af8e954a22b557d2d586bf0ea0bfc61"

UNLISTED = 13.003  # per cent of all people, who bear a name whose share is published as 0.000 %

SURNAME_CHARACTERS = Vocabulary("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

LONGEST_LINE = 64  # characters; what is longer is cut into several strings
MOST_CHARACTERS = 256


def load_corpus(
    name: str = "surnames",
    *,
    train_strings: int | None = None,
    validation_strings: int = 2000,
    test_strings: int = 4000,
    subset_seed: int = 0,
) -> Corpus:
    """Load distinct strings, split so that no string is in two parts.

    Args:
        name: "surnames" (88,799 surnames of the 1990 US census, part of the package) or
            "text:PATH", a UTF-8 text file, a line a string; lines of more than 64 characters are
            cut, and lines that are there several times count once.
        train_strings: training strings to draw (``None``: all that are in no other part).
        validation_strings, test_strings: the same strings whatever the rest is.
        subset_seed: which training strings are drawn.

    Raises:
        ValueError: unknown name, too few strings, a file that is missing or no text.
    """
    checks.at_least(0)("subset_seed", subset_seed)
    strings, vocabulary = strings_of(name)
    sizes = (train_strings, validation_strings, test_strings)
    return split_types(strings, vocabulary, name, sizes, subset_seed)


def strings_of(name: str) -> tuple[list[str], Vocabulary]:
    """All distinct strings of a corpus, in a fixed order, and its vocabulary."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {checks.kind_of(name)}")
    if name == "surnames":
        return list(surname_weights()), SURNAME_CHARACTERS
    if name.startswith("text:") and len(name) > len("text:"):
        return _lines(Path(name.removeprefix("text:")))
    raise ValueError(f"name must be 'surnames' or 'text:PATH', not {name!r}")


@functools.lru_cache(maxsize=1)
def surname_weights() -> dict[str, float]:
    """Each surname, in alphabetical order, with its share of the people; the shares sum to 1.

    The census gives shares in thousandths of a per cent. The 69,960 names below half a thousandth
    have the 13.003 % of the people that the table's running total gives them, in equal parts. The
    published shares, which are rounded, are divided by their sum.

    Raises:
        ValueError: the embedded file is missing or damaged.
    """
    if not SURNAMES.is_file() or _sha256(SURNAMES) != SURNAMES_SHA256:
        state = "damaged (its SHA-256 differs)" if SURNAMES.is_file() else "missing"
        raise ValueError(
            f"the embedded data file {SURNAMES.name} is {state}: install kdnotes again"
        )
    with np.load(SURNAMES) as file:
        names = file["names"].tobytes().decode("ascii").split("\n")
        shares = file["thousandths"].astype(np.float64) / 1000
    shares[shares == 0] = UNLISTED / (shares == 0).sum()
    return dict(zip(names, (shares / shares.sum()).tolist(), strict=True))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _lines(path: Path) -> tuple[list[str], Vocabulary]:
    """The distinct lines of a text file, and the characters that are in them."""
    try:
        path = path.expanduser()
        if path.exists() and not path.is_file():  # a device might never end
            raise ValueError("not a file")
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("not text: it holds characters of number 0")
    except (OSError, ValueError, RuntimeError) as error:  # the last: the home of no user
        known = {UnicodeDecodeError: "not UTF-8"}
        why = known.get(type(error)) or getattr(error, "strerror", None) or error
        raise ValueError(
            f"name must be 'text:PATH' of a text file, not {str(path)!r}: {why}"
        ) from None
    lines = (line.rstrip() for line in text.splitlines())
    parts = (
        line[start : start + LONGEST_LINE]
        for line in lines
        for start in range(0, len(line), LONGEST_LINE)
    )
    strings = list(dict.fromkeys(parts))
    characters = "".join(sorted(set().union(*strings)))
    if not strings:
        raise ValueError(f"name must be 'text:PATH' of a text file, but {str(path)!r} has no lines")
    if len(characters) > MOST_CHARACTERS:
        raise ValueError(
            f"{path.name} must have at most {MOST_CHARACTERS} different characters, not "
            f"{len(characters)}"
        )
    return strings, Vocabulary(characters)
