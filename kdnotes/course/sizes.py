"""Other sizes of the lesson: how narrow an interval each gives in equal time.

A size must not be chosen by the effect that it shows: that would be a choice by the result that the
lesson then reports. The width of an interval depends on the spread between seeds and on the time of
a training, not on the effect.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import pandas as pd

from kdnotes import models, study
from kdnotes.course import baseline
from kdnotes.course.profiles import Settings
from kdnotes.lab import seeds_needed
from kdnotes.methods import CrossEntropy

SIZES = {
    "width 12, batches of 50": (12, 50),
    "width 8, batches of 50": (8, 50),
    "width 12, batches of 100": (12, 100),
}
SEEDS = range(2000, 2010)  # of no report, and of no choice
MINUTES = 5


def compare_sizes(s: Settings, seeds: range = SEEDS, **options: Any) -> pd.DataFrame:
    """One row a size: the gain of the KD baseline over cross-entropy, in points, and ``width``.

    ``width`` is the half-width, in points, of the 95 % interval of this gain that 5 minutes of
    training on one core are expected to give: t·s/√n with the n pairs of trainings that they hold,
    and the standard deviation s of the paired differences. ``low`` and ``high`` are those for the
    ends of the 95 % interval of s. Sizes whose ``low`` and ``high`` overlap widely are not told
    apart by so few seeds.

    Args:
        s: data set, and all of the profile but the student's width and the batches.
        seeds: at least two.
        options: workers, engine, fresh and report, as in ``study.compare``.
    """
    arms = {"CE": CrossEntropy(), "KD": baseline.kd(s.teacher())}
    rows = []
    for name, (width, batch_size) in SIZES.items():
        student = s.student(functools.partial(models.ResidualStudent, width=width))
        shared = {"student": student, "data": s.splits(), "config": s.config(batch_size=batch_size)}
        result = study.compare(arms, seeds, **shared, **options)
        rows.append({"size": name} | _row(result))
    return pd.DataFrame(rows).set_index("size")


def _row(result: study.Study) -> dict[str, Any]:
    # Of the fastest seed: whatever else the machine does can only make a run slower.
    seconds = sum(result.values(arm, "seconds").min() for arm in ("CE", "KD"))
    spread = seeds_needed(list(result.values("KD") - result.values("CE")), 0.005)
    row = {"CE %": result.interval("CE").points(signed=False)}
    row |= {"KD − CE": result.difference("KD", "CE").points(), "seconds a pair": seconds}
    spreads = {"width": spread.sd, "low": spread.sd_low, "high": spread.sd_high}
    return row | {name: 100 * half_width(sd, seconds) for name, sd in spreads.items()}


def half_width(sd: float, seconds: float) -> float:
    """Of the 95 % interval of a mean of paired differences with this standard deviation, from as
    many pairs as 5 minutes hold, of ``seconds`` each; NaN where they hold no two.
    """
    from scipy import stats

    pairs = 60 * MINUTES / seconds
    return float(stats.t.ppf(0.975, pairs - 1)) * sd / math.sqrt(pairs)
