"""What a runtime adds to the course's installation: packages, and their megabytes."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

__all__ = ["added", "megabytes"]


def added(packages: Iterable[str]) -> list[str]:
    """These packages and all that they need, without what the course's core needs too; sorted.

    Of what is installed in this environment.
    """
    return sorted(_needed(packages) - _needed(["kdnotes"]))


def megabytes(packages: Iterable[str]) -> float:
    """The files of ``added`` packages, in units of 10⁶ bytes."""
    files = [
        file.locate()
        for package in added(packages)
        for file in importlib.metadata.distribution(package).files or ()
    ]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _needed(packages: Iterable[str]) -> set[str]:
    """The packages and all their requirements, as far as they are installed."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [(package, "") for package in packages]
    seen = set()
    while waiting:
        package, extra = waiting.pop()
        name = re.sub(r"[-_.]+", "-", package).lower()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            lines = importlib.metadata.distribution(name).requires or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        for one in map(Requirement, lines):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(one.name, wanted) for wanted in ("", *one.extras)]
    return found
