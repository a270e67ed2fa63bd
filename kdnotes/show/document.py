"""The frame of every page: one HTML document, with its style, that needs no network."""

from __future__ import annotations

import html
from pathlib import Path

__all__ = ["document"]

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def document(title: str, body: str, style: str = "") -> str:
    """A complete HTML document; ``title`` is escaped, ``body`` and ``style`` are not."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
