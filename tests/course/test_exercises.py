"""Every exercise accepts its reference, names each of its traps, and knows an unsolved stub."""

import ast
import importlib
import itertools
import math
import pkgutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sweep import PARTS, parts

import kdnotes.course.exercises
from kdnotes import lab, losses
from kdnotes.course import check
from kdnotes.course.attempt import sentence

MODULES = [
    importlib.import_module(f"kdnotes.course.exercises.{item.name}")
    for item in pkgutil.iter_modules(kdnotes.course.exercises.__path__)
]
ALL = {number: spec for module in MODULES for number, spec in module.EXERCISES.items()}
TRAPS = [(number, trap) for number, spec in ALL.items() for trap in spec.traps]


@pytest.mark.parametrize("number", ALL)
def test_the_reference_is_correct(number, capsys):
    assert check.exercise(number, ALL[number].reference)
    assert capsys.readouterr().out == f"Exercise {number}: correct\n"


@pytest.mark.parametrize("number", ALL)
def test_a_stub_is_still_to_do(number, capsys):
    assert not check.exercise(number, lambda *arguments: None)
    assert capsys.readouterr().out == f"Exercise {number}: todo\n"


@pytest.mark.parametrize(
    ("number", "trap"), TRAPS, ids=[f"{number}-{i}" for i, (number, _) in enumerate(TRAPS)]
)
def test_each_trap_is_named(number, trap, capsys):
    assert not check.exercise(number, trap)
    assert capsys.readouterr().out == f"Exercise {number}: not yet: {sentence(trap)}\n"


@pytest.mark.parametrize("number", ALL)
def test_traps_are_few_and_each_has_a_sentence_of_its_own(number):
    sentences = [sentence(trap) for trap in ALL[number].traps]
    assert len(sentences) == len(set(sentences)) <= 8


# What the solution cells find in their chapters.
NAMES = {
    "torch": torch, "F": F, "np": np, "math": math, "itertools": itertools, "stats": stats,
    "losses": losses, "experiment": lab,
}  # fmt: skip


def printed_solutions() -> dict[str, str]:
    """The source of each solution cell of a function, by the exercise that it solves."""
    found = {}
    for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if "solution" in cell.metadata.get("tags", []):
                *definitions, assertion = ast.parse(cell.source).body
                if ast.unparse(assertion.test.func) != "check.exercise":
                    continue
                number, function = (ast.unparse(one) for one in assertion.test.args)
                found[ast.literal_eval(number)] = (
                    f"{ast.unparse(ast.Module(definitions, []))}\nsolution = {function}"
                )
    return found


def test_every_exercise_has_a_printed_solution():
    assert sorted(printed_solutions()) == sorted(ALL)


@pytest.mark.parametrize("number", ALL)
def test_the_printed_solution_is_correct(number, capsys):
    cell = dict(NAMES)
    exec(printed_solutions()[number], cell)
    assert check.exercise(number, cell["solution"]), capsys.readouterr().out


WITH_PARTS = [number for number in PARTS if ALL[number].parts()]


@pytest.mark.parametrize("number", WITH_PARTS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.detach(), "sends no gradient to"),
        (lambda one: 2 * one.detach() - one, "is reversed"),
        (lambda one: 0 * one, "is missing"),
        (lambda one: 2 * one, "is counted twice"),
    ],
)
def test_a_part_that_is_detached_reversed_missing_or_doubled_is_named(
    number, change, message, capsys
):
    for answer in parts(change)(number):
        assert not check.exercise(number, answer)
        line = capsys.readouterr().out
        own = any(sentence(trap) in line for trap in ALL[number].traps)
        named = message in line and any(name in line for name in ALL[number].parts())
        assert own or named, line
