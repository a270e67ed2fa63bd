"""The KD baseline: temperature and weight of the labels, chosen once, for all chapters.

The chapter on standard distillation makes the choice in sight of the reader, with ``study.choose``
among ``kd_arms``, on the first of ``CHOICE_SEEDS``, and tells whether it is the one that stands
here.
"""

from __future__ import annotations

from kdnotes import study
from kdnotes.intervals import said
from kdnotes.methods import KD
from kdnotes.study import Arm, Choice
from kdnotes.teachers import Teacher

TEMPERATURES, ALPHAS = (1.0, 2.0, 4.0, 8.0), (0.0, 0.1, 0.5)
CHOICE_SEEDS = range(study.FIRST_CHOICE_SEED, study.FIRST_CHOICE_SEED + 10)

# What that chapter chose in the lesson profile on Fashion-MNIST, on the machine on which it was
# written. Another one rounds otherwise, and a neighbour may lead there; it says so, and a test of
# the stored output asks that such a neighbour is not resolved. The other profiles and data sets
# have the setting from there.
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
