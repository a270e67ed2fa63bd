"""Which statements an answer needs."""

from __future__ import annotations

import ast

import pytest

from kdnotes.course.grading import slices


def chosen(names: set[str], *cells: str) -> list[str]:
    found = [one for cell in cells for one in slices.statements(cell)]
    return [ast.unparse(one.code) for one in slices.needed(names, found)]


def test_an_import_of_many_is_taken_apart():
    cell = "from kdnotes import check, losses, plots\nimport numpy as np, torch"
    assert chosen({"losses", "np"}, cell) == ["from kdnotes import losses", "import numpy as np"]


def test_what_a_definition_needs_is_needed():
    cells = "T = 4\nother = slow()", "def f(z):\n    return g(z) / T", "def g(z): ...", "h = f"
    found = [one.partition("(")[0] for one in chosen({"f"}, *cells)]
    assert found == ["T = 4", "def f", "def g"]


@pytest.mark.parametrize(
    "local",
    [
        "result = z\n    return result",
        "return [result for result in z]",
        "return (lambda result: result)(z)",
        "def result(): ...\n    return result",
        "import math as result\n    return result",
    ],
)
def test_a_local_name_is_not_that_of_the_chapter(local):
    cells = "result = slow()", f"def f(z):\n    {local}"
    assert not any("slow" in one for one in chosen({"f"}, *cells))


def test_what_is_tried_and_printed_is_not_run():
    cell = "def f(z): ...\nprint(f(batch))\nwhile True:\n    pass\nf(1)\nexit()"
    assert len(chosen({"f"}, cell)) == 1


@pytest.mark.parametrize(
    "change",
    ["rows.append(1)", "rows[0] = 1", "rows += [1]", "for i in (1, 2):\n    rows.append(i)"],
)
def test_what_changes_a_needed_value_is_needed(change):
    assert chosen({"rows"}, "rows = []", change, "others = []") == ["rows = []", change]


def test_a_function_of_a_module_changes_nothing():
    assert chosen({"torch"}, "import torch\ntorch.manual_seed(0)") == ["import torch"]
    patched = "import torch\ndef mine(): ...\ntorch.softmax = mine"
    assert len(chosen({"torch"}, patched)) == 3


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ('solved = check.exercise("05.1", f)', "f"),
        ('check.exercise("05.1", g)\ncheck.exercise("05.1", answer=f)', "f"),
        ('from kdnotes.check import exercise\nexercise("05.1", f)', "f"),
        ('%timeit f(1)\ncheck.exercise("05.1", f)', "f"),
        ('check.exercise("05.1")', "None"),
        ('check.exercise("05.2", f)', None),
        ("check.exercise = f", None),
        ("f", None),
    ],
)
def test_what_is_checked(source, answer):
    found = slices.what_is_checked(source, "exercise", "05.1")
    assert (found and ast.unparse(found)) == answer
