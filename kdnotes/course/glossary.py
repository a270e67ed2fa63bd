"""The terms of the course in plain words; they are written in glossary.toml, beside this module."""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from IPython.display import Markdown, display

__all__ = ["Entry", "entries", "find", "markdown", "show"]

FILE = Path(__file__).with_name("glossary.toml")


@dataclass(frozen=True)
class Entry:
    """A term and what it means.

    Args:
        term: as the course writes it.
        text: one or two sentences.
        chapter: the chapter that introduces it, by its file's name without the number.
        arxiv: the paper it is from, if there is one.
        see: related terms of the glossary.
    """

    term: str
    text: str
    chapter: str
    arxiv: str | None = None
    see: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """The id of the entry on a page, such as "term-view-bank": it follows from the term."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.term.lower()).strip("-")


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the order of the alphabet."""
    listed = tomllib.loads(FILE.read_text(encoding="utf-8"))["entry"]
    return tuple(Entry(**one | {"see": tuple(one.get("see", ()))}) for one in listed)


def find(term: str) -> Entry:
    """The entry of a term, whatever its capitals.

    Raises:
        ValueError: there is none; the message names the nearest terms.
    """
    known = {entry.term.casefold(): entry for entry in entries()}
    if not isinstance(term, str) or term.casefold() not in known:
        near = difflib.get_close_matches(str(term).casefold(), known, n=3) or ["nll", "ece"]
        allowed = ", ".join(repr(known[one].term) for one in near)
        raise ValueError(f"term must be one of the glossary's, such as {allowed}, not {term!r}")
    return known[term.casefold()]


def markdown(*terms: str, links: Mapping[str, str] | None = None) -> str:
    """Entries as Markdown, a paragraph each, with its anchor.

    Args:
        terms: which; none: all.
        links: chapter → address, for those that can be linked to.

    Raises:
        ValueError: a term that the glossary has not.
    """
    chosen = [find(term) for term in terms] or entries()
    shown = {entry.term for entry in chosen}
    return "\n\n".join(_paragraph(entry, shown, links or {}) for entry in chosen)


def show(*terms: str) -> None:
    """Display these terms of the glossary, or all; see ``markdown``."""
    display(Markdown(markdown(*terms)))


def _paragraph(entry: Entry, shown: Collection[str], links: Mapping[str, str]) -> str:
    chapter = entry.chapter.replace("_", " ")
    if entry.chapter in links:
        chapter = f"[{chapter}]({links[entry.chapter]})"
    notes = [f"Chapter *{chapter}*"]
    if entry.arxiv:
        notes.append(f"[arXiv {entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})")
    if entry.see:
        others = (find(term) for term in entry.see)
        named = [
            f"[{one.term}](#{one.anchor})" if one.term in shown else one.term for one in others
        ]
        notes.append(f"see also {', '.join(named)}")
    return f'<a id="{entry.anchor}"></a>**{entry.term}.** {entry.text} {"; ".join(notes)}.'
