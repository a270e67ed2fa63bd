"""The first use of each term of a glossary in a page, linked to where it is explained."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bs4 import BeautifulSoup, NavigableString

__all__ = ["link"]

# What is read as running text, and what in it is no place for a link.
PROSE = {"p", "li", "td"}
NOT_LINKED = {"a", "code", "pre", "math", "summary", "th", "h1", "h2", "h3", "h4", "h5", "h6"}


def link(body: str, terms: Mapping[str, tuple[str, str]]) -> str:
    """The HTML with a link at the first use of each term in running text.

    A term is found in its plural too, and whatever its capitals, but for abbreviations. Where one
    term is part of another ("confidence" of "confidence interval"), the longer one is linked.

    Args:
        body: HTML of the cells of a chapter; what cells print is left alone.
        terms: term → address of its explanation, and the explanation, shown on hovering.
    """
    if not terms:
        return body
    soup = BeautifulSoup(body, "html.parser")
    left = dict(terms)
    for text in soup.find_all(string=True):
        if type(text) is NavigableString and _is_prose(text):
            _link_in(soup, text, left)
    return str(soup)


def _is_prose(text: NavigableString) -> bool:
    parents = list(text.parents)
    names = {parent.name for parent in parents}
    printed = any("output" in parent.get("class", []) for parent in parents)
    return not printed and NOT_LINKED.isdisjoint(names) and not names.isdisjoint(PROSE)


def _link_in(soup: BeautifulSoup, text: NavigableString, left: dict[str, tuple[str, str]]) -> None:
    """Replace a text by pieces of it and links; the terms that are linked leave ``left``."""
    while left and (found := _pattern(tuple(left)).search(text)):
        term = next(name for name in left if _is_form(found[0], name))
        address, explanation = left.pop(term)
        new = soup.new_tag("a", attrs={"class": "term", "href": address, "title": explanation})
        new.string = found[0]
        rest = NavigableString(text[found.end() :])
        text.replace_with(NavigableString(text[: found.start()]), new, rest)
        text = rest


def _is_form(word: str, term: str) -> bool:
    return bool(re.fullmatch(_form(term), word))


def _form(term: str) -> str:
    """A term as a pattern: with its plural, and any capitals if it has none itself."""
    form = rf"{re.escape(term)}(?:s|es)?"
    return form if term != term.lower() else f"(?i:{form})"


def _pattern(terms: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(terms, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(_form, longest_first))})(?![\w-])")
