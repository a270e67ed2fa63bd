"""Exercises of chapter 14: a verdict from an interval, the number of seeds, a fair control."""

from __future__ import annotations

import math
from typing import Any

from kdnotes.check import Exercise, Trap
from kdnotes.experiment import power


def _verdict(low: float, mean: float, high: float, smallest: float) -> str:
    if high < smallest:
        return "refuted"
    return "supported" if low > 0 else "not resolved"


def _verdict_cases() -> list[tuple]:
    """(low, mean, high, δ): every kind of interval, on both sides of 0 and δ."""
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
    ]


def _by_mean(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if mean >= smallest else "refuted"


def _nothing_is_no_effect(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if low > 0 else "refuted"


def _nil_only(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if low > 0 else "refuted" if high < 0 else "not resolved"


def _loss_only(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if low >= smallest else "refuted" if high < 0 else "not resolved"


def _nil_then_mean(low: float, mean: float, high: float, smallest: float) -> str:
    if low <= 0 <= high:
        return "not resolved"
    return "supported" if mean >= smallest else "refuted"


def _zero_first(low: float, mean: float, high: float, smallest: float) -> str:
    if low <= 0 <= high:
        return "not resolved"
    return "refuted" if high < smallest else "supported"


def _minimum_effect(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if low >= smallest else "refuted" if high < smallest else "not resolved"


def _supported_first(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if low > 0 else "refuted" if high < smallest else "not resolved"


def _mean_too(low: float, mean: float, high: float, smallest: float) -> str:
    verdict = _verdict(low, mean, high, smallest)
    return "not resolved" if verdict == "supported" and mean < smallest else verdict


def _mean_below(low: float, mean: float, high: float, smallest: float) -> str:
    return "supported" if low > 0 else "refuted" if mean < smallest else "not resolved"


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
    """Accuracies in points, by seed: correlated, little correlated, and few."""
    baseline = [78.1, 79.4, 78.8, 80.3, 79.1]
    return [
        ([79.0, 80.0, 79.9, 81.2, 79.8], baseline, 0.5),
        ([79.6, 79.2, 80.4, 80.6, 78.4], baseline, 0.5),
        ([79.6, 79.2, 80.4, 80.6, 78.4], baseline, 1.0),
        ([80.0, 79.1, 79.5], [79.2, 79.0, 78.2], 0.4),
    ]


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
    other = treatment | {"alpha": (0.25, 0.75), "extra_weight": 0.5, "epochs": 48}
    cases = [(treatment, "extra term"), (treatment, "schedule"), (other, "schedule"), (other, "extra term")]
    return [(dict(settings), idea) for settings, idea in cases]  # an answer may change its dictionary in place


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
        _verdict,
        _verdict_cases,
        (
            Trap(_nothing_is_no_effect,
                 "an interval that holds 0 is no evidence of no effect: 'refuted' needs an interval that lies wholly "
                 "below δ, and where it holds both 0 and δ nothing is resolved"),
            Trap(_by_mean,
                 "this compares the mean alone; another five seeds give another mean. Compare the ends of the "
                 "interval"),
            Trap(_nil_only,
                 "δ is not used: a hypothesis that is only refuted by a resolved loss can hardly fail. It is refuted "
                 "once a gain of δ or more is excluded"),
            Trap(_minimum_effect,
                 "this asks the whole interval to reach δ before it says 'supported': if the true gain is δ, that "
                 "happens once in forty experiments, however many seeds there are. In this chapter 'supported' needs "
                 "low > 0, and δ not excluded"),
            Trap(_loss_only,
                 "between a whole interval above δ and one below 0 this leaves too much unresolved: 'refuted' needs "
                 "high < δ (a gain of δ or more is excluded), 'supported' low > 0"),
            Trap(_nil_then_mean,
                 "an interval that holds 0 can still exclude a gain of δ (high < δ: refuted), and the mean decides "
                 "nothing: only the ends of the interval count"),
            Trap(_zero_first,
                 "an interval that holds 0 is not always unresolved: one that lies wholly below δ excludes a gain of "
                 "δ, and refutes. Check high < δ first"),
            Trap(_supported_first,
                 "an interval between 0 and δ shows a gain that is too small to be of interest: check high < δ first"),
            Trap(_mean_too,
                 "the mean must not decide: if the true gain is δ, it falls below δ half of the time. Only the ends "
                 "of the interval count"),
            Trap(_mean_below,
                 "'refuted' goes by the mean here; the upper end of the interval must lie below δ"),
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
        ),
    ),
}  # fmt: skip
