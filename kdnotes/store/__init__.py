"""Finished runs and teachers' outputs on disk, under names made of all that they depend on."""

from kdnotes.files import cache_folder
from kdnotes.store.entry import Entry, entry_named
from kdnotes.store.fingerprint import fingerprint
from kdnotes.store.folder import NotStoredWarning, check_store
from kdnotes.store.keys import product_precision, run_key, versions
from kdnotes.store.packing import Packed, pack
from kdnotes.store.runs import (
    SharedRun,
    Training,
    cached_run,
    cached_runs,
    cached_tensor,
    is_stored,
    keep,
    train,
)
from kdnotes.store.shared import SharedStoreWarning
from kdnotes.store.tensorfile import read, write

__all__ = [
    "Entry", "NotStoredWarning", "Packed", "SharedRun", "SharedStoreWarning", "Training",
    "cache_folder", "cached_run", "cached_runs", "cached_tensor", "check_store", "entry_named",
    "fingerprint", "is_stored", "keep", "pack", "product_precision", "read", "run_key", "train",
    "versions", "write",
]  # fmt: skip
