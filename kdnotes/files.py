"""Files that are written completely or not at all: under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cache_folder", "replacing", "write_text"]


def cache_folder() -> Path:
    """Where runs, banks and downloads are kept: KDNOTES_CACHE, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("KDNOTES_CACHE") or user_cache_path("kdnotes"))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of ``path``, renamed to it at the end, removed on an error.

    Raises:
        OSError: the file cannot be written; the message names ``path``.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
