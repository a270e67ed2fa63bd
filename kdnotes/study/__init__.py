"""Comparisons of methods: arms × seeds, paired; choices, on seeds of their own."""

from kdnotes.study.arms import Arm, NotPairedError, PerSeed
from kdnotes.study.choosing import Choice, choose
from kdnotes.study.comparing import compare
from kdnotes.study.engine import chosen, each
from kdnotes.study.flattering import flattery
from kdnotes.study.measuring import measured, under_shifts
from kdnotes.study.results import Study, in_words, together
from kdnotes.study.seeds import FIRST_CHOICE_SEED

__all__ = [
    "FIRST_CHOICE_SEED", "Arm", "Choice", "NotPairedError", "PerSeed", "Study", "choose", "chosen",
    "compare", "each", "flattery", "in_words", "measured", "together", "under_shifts",
]  # fmt: skip
