"""Finished runs and teachers' outputs on disk, under names made of all that they depend on."""

from kdnotes.files import cache_folder
from kdnotes.store.fingerprint import fingerprint
from kdnotes.store.folder import NotStoredWarning, check_store
from kdnotes.store.runs import (
    Training,
    cached_run,
    cached_runs,
    cached_tensor,
    is_stored,
    keep,
    product_precision,
    run_key,
    train,
)
from kdnotes.store.tensorfile import read, write

__all__ = [
    "NotStoredWarning", "Training", "cache_folder", "cached_run", "cached_runs", "cached_tensor",
    "check_store", "fingerprint", "is_stored", "keep", "product_precision", "read",
    "run_key", "train", "write",
]  # fmt: skip
