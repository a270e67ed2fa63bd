"""What a first run will train, and about how long: said before it begins, with a smaller choice.

A few steps of each kind of training are measured here and now. How many trainings a chapter has is
recorded, as multiples of one plain training of the student in the lesson profile: its cost over all
arms, and what chapters share, are in it. The machine may be busier later, another data set makes
some trainings longer: a range is given, not a number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kdnotes import study, teachers, training
from kdnotes.course import costing
from kdnotes.course.order import CHAPTERS
from kdnotes.data import Splits
from kdnotes.methods import CrossEntropy
from kdnotes.progress import QUICK
from kdnotes.study.engine import number_of_workers

__all__ = ["Estimate", "before_chapters", "before_comparison", "before_teacher", "in_words"]

LOW, HIGH = 0.7, 2.0  # from the measured seconds to the range that is told
BATCHES = 3  # of a teacher's training that are measured
# Plain trainings that take as long, of lesson runs on 2 cores (README): a chapter a seed, the whole
# course a seed (chapters share runs), the comparison a seed of the report and one of the choice.
A_CHAPTER, THE_COURSE, REPORT, CHOICE = 9, 90, 60, 97
WITHOUT = ("soft_targets", "teachers_students_data")  # they compare no methods
_told: set[str] = set()  # keys of teachers of which it was said, in this process


@dataclass(frozen=True)
class Estimate:
    """What will be trained, such as "a teacher, TeacherNet: 4,000 images, 32 epochs"; ``seconds``
    of one core, and how many cores share it.
    """

    what: str
    seconds: float
    workers: int = 1

    @property
    def range(self) -> tuple[float, float]:
        """Seconds until it is done, from and to."""
        alone = self.seconds / self.workers
        return LOW * alone, HIGH * alone


def before_teacher(s: Any) -> str:
    """What to say before ``s.teacher()`` trains; "" if it will not, or not for long.

    It is said once in a process.
    """
    found = _teacher(s)
    return _said("", found, f'Smaller: profile = "smoke" (now {s.profile.name!r}).')


def before_comparison(s: Any, workers: int | None = None) -> str:
    """What to say before ``comparison.compare_methods``; "" unless its teacher must be trained,
    which is so on data that this machine has not seen.
    """
    found = _teacher(s)
    if not found:
        return ""
    trainings = REPORT * s.seeds + CHOICE * s.choice_seeds
    found.append(_students(s, trainings, workers))
    smaller = "Smaller: --profile smoke (seconds), or fewer --seeds."
    return _said(f"Nothing is stored for {s.dataset} yet.", found, smaller)


def before_chapters(s: Any, names: Sequence[str], workers: int | None = None) -> str:
    """What to say before these chapters run; see ``before_comparison``.

    Args:
        s: profile, data set and seeds (``profiles.settings``).
        names: of the chapters, without their numbers.
        workers: processes of a comparison.
    """
    found = [] if s.is_text else _teacher(s)
    if not found:
        return ""
    trainings = A_CHAPTER * s.seeds * len(set(names) & set(CHAPTERS) - {*WITHOUT, "comparison"})
    if "comparison" in names:
        trainings += REPORT * s.seeds + CHOICE * s.choice_seeds
    if trainings := min(trainings, THE_COURSE * s.seeds):
        found.append(_students(s, trainings, workers))
    smaller = "Smaller: --profile smoke (seconds), fewer --seeds, or some chapters: kdnotes run 2 4"
    return _said(f"Nothing is stored for {s.dataset} yet.", found, f"{smaller}.")


def in_words(low: float, high: float) -> str:
    """A range of seconds such as "2 to 6 minutes"."""
    unit, name = next(
        (size, name) for size, name in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if high >= 2 * size or size == 1
    )  # fmt: skip
    first, last = max(round(low / unit), 1), max(round(high / unit), 2)
    return f"{first} to {last} {name}"


def _teacher(s: Any) -> list[Estimate]:
    """The teacher's training, if it is to be made and was not told of."""
    needed = s.teacher_training()
    if needed is None or teachers.is_stored(*needed):
        return []
    factory, data, config = needed
    key = f"{data.key} {config}"
    if key in _told:
        return []
    _told.add(key)
    count, name = len(data.train), type(training.build(factory, 0)).__name__
    few = min(BATCHES * config.batch_size, count)
    small = dataclasses.replace(data, train=data.train.take(torch.arange(few)))
    seconds = _alone(factory, small, config) * count / few
    what = f"a teacher, {name}: {count:,} images, {config.epochs} epochs"
    return [Estimate(what, seconds)]


def _students(s: Any, trainings: int, workers: int | None) -> Estimate:
    """So many trainings of the student, evaluation included."""
    data, config, factory = s.splits(), s.config(), s.student()
    workers, images = number_of_workers(workers), len(data.validation) + len(data.test)
    together = min(training.STACKED, s.seeds)
    saved = 1 / (0.5 + 0.5 / together)  # as of a stack some time is spent once (study.stacks)
    seconds = _alone(factory, data, config) / saved + images * _an_image(factory, data)
    what = f"students: the time of about {trainings} trainings"
    return Estimate(what, trainings * seconds, workers)


def _alone(factory: Any, data: Splits, config: Any) -> float:
    """Seconds of one training, from a few of its epochs."""
    arms = {"": study.Arm(CrossEntropy())}
    return costing.seconds_of(arms, rounds=1, student=factory, data=data, config=config)[""]


def _an_image(factory: Any, data: Splits) -> float:
    """Seconds of one image's evaluation."""
    images, network = data.validation.images[:500], training.build(factory, 0)
    return costing.seconds(lambda: training.predict(network, images)) / len(images)


def _said(first: str, found: list[Estimate], smaller: str) -> str:
    low, high = (sum(one.range[end] for one in found) for end in (0, 1))
    if high < QUICK:
        return ""
    lines = [f"{one.what}, about {in_words(*one.range)}" for one in found]
    if not first:
        return f"To train first, once: {lines[0]}. {smaller}"
    processes = f" on {found[-1].workers} processes" if found[-1].workers > 1 else ""
    return "\n".join(
        [
            f"{first} To be trained, once:",
            *(f"  {line}" for line in lines),
            f"Together about {in_words(low, high)}{processes}, by a few steps that were measured "
            "now: a busy machine takes longer.",
            smaller,
        ]
    )
