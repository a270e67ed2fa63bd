"""An experiment planned before it is run."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdnotes import checks
from kdnotes.checks import bound
from kdnotes.intervals import LARGER_IS_BETTER, Metric
from kdnotes.lab.describe import loss_sources, unwrap
from kdnotes.lab.verdict import NOT_FILLED_IN, SeedsNeeded, Verdict, judge, seeds_needed
from kdnotes.show import plots
from kdnotes.study import Study

__all__ = ["Experiment"]

METRICS = (
    *(f"{split}_{kind}" for split in ("test", "validation") for kind in LARGER_IS_BETTER),
    "seconds",
)


def _text(name: str, value: object) -> None:
    checks.instance(str, said="a string")(name, value)
    if not value.strip():
        raise ValueError(f"{name} must not be empty: write it down before you run the experiment")


@dataclass(frozen=True)
class Experiment:
    """The plan of an experiment on one difference, written down before it is run.

    Args:
        question: what is to be found out, one sentence.
        hypothesis: a statement that can turn out wrong.
        prediction: what you expect to see, and why.
        treatment, baseline: the names of two arms; the hypothesis is that the first is better.
        metric: a column of ``study.frame``, such as "test_accuracy" or "test_nll".
        smallest_difference: the smallest difference of interest δ > 0, in the metric's unit:
            accuracy and ECE are fractions, so that 0.005 is half a point; NLL is in nats.
        larger_is_better: ``None`` for what the metric's name says (accuracy: yes; NLL, ECE: no).
        seeds: how many paired seeds, and why so many; a sentence for the report.
    """

    question: str = bound(_text)
    hypothesis: str = bound(_text)
    prediction: str = bound(_text)
    treatment: str = bound(_text)
    baseline: str = bound(_text)
    metric: str = bound(_text, "test_accuracy")
    smallest_difference: float = bound(checks.positive, 0.005)
    larger_is_better: bool | None = bound(
        checks.instance(bool, NoneType, said="True, False or None"), None
    )
    seeds: str = bound(_text, "not stated")

    def __post_init__(self) -> None:
        checks.fields(self)
        delta = self.smallest_difference
        if self.treatment == self.baseline:
            raise ValueError(f"treatment and baseline must be two arms, not both {self.baseline!r}")
        if self.measure.scale == 100 and delta >= 0.2:
            raise ValueError(
                f"smallest_difference must be a fraction below 0.2 for {self.metric}, such as "
                f"0.005 for 0.5 points, not {delta!r}, which would be {100 * delta:g} points"
            )
        if self.measure.larger_is_better is None:
            raise ValueError(
                f"larger_is_better must be True or False for the metric {self.metric!r}, not None"
            )

    @property
    def measure(self) -> Metric:
        """The metric with its direction and its unit."""
        return Metric.named(self.metric, self.larger_is_better)

    @property
    def delta(self) -> float:
        """The difference that is a gain of just δ: negative where smaller is better."""
        return self.measure.sign * self.smallest_difference

    def to_do(self, arms: Mapping[str, Any] | None = None) -> list[str]:
        """What still holds the word TODO: fields of the plan, and loss functions of the arms."""
        texts = vars(self) | {f"the function {k}": v for k, v in loss_sources(arms or {}).items()}
        return [name for name, text in texts.items() if "TODO" in str(text)]

    def rule(self) -> str:
        """What will be said for which interval, in words."""
        above, below = ("above", "below") if self.delta > 0 else ("below", "above")
        amount = self.measure.amount(self.delta, "+")
        return (
            f"The 95 % interval of {self.treatment} − {self.baseline}, {self.metric}, decides. "
            f"δ is {self.measure.amount(self.smallest_difference)}. "
            f"A gain is shown: the interval lies wholly {above} 0. "
            f"A gain of δ or more is shown: it lies wholly {above} {amount}, or begins there. "
            f"A gain of δ or more is excluded: it lies wholly {below} {amount} "
            "(the first may hold as well). "
            f"A loss is shown: it lies wholly {below} 0. "
            "Not resolved: none of these, or there is one seed, or no spread between seeds."
        )

    def check_arms(self, arms: Mapping[str, Any]) -> None:
        """Refuse, before anything is trained, arms that give no verdict on this plan.

        Raises:
            ValueError: treatment or baseline is not among the arms, or a study has no such metric.
            TypeError: an arm is the loss function itself.
        """
        for name, arm in {"treatment": self.treatment, "baseline": self.baseline}.items():
            if arm not in arms:
                raise ValueError(f"{name} must be one of the arms {list(arms)}, not {arm!r}")
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {self.metric!r}")
        for name, arm in arms.items():
            loss = unwrap(arm)
            if inspect.isfunction(loss) and "given" in inspect.signature(loss).parameters:
                example = f"OwnLoss({loss.__name__}, teacher)"
                raise TypeError(f"arm {name!r} must be a method, such as {example}, not a loss")

    def verdict(self, study: Study, arms: Mapping[str, Any] | None = None) -> Verdict:
        """The paired difference judged; "not filled in" while there is something ``to_do``."""
        difference = study.difference(self.treatment, self.baseline, self.metric)
        delta, to_do = self.smallest_difference, tuple(self.to_do(arms))
        word = NOT_FILLED_IN if to_do else judge(self.measure.gain(difference), delta)
        pair = f"{self.treatment} − {self.baseline}"
        return Verdict(word, difference, pair, self.measure, delta, to_do)

    def seeds_needed(self, study: Study, probability: float = 0.8) -> SeedsNeeded:
        """How many seeds would find δ, by the spread between the seeds seen."""
        differences = self._differences(study, self.treatment)
        needed = seeds_needed(differences, self.smallest_difference, probability)
        return dataclasses.replace(needed, scale=self.measure.scale, unit=self.measure.unit)

    def _differences(self, study: Study, arm: str) -> pd.Series:
        return study.values(arm, self.metric) - study.values(self.baseline, self.metric)

    def figure(self, study: Study) -> tuple[Figure, str]:
        """The report's figure and its alternative text: ``plots.show(*plan.figure(result))``."""
        figure, (left, right) = plots.figure(2, width=9, height=2.9)
        self._draw_seeds(left, study)
        words = self._draw_differences(right, study)
        return figure, (
            f"Left: {self.metric} of {self.baseline} and {self.treatment}, a line a seed. "
            f"Right: paired differences from {self.baseline} with 95 percent intervals, beside 0 "
            f"and the smallest one of interest: {words}."
        )

    def _draw_seeds(self, axes: Axes, study: Study) -> None:
        arms, scale = [self.baseline, self.treatment], self.measure.scale
        values = pd.DataFrame({arm: scale * study.values(arm, self.metric) for arm in arms})
        axes.plot([0, 1], values.T, "o-", color="0.6", markersize=4, linewidth=1)
        axes.plot([0, 1], values.mean(), "o-", color=plots.COLORS[0], linewidth=3)
        axes.set_xticks([0, 1], arms)
        axes.set(
            xlim=(-0.4, 1.4), ylabel=f"{self.metric} ({self.measure.unit.replace('points', '%')})"
        )
        axes.set_title("one grey line a seed, mean in blue")

    def _draw_differences(self, axes: Axes, study: Study) -> str:
        """Draw treatment and further arms against the baseline; their differences in words."""
        measure, others = self.measure, set(study.arms) - {self.treatment, self.baseline}
        arms = [self.treatment, *(arm for arm in study.arms if arm in others)]
        intervals = {arm: study.difference(arm, self.baseline, self.metric) for arm in arms}
        delta = measure.scale * self.delta
        axes.axvspan(*sorted((0, delta)), color=plots.COLORS[1], alpha=0.2, linewidth=0)
        axes.axvline(delta, color=plots.COLORS[1], linewidth=1.5)
        label = f"minus {self.baseline} ({measure.unit})"
        plots.forest(axes, intervals, label=label, scale=measure.scale)
        for row, arm in enumerate(arms):
            ticks = measure.scale * self._differences(study, arm)
            axes.plot(ticks, [row + 0.2] * len(ticks), "|", color="0.3", markersize=7)
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_title("ticks: seeds; shaded: from 0 to δ")
        return ", ".join(f"{arm} {measure.interval(one)}" for arm, one in intervals.items())
