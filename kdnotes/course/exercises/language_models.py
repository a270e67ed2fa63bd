"""A masked KL, targets from draws; an NLL by hand, two readings, a design; a quiz."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdnotes.course.exercises.shared import BetterThan
from kdnotes.course.exercises.tokens import DrawnTargets, MaskedKL
from kdnotes.course.questions import RIGHT, Comparison, Item, Question
from kdnotes.lab.strings import NEAR, StringDesign
from kdnotes.language import OnPolicy, Step, StringArm, TokenKD
from kdnotes.study import Study

EXERCISES = {1: MaskedKL(), 2: DrawnTargets()}


class NatsAToken(Question):
    """The NLL of a batch, "AB" and "B", by a table of probabilities that has their ends too."""

    asks = "a number of nats a token"
    hint = "write down what the model gives to each token of both strings, the ends too"
    absolute = 0.003
    tokens = (0.5, 0.25, 0.8), (0.4, 0.8)

    def expected(self):
        return self.nats() / 5

    def nats(self) -> float:
        return sum(map(self.nll, self.tokens))

    @staticmethod
    def nll(tokens: Sequence[float]) -> float:
        return -math.log(math.prod(tokens))

    def wrong_string_by_string(self):
        """That is each string's mean, and then their mean: all tokens weigh alike."""
        return sum(self.nll(one) / len(one) for one in self.tokens) / 2

    def wrong_no_end(self):
        """The ends are left out: that a string is over after B has a probability, too."""
        return sum(self.nll(one[:-1]) for one in self.tokens) / 3

    def wrong_end_uncounted(self):
        """The ends' probabilities are left out, but they are counted as tokens."""
        return sum(self.nll(one[:-1]) for one in self.tokens) / 5

    def wrong_letters(self):
        """Divided by the number of letters; each end is a token too."""
        return self.nats() / 3

    def wrong_strings(self):
        """That is a mean over the strings; divide by the number of tokens."""
        return self.nats() / 2

    def wrong_sum(self):
        """That is the sum over all tokens; divide by their number."""
        return self.nats()

    def wrong_first(self):
        """That is the first string alone: the batch has two."""
        return self.nll(self.tokens[0]) / 3

    def wrong_bits(self):
        """These are bits: take the natural logarithm."""
        return self.expected() / math.log(2)

    def wrong_ten(self):
        """That is the logarithm to base 10: take the natural one."""
        return self.expected() / math.log(10)

    def wrong_perplexity(self):
        """That is the perplexity, e to the power of what is asked for."""
        return math.exp(self.expected())

    def wrong_start(self):
        """In "AB" the B stands behind A: take the row of A, not that of the beginning."""
        return (self.nll((0.5, 0.4, 0.8)) + self.nll(self.tokens[1])) / 5

    def wrong_probability(self):
        """That is the probability of both; the NLL is its negative logarithm, over five tokens."""
        return math.prod(map(math.prod, self.tokens))


BY_HAND = {3: NatsAToken()}


class HowManyLeave(Question):
    """Of 1,000 strings of a model's own, those that leave a language where it errs most often."""

    asks = "a number of strings, of 1,000"
    hint = "of the strings that come as far as that place, a share leaves there"
    absolute = 0.5
    relative = 0.03

    def expected(self, table: pd.DataFrame) -> float:
        row = self.row(table)
        return 1000 * float(row["reached_by_model"] * row["error_given_own"])

    @staticmethod
    def row(table: pd.DataFrame, column: str = "error_given_own") -> pd.Series:
        return table.iloc[int(table[column].to_numpy().argmax())]

    def wrong_rate(self, table):
        """That many leave of 1,000 that *come so far*; of those that are written, fewer do."""
        return 1000 * float(self.row(table)["error_given_own"])

    def wrong_reached(self, table):
        """That many come so far; asked for is how many leave there."""
        return 1000 * float(self.row(table)["reached_by_model"])

    def wrong_stay(self, table):
        """That many go on; asked for is how many leave."""
        row = self.row(table)
        return 1000 * float(row["reached_by_model"] * (1 - row["error_given_own"]))

    def wrong_share(self, table):
        """That is a share: asked for is a number of strings, of 1,000."""
        return self.expected(table) / 1000

    def wrong_place(self, table):
        """That is the number of the place; asked for is how many strings leave there."""
        return float(self.row(table)["place"])

    def wrong_data(self, table):
        """That is after the data's prefixes; the student's own strings are asked for."""
        row = self.row(table, "error_given_data")
        return 1000 * float(row["reached"] * row["error_given_data"])

    def wrong_all(self, table):
        """That is the number of all that leave, at any place."""
        return 1000 * float((table["reached_by_model"] * table["error_given_own"]).sum())


class WorseThan(BetterThan):
    """The arms with a resolved higher NLL than a baseline's."""

    def expected(self, study: Study, baseline: str = "CE") -> set[str]:
        pairs = {arm: (arm, baseline) for arm in self.choices(study, baseline)}
        found = study.differences(pairs, "test_nll")
        return {arm for arm, difference in found.items() if difference.above()}

    def choices(self, study: Study, baseline: str = "CE") -> list[str]:
        return super().choices(study, baseline)


READINGS = {4: HowManyLeave(), 5: WorseThan()}

FELT = 0.2  # of the steps
MOST = 500  # steps that are tried


class _Copyist:
    """What writes, at once, as many strings as it is asked for: who writes is all that is seen."""

    def __init__(self, tokens: Tensor):
        self.tokens, self.asked = tokens, 0

    def sample(self, count: int, *settings: Any, **named: Any) -> Tensor:
        self.asked += 1
        return self.tokens[:1].expand(count, -1)


def share_written(method: OnPolicy, arm: StringArm) -> float:
    """In which share of an arm's steps the strings are the student's own."""
    given, positions = arm.corpus.train.take(torch.arange(2)), torch.arange(2)
    writer, steps = _Copyist(given.tokens), arm.schedule.steps
    tried = range(0, steps, max(steps // MOST, 1))
    found = []
    for one in tried:
        before = writer.asked
        rows = method.strings(writer, given, positions, Step(0, one, 0))[1]
        found.append(rows is None and writer.asked > before)
    return sum(found) / len(found)


class StudentWrites(Comparison):
    """Does it help that the student writes what the teacher grades?"""

    kind = StringDesign
    factor = "writer"
    least_seeds = 5
    metrics = ("test_nll", "test_accuracy")
    is_tuned_alike = True

    def misses(self, design):
        treatments, baselines = self.sides(design)
        if not all(isinstance(one, OnPolicy) for one in treatments):
            return "the treatment must be OnPolicy"
        arms = [design.complete_arms[name] for name in design.treatments]
        if min(map(share_written, treatments, arms)) < FELT:
            return f"the student must write in {FELT:.0%} of the steps or more, to be felt"
        graders = [one.grading if isinstance(one, OnPolicy) else one for one in baselines]
        if not all(isinstance(one, TokenKD) for one in graders):
            return "the baseline must ask the teacher too: the same distillation, of the data"
        if any(one.alpha == 1 for one in graders):
            return "with α = 1 no teacher is asked"
        if any(isinstance(one, OnPolicy) and one.share for one in baselines):
            return "in the baseline the student writes too: it must learn from the data's strings"
        if design.equal is None:
            return "equal steps are not equal seconds: say which the sides have, with equal="
        return self._invented(design)

    @staticmethod
    def _invented(design: StringDesign) -> str | None:
        """Times by which writing costs nothing."""
        costs = design.seconds_a_step or {}
        dear, cheap = (
            [costs[name] for name in side if name in costs]
            for side in (design.treatments, design.baselines)
        )
        if design.equal == "seconds" and dear and cheap and min(dear) <= NEAR * max(cheap):
            return (
                "a step in which the student writes takes longer than one that reads: take "
                "seconds_a_step as measured"
            )
        return None


DESIGNS = {6: StudentWrites()}

QUIZ = (
    Item(
        "A loss is averaged within each string first, and then over the strings. What changes?",
        {
            "Nothing: a mean of means is the mean.": (
                "only if all strings are of one length; names are not"
            ),
            "A token of a short string weighs more than one of a long string.": RIGHT,
            "A token of a long string weighs more than one of a short string.": (
                "each string weighs alike, and shares its weight among its tokens"
            ),
        },
    ),
    Item(
        "Of each place the teacher's three most probable answers are stored, and renormalised. "
        "What does a student learn that fits these targets exactly?",
        {
            "The teacher's answers, with some noise.": (
                "nothing was drawn: the same three are kept each time, and noise averages out"
            ),
            "The teacher's answers at a lower temperature.": (
                "a lower temperature leaves every answer a probability above 0"
            ),
            "That all other answers never come.": RIGHT,
        },
    ),
    Item(
        "The reverse KL is an expectation over the student's answers. It is computed on the data's "
        "strings. Is that on-policy?",
        {
            "No: the prefixes are the data's.": RIGHT,
            "Yes: the student's probabilities are the weights.": (
                "they weigh the next token alone, whoever wrote what stands before it"
            ),
            "Only at T = 1.": "a temperature changes the answers that are compared, not the writer",
        },
    ),
)
