"""Exercises of chapter 3: entropy at a temperature, choosing on validation, the weight hidden in a missing T²."""

from __future__ import annotations

import math

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.check import Exercise, Trap


def _entropies(logits: Tensor, temperature: float) -> Tensor:
    log_p = F.log_softmax(logits / temperature, dim=1)
    return -(log_p.exp() * log_p).sum(1)


def _entropy_of_mean(logits: Tensor, temperature: float) -> float:
    p = F.softmax(logits / temperature, dim=1).mean(0)
    return float(-torch.xlogy(p, p).sum())


def _naive_entropy(logits: Tensor, temperature: float) -> float:
    p = F.softmax(logits / temperature, dim=1)
    return float(-(p * p.log()).sum(1).mean())


def _entropy_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 10, generator=generator)
    return [(logits, 1.0), (logits, 4.0), (200 * logits, 2.0)]


def _frames() -> list[tuple]:
    """Studies in which mean, median, majority, best and worst run, and the test score favour different arms."""
    rows = [
        ("T=1", (0.74, 0.90, 0.80), (0.79, 0.79, 0.79)),
        ("T=2", (0.81, 0.70, 0.81), (0.78, 0.78, 0.78)),
        ("T=4", (0.60, 0.95, 0.60), (0.77, 0.77, 0.77)),
        ("T=6", (0.79, 0.79, 0.79), (0.75, 0.75, 0.75)),
        ("T=8", (0.77, 0.77, 0.77), (0.83, 0.83, 0.83)),
        ("T=20", (0.65, 0.65, 0.65), (0.70, 0.70, 0.70)),
    ]
    ordered = [name for name, _, _ in rows]
    frames = []
    for shift in range(3):
        names = ordered[shift:] + ordered[:shift]
        frames.append(
            pd.DataFrame(
                {"arm": name, "seed": seed, "validation_accuracy": validation[seed], "test_accuracy": test[seed]}
                for name, (_, validation, test) in zip(names, rows, strict=True)
                for seed in range(3)
            )
        )
    return [(frame,) for frame in frames]


def _best_mean(frame: pd.DataFrame, column: str) -> str:
    return str(frame.groupby("arm")[column].mean().idxmax())


EXERCISES = {
    "03.1": Exercise(
        lambda logits, temperature: float(_entropies(logits, temperature).mean()),
        _entropy_cases,
        (
            Trap(_naive_entropy, "softmax and then log gives 0·(−∞) = NaN for large logits; use log_softmax"),
            Trap(
                lambda logits, temperature: float(_entropies(logits, temperature).mean()) / math.log(2),
                "this is in bits; use the natural logarithm for nats",
            ),
            Trap(
                lambda logits, temperature: float(_entropies(logits, 1.0).mean()),
                "the temperature is not used; divide the logits by it",
            ),
            Trap(
                lambda logits, temperature: float(_entropies(logits, temperature).sum()),
                "this is the sum over samples; take the mean",
            ),
            Trap(
                lambda logits, temperature: float(_entropies(logits, temperature).mean()) / logits.shape[1],
                "this is the mean over classes too; an entropy sums over the classes",
            ),
            Trap(_entropies, "this is one entropy a sample; return their mean as a float"),
            Trap(
                lambda logits, temperature: -float(_entropies(logits, temperature).mean()),
                "the sign is wrong: an entropy is never negative",
            ),
            Trap(
                _entropy_of_mean,
                "this is the entropy of the mean prediction; take the entropy of each sample, then the mean",
            ),
            Trap(
                lambda logits, temperature: float(_entropies(logits * temperature, 1.0).mean()),
                "the logits are multiplied by T; softening divides",
            ),
        ),
    ),
    "03.2": Exercise(
        lambda frame: _best_mean(frame, "validation_accuracy"),
        _frames,
        (
            Trap(
                lambda frame: _best_mean(frame, "test_accuracy"),
                "this chooses on the test set, which is then no longer a test; choose on validation",
            ),
            Trap(
                lambda frame: str(frame.loc[frame["validation_accuracy"].idxmax(), "arm"]),
                "this takes the arm of the single best run, which rewards variance; compare means over the seeds",
            ),
            Trap(
                lambda frame: str(frame.groupby("arm")["validation_accuracy"].median().idxmax()),
                "medians, or votes of the seeds, ignore by how much an arm wins; compare means over the seeds",
            ),
            Trap(
                lambda frame: str(frame.groupby("arm")["validation_accuracy"].mean().idxmin()),
                "this is the arm with the lowest mean; accuracy is better when it is higher",
            ),
        ),
    ),
    "03.3": Exercise(
        lambda alpha, temperature: alpha / (alpha + (1 - alpha) / temperature**2),
        lambda: [(0.1, 4.0), (0.5, 2.0), (0.9, 8.0)],
        (
            Trap(
                lambda alpha, temperature: alpha / (alpha + (1 - alpha) * temperature**2),
                "the missing factor makes the soft term weaker, so α′ must be larger than α; T² is on the wrong side",
            ),
            Trap(
                lambda alpha, temperature: alpha / (alpha + (1 - alpha) / temperature),
                "the factor is T squared, not T",
            ),
            Trap(
                lambda alpha, temperature: alpha * temperature**2 / (1 - alpha),
                "these are the odds α′/(1 − α′); the weight itself is odds/(1 + odds)",
            ),
            Trap(
                lambda alpha, temperature: 1 - alpha / (alpha + (1 - alpha) / temperature**2),
                "this is the weight of the soft term, 1 − α′; return α′, that of the labels",
            ),
            Trap(
                lambda alpha, temperature: alpha * temperature**2,
                "the two weights α′ and 1 − α′ must sum to 1; equate the ratios α′/(1 − α′) and solve for α′",
            ),
            Trap(lambda alpha, temperature: 1 - (1 - alpha) / temperature**2,
                 "equate the ratio of the two terms: α′/((1 − α′)·T²) = α/(1 − α)"),
        ),
    ),
}  # fmt: skip
