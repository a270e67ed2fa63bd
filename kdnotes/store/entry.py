"""One entry of a store: a finished run, or what a teacher says of a data set."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from kdnotes.files import cache_folder

KINDS = ("runs", "banks")
_NAME = re.compile(rf"({'|'.join(KINDS)})/([\w.-]+)\.safetensors")


class Entry(NamedTuple):
    """What an entry is, and the key that says all that it depends on."""

    kind: str  # one of KINDS
    key: str

    @property
    def name(self) -> str:
        """Its place in any store, with slashes."""
        return f"{self.kind}/{self.key}.safetensors"

    @property
    def path(self) -> Path:
        """Its file in one's own store."""
        return cache_folder() / self.kind / f"{self.key}.safetensors"


def entry_named(name: str) -> Entry | None:
    """The entry at a place in a store; ``None`` for what is no entry's."""
    found = _NAME.fullmatch(name)
    return Entry(*found.groups()) if found else None


def note_used(entry: Entry) -> None:
    """Leave an empty file with the entry's name in the folder KDNOTES_USED, if there is one.

    So whoever starts a kernel learns what it and its workers read or made.
    """
    if folder := os.environ.get("KDNOTES_USED"):
        mark = Path(folder, entry.name)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
