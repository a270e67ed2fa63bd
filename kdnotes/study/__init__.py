"""Comparisons of methods: arms × seeds, paired."""

from kdnotes.study.arms import Arm, NotPairedError, PerSeed
from kdnotes.study.comparing import compare
from kdnotes.study.engine import chosen, each
from kdnotes.study.results import Study, in_words, together

__all__ = [
    "Arm", "NotPairedError", "PerSeed", "Study", "chosen", "compare", "each", "in_words",
    "together",
]  # fmt: skip
