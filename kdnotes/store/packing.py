"""A store as one file, for others to read: a zip archive, not compressed, of entries as they are.

Weights and logits are as good as random: compression would save a tenth of the size, and its time
would be spent at every reading.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kdnotes.files import cache_folder, replacing
from kdnotes.store import tensorfile
from kdnotes.store.entry import KINDS, Entry, entry_named
from kdnotes.store.keys import code_key, versions
from kdnotes.store.shared import MANIFEST, raw_shared


class Packed(NamedTuple):
    """What a packed store holds.

    Args:
        runs, banks: how many trainings, and outputs of teachers.
        size: of the file, in bytes.
        damaged: names of entries that were left out.
    """

    runs: int
    banks: int
    size: int
    damaged: list[str]


def pack(path: Path, entries: Iterable[Entry] | None = None) -> Packed:
    """Write entries of one's own store, or of the shared one, to a file for KDNOTES_STORE.

    The same entries make the same file. It is written whole or not at all.

    Args:
        entries: what others shall find; by default all that is in one's own store, whatever code
            made it, but for what is damaged.

    Raises:
        ValueError: there is nothing to pack, or one of ``entries`` is missing or damaged.
        OSError: the file cannot be written.
    """
    wanted = sorted(set(_own() if entries is None else entries))
    if not wanted:
        raise ValueError(f"there is nothing to pack: no finished run in {cache_folder()}")
    packed, damaged = dict.fromkeys(KINDS, 0), []
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        made_with = {"code": code_key(), **versions()}
        archive.writestr(_member(MANIFEST), json.dumps(made_with, indent=1))
        for entry in wanted:
            try:
                raw = _sound(entry)
            except ValueError as error:
                if entries is not None:
                    raise ValueError(f"{error}: run the chapters again, then pack") from error
                damaged.append(entry.name)
                continue
            archive.writestr(_member(entry.name), raw)
            packed[entry.kind] += 1
    return Packed(packed["runs"], packed["banks"], path.stat().st_size, damaged)


def _member(name: str) -> zipfile.ZipInfo:
    """Dated 1980, and readable for all where the archive is unpacked."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    return info


def _own() -> list[Entry]:
    folder = cache_folder()
    found = (path.relative_to(folder).as_posix() for path in folder.glob("*/*.safetensors"))
    return [entry for entry in map(entry_named, found) if entry]


def _sound(entry: Entry) -> bytes:
    """The bytes of an entry, checked."""
    try:
        raw = entry.path.read_bytes()
        tensorfile.decode(raw, str(entry.path))
    except (OSError, ValueError) as error:
        if not (raw := raw_shared(entry)):
            why = getattr(error, "strerror", None)  # of what could not be read
            said = f"{entry.path} is missing ({why})" if why else str(error)
            raise ValueError(said) from error
        tensorfile.decode(raw, entry.name)
    return raw
