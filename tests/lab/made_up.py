"""A plan and studies of made-up numbers, for the tests of the lab."""

from __future__ import annotations

import pandas as pd
import torch.nn.functional as F

from kdnotes.lab.plan import Experiment
from kdnotes.metrics import Interval
from kdnotes.study import Study

PLAN = Experiment(
    "Does it help?", "It helps.", "A little.", "new", "old", smallest_difference=0.005
)


def interval(low: float, high: float, n: int = 5) -> Interval:
    return Interval((low + high) / 2, low, high, n)


def study_of(metric: str = "test_accuracy", **arms: list[float]) -> Study:
    """A study with these values of a metric, an arm's in the order of the seeds."""
    same = {"seconds": 1.5, "created": "2026-01-01T00:00:00Z", "cached": False}
    rows = [
        {"arm": arm, "seed": seed, metric: value, **same}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]
    return Study(pd.DataFrame(rows), {})


def own_loss(batch, given, strength):
    """Cross-entropy, some of it."""
    return strength * F.cross_entropy(batch.student_logits, batch.targets)


def own_loss_to_do(batch, given):
    return F.cross_entropy(batch.student_logits, batch.targets)  # TODO
