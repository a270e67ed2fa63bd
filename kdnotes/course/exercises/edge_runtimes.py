"""Flips, ranges by a moving average; an arena by hand, two readings, a design; a quiz."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd
import torch
from torch import Tensor

from kdnotes.course.attempt import Exercise
from kdnotes.course.exercises.shared import RoundedTraining
from kdnotes.course.questions import RIGHT, Item, Question
from kdnotes.intervals import Interval
from kdnotes.methods import KD, CrossEntropy


def _share(where: Tensor) -> float:
    return float(where.double().mean())


class Changed(Exercise):
    logits = (0, 1)

    def reference(self, ours, theirs, targets):
        mine, other = ours.argmax(1), theirs.argmax(1)
        right, still = mine == targets, other == targets
        return _share(mine != other), _share(right & ~still), _share(~right & still)

    def cases(self):
        """Batches of several sizes, with noise from little to so much that all classes change."""
        generator = torch.Generator().manual_seed(0)
        cases = []
        for images, classes, noise in ((12, 5, 1.0), (200, 10, 0.3), (40, 4, 3.0), (9, 3, 0.0)):
            ours = torch.randn(images, classes, generator=generator)
            theirs = ours + noise * torch.randn(images, classes, generator=generator)
            targets = (ours + torch.randn(images, classes, generator=generator)).argmax(1)
            cases.append((ours, theirs, targets))
        return cases

    def wrong_accuracy_alone(self, ours, theirs, targets):
        """Your first number is what is lost minus what is won: flips from one wrong class to
        another, and those that cancel out, are flips too.
        """
        _, lost, won = self.reference(ours, theirs, targets)
        return abs(lost - won), lost, won

    def wrong_flips_are_lost_and_won(self, ours, theirs, targets):
        """You leave out the flips from one wrong class to another."""
        _, lost, won = self.reference(ours, theirs, targets)
        return lost + won, lost, won

    def wrong_exchanged(self, ours, theirs, targets):
        """Lost and won are exchanged: lost is what PyTorch had right and the runtime has wrong."""
        flips, lost, won = self.reference(ours, theirs, targets)
        return flips, won, lost

    def wrong_all_wrong_answers(self, ours, theirs, targets):
        """Lost are only those that were right before: you count all that each side has wrong."""
        flips, _, _ = self.reference(ours, theirs, targets)
        return flips, _share(theirs.argmax(1) != targets), _share(ours.argmax(1) != targets)

    def wrong_counts(self, ours, theirs, targets):
        """These are numbers of images; asked for are shares of all images."""
        return tuple(len(targets) * one for one in self.reference(ours, theirs, targets))

    def wrong_any_difference(self, ours, theirs, targets):
        """A flip is another class, not another logit: compare the largest entries' places."""
        _, lost, won = self.reference(ours, theirs, targets)
        return _share((ours != theirs).any(1)), lost, won


def _followed(values: list[float], weight: float) -> float:
    """The moving average after the last of the values; it begins at the first one."""
    average = values[0]
    for value in values[1:]:
        average += weight * (value - average)
    return average


class MovingRange(Exercise):
    def reference(self, lows, highs, weight):
        low, high = _followed(lows, weight), _followed(highs, weight)
        return min(low, 0.0), max(high, 0.0)

    def cases(self):
        """Ranges on both sides of 0, and on one alone; one image; short and long memories."""
        return [
            ([-1.0, -3.0, -0.5, -2.0], [2.0, 6.0, 2.5, 4.0], 0.25),
            ([-2.0, -0.1, -5.0], [1.0, 0.4, 7.0], 0.05),
            ([0.5, 1.5, 1.0], [2.0, 8.0, 3.0], 0.5),
            ([-4.0, -6.0, -1.0], [-1.0, -2.0, -0.5], 0.1),
            ([-0.3], [0.9], 0.2),
            ([2.0, -1.0, -1.5], [-1.0, 3.0, 2.0], 0.25),  # 0 is held in the end, not at each step
            ([-1.0, -2.0, 3.0, 2.0], [5.0, 1.0, 4.0, 9.0], 0.8),
        ]

    def wrong_extremes(self, lows, highs, weight):
        """That is the lowest and the highest of all: it has no order; follow the images."""
        return min(*lows, 0.0), max(*highs, 0.0)

    def wrong_weights(self, lows, highs, weight):
        """The weights are exchanged: a new image has the given weight, the past the rest."""
        return self.reference(lows, highs, 1 - weight)

    def wrong_from_0(self, lows, highs, weight):
        """Your average begins at 0: it begins at the first image's range."""
        return self.reference([0.0, *lows], [0.0, *highs], weight)

    def wrong_without_0(self, lows, highs, weight):
        """The range must hold 0, whatever the images show: padding and ReLU need it exactly."""
        return _followed(lows, weight), _followed(highs, weight)

    def wrong_order(self, lows, highs, weight):
        """You go through the images from the last one to the first."""
        return self.reference(lows[::-1], highs[::-1], weight)

    def wrong_mean(self, lows, highs, weight):
        """That is the plain mean, in which the order plays no part."""
        low, high = (sum(values) / len(values) for values in (lows, highs))
        return min(low, 0.0), max(high, 0.0)


EXERCISES = {1: Changed(), 2: MovingRange()}


class Arena(Question):
    """What a microcontroller needs while a strided convolution of a residual block computes."""

    asks = "a number of bytes"
    hint = "add what is alive at once: the input, the output, and the shortcut's output"
    given, made = 12 * 16 * 16, 20 * 8 * 8

    def expected(self):
        return float(self.given + 2 * self.made)

    def wrong_no_shortcut(self):
        """The shortcut's output waits for the addition all the while: it is alive too."""
        return float(self.given + self.made)

    def wrong_in_float(self):
        """That is float32, at 4 bytes a number: in int8 each takes 1."""
        return 4 * self.expected()

    def wrong_input_alone(self):
        """That is the input alone: the output is written while the input is still read."""
        return float(self.given)

    def wrong_input_waits(self):
        """The shortcut of this block is a convolution that has run: its output waits, which is
        smaller than the block's input.
        """
        return float(2 * self.given + self.made)


BY_HAND = {3: Arena()}

MEASURED = "measured"


def _hot(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Runtime → kind → milliseconds back to back, of those that were measured in both kinds."""
    found: dict[str, dict[str, float]] = {}
    for row in table[table["status"] == MEASURED].itertuples():
        found.setdefault(row.runtime, {})[row.kind] = row.hot_ms
    return {name: kinds for name, kinds in found.items() if {"float", "int8"} <= kinds.keys()}


class SlowerInIntegers(Question):
    """The runtimes of the record whose int8 file takes longer than their own float file."""

    asks = "a list of names of runtimes; it may be empty"
    hint = "compare each runtime's int8 with its own float, back to back"

    def expected(self, table: pd.DataFrame) -> set[str]:
        return {name for name, kinds in _hot(table).items() if kinds["int8"] > kinds["float"]}

    def choices(self, table: pd.DataFrame) -> Collection[str]:
        return list(_hot(table))


class MostThatIsAllowed(Question):
    """The largest protection by distillation, at few bits, that the experiment does not exclude."""

    asks = "a number of points"
    hint = "take the upper end of the interval of CE's loss minus KD's, at that number of bits"
    absolute = 0.05

    def expected(self, protected: Mapping[str, Interval], rounding: str) -> float:
        return 100 * protected[rounding].high

    def wrong_mean(self, protected, rounding):
        """That is the mean: the interval allows more than that."""
        return 100 * protected[rounding].mean

    def wrong_low(self, protected, rounding):
        """That is the lower end, the least that is allowed."""
        return 100 * protected[rounding].low

    def wrong_half_width(self, protected, rounding):
        """That is what stands behind ±: it is counted from the mean."""
        return 100 * protected[rounding].half_width


READINGS = {4: SlowerInIntegers(), 5: MostThatIsAllowed()}


class TeacherInside(RoundedTraining):
    """Does a teacher help in quantisation-aware training, whatever the student was before?"""

    factor = "method"

    def misses(self, design):
        if missed := super().misses(design):
            return missed
        arms = self.arms(design)
        if not all(isinstance(arms[name].method, KD) for name in design.treatments):
            return "the treatment must learn from the teacher, with KD"
        if any(arms[name].method.alpha == 1 for name in design.treatments):
            return "with α = 1 no teacher is asked"
        if not all(isinstance(arms[name].method, CrossEntropy) for name in design.baselines):
            return "the baseline must learn from the labels alone"
        return None


DESIGNS = {6: TeacherInside()}

QUIZ = (
    Item(
        "An int8 file has the float student's accuracy. Is it the same student?",
        {
            "Yes: equal accuracy means equal answers.": (
                "answers that were lost and won cancel out in the accuracy"
            ),
            "Not before answers are compared image by image.": RIGHT,
            "Yes, if it is a quarter as large.": "size says nothing of the answers",
        },
    ),
    Item(
        "Two int8 files of one student, made from the same calibration images, give other logits. "
        "What do you look at first?",
        {
            "Whether ranges follow the images' order.": RIGHT,
            "The number of test images.": "both files are tested on the same ones",
            "The seed of the training.": "it is one student, trained once",
        },
    ),
    Item(
        "KD beats CE in float; the difference of their losses by rounding is not resolved. What "
        "may you say?",
        {
            "Distillation protects against rounding.": (
                "a difference of losses that is not resolved shows no protection"
            ),
            "Distillation does not change what rounding costs.": (
                "not resolved is not zero: the interval still allows some effect"
            ),
            "KD starts better; protection was not shown.": RIGHT,
        },
    ),
)
