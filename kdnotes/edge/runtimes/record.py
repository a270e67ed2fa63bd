"""A table that was made with all runtimes, to set beside one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from kdnotes import checks
from kdnotes.edge.runtimes.table import COLUMNS
from kdnotes.files import write_text

__all__ = ["Record", "differing", "recorded"]


@dataclass(frozen=True)
class Record:
    """A table of ``compare``, and what it was made with.

    Args:
        table: of ``compare``.
        surprises: of ``compare``, with the settings that make the surprises.
        micro: of ``micro.table``.
        effects: surprise → setting → number, of the functions in ``surprises``.
        machine: of ``edge.machine``.
        made: what else there is to say, such as the date and the student.
        sizes: megabytes that each extra adds to the core's installation.
    """

    table: pd.DataFrame
    surprises: pd.DataFrame
    micro: pd.DataFrame
    effects: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, str]
    made: Mapping[str, Any]
    sizes: Mapping[str, float]

    def save(self, path: Path) -> None:
        """Write it as JSON, completely or not at all."""
        frames = {name: getattr(self, name) for name in FRAMES}
        rows = {name: json.loads(frame.to_json(orient="records")) for name, frame in frames.items()}
        others = {name: dict(getattr(self, name)) for name in OTHERS}
        write_text(Path(path), json.dumps({**others, **rows}, indent=1, ensure_ascii=False) + "\n")


FRAMES = ("table", "surprises", "micro")
OTHERS = ("made", "machine", "sizes", "effects")


def recorded(path: Path | None = None) -> Record:
    """The record of this package, or of another file of ``Record.save``."""
    if path is not None:
        checks.existing_file("path", path, "a file of Record.save")
    held = Path(path) if path else resources.files("kdnotes.edge.runtimes") / "record.json"
    content = json.loads(held.read_text(encoding="utf-8"))
    frames = {name: pd.DataFrame(content.pop(name)) for name in FRAMES}
    for name in ("table", "surprises"):
        frames[name] = frames[name].reindex(columns=COLUMNS)
    return Record(**content, **frames)


def differing(record: Record, table: pd.DataFrame) -> list[str]:
    """Where one's own versions are others than the record's: a sentence for each package.

    Args:
        record: of ``recorded``.
        table: one's own, of ``compare``.
    """
    then, now = _versions(record.table), _versions(table)
    return [
        f"{package}: {then[package]} in the record, {now[package]} here"
        for package in then
        if package in now and now[package] != then[package]
    ]


def _versions(table: pd.DataFrame) -> dict[str, str]:
    found = {}
    for said in table["versions"].dropna():
        found |= dict(part.rsplit(" ", 1) for part in said.split(", ") if part)
    return found
