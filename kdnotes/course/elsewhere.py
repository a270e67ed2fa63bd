"""What other software does to the lesson's student and to the loss, measured where it runs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdnotes import libraries
from kdnotes.course import edge_record
from kdnotes.course.profiles import Settings
from kdnotes.edge import runtimes

__all__ = ["chosen_runtimes", "losses", "shown_students", "students"]

SHOWN = (
    "precision", "largest_difference", "flips", "accuracy", "bytes", "hot_ratio", "paced_ratio",
)  # fmt: skip


def chosen_runtimes(names: Sequence[str]) -> tuple[runtimes.Runtime, ...]:
    """The runtimes of these names, in any case and with or without blanks; all of none.

    Raises:
        ValueError: there is no runtime of that name.
    """
    known = {_plain(one.name): one for one in runtimes.ALL}
    for name in names:
        if _plain(name) not in known:
            allowed = ", ".join(known)
            raise ValueError(f"--only must be one of {allowed}, not {name!r}")
    wanted = {_plain(name) for name in names} or set(known)
    return tuple(one for name, one in known.items() if name in wanted)


def students(
    settings: Settings, chosen: Sequence[runtimes.Runtime], repeats: int
) -> tuple[pd.DataFrame, list[str]]:
    """The student of KD, seed 0, in each runtime; and which versions are not the record's."""
    student, test = edge_record.trained_student(settings), settings.splits().test
    table = runtimes.compare(
        student, test.images, test.targets, edge_record.calibration(settings), chosen,
        repeats=repeats,
    )  # fmt: skip
    return table, runtimes.differing(runtimes.recorded(), table)


def shown_students(table: pd.DataFrame) -> str:
    """That table as text; of what is not measured the reason, and what to do."""
    rows = table.set_index(["runtime", "kind"])
    shown = rows[[*SHOWN]].astype(object).where(rows["status"] == "measured", "")
    shown.insert(0, "status", (rows["status"] + "  " + rows["install"]).str.strip())
    formats = dict.fromkeys(("largest_difference", "hot_ratio", "paced_ratio"), "{:.3g}".format)
    formats |= {"accuracy": "{:.2%}".format, "flips": "{:.0f}".format, "bytes": "{:,.0f}".format}
    for name, form in formats.items():
        shown[name] = [one if one == "" else form(one) for one in shown[name]]
    return shown.to_string()


def losses(name: str | None) -> tuple[pd.DataFrame, list[str]]:
    """The loss of each library that is installed, and the names of those that are not as recorded.

    Raises:
        ValueError: there is no library of that name.
    """
    if name is not None and name not in libraries.names():
        allowed = ", ".join(libraries.names())
        raise ValueError(f"--library must be one of {allowed}, not {name!r}")
    table = libraries.compared(name)
    other = table["verdict"].str.startswith(("changed", "fails"))
    return table, list(table.index[other])


def _plain(name: str) -> str:
    return name.lower().replace(" ", "")
