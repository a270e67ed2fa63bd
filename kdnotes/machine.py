"""The machine that computes: its processor, and one thread of it."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

__all__ = ["cpuinfo", "processor", "single_thread"]


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """One thread inside, the caller's number after: results do not depend on cores or workers.

    Torch keeps this number for each thread of Python: two of them do not disturb each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cpuinfo(field: str) -> str:
    """What Linux tells of the first processor, such as "model name" or "flags"; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def processor() -> str:
    """The processor's kind, such as its model name, or at least its architecture; no host name."""
    return cpuinfo("model name") or platform.processor() or platform.machine()
