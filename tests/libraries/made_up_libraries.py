"""A library that does not exist, for the tests of what is said of libraries."""

from __future__ import annotations

import torch.nn.functional as F

from kdnotes.libraries import Call, Library, Weighing, formulas


def by_three(student, teacher, targets, temperature):
    return 3 * formulas.unscaled(student, teacher, targets, temperature)


def whole(student, teacher, targets, temperature):
    labels = F.cross_entropy(student, targets)
    return 0.5 * labels + 2 * formulas.reference(student, teacher, targets, temperature)


def broken(student, teacher, targets, temperature):
    raise RuntimeError("no such thing (in C:/somebody/code.py)\nand more")


def made_up(name="made-up", loss=by_three):
    """Its package is torch, which is installed."""
    default = Call("loss(T)", loss, formulas.KL)
    cured = Call("T**2 * loss(T) / 3", formulas.reference, formulas.R)
    weights = (Weighing("both", whole),)
    return Library(name, "torch", default, cured, "none", "nothing", "a note", weights)


def on_the_shelf(monkeypatch, *libraries):
    """Only these libraries, everywhere."""
    for module in ("shelf", "recording"):
        monkeypatch.setattr(f"kdnotes.libraries.{module}.SHELF", libraries)
