"""Submissions to chapter 5 as a class hands them in, with the verdicts that are right for them.

What attacks the grading here is harmless: an endless loop, a process that ends itself, a file
that it may not write.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from kdnotes.course import verdicts
from kdnotes.course.attempt import sentence
from kdnotes.course.editions.cells import asked
from kdnotes.course.grading.book import Book, library

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
STEM = "05_decoupled_distillation"
SEVEN = ("05.1", "05.2", "05.3", "05.4", "05.5", "05.6", "05 quiz")


@functools.cache
def books() -> list[Book]:
    return library(NOTEBOOKS)


@functools.cache
def ours(stem: str = STEM) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{stem}.ipynb", 4)


@functools.cache
def answer_ids(stem: str = STEM) -> dict[str, str]:
    book = next(one for one in books() if one.name == stem)
    return {one.label: one.cell.id for one in book.answers}


def solutions(stem: str = STEM) -> dict[str, str]:
    """Our solutions as a student would hand them in, below what the cell imports."""
    labels = {id: label for label, id in answer_ids(stem).items()}
    found = {}
    for cell, solution in itertools.pairwise(ours(stem).cells):
        if cell.id in labels:
            kept = [one for one in cell.source.splitlines() if one.startswith(("from ", "import "))]
            (answered,) = asked(solution.source)
            handed = solution.source.replace("check.solution(", f"solved = check.{answered.kind}(")
            handed = re.sub(r"\bsolution_(\w+)", r"\1", handed)
            found[labels[cell.id]] = "\n".join([*kept, handed])
    return found


def student_edition(answers: dict[str, str], stem: str = STEM) -> nbformat.NotebookNode:
    """The chapter without solutions, with these answers, by their numbers."""
    notebook = copy.deepcopy(ours(stem))
    notebook.cells = [
        one for one in notebook.cells if "solution" not in one.metadata.get("tags", [])
    ]
    ids = {answer_ids(stem)[label]: source for label, source in answers.items()}
    for cell in notebook.cells:
        cell.source = ids.get(cell.id, cell.source)
        if cell.cell_type == "code":
            cell.outputs = []
    return notebook


def decoupled(
    body: str, top: str = "", call: str = 'solved = check.exercise("05.1", decoupled)'
) -> dict:
    """An answer to 05.1 with this body of the function, and the top of its cell."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return {"05.1": f"{top}\ndef decoupled(z_s, z_t, y, temperature):\n{lines}\n\n\n{call}\n"}


def non_target(body: str) -> dict:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    call = 'solved = check.exercise("05.2", non_target_part)'
    return {"05.2": f"def non_target_part(z_s, z_t, y, temperature):\n{lines}\n\n\n{call}\n"}


def dkd(body: str) -> dict:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    head = "def dkd(z_s, z_t, y, temperature, alpha, beta, epoch, warmup):"
    return {"05.3": f'{head}\n{lines}\n\n\nsolved = check.exercise("05.3", dkd)\n'}


def by_hand(answer: str) -> dict:
    return {"05.4": f'solved = check.by_hand("05.4", {answer})\n'}


def quiz(answer: str) -> dict:
    return {"05 quiz": f'solved = check.quiz("05", {answer})\n'}


def design(sides: str, options: str = "seeds=5, **shared", imported: str = "Design") -> dict:
    return {
        "05.6": f"from kdnotes.experiment import {imported}\n\nsides = {sides}\n"
        f'solved = check.design("05.6", Design(sides, *list(sides)[:2], {options}))\n'
    }


RIGHT = "return losses.decoupled_terms(z_s, z_t, y, temperature)"
MASKED = """T = temperature
log_s, log_t = F.log_softmax(z_s / T, dim=1), F.log_softmax(z_t / T, dim=1)
summands = T**2 * log_t.exp() * (log_t - log_s)
target = summands.gather(1, y[:, None]).sum(1)
"""
RAMP = """tckd, nckd = losses.decoupled_terms(z_s, z_t, y, temperature)
soft, hard = alpha * tckd + beta * nckd, F.cross_entropy(z_s, y)
ramp = min(epoch / warmup, 1.0) if warmup else 1.0
"""
PART = """nckd = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")[1]
factor = 1 - losses.soften(z_t, temperature).gather(1, y[:, None]).squeeze(1)
"""
# Each trap of the chapter's functions as a student writes it.
OF_TERMS = {
    "wrong_target_at_zero": (
        "is_target = F.one_hot(y, z_s.shape[1]).bool()\n"
        "a, b = (z.masked_fill(is_target, 0.0) for z in (z_s, z_t))\n"
        "tckd = losses.decoupled_terms(z_s, z_t, y, temperature)[0]\n"
        "return tckd, losses.kd_loss(a, b, temperature)"
    ),
    "wrong_not_renormalised": MASKED + "return target.mean(), (summands.sum(1) - target).mean()",
    "wrong_coupled": PART
    + "tckd = losses.decoupled_terms(z_s, z_t, y, temperature)[0]\n"
    + "return tckd, (factor * nckd).mean()",
    "wrong_mean_of_classes": (
        "tckd, nckd = losses.decoupled_terms(z_s, z_t, y, temperature)\n"
        "return tckd / 2, nckd / (z_s.shape[1] - 1)"
    ),
}
OF_PART = {
    "wrong_product_of_means": PART + "return factor.mean() * nckd.mean()",
    "wrong_factor_of_the_student": PART.replace("soften(z_t", "soften(z_s")
    + "return (factor * nckd).mean()",
    "wrong_direction": PART.replace("terms(z_s, z_t", "terms(z_t, z_s")
    + "return (factor * nckd).mean()",
    "wrong_no_factor": PART + "return nckd.mean()",
    "wrong_summands": MASKED + "return (summands.sum(1) - target).mean()",
}
OF_DKD = {
    "wrong_without_end": RAMP + "return hard + (epoch / warmup if warmup else 1.0) * soft",
    "wrong_at_least_one_epoch": RAMP + "return hard + min(1.0, epoch / max(warmup, 1)) * soft",
    "wrong_stairs": RAMP + "return hard + (min(epoch // warmup, 1) if warmup else 1.0) * soft",
    "wrong_labels_warmed_up": RAMP + "return ramp * (hard + soft)",
}
OF_HAND = {"wrong_whole_second_question": "0.8 * 2.197", "wrong_share": "0.9 * 0.8 * 2.197"}
OF_DESIGN = (
    ('{"a": DKD(teacher, T, 1.0, 1.0), "b": DKD(teacher, T, 0.0, 0.0)}', "with γ = 0 the first"),
    ('{"a": DKD(teacher, T, 1.0, 1.0), "b": KD(teacher, T, 0.1)}', "both sides must be DKD"),
    ('{"a": DKD(teacher, T, 1.0, 2.0), "b": DKD(teacher, T, 1.0, 1.0)}', "the baseline must not"),
    ('{"a": DKD(teacher, T, 1.0, 1.0), "b": DKD(teacher, 2 * T, 1.0, 0.0)}', "not only the beta"),
)


def told(number: str, trap: str) -> tuple[str, str]:
    """The verdict on a trap."""
    table = "EXERCISES" if trap != "" and number != "05.4" else "BY_HAND"
    return "not yet", sentence(getattr(verdicts.find(number, table), trap))


@dataclass
class Handed:
    """A file that is handed in.

    Attributes:
        file: its place in the folder.
        answers: to the student edition.
        verdicts: exercise → (verdict, beginning of its message); what is not named is to do.
        fast: whether it is tried in every run of the tests.
        change: what is done to the notebook.
        text: what the file holds instead of a notebook.
    """

    file: str
    answers: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    fast: bool = False
    change: Callable[[dict], None] = lambda notebook: None
    text: str | None = None

    def write(self, folder: Path) -> None:
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        notebook = json.loads(nbformat.writes(student_edition(self.answers)))
        self.change(notebook)
        text = json.dumps(notebook) if self.text is None else self.text
        path.write_text(text.replace("FOLDER", str(folder.parent)), encoding="utf-8")

    def expected(self) -> dict[str, tuple[str, str]]:
        if "" in self.verdicts:
            return self.verdicts
        return dict.fromkeys(SEVEN, ("todo", "")) | self.verdicts


def first(name: str, body: str, word: str, message: str = "", **more) -> Handed:
    """A submission with nothing but an answer to 05.1."""
    parts = {one: more.pop(one) for one in ("top", "call") if one in more}
    file = f"{name}_{STEM}.ipynb"
    return Handed(file, decoupled(body, **parts), {"05.1": (word, message)}, **more)


def traps() -> list[Handed]:
    """Five submissions that fall into all traps of the chapter."""
    handed = []
    for i in range(5):
        answers, right = {}, {}
        for number, made, table in (
            ("05.1", decoupled, OF_TERMS), ("05.2", non_target, OF_PART), ("05.3", dkd, OF_DKD),
            ("05.4", by_hand, OF_HAND),
        ):  # fmt: skip
            if i < len(table):
                trap, body = list(table.items())[i]
                answers |= made(body)
                right[number] = told(number, trap)
        if i < len(OF_DESIGN):
            answers |= design(OF_DESIGN[i][0])
            right["05.6"] = "not yet", OF_DESIGN[i][1]
        handed.append(Handed(f"trap{i}/{STEM}.ipynb", answers, right, fast=i == 1))
    return handed


def without_ids(notebook: dict) -> None:
    notebook["nbformat_minor"] = 0
    for cell in notebook["cells"]:
        del cell["id"]


def of_another_edition(notebook: dict) -> None:
    without_ids(notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = [f"In this edition: {line}" for line in cell["source"]]
    notebook["cells"][0]["source"] = ours().cells[0].source


def deleted(*labels: str) -> Callable[[dict], None]:
    def change(notebook: dict) -> None:
        gone = [answer_ids()[label] for label in labels]
        notebook["cells"] = [one for one in notebook["cells"] if one["id"] not in gone]

    return change


def with_cell(source: str) -> Callable[[dict], None]:
    """A cell of the student's own, at the end."""

    def change(notebook: dict) -> None:
        cell = {"cell_type": "code", "id": "my-own", "metadata": {}, "outputs": []}
        notebook["cells"].append(cell | {"execution_count": None, "source": source})

    return change


def retitled(notebook: dict) -> None:
    notebook["cells"][0]["source"] = ours("06_dynamic_distillation").cells[0].source


def handed_in() -> list[Handed]:
    return [*traps(), *whole_notebooks(), *answers_to_the_first()]


ALL_RIGHT = dict.fromkeys(SEVEN, ("correct", "")) | {"05.5": ("not graded", "it is about the res")}


def whole_notebooks() -> list[Handed]:
    """Notebooks in which more than the first answer matters, and files that are none."""
    honest = '{"a": DKD(teacher, T, 1.0, 1.0), "b": DKD(teacher, T, 1.0, 0.0)}'
    own_loss = honest.replace("DKD(teacher, T, 1.0, 0.0)", "OwnLoss(lambda batch, given: 0.0)")
    missing = dict.fromkeys(SEVEN, ("missing", "no cell with the id"))
    shorter = "from kdnotes.experiment import Design\n"
    longer = 'seeds=5, **shared | {"config": s.config(epochs=100)}'
    both = {"05.1": ("missing", "no cell"), "05.4": ("correct", "")}
    of_kinds = {
        "05.4": ("error", "TypeError: answer must"),
        "05 quiz": ("error", "ValueError: ans"),
    }
    of_half = {"05.4": ("correct", ""), "05 quiz": ("not yet", "2: b) the non-target")}
    arms = (
        f"{shorter}from kdnotes.study import Arm\n\nsides = {honest}\n"
        'shared["config"] = s.config(epochs=3)\n'
        'sides["b"] = Arm(sides["b"], config=s.config(epochs=4))\n'
        'solved = check.design("05.6", Design(sides, "a", "b", seeds=5, **shared))\n'
    )

    def handed(name: str, answers: dict, right: dict, **more) -> Handed:
        return Handed(f"{name}/{STEM}.ipynb", answers, right, **more)

    def nothing(file: str, text: str, word: str, message: str, fast: bool = False) -> Handed:
        return Handed(file, {}, {"": (word, message)}, text=text, fast=fast)

    return [
        handed("Right Anna_123_assignsubmission_file", solutions(), ALL_RIGHT, fast=True),
        handed("untouched", {}, {}, fast=True),
        handed("wrong-kinds", by_hand("'0.17'") | quiz("{1: 'z'}"), of_kinds),
        handed("half", by_hand("0.176") | quiz("{1: 'c', 2: 'b'}"), of_half),
        handed("longer", design(honest, longer), {"05.6": ("correct", "")}),
        handed(
            "arms", {"05.6": arms}, {"05.6": ("not yet", "not only the beta differs but epochs")}
        ),
        handed(
            "own-loss",
            design(own_loss, imported="Design\nfrom kdnotes.methods import OwnLoss"),
            {"05.6": ("not graded", "the design holds a function of the submission's own")},
        ),
        handed(
            "many-seeds",
            design(honest, "seeds=10_000, **shared"),
            {"05.6": ("not graded", "the design has a list of 10000")},
        ),
        handed("no-ids", solutions(), ALL_RIGHT, change=without_ids),
        handed("other-edition", solutions(), missing, change=of_another_edition),
        handed("deleted", by_hand("0.176"), both, change=deleted("05.1")),
        handed("two-chapters", {}, {"": ("not graded", "another edition")}, change=retitled),
        nothing("empty.ipynb", '{"cells": []}', "not graded", "the notebook is empty"),
        nothing("nothing.ipynb", "", "not graded", "no notebook of format 4"),
        nothing("deep.ipynb", "[" * 100_000, "not graded", "no notebook of format 4"),
        nothing("report.pdf", "%PDF", "no notebook", "no notebook", fast=True),
    ]


ALWAYS = "class Always:\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n"
MINE = (
    "class Mine(torch.Tensor):\n"
    "    @classmethod\n"
    "    def __torch_function__(cls, function, types, arguments=(), options=None):\n"
    "        return super().__torch_function__(function, types, arguments, options or {})\n"
)
NO_COMPARISON = (
    "import numpy\n"
    "numpy.allclose = torch.allclose = lambda *a, **k: True\n"
    "torch.Tensor.__eq__ = lambda one, other: True\n"
)
NO_CHECK = "check.exercise = lambda number, answer: True\nprint('Exercise 05.1: correct')\n"
NONSENSE = (
    "import os\n"
    "for number in range(3, 50):\n"
    "    try:\n"
    "        os.write(number, b'x' * 64)\n"
    "    except OSError:\n"
    "        pass"
)
REFERENCE = (
    "from kdnotes.course.exercises.decoupled_distillation import EXERCISES\n"
    "return EXERCISES[1].reference(z_s, z_t, y, temperature)"
)
PARTIAL = "import functools\nmine = functools.partial(losses.decoupled_terms, reduction='mean')"


def answers_to_the_first() -> list[Handed]:
    """Answers to 05.1, most of them of somebody who tries something."""
    refused = "your function stopped with PermissionError: "
    stopped = "your function stopped with "
    wrong, coupled = OF_TERMS["wrong_coupled"], told("05.1", "wrong_coupled")
    masked = MASKED + "return target.mean(), (summands.sum(1) - target).mean()"
    kill = "import os, signal\nos.kill(os.{}(), signal.SIGKILL)"
    called = 'mine = decoupled\ncheck.exercise("05.1", mine)'
    number = 'solved = check.exercise("05.1", 3)'
    mine = f"return [one.as_subclass(Mine) for one in {RIGHT.removeprefix('return ')}]"
    large = "z = z_s.new_zeros(1).expand(10**12)\nreturn z, z"
    prints = "for _ in range(2000):\n    print('x' * 10_000)\n" + RIGHT
    network = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')"
    other = f"print(open('FOLDER/class/exit_{STEM}.ipynb').read())"
    return [
        first("syntax", "return (", "error", "the cell stopped with SyntaxError"),
        first("loop", "while True:\n    pass", "timeout", "stopped after", fast=True),
        first("loop-in-the-cell", RIGHT, "correct", top="while True:\n    pass\n"),
        first("sleeper", "import time\ntime.sleep(1000)", "timeout", "stopped after"),
        first("exit", "import os\nos._exit(0)", "killed", "its process ended", fast=True),
        first("kill", kill.format("getpid"), "killed", "its process ended by signal 9"),
        first("ends-ours", kill.format("getppid"), "error", refused),
        first("system-exit", "raise SystemExit", "error", stopped + "SystemExit"),
        first("checker-replaced", wrong, *coupled, top=NO_CHECK, fast=True),
        first("comparison-replaced", NO_COMPARISON + wrong, *coupled),
        first("torch-replaced", masked, "not yet", top="F.log_softmax = lambda z, dim: 0 * z\n"),
        first("prints", prints, "correct"),
        first("large", large, "error", stopped + "WireError: the result is larger than 32 MB"),
        first("memory", "kept = bytearray(10**11)\n" + RIGHT, "error", stopped + "MemoryError"),
        first("always-equal", "return Always()", "not yet", top=ALWAYS, fast=True),
        first("always-equal-pair", "return Always(), Always()", "not yet", top=ALWAYS),
        first("subclass", mine, "correct", top=MINE),
        first("generator", RIGHT.replace("return", "yield from"), "not yet"),
        first("writes", "open('FOLDER/written', 'w').write('x')", "error", refused, fast=True),
        first("deletes", "import os\nos.remove('FOLDER/precious')", "error", refused),
        first("deletes-all", "import shutil\nshutil.rmtree('FOLDER')", "error", refused),
        first("network", network, "error", stopped),
        first("program", "import subprocess\nsubprocess.run(['true'])", "error", refused),
        first("copies", other, "error", refused),
        first("reference", REFERENCE, "error", stopped + "ModuleNotFoundError"),
        first("nonsense", NONSENSE, "killed", "its process"),
        first("cursor", r"raise ValueError('\x1b[2J=1')", "error", stopped + "ValueError: [2J=1"),
        first("no-function", "return 0", "error", "the cell stopped with TypeError", call=number),
        first("renamed", RIGHT, "correct", call=called),
        first("no-check", RIGHT, "correct", call="decoupled(*batch)"),
        first(
            "helper", "return mine(z_s, z_t, y, temperature)", "correct", change=with_cell(PARTIAL)
        ),
        first("undefined", "return mine(z_s)", "error", stopped + "NameError"),
    ]
