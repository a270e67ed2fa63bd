"""From the course to the libraries: what others call a distillation loss.

``recorded`` is the table of what each library was measured to compute; ``compared`` measures those
that are installed here and says which agree with it. None is imported before it is asked for.
"""

from kdnotes.libraries import formulas, recipes, strings, traps
from kdnotes.libraries.comparing import compared
from kdnotes.libraries.formulas import Formula
from kdnotes.libraries.library import Call, Library, Weighing, installed
from kdnotes.libraries.measuring import Example, Measured, Ratios, Shares, example, measure
from kdnotes.libraries.recording import recorded, weights
from kdnotes.libraries.shelf import get, names

__all__ = [
    "Call", "Example", "Formula", "Library", "Measured", "Ratios", "Shares", "Weighing",
    "compared", "example", "formulas", "get", "installed", "measure", "names", "recipes",
    "recorded", "strings", "traps", "weights",
]  # fmt: skip
