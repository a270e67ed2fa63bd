"""Choices: the arm with the best validation accuracy, on seeds that no report uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kdnotes.methods import Method
from kdnotes.study.arms import Arm, as_arms
from kdnotes.study.comparing import compare
from kdnotes.study.results import Study
from kdnotes.study.seeds import FIRST_CHOICE_SEED, in_words, seeds_of

METRIC = "validation_accuracy"


@dataclass(frozen=True, eq=False)
class Choice:
    """The arm that was chosen, and those that it was chosen from.

    Args:
        name: of the arm.
        arm: the arm as it was given, ready for ``study.compare``, which refuses to report it on the
            seeds of the choice.
        seeds: of the choice.
        study: all arms on these seeds, with their validation metrics alone: ``frame`` has no test
            column and ``runs`` is empty, so that nothing can be chosen by a test score.
    """

    name: str
    arm: Arm
    seeds: tuple[int, ...]
    study: Study

    def table(self) -> pd.DataFrame:
        """One row an arm: validation accuracy with its 95 % interval, and the paired difference
        from the chosen arm (``Study.table``).

        The chosen arm is the one that was lucky on these seeds, too: its mean here is flattered.
        """
        return self.study.table(self.name, METRIC)

    def __str__(self) -> str:
        mean = self.study.interval(self.name, METRIC).points(signed=False)
        return (
            f"{self.name} is chosen: validation accuracy {mean} %, the highest of "
            f"{len(self.study.arms)} arms (seeds {in_words(self.seeds)})"
        )


def choose(
    arms: Mapping[str, Method | Arm], seeds: int | Sequence[int] = 5, **options: Any
) -> Choice:
    """Train every arm, and choose the one with the highest mean validation accuracy.

    Whoever chooses the best of several arms also chooses luck, and the luck of a training shows on
    validation and test images alike: on the seeds of the choice the test mean of the chosen arm is
    flattered (``study.flattery``). So a choice has seeds of its own, and the chosen arm remembers
    them. No test score is looked at. Of equal means the first arm's counts.

    Args:
        arms: name → ``Method`` or ``Arm``, at least two. One that was chosen before may be among
            them: it then remembers both choices.
        seeds: so many from 1000 on, or the seeds themselves.
        options: student, data, config, workers, engine, fresh and report, as in
            ``study.compare``.

    Raises:
        ValueError: there are fewer than two arms; or as in ``study.compare``.
    """
    given = as_arms(arms)
    if len(given) < 2:
        raise ValueError(f"arms must be at least 2 to choose from, not {list(given)}")
    own = seeds_of("seeds", seeds, FIRST_CHOICE_SEED)
    anew = {name: dataclasses.replace(arm, chosen_on=None) for name, arm in given.items()}
    frame = compare(anew, own, **options).frame
    seen = Study(frame.drop(columns=[name for name in frame if name.startswith("test_")]), {})
    means = [seen.values(name, METRIC).mean() for name in given]
    name = list(given)[int(highest(np.array(means)))]
    before = given[name].chosen_on or ()
    arm = dataclasses.replace(given[name], chosen_on=tuple(dict.fromkeys((*before, *own))))
    return Choice(name, arm, own, seen)


def highest(means: np.ndarray) -> np.ndarray:
    """Places of the highest means along the last axis; of equal ones the first.

    Means that are equal on paper differ by rounding, which must not choose.
    """
    return means.round(12).argmax(-1)
