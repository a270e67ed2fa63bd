"""Exercises of chapter 14: a verdict from an interval, the number of seeds, a fair control."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

from kdnotes.course.check import Exercise, Trap
from kdnotes.lab import power

Facts = tuple[bool, bool, bool]


def _facts(low: float, mean: float, high: float, smallest: float) -> Facts:
    """A gain is shown; one of δ or more is shown; one of δ or more is excluded."""
    return low > 0, low >= smallest, high < smallest


def _gated(rule: Callable[..., Facts]) -> Callable[..., Facts]:
    """The rule for intervals with a width; one without, or of NaN, shows and excludes nothing."""

    def gated(low: float, mean: float, high: float, smallest: float) -> Facts:
        return rule(low, mean, high, smallest) if low < high else (False, False, False)

    return gated


def _facts_cases() -> list[tuple]:
    """(low, mean, high, δ): every kind of interval, on both sides of 0 and δ and exactly there."""
    nan, inf = math.nan, math.inf
    return [
        (-0.4, 0.1, 0.6, 0.5),  # holds both
        (0.1, 0.6, 1.1, 0.5),  # above 0, holds δ
        (0.7, 0.9, 1.1, 0.5),  # above δ
        (0.1, 0.2, 0.3, 0.5),  # between
        (-0.2, 0.0, 0.2, 0.5),  # holds 0, below δ
        (-0.9, -0.6, -0.3, 0.5),  # below 0
        (-0.1, 0.9, 1.9, 0.5),  # holds both, mean above δ
        (0.1, 0.4, 0.7, 0.5),  # above 0, mean below δ
        (-1.0, -0.2, 0.6, 0.5),  # holds both, mean below 0
        (0.0, 0.5, 1.0, 0.5),  # begins at 0
        (0.0, 0.125, 0.25, 0.5),
        (0.5, 0.75, 1.0, 0.5),  # begins at δ
        (0.25, 0.375, 0.5, 0.5),  # ends at δ
        (-0.25, 0.125, 0.5, 0.5),
        (-0.5, -0.25, 0.0, 0.5),  # ends at 0
        (0.75, 0.75, 0.75, 0.5),  # no width
        (0.25, 0.25, 0.25, 0.5),
        (0.5, 0.5, 0.5, 0.5),
        (-0.25, -0.25, -0.25, 0.5),
        (-inf, 0.75, inf, 0.5),  # one seed
        (nan, nan, nan, 0.5),
        (0.0078125, 0.01, 0.0121875, 0.0078125),  # fractions
        (0.0004, 0.001, 0.0016, 0.005),
    ]


# What is wrong at which boundary: what is compared there instead, and what to say.
AT_BOUNDARIES = (
    (operator.ge, "an interval that begins exactly at 0 shows no gain: low > 0, not ≥"),
    (operator.gt, "one that begins exactly at δ shows a gain of δ or more: low ≥ δ, not >"),
    (operator.le, "one that ends exactly at δ does not exclude a gain of δ: high < δ, not ≤"),
)
WIDTH = (
    "an interval without width (low equal to high), as of seeds that all gave the same difference, shows and excludes "
    "nothing"
)


def _boundary_traps() -> list[Trap]:
    """Every combination of a wrong comparison at 0, at δ from above, at δ from below, and of a width not asked for."""
    traps = []
    for wrong in itertools.product((False, True), repeat=4):
        messages = [message for (_, message), is_wrong in zip(AT_BOUNDARIES, wrong, strict=False) if is_wrong]
        begins, reaches, ends = (
            bad if is_wrong else good
            for (bad, _), good, is_wrong in zip(
                AT_BOUNDARIES, (operator.gt, operator.ge, operator.lt), wrong, strict=False
            )
        )
        rule = functools.partial(_compared, begins, reaches, ends)
        if any(wrong):
            traps.append(Trap(rule if wrong[3] else _gated(rule), "; ".join(messages + [WIDTH] * wrong[3])))
    return traps


def _compared(begins, reaches, ends, low: float, mean: float, high: float, smallest: float) -> Facts:
    return begins(low, 0), reaches(low, smallest), ends(high, smallest)


def _in_both_forms(rule: Callable[..., Facts], message: str) -> tuple[Trap, Trap]:
    """The mistake with the width asked for, and without."""
    return Trap(_gated(rule), message), Trap(rule, message)


def _old_rule(low: float, mean: float, high: float, smallest: float) -> Facts:
    return low > 0, low > 0 and high >= smallest, high < smallest


def _negated(low: float, mean: float, high: float, smallest: float) -> Facts:
    if low == high:
        return False, False, False
    return not low <= 0, not low < smallest, not high >= smallest


def _rounded(digits: int) -> Callable[..., Facts]:
    return lambda *case: _gated(_facts)(*(round(one, digits) for one in case))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _sd(values: list[float], lost: int = 1) -> float:
    return math.sqrt(sum((value - _mean(values)) ** 2 for value in values) / (len(values) - lost))


def _smallest_number(effect: float, wanted: float = 0.8, level: float = 0.95) -> int:
    return next(n for n in range(2, 10_000) if power(n, effect, 1.0, level) >= wanted)


def _differences(treatment: list[float], baseline: list[float]) -> list[float]:
    return [one - other for one, other in zip(treatment, baseline, strict=True)]


def _seeds(treatment: list[float], baseline: list[float], smallest: float) -> int:
    return _smallest_number(smallest / _sd(_differences(treatment, baseline)))


def _seeds_cases() -> list[tuple]:
    """Accuracies in points, by seed: correlated, little correlated, few, and hardly any spread."""
    baseline = [78.1, 79.4, 78.8, 80.3, 79.1]
    return [
        ([79.0, 80.0, 79.9, 81.2, 79.8], baseline, 0.5),
        ([79.6, 79.2, 80.4, 80.6, 78.4], baseline, 0.5),
        ([79.6, 79.2, 80.4, 80.6, 78.4], baseline, 1.0),
        ([80.0, 79.1, 79.5], [79.2, 79.0, 78.2], 0.4),
        ([80.2, 79.3, 79.4], [79.0, 78.0, 78.3], 2.0),  # two seeds are enough
        ([79.6, 79.2, 80.4, 80.6, 78.4], baseline, 0.19),  # about two hundred
    ]


def _gives_up(treatment: list[float], baseline: list[float], smallest: float) -> int | None:
    found = _seeds(treatment, baseline, smallest)
    return found if found < 100 else None


def _unpaired(treatment: list[float], baseline: list[float], smallest: float) -> int:
    """Seeds an arm of the two-sample t-test: degrees of freedom 2n − 2."""
    from scipy import stats

    sd = math.sqrt((_sd(treatment) ** 2 + _sd(baseline) ** 2) / 2)

    def reached(n: int) -> float:
        critical = stats.t.ppf(0.975, 2 * n - 2)
        return stats.nct.sf(critical, 2 * n - 2, smallest / (sd * math.sqrt(2 / n)))

    return next(n for n in range(2, 10_000) if reached(n) >= 0.8)


def _sum_of_variances(treatment: list[float], baseline: list[float], smallest: float) -> int:
    return _smallest_number(smallest / math.hypot(_sd(treatment), _sd(baseline)))


def _sd_of_an_arm(arm: int):
    return lambda *case: _smallest_number(case[2] / _sd(case[arm]))


def _post_hoc(treatment: list[float], baseline: list[float], smallest: float) -> int:
    differences = _differences(treatment, baseline)
    return _smallest_number(abs(_mean(differences)) / _sd(differences))


def _by_normal(treatment: list[float], baseline: list[float], smallest: float) -> int:
    return math.ceil(((1.959964 + 0.841621) * _sd(_differences(treatment, baseline)) / smallest) ** 2)


def _population_sd(treatment: list[float], baseline: list[float], smallest: float) -> int:
    return _smallest_number(smallest / _sd(_differences(treatment, baseline), lost=0))


def _half_width(treatment: list[float], baseline: list[float], smallest: float) -> int:
    """Seeds for an interval whose half-width is δ: a power of about one half."""
    from scipy import stats

    sd = _sd(_differences(treatment, baseline))
    return next(n for n in range(2, 10_000) if stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n) <= smallest)


def _control(treatment: dict[str, Any], idea: str) -> dict[str, Any]:
    if idea == "schedule":
        mean = (treatment["alpha"][0] + treatment["alpha"][1]) / 2
        return treatment | {"alpha": (mean, mean)}
    return treatment | {"extra_weight": 0.0}


def _control_cases() -> list[tuple]:
    treatment = {
        "teacher": "lesson teacher", "temperature": 3.0, "alpha": (0.0, 0.5), "extra_weight": 5.0, "width": 24,
        "epochs": 72, "seeds": (0, 1, 2, 3, 4),
    }  # fmt: skip
    other = treatment | {"alpha": (0.25, 0.75), "extra_weight": 0.5, "epochs": 48, "temperature": 2.0, "width": 16}
    cases = [(treatment, "extra term"), (treatment, "schedule"), (other, "schedule"), (other, "extra term")]
    return [(dict(settings), idea) for settings, idea in cases]  # an answer may change its dictionary in place


def _in_place(treatment: dict[str, Any], idea: str) -> dict[str, Any]:
    treatment.update(_control(treatment, idea))
    return treatment


def _changed(**changes: Any):
    """The right control, and then something else changed as well."""
    return lambda treatment, idea: _control(treatment, idea) | changes


def _without_the_key(treatment: dict[str, Any], idea: str) -> dict[str, Any]:
    control = _control(treatment, idea)
    return control if idea == "schedule" else {key: control[key] for key in control if key != "extra_weight"}


def _one_number(treatment: dict[str, Any], idea: str) -> dict[str, Any]:
    control = _control(treatment, idea)
    return control | {"alpha": control["alpha"][0]} if idea == "schedule" else control


def _both_taken(ideas: tuple[str, ...]):
    """The extra term and the schedule are both taken away, where the idea is one of these."""

    def wrong(treatment: dict[str, Any], idea: str) -> dict[str, Any]:
        control = _control(treatment, idea)
        return _control(_control(control, "extra term"), "schedule") if idea in ideas else control

    return wrong


def _schedule_at(place: int):
    def wrong(treatment: dict[str, Any], idea: str) -> dict[str, Any]:
        value = treatment["alpha"][place]
        return treatment | {"alpha": (value, value)} if idea == "schedule" else _control(treatment, idea)

    return wrong


EXERCISES = {
    "14.1": Exercise(
        _gated(_facts),
        _facts_cases,
        (
            *_boundary_traps(),
            Trap(_negated,
                 "a comparison with NaN is false, so its negation is true: `not high >= smallest` excludes something "
                 "where there is no number at all; write `high < smallest`"),
            *(Trap(_rounded(digits), "the ends are rounded first: a small gain becomes 0; compare them as they are")
              for digits in (2, 3)),
            *_in_both_forms(_old_rule,
                 "this says that a gain of δ or more is shown once 0 is excluded and δ is not. An interval from 0.1 to "
                 "0.9 shows a gain, but leaves open whether it is 0.5: where the true gain is a little smaller than δ, "
                 "most experiments with enough seeds end like that. 'δ or more' needs low ≥ δ"),
            *_in_both_forms(lambda low, mean, high, smallest: (low > 0, low > 0, high < smallest),
                 "this takes a gain that is shown for one of δ or more: 'δ or more' needs low ≥ δ"),
            *_in_both_forms(lambda low, mean, high, smallest: (low > 0, high >= smallest, high < smallest),
                 "that a gain of δ is not excluded does not show it: 'δ or more' needs low ≥ δ"),
            *_in_both_forms(lambda low, mean, high, smallest: (low > 0, low >= smallest, low < smallest),
                 "that a gain of δ is not shown does not exclude it: that needs high < δ"),
            *_in_both_forms(lambda low, mean, high, smallest: (low >= smallest, low >= smallest, high < smallest),
                 "that there is a gain at all needs low > 0 alone, whatever δ is"),
            *_in_both_forms(lambda low, mean, high, smallest: (mean > 0, mean >= smallest, mean < smallest),
                 "this compares the mean alone; another five seeds give another mean. Compare the ends of the "
                 "interval"),
            *_in_both_forms(lambda low, mean, high, smallest: (low > 0, mean >= smallest, high < smallest),
                 "the mean must not decide: if the true gain is just below δ, it lies above δ nearly half of the time. "
                 "'δ or more' needs low ≥ δ"),
            *_in_both_forms(
                lambda low, mean, high, smallest: (low > 0, low > 0 and mean >= smallest, high < smallest),
                 "0 is excluded and the mean is at δ: the mean must not decide. 'δ or more' needs low ≥ δ"),
            *_in_both_forms(lambda low, mean, high, smallest: (low > 0, low >= smallest, mean < smallest),
                 "the mean must not decide: a gain of δ or more is excluded where the upper end lies below δ"),
            *_in_both_forms(lambda low, mean, high, smallest: (low > 0, low >= smallest, high < 0),
                 "δ or more is excluded long before there is a loss: high < δ is enough"),
            *_in_both_forms(
                lambda low, mean, high, smallest: (low > 0, low >= smallest, high < smallest and not low <= 0 <= high),
                 "an interval that holds 0 can still exclude a gain of δ or more: high < δ is enough"),
            *_in_both_forms(
                lambda low, mean, high, smallest: (low > 0 and high >= smallest, low >= smallest, high < smallest),
                 "an interval between 0 and δ shows both: there is a gain, and one of δ or more is excluded"),
            *_in_both_forms(
                lambda low, mean, high, smallest: (low > 0, low >= smallest, high < smallest and low <= 0),
                 "an interval between 0 and δ shows both: there is a gain, and one of δ or more is excluded"),
        ),
    ),
    "14.2": Exercise(
        _seeds,
        _seeds_cases,
        (
            Trap(_unpaired,
                 "this is the two-sample t-test; the arms share their seeds, so use the differences seed by seed "
                 "(n − 1 degrees of freedom)"),
            Trap(_sum_of_variances,
                 "this adds the variances of the two arms, as if they were independent; a seed moves both arms "
                 "together, so take the standard deviation of the differences seed by seed"),
            Trap(_sd_of_an_arm(0),
                 "this takes the standard deviation of the treatment's accuracies; the paired test needs that of the "
                 "differences"),
            Trap(_sd_of_an_arm(1),
                 "this takes the standard deviation of the baseline's accuracies; the paired test needs that of the "
                 "differences"),
            Trap(_post_hoc,
                 "this is the power for the difference that was seen (post-hoc power): it repeats the p-value in other "
                 "words. Ask for the smallest difference of interest"),
            Trap(_by_normal,
                 "this is the formula of the normal distribution; with few seeds t has heavier tails, and the number "
                 "comes out too small: use experiment.power"),
            Trap(_population_sd,
                 "this standard deviation divides by n; from a sample it divides by n − 1 (ddof=1)"),
            Trap(_half_width,
                 "this is the number for an interval of half-width δ, which finds a true difference of δ only about "
                 "half of the time; ask for a power of 0.8"),
            Trap(lambda *case: _seeds(*case) - 1,
                 "one seed too few: the number is the first whose power reaches 0.8, not the last below it"),
            Trap(lambda *case: _seeds(*case) + 1,
                 "one seed too many: the number is the first whose power reaches 0.8"),
            Trap(lambda *case: max(3, _seeds(*case)),
                 "the search begins at three seeds; two have an interval too, and can be enough"),
            Trap(_gives_up, "the search ends too early, without a number: a small difference can need hundreds"),
        ),
    ),
    "14.3": Exercise(
        _control,
        _control_cases,
        (
            Trap(_changed(teacher=None),
                 "a control without the teacher credits the new idea with everything that distillation brings; change "
                 "the one thing in question"),
            Trap(_changed(epochs=36),
                 "the control has the course's usual number of epochs, not the treatment's: longer training alone "
                 "could make the difference"),
            Trap(_changed(temperature=2.0),
                 "the control has another temperature than the treatment: two things differ"),
            Trap(_changed(width=12),
                 "the control has a narrower student: the difference could be one of size"),
            Trap(_changed(seeds=(5, 6, 7, 8, 9)),
                 "with other seeds the arms do not start from equal weights, and nothing is paired"),
            Trap(_schedule_at(0),
                 "the control holds the schedule's first value: then the arms also differ in how much of the labels "
                 "they get on average. Hold the mean"),
            Trap(_schedule_at(1),
                 "the control holds the schedule's last value: then the arms also differ in how much of the labels "
                 "they get on average. Hold the mean"),
            *(Trap(_both_taken(ideas),
                   "two things are taken away at once: where there is a difference, you will not know which of them "
                   "made it")
              for ideas in (("extra term", "schedule"), ("extra term",), ("schedule",))),
            Trap(_without_the_key,
                 "the setting itself is gone; the control has it too, with the weight 0"),
            Trap(_one_number,
                 "the right value; write a constant α as a pair of equal values, such as (0.3, 0.3)"),
            Trap(lambda treatment, idea: dict(treatment),
                 "this is the treatment itself: the control must lack the one thing in question"),
            Trap(lambda treatment, idea: treatment | {"alpha": (0.1, 0.1)} if idea == "schedule"
                 else _control(treatment, idea),
                 "α = 0.1 is the course's habit, not the mean of this schedule"),
            Trap(_in_place,
                 "the right settings, but the treatment itself is changed: both arms are then the control. Change a "
                 "copy"),
        ),
        kept=lambda treatment, idea: treatment,
    ),
}  # fmt: skip
