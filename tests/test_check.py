"""The exercise checker: its verdicts, on an exercise made for the test."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from kdnotes import check
from kdnotes.check import Exercise, Trap, exercise


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    module = types.ModuleType("kdnotes.exercises.chapter98")
    module.EXERCISES = {
        "98.1": Exercise(
            reference=lambda x, t: (x / t).softmax(1),
            cases=lambda: [(torch.tensor([[1.0, 2.0, 4.0]]), 1.0), (torch.tensor([[0.0, 3.0, 1.0]]), 4.0)],
            traps=(
                Trap(lambda x, t: x.softmax(1), "the temperature is not used"),
                Trap(lambda x, t: (x * t).softmax(1), "divide by T"),
            ),
        ),
        "98.3": Exercise(reference=lambda n: n, cases=lambda: [(3548,), (2,)]),
        "98.4": Exercise(reference=lambda n: (n, 0), cases=lambda: [(1600,)]),
        "98.5": Exercise(reference=lambda z: z.argmax(1), cases=lambda: [(torch.eye(6)[[3, 1, 4, 1, 5, 2]],)]),
        "98.2": Exercise(reference=lambda x: [2.0 * x, float(x > 0)], cases=lambda: [(1.5,), (-1.0,)]),
    }
    monkeypatch.setitem(sys.modules, "kdnotes.exercises.chapter98", module)


def verdict(capsys, number, answer):
    correct = exercise(number, answer)
    line = capsys.readouterr().out
    assert line.startswith(f"Exercise {number}: ") and line.count("\n") == 1
    return correct, line.removeprefix(f"Exercise {number}: ").strip()


def unsolved(x, t):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "correct", "expected"),
    [
        (lambda x, t: torch.softmax(x / t, dim=1), True, "correct"),
        (lambda x, t: torch.exp(x / t) / torch.exp(x / t).sum(), True, "correct"),
        (lambda x, t: None, False, "todo"),
        (lambda x, t: ..., False, "todo"),
        (unsolved, False, "todo"),
        (lambda x, t: torch.softmax(x, dim=1), False, "not yet: the temperature is not used"),
        (lambda x, t: torch.softmax(x * t, dim=1), False, "not yet: divide by T"),
        (lambda x, t: torch.softmax(x / t, dim=1)[0], False, "not yet: for case 1 expected a tensor [1, 3] starting"),
        (lambda x, t: x / t, False, "not yet: for case 1 expected a tensor [1, 3] starting 0.042"),
        (lambda x, t: 3, False, "not yet: for case 1 expected a tensor [1, 3]"),
        (lambda x: x, False, "your function stopped with TypeError"),
        (lambda x, t: 1 / 0, False, "your function stopped with ZeroDivisionError: division by zero"),
    ],
)
def test_verdicts(capsys, answer, correct, expected):
    given, line = verdict(capsys, "98.1", answer)
    assert given is correct and line.startswith(expected), line


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        (lambda x: [2 * x, float(x > 0)], True),
        (lambda x: (torch.tensor(2 * x), 1 if x > 0 else 0), True),
        (lambda x: [2 * x + 1e-3, float(x > 0)], False),
        (lambda x: [2 * x], False),
        (lambda x: [2 * x, x > 0], False),  # True is not 1.0
        (lambda x: [float("nan"), float(x > 0)], False),
    ],
)
def test_lists_and_numbers(capsys, answer, correct):
    assert verdict(capsys, "98.2", answer)[0] is correct


def test_the_first_case_that_differs_is_shown(capsys):
    line = verdict(capsys, "98.2", lambda x: [2 * x, 1.0])[1]
    assert "for case 2, called with (-1), expected (-2, 0), got (-2, 1)" in line


def test_what_is_compared_is_said_where_numbers_do_not_speak_for_themselves(capsys):
    _, line = verdict(capsys, "10.1", lambda *case: 0.3 * case[0].mean())
    assert line.endswith(
        "(compared: the loss, and the lengths of the gradients that it sends to student, weight and bias, "
        "largest first)"
    )
    assert "compared" not in verdict(capsys, "98.2", lambda x: [2 * x, 1.0])[1]


@pytest.mark.parametrize("answer", [lambda n: float(n), lambda n: np.float64(n), lambda n: torch.tensor(float(n))])
def test_a_right_value_of_another_kind_is_called_so(capsys, answer):
    correct, line = verdict(capsys, "98.3", answer)
    assert not correct and "the value is right, but return an int, not a" in line


def test_the_kinds_within_a_pair_are_named(capsys):
    _, line = verdict(capsys, "98.4", lambda n: (float(n), 0.0))
    assert line == "not yet: the value is right, but return (an int, an int), not (a float, a float)"


@pytest.mark.parametrize("answer", [lambda z: z.argmax(1).tolist(), lambda z: z.argmax(1).numpy()])
def test_a_list_or_an_array_where_a_tensor_is_wanted_is_called_so(capsys, answer):
    assert "the value is right, but return a Tensor, not" in verdict(capsys, "98.5", answer)[1]


def test_equality_is_relative_and_absolute():
    assert check._same(torch.tensor([1e6]), torch.tensor([1e6 + 10]), 1e-4)
    assert not check._same(torch.tensor([1.0]), torch.tensor([1.001]), 1e-4)
    assert check._same(torch.tensor([float("nan")]), torch.tensor([float("nan")]), 1e-4)
    assert check._same(torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), 1e-4)
    assert not check._same(torch.tensor([1.0, 1.0]), torch.tensor([1.0]), 1e-4)


def test_an_answer_must_be_a_function():
    with pytest.raises(TypeError, match="answer must be a function, not int"):
        exercise("98.1", 3)
