"""How to train."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.data import Views
from kdnotes.machine import is_device


def _views(name: str, value: Any) -> None:
    checks.instance(Views, said="a Views")(name, value)


@dataclass(frozen=True)
class Config:
    """How to train: AdamW with a one-cycle learning rate.

    Args:
        epochs: passes over the training images.
        batch_size: samples a step; a last batch of one sample is dropped (batch norm needs two).
        learning_rate: peak of the one-cycle schedule.
        weight_decay: decoupled decay of weight matrices and kernels (not of biases and norms, nor
            of a method's own parameters).
        views: the augmented views; epoch e sees view e mod count.
        seed: of initial weights (through ``build``), batch order and dropout.
        validate_every: epochs between measurements of the validation accuracy in the history (0:
            only at the end).
        device: where to train, such as "cpu", "cuda" or "mps"; that it is there is checked where it
            is used.
        bfloat16: autocast to bfloat16. It changes the numbers, so it is off unless asked for.
    """

    epochs: int = bound(checks.at_least(1), 40)
    batch_size: int = bound(checks.at_least(2), 32)
    learning_rate: float = bound(checks.positive, 5e-3)
    weight_decay: float = bound(checks.weight, 0.01)
    views: Views = field(default_factory=Views, metadata={"check": _views})
    seed: int = bound(checks.at_least(0), 0)
    validate_every: int = bound(checks.at_least(0), 0)
    device: str = bound(is_device, "cpu")
    bfloat16: bool = bound(checks.true_or_false, False)

    def __post_init__(self) -> None:
        checks.fields(self)
