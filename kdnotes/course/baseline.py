"""The KD baseline: temperature and weight of the labels, chosen once, for all chapters.

Chapter 4 makes the choice in sight of the reader, with ``choose_kd``; this makes it elsewhere:

    python -c "from kdnotes.course import baseline as b, profiles as p
    print(b.choose_kd(p.settings('lesson')).table())"
"""

from __future__ import annotations

from typing import Any

from kdnotes import study
from kdnotes.course.profiles import Settings
from kdnotes.intervals import said
from kdnotes.methods import KD
from kdnotes.study import Arm, Choice
from kdnotes.teachers import Teacher

TEMPERATURES, ALPHAS = (1.0, 2.0, 4.0, 8.0), (0.0, 0.1, 0.5)
CHOICE_SEEDS = range(study.FIRST_CHOICE_SEED, study.FIRST_CHOICE_SEED + 10)

# What ``choose_kd`` chose in the lesson profile on Fashion-MNIST. The other profiles and data sets
# have it from there.
TEMPERATURE, ALPHA = 2.0, 0.1


def kd(teacher: Teacher) -> Arm:
    """*The* KD arm, which other methods are compared with; it remembers the seeds of its choice."""
    return Arm(KD(teacher, TEMPERATURE, ALPHA), chosen_on=CHOICE_SEEDS)


def kd_arms(teacher: Teacher) -> dict[str, Arm]:
    """The arms that it is chosen from, by name, such as "T = 2, α = 0.1"."""
    return {
        setting(temperature, alpha): Arm(KD(teacher, temperature, alpha))
        for temperature in TEMPERATURES
        for alpha in ALPHAS
    }


def setting(temperature: float = TEMPERATURE, alpha: float = ALPHA) -> str:
    """The name of a setting; by default of the chosen one."""
    return f"T = {temperature:g}, α = {alpha:g}"


def choose_kd(s: Settings, **options: Any) -> Choice:
    """The choice of temperature and α.

    Args:
        s: profile and data set; it has twice the seeds of the profile's other choices.
        options: workers, engine, fresh and report, as in ``study.compare``.
    """
    seeds = CHOICE_SEEDS[: 2 * s.choice_seeds]
    shared = {"student": s.student(), "data": s.splits(), "config": s.config()}
    return study.choose(kd_arms(s.teacher()), seeds, **shared, **options)


def confirmed(choice: Choice) -> str:
    """What a choice among ``kd_arms`` says of the setting that stands here, in one sentence.

    In another profile, or on another processor, another arm may be ahead by chance.
    """
    mine = setting()
    if choice.name == mine:
        return f"{mine} is chosen here, and is the KD baseline of the course."
    ahead = choice.study.difference(choice.name, mine, "validation_accuracy")
    return (
        f"{choice.name} is chosen here; on validation it is {said(ahead)} ahead of {mine}, the KD "
        "baseline of the course."
    )
