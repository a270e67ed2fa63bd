"""Other sizes of the lesson: how narrow an interval each gives in equal time.

A size must not be chosen by the effect that it shows: that would be a choice by the result that the
lesson then reports. The width of an interval depends on the spread between seeds and on the time of
a training, not on the effect.

``python -m kdnotes.course.sizes`` trains all sizes and writes sizes.toml, the record that the
chapter on teachers, students and data shows.
"""

from __future__ import annotations

import functools
import math
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kdnotes import models, study, training
from kdnotes.course import baseline, profiles
from kdnotes.course.profiles import Settings
from kdnotes.intervals import mean_interval
from kdnotes.lab import seeds_needed
from kdnotes.methods import CrossEntropy

SIZES = {
    "width 12, batches of 50": (12, 50),
    "width 8, batches of 50": (8, 50),
    "width 12, batches of 100": (12, 100),
}
SEEDS = range(2000, 2010)  # of no report, and of no choice
MINUTES = 5
STACK = 5  # seeds that are trained as one network, as the course does on two cores
ROUNDS = 2
RECORD = Path(__file__).with_suffix(".toml")


def compare_sizes(s: Settings, seeds: range = SEEDS, **options: Any) -> pd.DataFrame:
    """``table`` of sizes that are trained now.

    Args:
        s: data set, and all of the profile but the student's width and the batches.
        seeds: at least two.
        options: workers, engine, fresh and report, as in ``study.compare``.
    """
    return table(measure(s, seeds, **options))


def measure(s: Settings, seeds: range = SEEDS, **options: Any) -> dict[str, dict[str, Any]]:
    """Size → test accuracy of CE and of the KD baseline in each seed, and ``seconds`` a pair."""
    arms, seconds = _arms(s), seconds_a_pair(s)
    found = {}
    for name in SIZES:
        result = study.compare(arms, seeds, **_shared(s, name), **options)
        found[name] = {arm: result.values(arm).tolist() for arm in arms}
        found[name]["seconds"] = round(seconds[name], 2)
    return found


def seconds_a_pair(s: Settings, rounds: int = ROUNDS, seeds: int = STACK) -> dict[str, float]:
    """Size → seconds of the processor for a training of both arms, evaluation included.

    The sizes take turns, so that a busy machine hits all of them, and of each the fastest round
    counts: whatever else the machine does can only make a training slower.
    """
    found: dict[str, list[float]] = {name: [] for name in SIZES}
    for _ in range(rounds):
        for name, times in found.items():
            shared = _shared(s, name)
            configs = [s.config(batch_size=SIZES[name][1], seed=seed) for seed in range(seeds)]
            students = [training.build(shared["student"], seed) for seed in range(seeds)]
            began = time.process_time()
            for method in _arms(s).values():
                training.fit_together(students, [method] * seeds, shared["data"], configs)
            times.append((time.process_time() - began) / seeds)
    return {name: min(times) for name, times in found.items()}


def table(measured: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row a size: the gain of the KD baseline over cross-entropy, in points, and ``width``.

    The gains are judged together (``study.together``).

    ``width`` is the half-width, in points, of the 95 % interval of this gain that 5 minutes of
    training on one core are expected to give: t·s/√n with the n pairs of trainings that they hold,
    and the standard deviation s of the paired differences. ``low`` and ``high`` are those for the
    ends of the 95 % interval of s. Sizes whose ``low`` and ``high`` overlap widely are not told
    apart by so few seeds.
    """
    gains = {
        name: [kd - ce for ce, kd in zip(one["CE"], one["KD"], strict=True)]
        for name, one in measured.items()
    }
    gained, rows = study.together(gains), []
    for name, one in measured.items():
        spread, seconds = seeds_needed(gains[name], 0.005), one["seconds"]
        row = {"size": name, "CE %": mean_interval(one["CE"]).points(signed=False)}
        row |= {"KD − CE": gained[name].points(), "seconds a pair": seconds}
        spreads = {"width": spread.sd, "low": spread.sd_low, "high": spread.sd_high}
        rows.append(row | {key: 100 * half_width(sd, seconds) for key, sd in spreads.items()})
    return pd.DataFrame(rows).set_index("size")


def stored() -> dict[str, Any]:
    """The record that ships with the package: ``created``, ``torch``, ``seeds`` and ``sizes``."""
    return tomllib.loads(RECORD.read_text(encoding="utf-8"))


def told(compared: pd.DataFrame) -> str:
    """Which size the rule would take, which the lesson has, and whether they are told apart."""
    first, mine = compared["width"].idxmin(), of_the_lesson()
    if first == mine:
        return f"The narrowest interval: {first}. It is the lesson's size."
    apart = compared.loc[first, "high"] < compared.loc[mine, "low"]
    ranges = "do not overlap" if apart else "overlap: no difference is shown"
    return (
        f"The narrowest interval: {first}.\nThe lesson has: {mine}.\n"
        f"Their ranges from low to high {ranges}."
    )


def of_the_lesson() -> str:
    """The name of the size that the lesson has."""
    lesson = profiles.PROFILES["lesson"]
    return f"width {lesson.student.keywords['width']}, batches of {lesson.config.batch_size}"


def half_width(sd: float, seconds: float) -> float:
    """Of the 95 % interval of a mean of paired differences with this standard deviation, from as
    many pairs as 5 minutes hold, of ``seconds`` each; NaN where they hold no two.
    """
    from scipy import stats

    pairs = 60 * MINUTES / seconds
    return float(stats.t.ppf(0.975, pairs - 1)) * sd / math.sqrt(pairs)


def write_record(path: Path = RECORD) -> None:
    """Train all sizes in the lesson profile, and write the record."""
    measured = measure(profiles.settings("lesson"))
    created = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [
        "# Written by: python -m kdnotes.course.sizes",
        f'created = "{created}"\ntorch = "{torch.__version__}"\nseeds = {list(SEEDS)}',
    ]
    for name, one in measured.items():
        lines += [f'\n[sizes."{name}"]', *(f"{key} = {value}" for key, value in one.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _arms(s: Settings) -> dict[str, Any]:
    return {"CE": CrossEntropy(), "KD": baseline.kd(s.teacher()).method}


def _shared(s: Settings, name: str) -> dict[str, Any]:
    width, batch_size = SIZES[name]
    student = s.student(functools.partial(models.ResidualStudent, width=width))
    return {"student": student, "data": s.splits(), "config": s.config(batch_size=batch_size)}


if __name__ == "__main__":
    write_record()
