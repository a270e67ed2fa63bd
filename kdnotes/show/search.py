"""What the search of a run's pages looks through: the text of their sections, in a script file.

A page that is opened from a disk may read no file but a script: so the text is the value of a
constant, which ``search.js`` in the index goes through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag

from kdnotes.files import write_text
from kdnotes.show.arrange import HEADINGS

__all__ = ["FILE", "sections", "write"]

FILE = "sections.js"
BEFORE, AFTER = "const kdnotesSections = ", ";\n"
NOT_SEARCHED = "script, style, img, .anchor-link, .solution, details:not(.appendix) > summary"


def write(folder: Path, pages: dict[str, str], changed: str = "") -> None:
    """Write ``sections.js``; a page that it already holds is not read again, but for ``changed``.

    Args:
        folder: of the pages.
        pages: file name → title of each page to be searched, in order.
        changed: the file name of the page that is new.
    """
    known = _read(folder / FILE)
    known.pop(changed, None)
    lines = []
    for page, title in pages.items():
        found = known.get(page)
        if found is None:
            found = sections((folder / page).read_text(encoding="utf-8"))
        entry = {"page": page, "title": title, "sections": found}
        lines.append(json.dumps(entry, ensure_ascii=False))
    text = ",\n".join(lines)
    write_text(folder / FILE, f"{BEFORE}[\n{text}\n]{AFTER}")


def sections(page: str) -> list[dict[str, str]]:
    """The sections of a chapter's page: anchor, title ("" before the second heading), text, code.

    ``text`` is prose and output, without solutions; ``code`` has each name of the code once.
    """
    page = re.sub(r"</?span[^>]*>", "", page)  # most of the tags, of coloured code
    soup = BeautifulSoup(page, "html.parser")
    for node in soup.select(NOT_SEARCHED):
        node.decompose()
    found: list[dict[str, str]] = []
    for node in _parts(soup.main or soup):
        name = node.name if isinstance(node, Tag) else ""
        text = node.get_text()
        if name in HEADINGS:
            title = "" if name == "h1" else " ".join(text.split())
            found.append({"anchor": node.get("id", ""), "title": title, "text": "", "code": ""})
        elif found:
            kind = "code" if name and "input" in node.get("class", []) else "text"
            found[-1][kind] += f" {text}"
    for section in found:
        section["text"] = " ".join(section["text"].split())
        section["code"] = " ".join(dict.fromkeys(re.findall(r"[A-Za-z_]\w{2,}", section["code"])))
    return found


def _parts(parent: Tag) -> Iterator[Any]:
    """Headings, inputs of code cells, and what lies between them, in order."""
    for node in parent.children:
        whole = (
            not isinstance(node, Tag) or node.name in HEADINGS or "input" in node.get("class", [])
        )
        if whole or not (node.find(HEADINGS) or node.find(class_="input")):
            yield node
        else:
            yield from _parts(node)


def _read(path: Path) -> dict[str, list[dict[str, str]]]:
    """Page → its sections; none if the file is missing or not ours."""
    try:
        text = path.read_text(encoding="utf-8").removeprefix(BEFORE).removesuffix(AFTER)
        return {entry["page"]: entry["sections"] for entry in json.loads(text)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
