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
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from kdnotes.files import cache_folder
from kdnotes.store import tensorfile
from kdnotes.store.entry import KINDS, Entry, note_used
from kdnotes.store.shared import check_shared, content_of, read_shared

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
        ValueError: KDNOTES_STORE names nothing that can be read.
    """
    check_shared()
    for kind in KINDS:
        with _unless_not_ours():
            _make(cache_folder() / kind)
            with tempfile.TemporaryFile(dir=cache_folder() / kind):
                pass


def load_or_make(
    entry: Entry,
    read: Callable[..., Content],
    make: Callable[[], Content],
    write: Callable[[Path, Content], None],
    *,
    fresh: bool = False,
) -> Content:
    """An entry of the shared store or of one's own, or else what ``make`` gives, stored by
    ``write``.

    Of several processes that want it at once one makes it. A damaged entry is reported and made
    anew; with ``fresh`` a whole one is, too.

    Args:
        read: gets tensors, record, and whether they are from the shared store.
    """
    return load_or_make_all([entry], read, lambda _: [make()], write, fresh)[0]


def load_or_make_all(
    entries: Sequence[Entry],
    read: Callable[..., Content],
    make: Callable[[list[int]], list[Content]],
    write: Callable[[Path, Content], None],
    fresh: bool = False,
) -> list[Content]:
    """``load_or_make`` of several entries, of which the missing ones are made together.

    Args:
        make: gets the numbers of the entries that are missing.
    """
    found: dict[int, Content] = {}
    for number, entry in enumerate(entries):
        if not fresh and (shared := read_shared(entry, read)) is not None:
            found[number] = shared
        elif not fresh and os.path.exists(entry.path):
            with contextlib.suppress(ValueError):  # whoever holds the lock looks again, and says so
                found[number] = _read_own(entry.path, read)
    with contextlib.ExitStack() as locks:
        # Always in the same order: two processes that want the same wait, but not for each other.
        missing = sorted(set(range(len(entries))) - set(found), key=lambda number: entries[number])
        writers = {number: locks.enter_context(_locked(entries[number])) for number in missing}
        for number in missing if not fresh else ():
            if os.path.exists(entries[number].path):
                try:
                    found[number] = _read_own(entries[number].path, read)
                except ValueError as error:
                    warnings.warn(f"{error}: computed again", stacklevel=4)
        wanted = sorted(set(missing) - set(found))
        for number, content in zip(wanted, make(wanted) if wanted else (), strict=True):
            found[number] = content
            if writers[number]:
                with _unless_not_ours():
                    write(entries[number].path, content)
    for entry in entries:
        note_used(entry)
    return [found[number] for number in range(len(entries))]


def _read_own(path: Path, read: Callable[..., Content]) -> Content:
    return content_of(*tensorfile.read(path), path, read, shared=False)


@contextlib.contextmanager
def _locked(entry: Entry) -> Iterator[bool]:
    """Be the one writer of an entry; gives whether it can be written."""
    # Whatever the umask: who may write to the folder may wait for its locks.
    lock = FileLock(entry.path.with_suffix(".lock"), mode=0o666)
    with _unless_not_ours():
        _make(entry.path.parent)
        try:
            lock.acquire()
        except PermissionError:
            if not os.access(entry.path.parent, os.W_OK):
                raise
            time.sleep(0.1)  # another user has just made the file, and is about to set its mode
            lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _make(folder: Path) -> None:
    """Make a folder of the store, for all users who may write to the store."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        others = os.stat(folder.parent).st_mode & 0o2077
        if os.path.isdir(folder):
            return
        if not others & 0o022 or os.name != "posix":  # elsewhere modes say nothing
            folder.mkdir(exist_ok=True)
            return
        # Under another name until it has its mode: no user finds it closed.
        made = tempfile.mkdtemp(dir=folder.parent, prefix=".")
        os.chmod(made, 0o700 | others)
        try:
            os.rename(made, folder)
        except OSError:
            os.rmdir(made)
            if not os.path.isdir(folder):
                raise
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
