"""The folder of stored results: one writer an entry, and what happens where nothing can be written.

No lock is needed to read: files are renamed into place, so that there is no half of one. In the
folder of another user, or on a read-only disk, results are computed and not stored, which is said
once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from kdnotes.files import cache_folder

Content = TypeVar("Content")
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)  # of another user's store, or a read-only one
_REMEDY = "set the variable KDNOTES_CACHE to a folder that you can write to"
_said: set[str] = set()  # folders of which it was said, in this process


class NotStoredWarning(UserWarning):
    """Results are computed but not stored."""


def check_store() -> None:
    """Say at the start, not after the first training, where results cannot be stored.

    Raises:
        OSError: there is no cache folder, and it cannot be made. (One that is there but cannot be
            written to is a warning: what is stored in it can be read.)
    """
    for kind in ("runs", "banks"):
        with _unless_not_ours():
            _make(cache_folder() / kind)
            with tempfile.TemporaryFile(dir=cache_folder() / kind):
                pass


def path_of(kind: str, key: str) -> Path:
    """The file of an entry."""
    return cache_folder() / kind / f"{key}.safetensors"


def load_or_make(
    path: Path,
    read: Callable[[Path], Content],
    make: Callable[[], Content],
    write: Callable[[Content], None],
    *,
    fresh: bool = False,
) -> Content:
    """What is stored at ``path``, or else what ``make`` gives, stored by ``write``.

    Of several processes that want it at once one makes it. A damaged entry is reported and made
    anew; with ``fresh`` a whole one is, too.
    """
    return load_or_make_all([path], read, lambda _: [make()], lambda _, one: write(one), fresh)[0]


def load_or_make_all(
    paths: Sequence[Path],
    read: Callable[[Path], Content],
    make: Callable[[list[int]], list[Content]],
    write: Callable[[Path, Content], None],
    fresh: bool = False,
) -> list[Content]:
    """``load_or_make`` of several entries, of which the missing ones are made together.

    Args:
        make: gets the numbers of the paths that are missing.
    """
    found: dict[int, Content] = {}
    for number, path in enumerate(paths):
        if not fresh and os.path.exists(path):
            with contextlib.suppress(ValueError):  # whoever holds the lock looks again, and says so
                found[number] = read(path)
    with contextlib.ExitStack() as locks:
        # Always in the same order: two processes that want the same wait, but not for each other.
        missing = sorted(set(range(len(paths))) - set(found), key=lambda number: paths[number])
        writers = {number: locks.enter_context(_locked(paths[number])) for number in missing}
        for number in missing if not fresh else ():
            if os.path.exists(paths[number]):
                try:
                    found[number] = read(paths[number])
                except ValueError as error:
                    warnings.warn(f"{error}: computed again", stacklevel=4)
        wanted = sorted(set(missing) - set(found))
        for number, content in zip(wanted, make(wanted) if wanted else (), strict=True):
            found[number] = content
            if writers[number]:
                with _unless_not_ours():
                    write(paths[number], content)
    return [found[number] for number in range(len(paths))]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Be the one writer of an entry; gives whether it can be written."""
    # The mode less the umask: who shares the folder shares the locks.
    lock = FileLock(path.with_suffix(".lock"), mode=0o666)
    with _unless_not_ours():
        _make(path.parent)
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"cannot create the cache folder {folder}: {why}; {_REMEDY}") from error


@contextlib.contextmanager
def _unless_not_ours() -> Iterator[None]:
    """Where a folder that is there cannot be written to, say so once and go on."""
    try:
        yield
    except OSError as error:
        cause = error if error.errno is not None else error.__cause__
        if getattr(cause, "errno", None) not in _NOT_OURS or not os.path.isdir(cache_folder()):
            raise
        _say_not_stored(error)


def _say_not_stored(error: OSError) -> None:
    folder = str(cache_folder())
    if folder not in _said:
        _said.add(folder)
        why = getattr(error.__cause__ or error, "strerror", None) or error
        warnings.warn(
            f"results are computed but not stored: the cache folder {folder} cannot be written to "
            f"({why}); {_REMEDY}",
            NotStoredWarning,
            stacklevel=2,
        )
