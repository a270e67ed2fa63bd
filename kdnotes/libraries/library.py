"""What is said of a library's distillation loss, and how its code is reached."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from types import ModuleType

from kdnotes.libraries.formulas import Formula, Loss


@dataclass(frozen=True)
class Call:
    """One way to call a library's distillation loss.

    Args:
        code: what one writes; T is the temperature.
        loss: runs the library: (student logits, teacher logits, targets, T) → a scalar. It imports
            the library, and raises ModuleNotFoundError where that is not installed.
        formula: what it computes.
    """

    code: str
    loss: Loss
    formula: Formula


@dataclass(frozen=True)
class Weighing:
    """The whole loss of labels and teacher, with one setting of the library's own weights.

    Args:
        setting: such as "task_loss_weight=0.25".
        loss: as ``Call.loss``.
    """

    setting: str
    loss: Loss


@dataclass(frozen=True)
class Library:
    """A library's distillation loss.

    Args:
        name: what the record and the command call it.
        package: its name on the package index.
        default: the call in which nothing but the temperature is set (and what has no default).
        cured: the call that equals ``losses.kd_loss``.
        defaults: its settings where one sets none.
        weighs: what its weight, or alpha, weighs.
        note: what one should know of it besides.
        weights: settings of the weight, measured.
    """

    name: str
    package: str
    default: Call
    cured: Call
    defaults: str
    weighs: str
    note: str = ""
    weights: tuple[Weighing, ...] = ()


def installed(package: str) -> str | None:
    """The version of a package that is installed here; ``None`` if it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def load(package: str, module: str) -> ModuleType:
    """A module of a package that may not be installed.

    Raises:
        ModuleNotFoundError: it is not; the message says how it would be.
    """
    if installed(package) is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install {package}")
    return importlib.import_module(module)
