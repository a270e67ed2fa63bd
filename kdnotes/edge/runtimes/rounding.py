"""What int8 costs students of several arms and seeds in one runtime: measured once, and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from kdnotes import checks
from kdnotes.files import write_text

__all__ = ["Rounding", "recorded_rounding"]


@dataclass(frozen=True)
class Rounding:
    """The accuracies of students before and after a runtime's int8.

    Args:
        table: one row a student: ``arm``, ``seed``, and fractions of right answers, ``float`` of
            PyTorch and ``int8`` of the runtime's file.
        made: what there is to say of the measurement: ``date``, ``dataset``, ``profile`` and
            ``versions`` (package → version).
        machine: of ``edge.machine``.
    """

    table: pd.DataFrame
    made: Mapping[str, Any]
    machine: Mapping[str, str]

    def loss(self, arm: str) -> pd.Series:
        """What int8 costs an arm's students: float minus int8, fractions, indexed by seed."""
        if arm not in set(self.table["arm"]):
            raise ValueError(f"arm must be one of {[*self.table['arm'].unique()]}, not {arm!r}")
        rows = self.table[self.table["arm"] == arm].set_index("seed")
        return rows["float"] - rows["int8"]

    def said(self, here: Mapping[tuple[str, int], float]) -> str:
        """Of what it is, and how many of its students have the same accuracy here.

        Args:
            here: (arm, seed) → accuracy in float of one's own students.
        """
        rows = self.table.itertuples()
        equal = sum(abs(here.get((row.arm, row.seed), -1.0) - row.float) < 1e-6 for row in rows)
        of = ", ".join(str(self.made[name]) for name in ("date", "dataset", "profile"))
        return f"recorded {of}; float accuracies as here: {equal} of {len(self.table)}"

    def save(self, path: Path) -> None:
        """Write it as JSON, completely or not at all."""
        content = {"made": dict(self.made), "machine": dict(self.machine)}
        content["table"] = self.table.to_dict("records")
        write_text(Path(path), json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def recorded_rounding(path: Path | None = None) -> Rounding:
    """The record of this package, or of another file of ``Rounding.save``."""
    if path is not None:
        checks.existing_file("path", path, "a file of Rounding.save")
    held = Path(path) if path else resources.files("kdnotes.edge.runtimes") / "rounding.json"
    content = json.loads(held.read_text(encoding="utf-8"))
    return Rounding(**(content | {"table": pd.DataFrame(content["table"])}))
