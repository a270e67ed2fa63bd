"""Do the libraries that are installed here behave as recorded?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kdnotes.libraries import measuring
from kdnotes.libraries.library import installed
from kdnotes.libraries.recording import problem, read
from kdnotes.libraries.shelf import get, names

TOLERANCE = 1e-3  # of a ratio; rounding moves it by 1e-5 at most
_CALLS, _FIELDS = ("default", "cured"), ("loss", "gradient", "cosine")


def compared(name: str | None = None) -> pd.DataFrame:
    """Measure what is installed, and say which libraries agree with the record.

    Args:
        name: one library; by default all.

    Returns:
        One row a library: version, loss / R and gradient / R of its default call and loss / R of
        its cured one, recorded and found here, and the verdict. A library that is not installed, or
        cannot be run, has a row too.

    Raises:
        ValueError: there is no library of that name.
    """
    wanted = names() if name is None else (get(name).name,)
    record = read()
    return pd.DataFrame([_row(one, record[one]) for one in wanted]).set_index("library")


def _row(name: str, then: Mapping[str, Any]) -> dict[str, Any]:
    version, now = installed(get(name).package), {}
    if version is not None:
        try:
            now = dataclasses.asdict(measuring.measure(name))
        except Exception as error:
            now = {"problem": problem(error)}
    row = {"library": name, "version recorded": then["version"], "version found": version or ""}
    for title, call, field in (
        ("loss / R", "default", "loss"),
        ("gradient / R", "default", "gradient"),
        ("cured loss / R", "cured", "loss"),
    ):
        for side, found in (("recorded", then), ("found", now)):
            row[f"{title} {side}"] = found.get(call, {}).get(field)
    return row | {"verdict": verdict(then, now | {"version": version})}


def verdict(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Does what was found agree with the record? In a few words.

    Args:
        then: an entry of the record.
        now: the same of this computer: "version", ``None`` if it is not installed; and "default",
            "cured" and "weights", or "problem".
    """
    if now["version"] is None:
        return "not installed"
    other = "" if now["version"] == then["version"] else ", in another version"
    if "problem" in now:
        known = "problem" in then
        return f"cannot be run, as recorded{other}" if known else f"fails: {now['problem']}"
    if "problem" in then:
        return f"runs now; recorded: {then['problem']}"
    changes = _changes(then, now)
    return f"changed: {'; '.join(changes)}" if changes else f"as recorded{other}"


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs by more than rounding, such as "default loss / R 0.1 → 1"."""
    pairs = {
        f"{call} {field}" + ("" if field == "cosine" else " / R"): (
            then[call][field],
            now[call][field],
        )
        for call in _CALLS
        for field in _FIELDS
    }
    for setting, shares in then["weights"].items():
        for part in ("labels", "distillation"):
            found = now["weights"].get(setting, {}).get(part)
            pairs[f"weight of {part} at {setting}"] = (shares[part], found)
    return [
        f"{what} {old:.4g} → {'none' if new is None else f'{new:.4g}'}"
        for what, (old, new) in pairs.items()
        if new is None or not abs(new - old) <= TOLERANCE * max(1, abs(old))
    ]
