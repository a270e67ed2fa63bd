"""The exercise checker: its verdicts, on an exercise made for the test."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdnotes import losses
from kdnotes.course import answers, mistakes, order
from kdnotes.course.attempt import Exercise
from kdnotes.course.check import exercise


def made(reference, *cases, extremes=(), **attributes):
    """An exercise from its reference and cases."""
    members = {"reference": staticmethod(reference), "cases": lambda self: list(cases)}
    return type(
        "Made", (Exercise,), members | {"extremes": lambda self: list(extremes)} | attributes
    )()


class Softened(Exercise):
    def reference(self, x, t):
        return (x / t).softmax(1)

    def cases(self):
        return [(torch.tensor([[1.0, 2.0, 4.0]]), 1.0), (torch.tensor([[0.0, 3.0, 1.0]]), 4.0)]

    def wrong_unsoftened(self, x, t):
        """The temperature is not used."""
        return x.softmax(1)

    def wrong_product(self, x, t):
        """T divides:
        it does not multiply.
        """
        return (x * t).softmax(1)


class TwoTerms(Exercise):
    gradient_of = (0, 1)

    def reference(self, z_s, z_t, y):
        return loss()(z_s, z_t, y)

    def parts(self):
        return {
            "the soft term": lambda z_s, z_t, y: losses.kd_loss(z_s, z_t.detach(), 2.0),
            "the labels' term": lambda z_s, z_t, y: F.cross_entropy(z_s, y),
        }

    def cases(self):
        logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
        return [(*logits, torch.tensor([0, 3, 1]))]


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    module = types.ModuleType("kdnotes.course.exercises.made_up")
    module.EXERCISES = {
        1: Softened(),
        2: made(lambda x: [2.0 * x, float(x > 0)], (1.5,), (-1.0,)),
        3: made(lambda n: n, (3548,), (2,)),
        4: made(lambda n: (n, 0), (1600,)),
        5: made(lambda z: z.argmax(1), (torch.eye(6)[[3, 1, 4, 1, 5, 2]],)),
        6: TwoTerms(),
        7: made(
            lambda z: z.logsumexp(1),
            (torch.tensor([[1.0, 2.0], [3.0, -1.0]]),),
            extremes=[(torch.tensor([[1e4, 0.0], [0.0, -1e4]]),)],
            gradient_of=(0,),
            logits=(0,),
        ),
    }
    monkeypatch.setattr(order, "CHAPTERS", ("absent",) * 97 + ("made_up",))
    monkeypatch.setitem(sys.modules, "kdnotes.course.exercises.made_up", module)


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
        (
            lambda x, t: torch.softmax(x * t, dim=1),
            False,
            "not yet: T divides: it does not multiply",
        ),
        (
            lambda x, t: torch.softmax(x / t, dim=1)[0],
            False,
            "not yet: the numbers are right, but in another shape",
        ),
        (lambda x, t: x / t, False, "not yet: for case 1 expected a tensor [1, 3] starting 0.042"),
        (lambda x, t: 3, False, "not yet: your result does not depend on `x` and `t`, and should"),
        (lambda x: x, False, "your function stopped with TypeError"),
        (
            lambda x, t: 1 / 0,
            False,
            "your function stopped with ZeroDivisionError: division by zero",
        ),
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


@pytest.mark.parametrize(
    "form", [float, np.float64, np.int32, torch.tensor, lambda n: torch.tensor([float(n)])]
)
def test_a_whole_number_may_come_in_any_form(capsys, form):
    assert verdict(capsys, "98.3", form)[0]


@pytest.mark.parametrize("answer", [lambda n: n + 0.01, str, lambda n: [n], lambda n: n + 1])
def test_a_whole_number_is_exact_and_a_number(capsys, answer):
    assert not verdict(capsys, "98.3", answer)[0]


def test_a_list_of_the_one_right_value_is_called_so(capsys):
    line = verdict(capsys, "98.3", lambda n: [n])[1]
    assert line == "not yet: the value is right, but return an int, not (an int,)"


@pytest.mark.parametrize(
    "form", [list, np.array, torch.tensor, lambda pair: tuple(map(float, pair))]
)
def test_a_pair_may_come_in_any_form(capsys, form):
    assert verdict(capsys, "98.4", lambda n: form((n, 0)))[0]


@pytest.mark.parametrize(
    "form",
    [lambda c: c.tolist(), lambda c: tuple(c.tolist()), lambda c: c.numpy(), torch.Tensor.int],
)
def test_a_tensor_may_come_in_any_form(capsys, form):
    assert verdict(capsys, "98.5", lambda z: form(z.argmax(1)))[0]


@pytest.mark.parametrize("form", [list, tuple])
def test_a_dictionary_may_hold_other_forms(form):
    assert same({"alpha": form((0.3, 0.3)), "arm": "kd"}, {"alpha": (0.3, 0.3), "arm": "kd"})
    assert not same({"alpha": form((0.3, 0.3))}, {"alpha": (0.3, 0.3), "arm": "kd"})
    assert not same({"alpha": 0.3, "arm": "kd"}, {"alpha": (0.3, 0.3), "arm": "kd"})


def same(value, expected):
    return answers.same(value, expected, answers.Tolerance(1e-4, 1e-6))


def test_equality_is_relative_and_absolute():
    assert same(torch.tensor([1e6]), torch.tensor([1e6 + 10]))
    assert not same(torch.tensor([1.0]), torch.tensor([1.001]))
    assert not same(1e-3, 1.01e-3)
    assert same(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same(torch.tensor([float("nan")]), torch.tensor([1.0]))
    assert same(torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64))
    assert not same(torch.tensor([1.0, 1.0]), torch.tensor([1.0]))
    assert not same(True, 1) and not same(1, True) and same(np.bool_(True), True)


# Losses: their gradients, and the mistakes that all of them share


def loss(change=lambda soft: soft, hard=lambda term: term, teacher=torch.detach):
    """α·CE + KL with something done to either term."""

    def answer(z_s, z_t, y):
        term = hard(F.cross_entropy(z_s, y))
        return term + change(losses.kd_loss(z_s, teacher(z_t), 2.0))

    return answer


def turned(term):
    """The same value, the gradient of the opposite sign."""
    return 2 * term.detach() - term


def half(z_s, z_t, y):
    kept = torch.where(torch.arange(len(z_s))[:, None] < 2, z_s, z_s.detach())
    return F.cross_entropy(kept, y) + losses.kd_loss(z_s, z_t.detach(), 2.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (loss(), "correct"),
        (lambda *case: loss()(*case).double().reshape(1), "correct"),
        (
            loss(torch.detach),
            "the value is right, but the soft term sends no gradient to z_s: it is detached",
        ),
        (loss(turned), "the value is right, but the gradient of the soft term is reversed"),
        (
            loss(hard=torch.detach),
            "the value is right, but the labels' term sends no gradient to z_s",
        ),
        (loss(hard=turned), "the value is right, but the gradient of the labels' term is reversed"),
        (loss(torch.detach, torch.detach), "the value is right, but no gradient reaches "),
        (loss(turned, turned), "the value is right, but its gradient is reversed"),
        (loss(teacher=lambda z: z), "the value is right, but a gradient reaches z_t: detach it"),
        (lambda *case: loss()(*case).item(), "the value is right, but no gradient reaches "),
        (loss(lambda soft: 0), "the soft term is missing"),
        (loss(lambda soft: 2 * soft), "the soft term is counted twice"),
        (loss(hard=lambda term: -term), "the labels' term has the wrong sign"),
        (half, "the value is right, but not its gradient with respect to z_s: for case 1 at [2]"),
        (
            lambda *case: (loss()(*case),),
            "the value is right, but return a Tensor, not (a Tensor,)",
        ),
        (lambda z_s, z_t, y: 0.5, "your result does not depend on `z_s` and `z_t` and `y`"),
    ],
)
def test_mistakes_that_all_losses_share(capsys, answer, expected):
    correct, line = verdict(capsys, "98.6", answer)
    assert correct is (expected == "correct")
    assert line.removeprefix("not yet: ").startswith(expected)


def stable(z):
    return -F.log_softmax(z, dim=1).logsumexp(1) + z.logsumexp(1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (stable, "correct"),
        (lambda z: z.exp().sum(1).log(), mistakes.NOT_FINITE),
        (lambda z: (z.clamp(-500, 500).double().exp().sum(1)).log(), mistakes.CUT_OFF),
        (lambda z: z.exp().sum(1), "for case 1 expected a tensor [2] starting"),
    ],
)
def test_what_fails_at_the_extremes_alone_is_told_so(capsys, answer, expected):
    assert verdict(capsys, "98.7", answer)[1].removeprefix("not yet: ").startswith(expected)


def test_two_equal_beginnings_show_the_first_difference(capsys):
    def nearly(z):
        classes = z.argmax(1)
        return torch.cat([classes[:-1], classes[-1:] + 1])

    assert verdict(capsys, "98.5", nearly)[1] == "not yet: for case 1 at [5] expected 2, got 3"
    line = verdict(capsys, "98.2", lambda x: [2 * x, float(x > 0) * 1.0004])[1]
    assert line.startswith("not yet: for case 1, called with (1.5), at [1] expected 1, got 1.0004")


def test_an_answer_must_be_a_function():
    with pytest.raises(TypeError, match="answer must be a function, not int"):
        exercise("98.1", 3)
