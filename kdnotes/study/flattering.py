"""How much better an arm looks on the seeds on which it was chosen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from kdnotes import checks
from kdnotes.intervals import Interval, mean_interval
from kdnotes.study.choosing import METRIC, highest
from kdnotes.study.results import Study

MOST_WAYS = 200_000


def flattery(
    study: Study,
    k: int,
    among: Sequence[str] | None = None,
    *,
    metric: str = "test_accuracy",
    by: str = METRIC,
) -> Interval:
    """What reporting a chosen arm on the k seeds of its choice adds to its mean, with the 95 %
    interval.

    For every way to take k of the study's n seeds, the arm with the highest mean of ``by`` on these
    k is chosen; its mean of ``metric`` on these k, minus its mean on the other n − k, is how much
    it is flattered there. The result is the mean over all ways. A difference from an arm that is
    not chosen, such as the baseline, is flattered as much: of such an arm the two means are equal
    on average.

    The ways share seeds, so they are no independent samples, and the spread between them is no
    measure of the uncertainty: the n seeds are the sample. The mean over all ways is a U-statistic
    of them, without bias; the interval is that of its jackknife over the seeds, with Student's t.
    The jackknife's variance of a U-statistic is on average too large rather than too small (Efron
    and Stein 1981, doi 10.1214/aos/1176345462). Where every way chooses the same arm, the result is
    0 without spread. The interval is over seeds, as all in a study: the
    arms, the training images and the test images are given.

    Args:
        study: arms of one kind, such as one method with several settings, on n ≥ k + 2 seeds.
        k: seeds of a choice.
        among: the arms to choose from (``None``: all).
        metric: what is reported; larger is better.
        by: what is chosen by; larger is better.

    Returns:
        The interval, in the unit of the metric.

    Raises:
        ValueError: fewer than two arms, arms on different seeds, k too large, or more than 200,000
            ways.
    """
    arms = study.arms if among is None else list(among)
    if len(arms) < 2:
        raise ValueError(f"among must name at least 2 arms to choose from, not {arms}")
    chosen_by, scores = (_by_seed(study, arms, name) for name in (by, metric))
    checks.whole("k", k, 1, len(scores) - 2)
    if (ways := math.comb(len(scores), k)) > MOST_WAYS:
        raise ValueError(
            f"k must leave at most {MOST_WAYS:,} ways to take k of the {len(scores)} seeds, not "
            f"{k} ({ways:,} ways)"
        )
    return mean_interval(_pseudo_values(chosen_by, scores, k))


def _by_seed(study: Study, arms: Sequence[str], metric: str) -> np.ndarray:
    """``[seeds, arms]``."""
    columns = [study.values(arm, metric) for arm in arms]
    if any(set(column.index) != set(columns[0].index) for column in columns):
        raise ValueError(f"among must name arms with equal seeds, not {list(arms)}")
    return np.stack([column.sort_index().to_numpy(float) for column in columns], axis=1)


def _pseudo_values(chosen_by: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    """The jackknife's: one number a seed, whose mean is the flattery.

    Both arrays are ``[seeds, arms]``.
    """
    n = len(scores)
    ways = np.array(list(itertools.combinations(range(n), k)))
    inside = np.zeros((len(ways), n), dtype=bool)
    np.put_along_axis(inside, ways, True, axis=1)
    seen = scores.T[highest(inside @ chosen_by / k)]  # of the chosen arm, [ways, seeds]
    within = np.where(inside, seen, 0).sum(1, keepdims=True) / k
    others = np.where(inside, 0, seen).sum(1, keepdims=True)
    flattered = (within - others / (n - k)).mean()
    # Without a seed: all ways that do not choose on it, reported on what is left of the others.
    without = np.where(inside, 0, within - (others - seen) / (n - k - 1))
    values = n * flattered - (n - 1) * without.sum(0) / math.comb(n - 1, k)
    return values.round(12) + 0.0  # 0, where nothing but rounding is left
