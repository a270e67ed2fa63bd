"""Lab notebooks to start an experiment from: four research questions worked out, and a blank one."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

__all__ = ["PROPOSALS", "Proposal", "notebook", "write"]


@dataclass(frozen=True)
class Proposal:
    """What one lab notebook holds beyond the common frame; markdown and Python as they appear in its cells.

    Args:
        title, background: markdown of the first cell.
        question, hypothesis, prediction, treatment, baseline, seeds: of the plan.
        method: markdown before the loss, with the reason for its settings.
        loss: the function, and nothing else.
        control: markdown before the arms: what the baseline holds equal.
        arms: code that makes ``arms``, from ``s``, ``teacher``, ``shared``, ``temperature`` and ``alpha``.
        limits: markdown: what the verdict does not say.
    """

    title: str
    background: str
    question: str
    hypothesis: str
    prediction: str
    treatment: str
    baseline: str
    method: str
    loss: str
    control: str
    arms: str
    limits: str
    seeds: str = "the profile's number: what its time allows; the spread between seeds was not known before"


def write(name: str, folder: Path) -> Path:
    """Write the lab notebook ``name`` into a folder that exists; an existing file is never overwritten.

    Raises:
        ValueError: an unknown name, or the file exists.
    """
    from kdnotes.course.runner import write_text

    if name not in PROPOSALS:
        raise ValueError(f"NAME must be one of {', '.join(PROPOSALS)}, not {name!r}")
    path = folder / f"{name}.ipynb"
    if os.path.lexists(path):
        raise ValueError(f"--output: {path} exists already and is left as it is; name another folder")
    write_text(path, nbformat.writes(notebook(name)) + "\n")
    return path


def notebook(name: str) -> nbformat.NotebookNode:
    """The lab notebook of a proposal, with the same cell ids every time."""
    given = PROPOSALS[name]
    cells = [new_markdown_cell(text) if kind == "md" else new_code_cell(text) for kind, text in _cells(name, given)]
    cells[1].metadata["tags"] = ["parameters"]
    for number, cell in enumerate(cells):
        cell["id"] = f"{name}-{number:02d}"
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def _used(code: str, given: Proposal) -> str:
    """The code without the lines that set a temperature, an α or a teacher which this experiment does not use."""
    optional = ("temperature", "alpha", "teacher")
    unused = [name for name in optional if not re.search(rf"\b{name}\b(?!=)", given.arms)]
    return "\n".join(line for line in code.splitlines() if not line.startswith(tuple(f"{name} =" for name in unused)))


def _cells(name: str, given: Proposal) -> list[tuple[str, str]]:
    """The frame: question, plan, loss, arms, verdict, seeds, report, limits."""
    imports = _imports("\n".join([SET_UP, PLAN, given.loss, given.arms, "study.compare", VERDICT, REPORT]))
    return [
        ("md", f"# {given.title}\n\n{given.background}"),
        ("py", _used(PARAMETERS, given)),
        ("md", SET_UP_TEXT),
        ("py", _used(SET_UP, given).format(imports=imports)),
        ("md", PLAN_TEXT),
        ("py", PLAN.format(**{key: json.dumps(getattr(given, key), ensure_ascii=False) for key in PLAN_FIELDS})),
        ("md", f"## The method, one function\n{given.method}"),
        ("py", given.loss),
        ("md", f"## Arms\n{given.control}"),
        ("py", f"{given.arms}\nplan.check_arms(arms)\nresult = study.compare(arms, s.seeds, **shared)"),
        ("md", VERDICT_TEXT),
        ("py", VERDICT),
        ("md", SEEDS_TEXT),
        ("py", SEEDS),
        ("md", "## Report\nOne page with plan, verdict, figure, source and provenance, that needs no network."),
        ("py", REPORT.format(name=name)),
        ("md", f"## What this does not say\n{given.limits}\n\n{LIMITS}"),
    ]


PARAMETERS = """\
profile = None  # "smoke", "lesson" or "full"; None: the variable KDNOTES_PROFILE, else "lesson"
dataset = "fashion-mnist"  # or "cifar10", "folder:PATH"
seeds = None  # paired seeds; None: the profile's number
temperature = 2.0  # T, as in the chapters: chosen there on validation, not here
alpha = 0.1  # weight of the labels, likewise"""

SET_UP_TEXT = """\
## Set-up
The student learns from a subset of the training images that no chapter gave to a student (`subset_seed`):
settings that were chosen on one sample of images deserve a verdict on another. (Where a profile uses all images
there is no other sample.)"""

SET_UP = """\
{imports}

s = profiles.settings(profile, dataset, seeds)
teacher = s.teacher()
shared = {{"student": s.student(), "data": s.splits(subset_seed=14), "config": s.config()}}
print(f"profile {{s.profile.name}}: {{len(shared['data'].train)}} training images, {{s.seeds}} seeds")"""

# Of each line a notebook gets the names that it uses.
IMPORTS = """\
import functools

import torch.nn.functional as F
from IPython.display import Markdown, display
from kdnotes import experiment, losses, models, plots, profiles, study, training
from kdnotes.methods import KD, MutualLearning, OwnLoss
from torch import nn"""


def _imports(code: str) -> str:
    """The lines of ``IMPORTS``, without the names that the code does not use."""
    lines = []
    for line in IMPORTS.splitlines():
        start, _, names = line.rpartition("import ")
        used = [name for name in names.split(", ") if re.search(rf"\b{name.split()[-1]}[.(]", code)] if names else []
        if used or not line:
            lines.append(f"{start}import {', '.join(used)}" if line else "")
    return "\n".join(lines).strip()


PLAN_TEXT = """\
## Plan
Written before the run, and not changed after it (the report lists the results that were seen before a change). The
hypothesis says that the treatment gains δ or more. δ is the smallest difference of interest: the smallest one that
would make you use the method. The rule follows from it. "Gain of δ or more shown" is the hypothesis itself; "gain
shown" is less, since δ is open; "gain of δ or more excluded" and "loss shown" are against it."""

PLAN_FIELDS = ("question", "hypothesis", "prediction", "treatment", "baseline", "seeds")
PLAN = """\
plan = experiment.Experiment(
    question={question},
    hypothesis={hypothesis},
    prediction={prediction},
    treatment={treatment},
    baseline={baseline},
    metric="test_accuracy",
    smallest_difference=0.005,  # half a point of accuracy; accuracies are fractions
    seeds={seeds},
)
display(Markdown(plan.rule()))"""

VERDICT_TEXT = "## Verdict\nThe rule is applied to the paired differences, seed by seed."
VERDICT = """\
verdict = plan.verdict(result, arms)
if verdict.filled_in:
    plots.show(*plan.figure(result))
display(Markdown(f"**Verdict.** {verdict}"))"""

SEEDS_TEXT = """\
## How many seeds
From the spread between the seeds and the smallest difference of interest; not from the difference that was seen. It is
a number for the *next* experiment: with `subset_seed` changed in the set-up, so that its images and runs are fresh.
Adding seeds to these ones because the verdict was "not resolved" is a second look, and raises the share of false
verdicts (chapter 14 measures by how much)."""

SEEDS = """\
if verdict.filled_in:
    display(Markdown(str(plan.seeds_needed(result))))"""

REPORT = """\
page = experiment.report(plan, result, arms, "reports/{name}.html", settings=s, **shared)
print("written:", page.as_posix())"""

LIMITS = """\
The interval covers the luck of the seed: initial weights, order of batches, dropout. It does not cover other training
images, another teacher, another data set or another length of training. A further idea that came up while reading this
result is a new experiment with a plan of its own, on another draw of training images (another `subset_seed`; two draws
may share a few images)."""

PROPOSALS = {
    "attention": Proposal(
        title="Attention transfer on top of distillation",
        background="""\
Where does a network look? Zagoruyko & Komodakis ([1612.03928](https://arxiv.org/abs/1612.03928)) sum a stage's squared
outputs over the channels, normalise the map, and let the student imitate the teacher's maps. Does that add anything to
distillation from the logits?""",
        question="Does attention transfer add to distillation?",
        hypothesis="KD with attention transfer gains δ or more in test accuracy over KD alone.",
        prediction="A gain below one point: the maps help most where the student is far from the teacher.",
        treatment="KD + attention",
        baseline="KD",
        method=r"""
$$\mathcal{L} = \alpha\,\mathrm{CE} + (1-\alpha)\,T^2\,\mathrm{KL}(p_t\,\|\,p_s) + \beta \sum_{\text{stages}}
\overline{(Q_s - Q_t)^2}$$

with normalised maps $Q$. The authors' code has $\beta = 1000$, for other networks and SGD; chapter 11 measures
what the strength does to the course's small ones. Here $\beta = 10$ is fixed in advance.""",
        loss="""\
def attention_loss(batch, given, pairs, temperature, alpha, beta):
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    soft = losses.kd_loss(batch.student_logits, given.logits, temperature)
    ours = [batch.features[stage] for stage, _ in pairs]
    theirs = [given.features[stage] for _, stage in pairs]
    distance = losses.attention_transfer_loss(ours, theirs)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft, "attention": beta * distance}""",
        control="""\
The baseline has the same teacher, $T$, $\\alpha$, images and epochs, and lacks the one term in question. Cross-entropy
is no fair baseline here: it would credit the maps with what the logits bring.""",
        arms="""\
pairs = models.stages_of_equal_size(training.build(s.student(), 0), teacher.model)
loss = functools.partial(attention_loss, pairs=pairs, temperature=temperature, alpha=alpha, beta=10.0)
stages = tuple(stage for _, stage in pairs)
arms = {"KD": KD(teacher, temperature, alpha), "KD + attention": OwnLoss(loss, teacher, stages)}""",
        limits="""\
One β, and maps of all stages of equal size; another β or one stage alone may do better or worse.""",
    ),
    "hints": Proposal(
        title="Hints from the middle of the teacher",
        background="""\
FitNets ([1412.6550](https://arxiv.org/abs/1412.6550)) let a stage of the student imitate one of the teacher, through a
learned 1×1 convolution that bridges the numbers of channels. Does that add to distillation from the logits?""",
        question="Do hints add to distillation?",
        hypothesis="KD with a hint at the middle stage gains δ or more in test accuracy over KD alone.",
        prediction="A gain of about a point: features say more about an image than ten logits do.",
        treatment="KD + hint",
        baseline="KD",
        method=r"""
$$\mathcal{L} = \alpha\,\mathrm{CE} + (1-\alpha)\,T^2\,\mathrm{KL}(p_t\,\|\,p_s) + w\,\overline{(r(F_s) - F_t)^2}$$

with the regressor $r$, which is trained with the student and thrown away afterwards. $w = 10$ is fixed in advance, as
the middle of the range 1 to 100.""",
        loss="""\
def hint_loss(batch, given, pair, temperature, alpha, weight):
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    soft = losses.kd_loss(batch.student_logits, given.logits, temperature)
    ours, theirs = losses.match_size(batch.features[pair[0]], given.features[pair[1]])
    hint = losses.hint_loss(given.module(ours), theirs)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft, "hint": weight * hint}""",
        control="""\
The baseline has the same teacher, $T$, $\\alpha$, images and epochs, and lacks the one term in question. The
regressor's weights are drawn beside the student's, so that both arms start from the same student.""",
        arms="""\
student = training.build(s.student(), 0)
pairs = models.stages_of_equal_size(student, teacher.model)
pair = pairs[len(pairs) // 2]
channels = models.feature_shapes(student)[pair[0]][0], teacher.feature_shape(pair[1])[0]
loss = functools.partial(hint_loss, pair=pair, temperature=temperature, alpha=alpha, weight=10.0)
regressor = functools.partial(nn.Conv2d, *channels, 1)
arms = {"KD": KD(teacher, temperature, alpha), "KD + hint": OwnLoss(loss, teacher, (pair[1],), regressor)}""",
        limits="""\
One stage and one $w$, throughout the training; the paper trains on the hint first, on labels and logits afterwards.
The regressor costs time in training, none afterwards.""",
    ),
    "progressive": Proposal(
        title="From the teacher to the labels, step by step",
        background="""\
Schedules that start with the teacher and end with the labels have been proposed (annealing,
[2104.07163](https://arxiv.org/abs/2104.07163); early stopping,
[1910.01348](https://arxiv.org/abs/1910.01348)).
Is it the *movement* that helps, or only the average amount of teaching?""",
        question="Does a moving weight of the labels beat a constant one?",
        hypothesis="KD with α rising from 0 to 0.5 gains δ or more in test accuracy over KD with their mean, α = 0.25.",
        prediction="No difference of half a point: most of the learning happens in the middle of the training.",
        treatment="α from 0 to 0.5",
        baseline="α = 0.25",
        method=r"""
$$\mathcal{L} = \alpha(\tau)\,\mathrm{CE} + (1-\alpha(\tau))\,T^2\,\mathrm{KL}(p_t\,\|\,p_s), \qquad
\alpha(\tau) = 0.5\,\tau$$

with $\tau$ from 0 to 1, the share of the training that is done. The ends 0 and 0.5 are fixed in advance.""",
        loss="""\
def progressive_loss(batch, given, temperature, first, last):
    alpha = first + batch.progress * (last - first)
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    soft = losses.kd_loss(batch.student_logits, given.logits, temperature)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft}""",
        control="""\
The baseline has the *mean* of the schedule as its constant α. With the first or the last value instead, the comparison
would be one of more or less teaching.""",
        arms="""\
first, last = 0.0, 0.5
loss = functools.partial(progressive_loss, temperature=temperature, first=first, last=last)
arms = {"α = 0.25": KD(teacher, temperature, (first + last) / 2), "α from 0 to 0.5": OwnLoss(loss, teacher)}""",
        limits="""\
The learning rate has a schedule of its own (one cycle), so that the beginning and the end of the training count less
than the middle; with another schedule of the learning rate the answer may be another.""",
    ),
    "mutual": Proposal(
        title="Two students who teach each other",
        background="""\
Deep mutual learning ([1706.00384](https://arxiv.org/abs/1706.00384)): two students train side by side, and each also
imitates the other's predictions. No teacher is needed. Does a student learn more with a peer than alone?""",
        question="Does a student learn more with a peer than alone?",
        hypothesis="A student with an equal peer gains δ or more in test accuracy over one that learns alone.",
        prediction="A gain of about half a point: a peer knows less than a teacher, and errs in the same places.",
        treatment="mutual",
        baseline="independent",
        method=r"""
$$\mathcal{L} = \sum_i \Big(\mathrm{CE}(y, p_i) + \mathrm{KL}(p_j\,\|\,p_i)\Big), \qquad j \ne i$$

where each peer takes the other's prediction as given (no gradient flows into it).""",
        loss="""\
def mutual_loss(batch, given):
    peers = list(batch.features["peers"].unbind(dim=1))  # [B, classes] each
    return sum(losses.mutual_losses(peers, batch.targets))""",
        control="""\
Both arms train two peers, of which the *first* is measured: alone it would start from the same weights. In
the baseline the peers do not see each other (the sum of their cross-entropies).""",
        arms="""\
cohort = functools.partial(models.Cohort, (s.student(), s.student()))
shared["student"] = cohort
arms = {"independent": MutualLearning(weight=0.0), "mutual": OwnLoss(mutual_loss)}""",
        limits="""\
Mutual learning costs a second training. An ensemble of two independent students costs the same to train and twice as
much to use; it is not compared here.""",
    ),
    "blank": Proposal(
        title="TODO: the title of your experiment",
        background="""\
TODO: what is known, what is not, and why it matters to you. Replace every TODO in this notebook; as long as one is left
in the plan or in the loss, neither this notebook nor the report shows a result.""",
        question="TODO: what do you want to find out?",
        hypothesis="TODO: a statement that can turn out wrong, such as 'my loss gains δ or more over KD', and your δ.",
        prediction="TODO: what do you expect, and why?",
        treatment="own loss",
        baseline="KD",
        method="""\
TODO: the formula, and where its settings come from (a paper, a chapter: not this test set). As it stands the function
*is* KD, so that both arms must agree exactly, which the verdict says. Start from that, then change one thing.""",
        loss='''\
def own_loss(batch, given, temperature, alpha):
    """TODO: your loss. batch: student_logits, targets, features, progress …; given: logits, features, module.

    batch.features holds all stages of the student ("stage1" to "stage3"); given.features those of the teacher that are
    named in OwnLoss(loss, teacher, stages), such as ("block3",). Return one number (a scalar tensor), or several by
    name, which are added.
    """
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    soft = losses.kd_loss(batch.student_logits, given.logits, temperature)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft}''',
        control="""\
TODO: the baseline differs from the treatment in the one thing that the question is about. Is it KD, cross-entropy, or
something between?""",
        arms="""\
loss = functools.partial(own_loss, temperature=temperature, alpha=alpha)
arms = {"KD": KD(teacher, temperature, alpha), "own loss": OwnLoss(loss, teacher)}""",
        limits="TODO: what else could explain the result?",
        seeds="TODO: how many, and why: the time you have, or the power for δ from an earlier study (chapter 14).",
    ),
}
