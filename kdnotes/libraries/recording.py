"""The record of what the libraries were measured to be: ``recorded.json``.

Each number in it is one that ``measure`` found; ``python -m kdnotes.libraries``, with all
libraries installed, writes it anew, and with names only their rows.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kdnotes.libraries import measuring
from kdnotes.libraries.library import Library, installed
from kdnotes.libraries.shelf import SHELF, get, names

FILE = "recorded.json"


def read() -> dict[str, dict[str, Any]]:
    """The record: name → version, date, torch, python, and either default, cured and weights (the
    fields of ``Measured``) or a problem.
    """
    text = resources.files("kdnotes.libraries").joinpath(FILE).read_text(encoding="utf-8")
    return json.loads(text)


def recorded() -> pd.DataFrame:
    """The recorded table, one row a library: what it computes and how it was seen to behave.

    Ratios are taken on ``example()`` at T = 4, against R = ``losses.kd_loss``. Where a library
    could not be run they are missing, and "problem" tells why.
    """
    record = read()
    return pd.DataFrame([_row(one, record[one.name]) for one in SHELF]).set_index("library")


def _row(library: Library, found: dict[str, Any]) -> dict[str, Any]:
    formula = library.default.formula
    said = {
        "library": library.name,
        "version": found["version"],
        "date": found["date"],
        "call": library.default.code,
        "formula": formula.tex,
        "T²": "yes" if formula.t_squared else "no",
        "direction": formula.direction,
        "mean over": formula.mean_over,
        "weighs": library.weighs,
        "defaults": library.defaults,
    }
    measured = {
        title: found.get(call, {}).get(field)
        for title, call, field in (
            ("loss / R", "default", "loss"),
            ("gradient / R", "default", "gradient"),
            ("cosine", "default", "cosine"),
            ("cured loss / R", "cured", "loss"),
            ("cured gradient / R", "cured", "gradient"),
        )
    }
    last = {"cured call": library.cured.code, "note": library.note}
    return said | measured | last | {"problem": found.get("problem", "")}


def weights() -> pd.DataFrame:
    """The recorded weights, one row a library and setting: the loss is labels·CE +
    distillation·R.
    """
    rows = [
        {"library": name, "setting": setting, **shares}
        for name, found in read().items()
        for setting, shares in found.get("weights", {}).items()
    ]
    return pd.DataFrame(rows).set_index(["library", "setting"])


def entry(name: str) -> dict[str, Any]:
    """The record's entry of a library that is installed here, by running it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    library = get(name)
    if (version := installed(library.package)) is None:
        raise ModuleNotFoundError(f"{library.package} is not installed")
    head = {
        "version": version,
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
    }
    try:
        found = dataclasses.asdict(measuring.measure(name))
    except Exception as error:
        return head | {"problem": problem(error)}
    return head | {part: _rounded(found[part]) for part in ("default", "cured", "weights")}


def _rounded(value: Any) -> Any:
    """Numbers to six digits."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return float(f"{value:.6g}")


def problem(error: Exception) -> str:
    """An error of a library in one line, without the paths of this computer."""
    lines = re.sub(r" *\([^()]*[/\\][^()]*\)", "", str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


def write(path: Path, *wanted: str) -> None:
    """Measure libraries and put their entries into the record; the others' stay as they are.

    Raises:
        ModuleNotFoundError: one of ``wanted`` is not installed.
        ValueError: there is none of that name.
    """
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    record |= {name: entry(name) for name in wanted}
    ordered = {name: record[name] for name in names() if name in record}
    text = json.dumps(ordered, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
