"""Exercises of chapter 3: entropy at a temperature, choosing on validation, the weight hidden in a missing T²."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.course.check import Exercise, Trap


def _entropies(logits: Tensor, temperature: float) -> Tensor:
    log_p = F.log_softmax(logits / temperature, dim=1)
    return -(log_p.exp() * log_p).sum(1)


def _entropy_of_mean(logits: Tensor, temperature: float) -> float:
    p = F.softmax(logits / temperature, dim=1).mean(0)
    return float(-torch.xlogy(p, p).sum())


def _entropy_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(6, 10, generator=generator)
    return [(logits, 1.0), (logits, 4.0), (logits[:4, :5], 2.0)]


def _entropy_extremes() -> list[tuple]:
    """Logits of ±10⁴ beside ordinary ones, probabilities that underflow, and entropies near 1e-9 (in doubles)."""
    generator = torch.Generator().manual_seed(1)
    huge = torch.full((4, 10), -1e4).fill_diagonal_(1e4)
    certain = torch.randn(6, 10, generator=generator, dtype=torch.double).index_fill(1, torch.tensor([3]), 50.0)
    ordinary = torch.randn(3, 10, generator=generator)
    return [(torch.cat([huge, ordinary]), 2.0), (torch.cat([200 * ordinary, ordinary]), 1.0), (certain, 2.0)]


def _frames() -> list[tuple]:
    """Studies in which the means, and every other way to choose, favour different arms."""
    rows = [
        ((0.81, 0.82, 0.81, 0.82, 0.81), 0.74),  # the best mean on validation
        ((0.80,) * 5, 0.745),  # the second best there, and better on test
        ((0.79,) * 5, 0.79),  # the best by the smaller of validation and test
        ((0.76,) * 5, 0.83),  # the best by their mean
        ((0.70,) * 5, 0.86),  # the best on test
        ((0.70, 0.825, 0.825, 0.65, 0.825), 0.75),  # the best median
        ((0.61, 0.61, 0.61, 0.95, 0.61), 0.70),  # the best single run
        ((0.84, 0.61, 0.61, 0.61, 0.61), 0.70),  # the best with the first seed
        ((0.75, 0.75, 0.75, 0.75, 0.84), 0.72),  # the best with the last seed
        ((0.60,) * 5, 0.60),
    ]
    close = [rows[0], ((0.81,) * 5, 0.745), *rows[2:]]  # 0.4 points behind the best
    closest = [rows[0], ((0.8135,) * 5, 0.80), *rows[2:]]  # so close that 1 % of the test accuracy decides
    names = [f"T={temperature}" for temperature in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)]
    tables = (rows, close, rows, close, closest)
    return [(_frame(names[shift:] + names[:shift], table),) for shift, table in enumerate(tables)]


def _frame(names: list[str], rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(
        {"arm": name, "seed": seed, "validation_accuracy": accuracy, "test_accuracy": test + 0.001 * seed}
        for name, (validation, test) in zip(names, rows, strict=True)
        for seed, accuracy in enumerate(validation)
    )


def _best_mean(frame: pd.DataFrame, column: str) -> str:
    return str(frame.groupby("arm")[column].mean().idxmax())


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("arm")[["validation_accuracy", "test_accuracy"]].mean()


def _best_test_of_the_best(frame: pd.DataFrame) -> str:
    """The best on test among the two arms that are best on validation."""
    return str(_means(frame).nlargest(2, "validation_accuracy")["test_accuracy"].idxmax())


def _of_one_seed(place: int) -> Callable[[pd.DataFrame], str]:
    def wrong(frame: pd.DataFrame) -> str:
        rows = frame[frame["seed"] == sorted(frame["seed"].unique())[place]]
        return str(rows.loc[rows["validation_accuracy"].idxmax(), "arm"])

    return wrong


EXERCISES = {
    "03.1": Exercise(
        lambda logits, temperature: float(_entropies(logits, temperature).mean()),
        _entropy_cases,
        (
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
        extremes=_entropy_extremes,
        absolute=1e-13,
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
                lambda frame: str(_means(frame).mean(axis=1).idxmax()),
                "this chooses by validation and test together, so that the test set helps to choose, and its accuracy "
                "is then too high; choose on validation alone",
            ),
            Trap(
                lambda frame: str((_means(frame) @ [0.9, 0.1]).idxmax()),
                "the test accuracy counts a little here, and decides where arms are close; choose on validation alone",
            ),
            Trap(
                lambda frame: str(_means(frame).min(axis=1).idxmax()),
                "the smaller of validation and test still lets the test set choose; choose on validation alone",
            ),
            Trap(
                _best_test_of_the_best,
                "among the best on validation you take the best on test: the test set decides; choose on validation "
                "alone",
            ),
            *(
                Trap(_of_one_seed(place), "this looks at one seed alone; compare means over the seeds")
                for place in (0, -1)
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
