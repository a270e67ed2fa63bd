"""A finished training, and what is written down while it goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor, nn

from kdnotes import metrics
from kdnotes.data import Splits
from kdnotes.methods import Method
from kdnotes.training.config import Config


@dataclass
class Run:
    """A finished training.

    Args:
        history: one row an epoch: epoch, learning_rate, loss, each term of the method (mean over
            steps), what the method observed, seconds, and validation_accuracy where measured.
        metrics: accuracy, nll and ece of the last epoch, prefixed "validation_" and "test_".
        validation_logits, test_logits: ``[N, classes]`` float32 on the CPU.
        state: the student's weights and buffers, on the CPU.
        seconds: of the training, without the final evaluation.
        start: SHA-256 of the student's state before the first step.
        order: SHA-256 of the sequence of batches and views.
        created: when it was computed (ISO 8601, UTC).
        kept: what the method kept, such as a gate's weights, on the CPU.
        cached: whether it was read from the store.
    """

    history: pd.DataFrame
    metrics: dict[str, float]
    validation_logits: Tensor
    test_logits: Tensor
    state: dict[str, Tensor]
    seconds: float
    start: str
    order: str
    created: str
    kept: dict[str, Tensor] = field(default_factory=dict)
    cached: bool = False


@dataclass
class Seed:
    """One seed of a training that goes on: its network and method, and what was seen of it."""

    model: nn.Module
    method: Method
    config: Config
    start: str
    order: Any = field(default_factory=hashlib.sha256)
    sums: dict[str, Any] = field(default_factory=dict)  # of each term, in this epoch
    rows: list[dict[str, Any]] = field(default_factory=list)

    def saw(self, view: int, positions: Tensor, terms: dict[str, Tensor]) -> None:
        """Take down a step."""
        self.order.update(f"{view}".encode() + positions.numpy().tobytes())
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, 0) + term.detach()

    def end_epoch(self, epoch: int, learning_rate: float, steps: int, **measured: float) -> None:
        """Add a row to the history."""
        means = {name: float(total) / steps for name, total in self.sums.items()}
        row = {"epoch": epoch, "learning_rate": learning_rate, "loss": sum(means.values()), **means}
        self.rows.append(row | self.method.observe() | measured)
        self.sums = {}

    def finish(self, validation: Tensor, test: Tensor, data: Splits, seconds: float) -> Run:
        """The run, from the student's logits ``[N, classes]``; of a cohort's, ``[N, peers,
        classes]``, the first peer's count, and all are kept.
        """
        logits, kept = {"validation": validation, "test": test}, self.method.keep()
        if validation.ndim == 3:
            kept = kept | {f"peers.{part}": peers for part, peers in logits.items()}
            logits = {part: of_first_peer(peers) for part, peers in logits.items()}
        measured = {
            f"{part}_{name}": value
            for part, values in logits.items()
            for name, value in metrics.evaluate(values, getattr(data, part).targets).items()
        }
        return Run(
            history=pd.DataFrame(self.rows),
            metrics=measured,
            validation_logits=logits["validation"],
            test_logits=logits["test"],
            state=_on_cpu(self.model.state_dict().items()),
            seconds=seconds,
            start=self.start,
            order=self.order.hexdigest(),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            kept=_on_cpu(kept.items()),
        )


def of_first_peer(logits: Tensor) -> Tensor:
    """Of a cohort's logits ``[N, peers, classes]`` the first peer's; others as they are."""
    return logits[:, 0].clone() if logits.ndim == 3 else logits


def _on_cpu(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: one.detach().cpu().contiguous().clone() for name, one in tensors}
