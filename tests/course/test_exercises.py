"""Every exercise accepts its reference, names each of its traps, and knows an unsolved stub."""

import ast
import itertools
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnxruntime.quantization import QuantType
from scipy import stats
from sweep import ALL, NUMBERS, PARTS, checked, parts

from kdnotes import lab, losses
from kdnotes.course.attempt import sentence

TRAPS = [(name, trap) for name, spec in ALL.items() for trap in spec.traps]


@pytest.mark.parametrize("name", ALL)
def test_the_reference_is_correct(name, capsys):
    assert checked(name, ALL[name].reference)
    assert capsys.readouterr().out == f"Exercise {NUMBERS[name]}: correct\n"


@pytest.mark.parametrize("name", ALL)
def test_a_stub_is_still_to_do(name, capsys):
    assert not checked(name, lambda *arguments: None)
    assert capsys.readouterr().out == f"Exercise {NUMBERS[name]}: todo\n"


@pytest.mark.parametrize(
    ("name", "trap"), TRAPS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(TRAPS)]
)
def test_each_trap_is_named(name, trap, capsys):
    assert not checked(name, trap)
    assert capsys.readouterr().out == f"Exercise {NUMBERS[name]}: not yet: {sentence(trap)}\n"


@pytest.mark.parametrize("name", ALL)
def test_traps_are_few_and_each_has_a_sentence_of_its_own(name):
    sentences = [sentence(trap) for trap in ALL[name].traps]
    assert len(sentences) == len(set(sentences)) <= 8


# What the solution cells find in their chapters.
NAMES = {
    "torch": torch, "F": F, "np": np, "math": math, "itertools": itertools, "stats": stats,
    "losses": losses, "experiment": lab, "QuantType": QuantType,
}  # fmt: skip


def printed_solutions() -> dict[str, str]:
    """The source of each solution cell of a function, by the exercise that it solves."""
    found = {}
    for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if "solution" in cell.metadata.get("tags", []):
                *definitions, checked = ast.parse(cell.source).body
                number, function, *_ = (ast.unparse(one) for one in checked.value.args)
                if ast.literal_eval(number) not in NUMBERS.values():
                    continue
                found[ast.literal_eval(number)] = (
                    f"{ast.unparse(ast.Module(definitions, []))}\nsolution = {function}"
                )
    return found


def test_every_exercise_has_a_printed_solution():
    assert sorted(printed_solutions()) == sorted(NUMBERS.values())


@pytest.mark.parametrize("name", ALL)
def test_the_printed_solution_is_correct(name, capsys):
    cell = dict(NAMES)
    exec(printed_solutions()[NUMBERS[name]], cell)
    assert checked(name, cell["solution"]), capsys.readouterr().out


WITH_PARTS = [name for name in PARTS if ALL[name].parts()]


@pytest.mark.parametrize("name", WITH_PARTS)
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
    name, change, message, capsys
):
    for answer in parts(change)(name):
        assert not checked(name, answer)
        line = capsys.readouterr().out
        own = any(sentence(trap) in line for trap in ALL[name].traps)
        named = message in line and any(part in line for part in ALL[name].parts())
        assert own or named, line
