"""An experiment planned before it is run: the plan, the verdict by its rule, the seeds it would take, and a report."""

from __future__ import annotations

import base64
import dataclasses
import functools
import html
import inspect
import io
import json
import math
import os
import platform
import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kdnotes
from kdnotes.metrics import Interval, mean_interval
from kdnotes.study import Study

__all__ = ["WORDS", "Experiment", "SeedsNeeded", "Verdict", "judge", "power", "report", "seeds_needed"]

MOST_SEEDS = 10_000
METRICS = (*(f"{split}_{kind}" for split in ("test", "validation") for kind in ("accuracy", "nll", "ece")), "seconds")
NOT_FILLED_IN = "not filled in"


# What ``judge`` can say, from the largest gain down; δ is the smallest difference of interest.
WORDS = (
    "gain of δ or more shown",
    "gain shown",
    "gain shown, gain of δ or more excluded",
    "gain of δ or more excluded",
    "loss shown",
    "not resolved",
)


def judge(gain: Interval, smallest_difference: float) -> str:
    """What the interval of a gain, of which larger is better, shows; δ > 0 is the smallest difference of interest.

    One of ``WORDS``, by where the ends lie:

    - "gain of δ or more shown": low ≥ δ;
    - "gain shown": 0 < low < δ ≤ high; whether the gain is δ or more is open;
    - "gain shown, gain of δ or more excluded": 0 < low, high < δ;
    - "gain of δ or more excluded": low ≤ 0 ≤ high < δ; whether there is a smaller gain, or a loss, is open;
    - "loss shown": high < 0, which excludes any gain;
    - "not resolved": low ≤ 0 and high ≥ δ; or there is but one seed; or all seeds gave the same difference, so that the
      interval has no width and says nothing of the next seed.

    With 95 % intervals each of these mistakes comes up in at most 2.5 % of the experiments: a gain is shown where the
    true one is 0 or less; one of δ or more is shown where the true one is δ or less, excluded where it is δ or more
    (half of an equivalence test, Lakens 2017, doi 10.1177/1948550617697177). So it is if the differences are about
    normal, and if the interval is looked at once, with a number of seeds fixed before.
    """
    _check_positive("smallest_difference", smallest_difference)
    if not gain.has_spread:
        return "not resolved"
    if gain.low >= smallest_difference:
        return "gain of δ or more shown"
    if gain.below():
        return "loss shown"
    facts = ["gain shown"] if gain.above() else []
    facts += ["gain of δ or more excluded"] if gain.below(smallest_difference) else []
    return ", ".join(facts) or "not resolved"


def power(seeds: int, difference: float, sd: float, level: float = 0.95) -> float:
    """Probability that the paired interval of ``seeds`` seeds lies wholly above 0 if the true mean is ``difference``.

    It is also the probability that it lies wholly below ``difference`` if the true mean is 0 (by symmetry), and wholly
    above ``difference`` if the true mean is twice that (by a shift).

    Args:
        difference: the true mean difference, above 0.
        sd: standard deviation of the differences from seed to seed, above 0, in the same unit.
        level: of the two-sided interval.
    """
    from scipy import stats

    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise ValueError(f"seeds must be a whole number of at least 2, not {seeds!r}")
    _check_positive("difference", difference)
    _check_positive("sd", sd)
    _check_share("level", level)
    critical = stats.t.ppf((1 + level) / 2, seeds - 1)
    return float(stats.nct.sf(critical, seeds - 1, difference * math.sqrt(seeds) / sd))


@dataclass(frozen=True)
class SeedsNeeded:
    """How many paired seeds resolve a true difference; ``str()`` gives the sentence.

    Args:
        seeds: for the standard deviation ``sd`` of the differences seen; ``None`` if there is no spread to go by, or if
            it takes more than 10,000.
        low, high: the same for the ends of the 95 % interval of the standard deviation, ``sd_low`` and ``sd_high``.
        seen: number of differences that the standard deviation comes from.
        smallest_difference, power: what was asked for.
        scale, unit: how the sentence shows differences, such as 100 and "points".
    """

    seeds: int | None
    low: int | None
    high: int | None
    sd: float
    sd_low: float
    sd_high: float
    seen: int
    smallest_difference: float
    power: float
    scale: float = 1.0
    unit: str = ""

    def __str__(self) -> str:
        if self.seen < 2:
            return "One seed says nothing of the spread between seeds: run at least two to estimate how many it takes."
        if self.sd == 0:
            return "All seeds gave the same difference, so there is no spread to estimate the number of seeds from."
        sd, low, high = (f"{self.scale * value:.3g}" for value in (self.sd, self.sd_low, self.sd_high))
        return (
            f"If the true difference is {self.scale * self.smallest_difference:.3g} {self.unit}, {_count(self.seeds)} "
            f"paired seeds are needed to show a gain with a probability of {100 * self.power:.0f} %; and as many to "
            "exclude one of that size or more if there is none, or to show one of that size or more if the true one is "
            "twice as large. This rests on the "
            f"standard deviation of the differences, {sd} {self.unit} in {self.seen} seeds; it is itself uncertain, "
            f"{low} to {high} {self.unit} (95 % interval), which means {_count(self.low)} to {_count(self.high)} seeds."
        )


def _count(seeds: int | None) -> str:
    return f"more than {MOST_SEEDS:,}" if seeds is None else f"{seeds:,}"


def seeds_needed(
    differences: Sequence[float], smallest_difference: float, power: float = 0.8, level: float = 0.95
) -> SeedsNeeded:
    """How many seeds the paired t-test needs to find the smallest difference of interest, if that is the true one.

    The differences enter through their *spread* alone. Their mean does not: a power computed for the effect that was
    observed ("post-hoc power") only says in other words how large the p-value was (Hoenig & Heisey 2001). The standard
    deviation of a few differences is itself uncertain (χ² interval), and the range tells how much that matters.

    Args:
        differences: one paired difference a seed.
        smallest_difference: δ > 0, in the same unit.
        power: wanted probability, between 0 and 1.
        level: of the interval that is to exclude 0.
    """
    from scipy import stats

    _check_positive("smallest_difference", smallest_difference)
    _check_share("power", power)
    _check_share("level", level)
    values = [float(value) for value in differences]
    interval = mean_interval(values)
    count, nan = len(values), float("nan")
    if count < 2:
        return SeedsNeeded(None, None, None, nan, nan, nan, count, smallest_difference, power)
    if not interval.has_spread:
        return SeedsNeeded(None, None, None, 0.0, 0.0, 0.0, count, smallest_difference, power)
    squares = sum((value - interval.mean) ** 2 for value in values)
    sd = math.sqrt(squares / (count - 1))
    sd_low, sd_high = (math.sqrt(squares / stats.chi2.ppf(share, count - 1)) for share in (0.975, 0.025))
    numbers = [_seeds_for(smallest_difference / each, power, level) for each in (sd, sd_low, sd_high)]
    return SeedsNeeded(*numbers, sd, sd_low, sd_high, count, smallest_difference, power)


def _seeds_for(effect: float, wanted: float, level: float) -> int | None:
    """The smallest number of seeds with the power wanted, by bisection: power grows with the number."""
    low, high = 2, MOST_SEEDS
    if power(high, effect, 1.0, level) < wanted:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, 1.0, level) >= wanted else (middle + 1, high)
    return low


@dataclass(frozen=True)
class Experiment:
    """The plan of an experiment on one difference, written down before it is run.

    Args:
        question: what is to be found out, one sentence.
        hypothesis: a statement that can turn out wrong.
        prediction: what you expect to see, and why.
        treatment, baseline: the names of two arms; the hypothesis is that the first is better.
        metric: a column of ``study.frame``, such as "test_accuracy" or "test_nll".
        smallest_difference: the smallest difference of interest δ > 0, in the metric's unit: accuracy and ECE are
            fractions, so that 0.005 is half a point; NLL is in nats.
        larger_is_better: ``None`` for what the metric's name says (accuracy: yes; NLL, ECE: no).
        seeds: how many paired seeds, and why so many; a sentence for the report.
    """

    question: str
    hypothesis: str
    prediction: str
    treatment: str
    baseline: str
    metric: str = "test_accuracy"
    smallest_difference: float = 0.005
    larger_is_better: bool | None = None
    seeds: str = "not stated"

    def __post_init__(self) -> None:
        for name in ("question", "hypothesis", "prediction", "treatment", "baseline", "metric", "seeds"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a string, not {type(value).__name__}")
            if not value.strip():
                raise ValueError(f"{name} must not be empty: write it down before you run the experiment")
        if self.treatment == self.baseline:
            raise ValueError(f"treatment and baseline must be two arms, not both {self.treatment!r}")
        _check_positive("smallest_difference", self.smallest_difference)
        if self.scale == 100 and self.smallest_difference >= 0.2:
            raise ValueError(
                f"smallest_difference must be a fraction below 0.2 for {self.metric}, such as 0.005 for 0.5 points, "
                f"not {self.smallest_difference!r}, which would be {100 * self.smallest_difference:g} points"
            )
        if self.larger_is_better is None and self._direction is None:
            raise ValueError(f"larger_is_better must be True or False for the metric {self.metric!r}, not None")
        if self.larger_is_better is not None and not isinstance(self.larger_is_better, bool):
            raise TypeError(f"larger_is_better must be True, False or None, not {self.larger_is_better!r}")

    @property
    def _direction(self) -> bool | None:
        kind = self.metric.rpartition("_")[2]
        return {"accuracy": True, "nll": False, "ece": False}.get(kind)

    @property
    def sign(self) -> int:
        """+1 if a gain is a positive difference, −1 if it is a negative one."""
        larger = self._direction if self.larger_is_better is None else self.larger_is_better
        return 1 if larger else -1

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown: 100 for fractions, which are shown in points."""
        return 100.0 if self.metric.endswith(("accuracy", "ece")) else 1.0

    @property
    def unit(self) -> str:
        return (
            "points" if self.scale == 100 else {"nll": "nats", "seconds": "s"}.get(self.metric.rpartition("_")[2], "")
        )

    def to_do(self, arms: Mapping[str, Any] | None = None) -> list[str]:
        """What still holds the word TODO: fields of the plan, and loss functions of the arms."""
        fields = [field.name for field in dataclasses.fields(self) if "TODO" in str(getattr(self, field.name))]
        return fields + [f"the function {name}" for name, source in _sources(arms or {}).items() if "TODO" in source]

    def rule(self) -> str:
        """What will be said for which interval, in words."""
        above, below = ("above", "below") if self.sign > 0 else ("below", "above")
        amount = self._amount(self.sign * self.smallest_difference)
        return (
            f"The 95 % interval of {self.treatment} − {self.baseline}, {self.metric}, decides. δ is {self._delta}. "
            f"A gain is shown: the interval lies wholly {above} 0. "
            f"A gain of δ or more is shown: it lies wholly {above} {amount}, or begins there. "
            f"A gain of δ or more is excluded: it lies wholly {below} {amount} (the first may hold as well). "
            f"A loss is shown: it lies wholly {below} 0. "
            "Not resolved: none of these, or there is one seed, or no spread between seeds."
        )

    def check_arms(self, arms: Mapping[str, Any]) -> None:
        """Refuse, before anything is trained, arms that give no verdict on this plan.

        Raises:
            ValueError: the treatment or the baseline is not among the arms, or a study has no such metric.
            TypeError: an arm is the loss function itself.
        """
        for name in ("treatment", "baseline"):
            if getattr(self, name) not in arms:
                raise ValueError(f"{name} must be one of the arms {list(arms)}, not {getattr(self, name)!r}")
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {self.metric!r}")
        for name, arm in arms.items():
            if inspect.isfunction(loss := _unwrapped(arm)) and "given" in inspect.signature(loss).parameters:
                raise TypeError(f"arm {name!r} must be a method, such as OwnLoss({loss.__name__}, teacher), not a loss")

    def verdict(self, study: Study, arms: Mapping[str, Any] | None = None) -> Verdict:
        """The verdict of ``judge`` on the paired difference; "not filled in" while there is something ``to_do``."""
        difference, to_do = study.difference(self.treatment, self.baseline, self.metric), tuple(self.to_do(arms))
        word = NOT_FILLED_IN if to_do else judge(self._gain(difference), self.smallest_difference)
        return Verdict(word, difference, self, to_do)

    def seeds_needed(self, study: Study, power: float = 0.8) -> SeedsNeeded:
        """How many seeds would find the smallest difference of interest, by the spread between the seeds seen."""
        differences = study.values(self.treatment, self.metric) - study.values(self.baseline, self.metric)
        needed = seeds_needed(differences, self.smallest_difference, power)
        return dataclasses.replace(needed, scale=self.scale, unit=self.unit)

    def figure(self, study: Study) -> tuple[Any, str]:
        """The figure of the report and its alternative text: ``plots.show(*plan.figure(result))``."""
        from kdnotes.show import plots

        figure, (left, right) = plots.figure(2, width=9, height=2.9)
        both = [self.scale * study.values(arm, self.metric) for arm in (self.baseline, self.treatment)]
        for seed in both[0].index:
            left.plot([0, 1], [values[seed] for values in both], "o-", color="0.6", markersize=4, linewidth=1)
        left.plot([0, 1], [values.mean() for values in both], "o-", color=plots.COLORS[0], linewidth=3)
        left.set_xticks([0, 1], [self.baseline, self.treatment])
        left.set(xlim=(-0.4, 1.4), ylabel=f"{self.metric} ({'%' if self.scale == 100 else self.unit})")
        left.set_title("one grey line a seed, mean in blue")
        others = [arm for arm in study.arms if arm not in (self.treatment, self.baseline)]
        shown = {arm: study.difference(arm, self.baseline, self.metric) for arm in [self.treatment, *others]}
        delta = self.sign * self.scale * self.smallest_difference
        right.axvspan(*sorted((0, delta)), color=plots.COLORS[1], alpha=0.2, linewidth=0)
        right.axvline(delta, color=plots.COLORS[1], linewidth=1.5)
        plots.forest(right, shown, label=f"minus {self.baseline} ({self.unit})", scale=self.scale)
        for row, arm in enumerate(shown):
            each = self.scale * (study.values(arm, self.metric) - study.values(self.baseline, self.metric))
            right.plot(each, [row + 0.2] * len(each), "|", color="0.3", markersize=7)
        right.set_ylim(len(shown) - 0.4, -0.6)
        right.set_title("ticks: seeds; shaded: from 0 to δ")
        words = ", ".join(f"{arm} {self._said(interval)}" for arm, interval in shown.items())
        return figure, (
            f"Left: {self.metric} of {self.baseline} and {self.treatment}, a line a seed. Right: paired differences "
            f"from {self.baseline} with 95 percent intervals, beside 0 and the smallest one of interest: {words}."
        )

    def _gain(self, difference: Interval) -> Interval:
        mean, low, high = (self.sign * value for value in difference)
        return Interval(mean, min(low, high), max(low, high), difference.n)

    @property
    def _delta(self) -> str:
        """The smallest difference of interest as a size: "0.5 points"."""
        return f"{self.scale * self.smallest_difference:.3g} {self.unit}".strip()

    def _amount(self, value: float) -> str:
        return f"{self.scale * value:+.3g} {self.unit}".strip().replace("-", "−")

    def _said(self, interval: Interval, *, signed: bool = True) -> str:
        digits, sign = 2 if self.scale == 100 else 4, "+" if signed else ""
        text = f"{self.scale * interval.mean:{sign}.{digits}f} ± {self.scale * interval.half_width:.{digits}f}"
        return f"{text.replace('-', '−').replace('inf', '∞')} {self.unit}".strip()


@dataclass(frozen=True)
class Verdict:
    """What the experiment says of its hypothesis; ``str()`` gives the sentence.

    Args:
        word: one of ``WORDS`` (see ``judge``), or "not filled in".
        difference: treatment − baseline, mean and 95 % interval, in the metric's unit.
        experiment: the plan.
        to_do: what is not filled in.
    """

    word: str
    difference: Interval
    experiment: Experiment
    to_do: tuple[str, ...] = ()

    @property
    def filled_in(self) -> bool:
        """Whether there is a result to look at: before that, a look at it would be one that nobody wrote down."""
        return not self.to_do

    def __str__(self) -> str:
        plan = self.experiment
        if self.word == NOT_FILLED_IN:
            same = self.difference.mean == 0 and self.difference.half_width == 0
            check = " So far both arms gave exactly the same values, as equal losses must." if same else ""
            return f"Not filled in: {', '.join(self.to_do)} still to do, so there is nothing to judge.{check}"
        pair = f"{plan.treatment} − {plan.baseline}: {plan._said(self.difference)} of {plan.metric}"
        seeds = f"{self.difference.n} seed{'s' if self.difference.n > 1 else ''}"
        return f"{self.word.capitalize()}. {pair} ({seeds}, 95 %). {self._meaning()}"

    def _meaning(self) -> str:
        gain, delta = self.experiment._gain(self.difference), f"δ = {self.experiment._delta}"
        if self.word != "not resolved":
            return MEANINGS[self.word].format(delta=delta)
        if gain.n < 2:
            return "One seed has no interval."
        if not gain.has_spread:
            return "All seeds gave the same difference, so there is no spread to judge by."
        return f"The interval holds both 0 and {delta}: neither a gain is shown, nor is one of δ or more excluded."


MEANINGS = {
    "gain of δ or more shown": "The whole interval is a gain of {delta} or more.",
    "gain shown": "There is a gain; whether it is {delta} or more is open.",
    "gain shown, gain of δ or more excluded": "There is a gain, but a smaller one than {delta}.",
    "gain of δ or more excluded": "A gain of {delta} or more is excluded; whether there is a smaller gain, or a loss, "
    "is not resolved.",
    "loss shown": "The difference goes the other way: any gain is excluded, so one of {delta} or more is too.",
}


def report(
    plan: Experiment,
    study: Study,
    arms: Mapping[str, Any],
    path: Path | str,
    *,
    settings: Any,
    student: Any,
    data: Any,
    config: Any,
) -> Path:
    """Write the experiment as one HTML page that needs no network, completely or not at all.

    While the plan or a loss function holds a TODO, the page says "not filled in" and shows no result. A page that
    replaces an earlier one of the same name also lists what was seen before, and what has been changed since: plan,
    arms, loss, seeds or data. A verdict is worth its error rates only if it is the first.

    Args:
        plan, study: the plan and the finished runs.
        arms: what ``study.compare`` was given, for the settings and the source of the loss.
        path: the file to write; its folder is made if it is missing.
        settings: of the notebook, ``profiles.settings(…)``.
        student, data, config: what the arms share.
    """
    from kdnotes.course.runner import write_text
    from kdnotes.show.pages import document

    path, sources = Path(path), _sources(arms)
    to_do = plan.to_do(arms)
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    body = [f"<h1>{html.escape(plan.question)}</h1>", f'<p class="status">Lab report, written {written}</p>']
    if to_do:
        body.append(
            f"<h2>Not filled in</h2><p>Still to do: {html.escape(', '.join(to_do))}. There is no result yet.</p>"
        )
    else:
        body.append(_verdict_part(plan, study))
    body += ["<h2>Plan</h2>", _table(_plan_rows(plan))]
    if not to_do:
        body += ["<h2>Arms</h2>", _arms_table(plan, study), "<h2>How many seeds</h2>"]
        body.append(f"<p>{html.escape(str(plan.seeds_needed(study)))}</p>")
        look = _plan_rows(plan) | _provenance(study, arms, settings, student, data, config)
        look = {name: text for name, text in look.items() if name not in NO_CHANGE} | {
            f"source of {name}": source for name, source in sources.items()
        }
        looks = _looks_so_far(path, look, {"at": written, "verdict": plan.verdict(study).word})
    else:
        looks = _earlier_looks(path)
    body.append(_looks_part(looks))
    body += [f"<h2>Loss: {html.escape(name)}</h2><pre>{html.escape(source)}</pre>" for name, source in sources.items()]
    body += ["<h2>Provenance</h2>", _table(_provenance(study, arms, settings, student, data, config))]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, document(plan.question, "\n".join(body), REPORT_STYLE))
    return path


# Rows of the report that differ from one writing to the next although nothing was changed.
NO_CHANGE = ("rule", "trainings", "report written on", "kdnotes, torch, Python")


def _earlier_looks(path: Path) -> list[dict[str, Any]]:
    """What the page that is there says of the results seen so far, oldest first; nothing if there is no such page."""
    try:
        found = re.search(r'<section data-looks="([^"]*)"', path.read_text(encoding="utf-8"))
        return json.loads(html.unescape(found[1])) if found else []
    except (OSError, ValueError):
        return []


def _looks_so_far(path: Path, look: dict[str, str], seen: dict[str, str]) -> list[dict[str, Any]]:
    """The earlier looks and this one; to write the page again without a change is no further look."""
    looks = _earlier_looks(path)
    return looks if looks and looks[-1]["look"] == look else [*looks, {**seen, "look": look}]


def _looks_part(looks: list[dict[str, Any]]) -> str:
    lines = []
    for number, this in enumerate(looks):
        text = f"{this['at']}: {this['verdict']}"
        if number:
            text += f"; changed before it: {', '.join(_changes(looks[number - 1]['look'], this['look']))}"
        lines.append(f"<li>{html.escape(text)}</li>")
    note = (
        "This is the first result on this page."
        if len(looks) == 1
        else "The error rates of the rule hold for the first result. One that comes after a change of the plan, the "
        "method or the seeds, made with an earlier result in view, is exploratory: a fresh sample has to confirm it."
    )
    kept = html.escape(json.dumps(looks, ensure_ascii=False))
    shown = f"<h2>Results seen</h2>\n<ul>{''.join(lines)}</ul>\n<p>{note}</p>" if looks else ""
    return f'<section data-looks="{kept}">{shown}</section>'


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of what differs, with both values where they are short."""
    changes = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, "nothing"), after.get(name, "nothing")
        if old != new:
            short = len(old) + len(new) <= 60 and "\n" not in old + new
            changes.append(f"{name} ({old} → {new})" if short else name)
    return changes


REPORT_STYLE = "th { text-align: left; font-weight: 600 } .plan td { text-align: left } h2 { margin: 1.2rem 0 .4rem }"


def _verdict_part(plan: Experiment, study: Study) -> str:
    verdict = plan.verdict(study)
    figure, alt = plan.figure(study)
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{_png(figure)}">'
    return f"<h2>Verdict: {verdict.word}</h2><p>{html.escape(str(verdict))}</p>\n{image}"


def _png(figure: Any) -> str:
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def _table(rows: Mapping[str, str]) -> str:
    cells = "\n".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items()
    )
    return f'<table class="plan">\n{cells}\n</table>'


def _plan_rows(plan: Experiment) -> dict[str, str]:
    return {
        "hypothesis": plan.hypothesis,
        "prediction": plan.prediction,
        "treatment": plan.treatment,
        "baseline": plan.baseline,
        "metric": f"{plan.metric}, {'larger' if plan.sign > 0 else 'smaller'} is better",
        "smallest difference of interest": plan._amount(plan.sign * plan.smallest_difference),
        "seeds, and why": plan.seeds,
        "rule": plan.rule(),
    }


def _arms_table(plan: Experiment, study: Study) -> str:
    head = ("arm", "seeds", f"{plan.metric}, mean with 95 % interval", f"difference from {plan.baseline}", "0 excluded")
    rows = []
    for arm in study.arms:
        mean = plan._said(study.interval(arm, plan.metric), signed=False).replace("points", "%")
        difference = None if arm == plan.baseline else study.difference(arm, plan.baseline, plan.metric)
        compared = (plan._said(difference), "yes" if difference.resolved else "no") if difference else ("", "")
        rows.append((arm, str(len(study.values(arm))), mean, *compared))
    lines = [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    note = (
        "The verdict is on the one difference of the plan; those of further arms are exploratory, and each interval "
        "has its 95 % by itself. The intervals are over seeds: the training images, the test images and the teacher "
        "are the same in all of them."
    )
    return f"<table><tr>{top}</tr>\n" + "\n".join(lines) + f"\n</table>\n<p>{note}</p>"


def _sources(arms: Mapping[str, Any]) -> dict[str, str]:
    """The source of each function that an arm uses as its loss, by name."""
    found = {}
    for arm in arms.values():
        loss = _unwrapped(getattr(getattr(arm, "method", arm), "loss", None))
        if inspect.isfunction(loss):
            found[loss.__name__] = textwrap.dedent(inspect.getsource(loss)).rstrip()
    return found


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _provenance(study: Study, arms: Mapping[str, Any], settings: Any, student: Any, data: Any, config: Any) -> dict:
    import torch

    from kdnotes.costs import processor

    frame = study.frame
    seeds, created = sorted(set(frame["seed"])), sorted(frame["created"])
    name = f"folder:{Path(data.name).name}" if data.name.startswith("folder:") else data.name  # no path of this machine
    sizes = f"{len(data.train):,} training, {len(data.validation):,} validation and {len(data.test):,} test images"
    return {
        "kdnotes, torch, Python": f"{kdnotes.__version__}, {torch.__version__}, {platform.python_version()}",
        "profile": settings.profile.name,
        "data set": f"{name}: {sizes}, SHA-256 {data.key[:16]}…",
        "student": described(student),
        "schedule": described(config, without=("seed",)),
        "seeds": f"{len(seeds)}: {', '.join(map(str, seeds))}",
        **{f"arm {arm}": described(value) for arm, value in arms.items()},
        "trainings": f"{len(frame)}, {frame['seconds'].sum():.0f} s in all; {int(frame['cached'].sum())} read from the "
        f"cache; computed {created[0]} to {created[-1]}",
        "report written on": f"{processor()}, {os.cpu_count()} logical cores, {platform.system()}; each training in "
        "one thread",
    }


def described(value: Any, without: tuple[str, ...] = ()) -> str:
    """Settings in words that hold on every machine: classes with their fields, functions by name, no addresses."""
    if isinstance(value, functools.partial):
        given = [*map(described, value.args), *(f"{key}={described(item)}" for key, item in value.keywords.items())]
        return f"{described(value.func)}({', '.join(given)})"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(described, value))})"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(key := getattr(value, "key", None), str) and hasattr(value, "model"):
        return f"{type(value.model).__name__} {key[:12]}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.repr and field.name not in without]
        pairs = [f"{name}={described(getattr(value, name))}" for name in fields if getattr(value, name) is not None]
        return f"{type(value).__name__}({', '.join(pairs)})"
    return getattr(value, "__name__", type(value).__name__)


def _check_positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}")


def _check_share(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")
