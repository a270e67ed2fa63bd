"""The report of an experiment: one HTML page that needs no network."""

from __future__ import annotations

import base64
import html
import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader

from kdnotes import __version__
from kdnotes.data import Corpus, Splits
from kdnotes.files import write_text
from kdnotes.lab.describe import describe, loss_sources
from kdnotes.lab.plan import Experiment
from kdnotes.machine import processor
from kdnotes.show import plots
from kdnotes.show.document import document
from kdnotes.store import SharedRun
from kdnotes.study import Study

__all__ = ["report"]

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True, trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
STYLE = (
    "th { text-align: left; font-weight: 600 } .plan td { text-align: left } "
    "h2 { margin: 1.2rem 0 .4rem }"
)
# Rows that differ from one writing to the next although nothing was changed.
NO_CHANGE = ("rule", "trainings", "report written on", "kdnotes, torch, Python")


def report(
    plan: Experiment,
    study: Study,
    arms: Mapping[str, Any],
    path: Path | str,
    *,
    settings: Any,
    student: Callable[[], torch.nn.Module],
    data: Splits | Corpus,
    config: Any,
) -> Path:
    """Write the experiment as one HTML page, completely or not at all.

    While the plan or a loss function holds a TODO, the page says "not filled in" and shows no
    result. A page that replaces an earlier one of the same name also lists what was seen before,
    and what has been changed since: plan, arms, loss, seeds or data. A verdict is worth its error
    rates only if it is the first.

    Args:
        plan, study: the plan and the finished runs.
        arms: what the comparison was given, for the settings and the source of the loss.
        path: the file to write; its folder is made if it is missing.
        settings: of the notebook, ``profiles.settings(…)``.
        student, data, config: what the arms share; of language models the corpus and the schedule.

    Raises:
        OSError: the page cannot be written; an earlier one is left as it is.
    """
    path, now = Path(path), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    to_do, sources, planned = plan.to_do(arms), loss_sources(arms), _plan_rows(plan)
    origin = _provenance(study, arms, settings, student, data, config)
    looks, result = _earlier_looks(path), {}
    if not to_do:
        verdict, (figure, alt) = plan.verdict(study), plan.figure(study)
        png = base64.b64encode(plots.png(figure)).decode()
        result = {"verdict": verdict, "alt": alt, "png": png, "arms": _arm_rows(plan, study)}
        rows = planned | origin | {f"source of {name}": text for name, text in sources.items()}
        look = {name: text for name, text in rows.items() if name not in NO_CHANGE}
        if not looks or looks[-1]["look"] != look:  # to write the page again is no further look
            looks.append({"at": now, "verdict": verdict.word, "look": look})
    body = TEMPLATES.get_template("report.html").render(
        result, plan=plan, study=study, now=now, to_do=to_do, planned=planned, origin=origin,
        sources=sources, looks=looks, kept=json.dumps(looks, ensure_ascii=False), changes=_changes,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, document(plan.question, body, STYLE))
    return path


def _earlier_looks(path: Path) -> list[dict[str, Any]]:
    """What the page that is there says of the results seen so far, oldest first."""
    try:
        found = re.search(r'<section data-looks="([^"]*)"', path.read_text(encoding="utf-8"))
        return json.loads(html.unescape(found[1])) if found else []
    except (OSError, ValueError):  # no page, or another kind of page
        return []


def _changes(before: dict[str, str], after: dict[str, str]) -> str:
    """Names of what differs between two looks, with both values where they are short."""
    changes = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, "nothing"), after.get(name, "nothing")
        short = len(old) + len(new) <= 60 and "\n" not in old + new
        if old != new:
            changes.append(f"{name} ({old} → {new})" if short else name)
    return ", ".join(changes)


def _plan_rows(plan: Experiment) -> dict[str, str]:
    return {
        "hypothesis": plan.hypothesis,
        "prediction": plan.prediction,
        "treatment": plan.treatment,
        "baseline": plan.baseline,
        "metric": f"{plan.metric}, {'larger' if plan.delta > 0 else 'smaller'} is better",
        "smallest difference of interest": plan.measure.amount(plan.delta, "+"),
        "seeds, and why": plan.seeds,
        "rule": plan.rule(),
    }


def _arm_rows(plan: Experiment, study: Study) -> list[tuple[str, ...]]:
    """Name, number of seeds, mean, difference from the baseline, and whether it excludes 0."""
    rows = []
    for arm in study.arms:
        mean = study.interval(arm, plan.metric)
        difference = study.difference(arm, plan.baseline, plan.metric)
        shown = (plan.measure.interval(difference), "yes" if difference.resolved else "no")
        compared = ("", "") if arm == plan.baseline else shown
        value = plan.measure.interval(mean, sign="").replace("points", "%")
        rows.append((arm, str(mean.n), value, *compared))
    return rows


def _provenance(study, arms, settings, student, data, config) -> dict[str, str]:
    """Where the numbers come from, as ``report`` was given it; no path of this machine."""
    frame = study.frame
    versions = (__version__, torch.__version__, platform.python_version())
    kind, _, folder = data.name.partition(":")
    name = f"{kind}:{Path(folder).name}" if folder else kind
    seeds, created = sorted(set(frame["seed"])), sorted(frame["created"])
    shared = sum(isinstance(run, SharedRun) for run in study.runs.values())
    whose = f" ({shared} from the shared store)" if shared else ""
    what = "strings" if isinstance(data, Corpus) else "images"
    return {
        "kdnotes, torch, Python": ", ".join(versions),
        "profile": settings.profile.name,
        "data set": f"{name}: {len(data.train):,} training, {len(data.validation):,} validation "
        f"and {len(data.test):,} test {what}, SHA-256 {data.key[:16]}…",
        "student": describe(student),
        "schedule": describe(config, without=("seed",)),
        "seeds": f"{len(seeds)}: {', '.join(map(str, seeds))}",
        **{f"arm {name}": describe(arm) for name, arm in arms.items()},
        "trainings": f"{len(frame)}, {frame['seconds'].sum():.0f} s in all; "
        f"{int(frame['cached'].sum())} read from the cache{whose}; "
        f"computed {created[0]} to {created[-1]}",
        "report written on": f"{processor()}, {os.cpu_count()} logical cores, {platform.system()}; "
        "each training in one thread",
    }
