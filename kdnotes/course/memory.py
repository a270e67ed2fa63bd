"""How much memory this process has used at most."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["peak_gib"]


def peak_gib() -> float:
    """The peak of the resident memory, in GiB.

    Linux keeps two: ``ru_maxrss`` begins with the peak of the process that started this one, and
    ``VmHWM`` with this program.

    Raises:
        ModuleNotFoundError: on Windows, which has neither.
    """
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        if found:
            return int(found[0]) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**30 if sys.platform == "darwin" else most / 2**20
