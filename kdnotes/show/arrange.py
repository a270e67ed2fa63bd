"""A chapter's HTML put in order: anchors, contents, boxes that scroll, an appendix that folds."""

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import dataclass
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag

__all__ = ["APPENDIX", "HEADINGS", "Heading", "arrange"]

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
APPENDIX = "For the curious"  # the heading of what is folded as a whole


@dataclass(frozen=True)
class Heading:
    """A line of the table of contents: "h2" or "h3", its anchor, and what it says, as HTML."""

    level: str
    anchor: str
    html: str


def arrange(body: str) -> tuple[str, list[Heading]]:
    """The cells of a chapter as HTML, and its headings of the second and third level.

    Every heading gets an anchor and a link to it, as JupyterLab's are called, but unique. Every
    table gets a box, so that a wide one scrolls by itself. Links to notebooks lead to their pages.
    All from the heading "For the curious" to the next of its level becomes a ``details``, whose
    summary, a button already, has no link.
    """
    soup = BeautifulSoup(body, "html.parser")
    contents = _anchors(soup)
    for table in soup.find_all("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    for link in soup.find_all("a", href=re.compile(r"^\w+\.ipynb(#|$)")):
        name, mark, anchor = link.attrs.pop("href").partition("#")
        name = name.removesuffix(".ipynb")
        # Side by side when they are sorted, for ``relink``.
        link["data-page"] = f"{name}{mark}{anchor}"
        link["href"] = f"{name}.html{mark}{anchor}"
    _fold_appendix(soup)
    return str(soup), contents


def _anchors(soup: BeautifulSoup) -> list[Heading]:
    contents, taken = [], set()
    for heading in soup.find_all(HEADINGS):
        said = copy.copy(heading)
        for link in said.find_all("a"):
            link.unwrap()
        words = "-".join(heading.get_text().split())
        first = quote(words, safe="?/:@!$&'()*+,;=")
        names = itertools.chain([first], (f"{first}-{n}" for n in itertools.count(2)))
        anchor = next(name for name in names if name not in taken)
        taken.add(anchor)
        heading["id"] = anchor
        label = {"class": "anchor-link", "href": f"#{anchor}", "aria-label": "Link to this section"}
        heading.append(soup.new_tag("a", attrs=label, string="¶"))
        if heading.parent is soup and heading.name in ("h2", "h3"):
            contents.append(Heading(heading.name, anchor, said.decode_contents()))
    return contents


def _fold_appendix(soup: BeautifulSoup) -> None:
    for heading in soup.find_all("h2", recursive=False):
        if heading.get_text().startswith(APPENDIX):
            rest = list(itertools.takewhile(_is_inside, list(heading.next_siblings)))
            details = soup.new_tag("details", attrs={"class": "appendix"})
            heading.insert_before(details)
            details.append(soup.new_tag("summary"))
            heading.find(class_="anchor-link").decompose()  # a link in what folds by a click
            details.summary.append(heading.extract())
            details.extend([node.extract() for node in rest])


def _is_inside(node: object) -> bool:
    return not (isinstance(node, Tag) and node.name in ("h1", "h2"))
