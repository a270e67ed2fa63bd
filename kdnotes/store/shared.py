"""The store that somebody else filled: KDNOTES_STORE, a folder or one file, which is only read.

It is searched before one's own. No lock is taken, and nothing is written: any number of users may
read it at once, from a read-only disk as well. A folder is laid out like the cache folder, and a
file is a zip archive of such a folder (``store.pack``), read in place. What is damaged is said
once and ignored, as if it were not there. Entries are numbers and JSON: none can run code.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from kdnotes.store import tensorfile
from kdnotes.store.entry import KINDS, Entry
from kdnotes.store.keys import code_key, versions

Content = TypeVar("Content")
MANIFEST = "kdnotes.json"  # of a packed store: the versions that it was made with
_VARIABLE = "KDNOTES_STORE"
_UNREADABLE = (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile)
_said: set[str] = set()  # in this process


class SharedStoreWarning(UserWarning):
    """The shared store as a whole is of no use."""


def shared_place() -> Path | None:
    """The folder or file that KDNOTES_STORE names; ``None`` without one.

    Raises:
        ValueError: there is no such folder or file, or it cannot be read.
    """
    if not (named := os.environ.get(_VARIABLE)):
        return None
    place = Path(named)
    if not (os.path.isdir(place) or os.path.isfile(place)):
        why = "is neither" if os.path.exists(place) else "does not exist"
        raise ValueError(f"{_expected()}, not {named!r}, which {why}")
    if not os.access(place, os.R_OK | (os.X_OK if os.path.isdir(place) else 0)):
        raise ValueError(f"{_expected()}, not {named!r}, which this user may not read")
    return place


def check_shared() -> None:
    """Say at the start if nothing can be found in the shared store.

    Raises:
        ValueError: there is no such folder or file, or it cannot be read.
    """
    if (place := shared_place()) is None or not _is_store(place):
        return
    made_with, here = _manifest(place), versions()
    if made_with and made_with.get("code") != code_key():
        differing = [
            f"{name} {made_with[name]}, not {own}"
            for name, own in here.items()
            if made_with.get(name, own) != own
        ]
        _say(
            f"none of the runs in {_VARIABLE}={place} can be found: it was made with "
            f"{'; '.join(differing) or 'another state of the code of kdnotes'}. Make it again with "
            "this installation (kdnotes store pack)",
            SharedStoreWarning,
        )


def is_shared(entry: Entry) -> bool:
    """Whether the shared store has an entry, whole or damaged."""
    place = shared_place()
    if place is None or not _is_store(place):
        return False
    if os.path.isdir(place):
        return os.access(place / entry.name, os.R_OK)
    return entry.name in _archive(place).NameToInfo


def read_shared(entry: Entry, read: Callable[..., Content]) -> Content | None:
    """What ``read`` makes of an entry; ``None`` if there is none, or a damaged one."""
    if not is_shared(entry):
        return None
    place = shared_place()
    try:
        if os.path.isdir(place):
            source, found = place / entry.name, tensorfile.read(place / entry.name)
        else:
            source = f"{place}, {entry.name},"
            found = tensorfile.decode(_member(place, entry.name), source)
        return content_of(*found, source, read, shared=True)
    except ValueError as error:
        _say(f"{error}: ignored in {_VARIABLE}", UserWarning)
        return None


def content_of(
    tensors: dict[str, Tensor],
    record: dict[str, Any],
    source: Path | str,
    read: Callable[..., Content],
    *,
    shared: bool,
) -> Content:
    """What ``read`` makes of tensors and a record; ``ValueError`` if they are something else."""
    try:
        return read(tensors, record, shared)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{source} is damaged (something else is in its place: {error})"
        ) from error


def raw_shared(entry: Entry) -> bytes | None:
    """The bytes of an entry, as they are."""
    if not is_shared(entry):
        return None
    place = shared_place()
    is_folder = os.path.isdir(place)
    return (place / entry.name).read_bytes() if is_folder else _member(place, entry.name)


def _expected() -> str:
    return f"{_VARIABLE} must be a folder of stored runs, or a file of kdnotes store pack"


def _is_store(place: Path) -> bool:
    """Whether it has the form of a store; what has not is said once, and ignored."""
    if os.path.isdir(place):
        why = "" if any((place / kind).is_dir() for kind in KINDS) else "it holds no runs"
    else:
        try:
            why = "" if MANIFEST in _archive(place).NameToInfo else f"it holds no {MANIFEST}"
        except _UNREADABLE as error:
            why = str(error)
    if why:
        _say(f"{_expected()}, not {str(place)!r} ({why}): ignored", SharedStoreWarning)
    return not why


def _archive(place: Path) -> zipfile.ZipFile:
    """The open archive; its index is read once in a process, and again after a change."""
    now = os.stat(place)
    return _opened(place, os.getpid(), now.st_ino, now.st_mtime_ns, now.st_size)


@functools.lru_cache(maxsize=1)
def _opened(place: Path, process: int, *state: int) -> zipfile.ZipFile:
    # A forked process would share the place of reading with its parent: each opens its own.
    return zipfile.ZipFile(place)


def _member(place: Path, name: str) -> bytes:
    try:
        return _archive(place).read(name)
    except _UNREADABLE as error:
        raise ValueError(f"{place}, {name}, is damaged ({error})") from error


def _manifest(place: Path) -> dict[str, Any]:
    """With which versions a store was packed; nothing of a folder that grew by itself."""
    try:
        is_folder = os.path.isdir(place)
        text = (place / MANIFEST).read_bytes() if is_folder else _archive(place).read(MANIFEST)
        found = json.loads(text)
    except _UNREADABLE:
        return {}
    return found if type(found) is dict else {}


def _say(message: str, category: type[Warning]) -> None:
    if message not in _said:
        _said.add(message)
        warnings.warn(message, category, stacklevel=2)
