"""Every exercise accepts its reference, answers each trap with that trap's own sentence, and knows an unsolved stub."""

import importlib
import pkgutil

import pytest

import kdnotes.exercises
from kdnotes import check

MODULES = [
    importlib.import_module(f"kdnotes.exercises.{item.name}")
    for item in pkgutil.iter_modules(kdnotes.exercises.__path__)
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


@pytest.mark.parametrize(("number", "trap"), TRAPS, ids=[f"{number}-{i}" for i, (number, _) in enumerate(TRAPS)])
def test_each_trap_is_named(number, trap, capsys):
    assert not check.exercise(number, trap.wrong)
    assert capsys.readouterr().out == f"Exercise {number}: not yet: {trap.message}\n"
