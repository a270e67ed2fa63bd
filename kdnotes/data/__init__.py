"""Data sets as tensors in memory, and fixed augmented views of them."""

from kdnotes.data.shifts import shift
from kdnotes.data.sources import load
from kdnotes.data.splits import Split, Splits, split_key
from kdnotes.data.views import Views
from kdnotes.files import cache_folder

__all__ = ["Split", "Splits", "Views", "cache_folder", "load", "shift", "split_key"]
