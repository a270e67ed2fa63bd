"""What the comparison tells whoever has to choose: tables for a goal, a margin, and a low NLL."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdnotes.course.calibration import CALIBRATED
from kdnotes.course.candidates import BASELINE, STANDARD
from kdnotes.course.comparison import Comparison
from kdnotes.course.goals import GOALS, MARGINS, Goal, answers
from kdnotes.intervals import Metric

__all__ = ["by_margin", "probabilities", "table"]


def table(result: Comparison) -> pd.DataFrame:
    """Goal → which method, what it gains over CE on the test images, what it costs, and what the
    leader on validation would add; the differences are judged among all of the comparison.
    """
    return pd.DataFrame({goal.name: _goal_row(goal, result) for goal in GOALS}).T


def by_margin(result: Comparison, factors: Sequence[float] = (0, 2)) -> pd.DataFrame:
    """Goal → which method, with margins so many times as wide."""
    found = {}
    for factor in factors:
        margins = {score: factor * margin for score, margin in MARGINS.items()}
        told = answers(result.families, result.validation, margins=margins)
        found[f"margin × {factor:g}"] = {goal: answer.method for goal, answer in told.items()}
    return pd.DataFrame(found)


def _goal_row(goal: Goal, result: Comparison) -> dict[str, str]:
    method, leader = result.answers[goal.name].method, result.answers[goal.name].leader
    metric = Metric.named(f"test_{goal.score}")

    def minus(one: str, other: str) -> str:
        if one == other:
            return ""
        return metric.interval(result.difference(one, other, metric.name)).removesuffix(
            f" {metric.unit}"
        )

    before = result.families[method].before
    return {
        "choose": result.label(method),
        f"minus {BASELINE}": minus(method, BASELINE),
        "seconds": f"{result.seconds[method]:.1f}",
        "before": f"{before:.0f}" if before else "",
        "leader minus choice": minus(leader, method),
    }


def probabilities(result: Comparison, methods: Sequence[str]) -> pd.DataFrame:
    """Test NLL of methods, as trained and with one temperature, and the difference of the latter
    from KD's, judged among all of the comparison.
    """
    return pd.DataFrame({method: _calibrated_row(method, result) for method in methods}).T


def _calibrated_row(method: str, result: Comparison) -> dict[str, str]:
    metric = Metric.named(f"test_{CALIBRATED}")
    row = {
        "as trained": f"{result.study.values(method, 'test_nll').mean():.3f}",
        "with one T": f"{result.study.values(method, metric.name).mean():.3f}",
    }
    minus = None if method == STANDARD else result.difference(method, STANDARD, metric.name)
    shown = metric.interval(minus).removesuffix(" nats") if minus else ""
    return row | {f"minus {STANDARD}": shown}
