"""The formulas: what is said of each is so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from kdnotes import libraries, losses
from kdnotes.libraries import Formula, example, formulas

FORMULAS = {name: one for name, one in vars(formulas).items() if isinstance(one, Formula)}
EACH = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
AT_ONE = (formulas.JSD_AT_ONE, formulas.CROSS_ENTROPY_AT_ONE)


def slope(loss, temperature, given=None):
    student, teacher, targets = given or example()
    student = student.clone().requires_grad_()
    return torch.autograd.grad(loss(student, teacher, targets, temperature), student)[0]


@EACH
def test_a_gradient_is_right(formula):
    student, teacher, targets = example(batch=3, classes=4)
    student, teacher = student.double().requires_grad_(), teacher.double()
    assert gradcheck(lambda s: formula.value(s, teacher, targets, 2.0), student)


@EACH
def test_t_squared_keeps_the_gradient_from_fading(formula):
    """At large T a gradient without T² falls as 1/T²; one without any T stays, and is not R's."""
    cold, hot = (slope(formula.value, T).norm() for T in (100.0, 200.0))
    if formula is formulas.SQUARED or formula in AT_ONE or formula is formulas.CLIPPED_LOGITS:
        assert formula.t_squared == (formula is formulas.SQUARED)
    else:
        assert float(hot / cold) == pytest.approx(1 if formula.t_squared else 0.25, rel=0.03)


@EACH
def test_the_direction_is_the_one_that_is_said(formula):
    """Only KL(p_t‖p_s), with or without a constant, has its gradient along p_s − p_t."""
    temperature = 1.0 if formula in AT_ONE else 4.0
    found, expected = (slope(one, temperature) for one in (formula.value, formulas.reference))
    cosine = float(F.cosine_similarity(found.flatten(), expected.flatten(), dim=0))
    assert (cosine > 1 - 1e-5) == (formula.direction == "t‖s")
    backwards = float(F.cosine_similarity(found.flatten(), reverse_slope().flatten(), dim=0))
    assert (backwards > 1 - 1e-5) == (formula.direction == "s‖t")


def reverse_slope():
    given = example()
    student = given.student.clone().requires_grad_()
    swapped = losses.kd_loss(given.teacher, student, 4.0)
    return torch.autograd.grad(swapped, student)[0]


@EACH
def test_the_mean_is_over_what_is_said(formula):
    """A class more that has no probability changes a mean over classes alone."""
    student, teacher, targets = example()
    wide = [F.pad(logits, (0, 1), value=-1e4) for logits in (student, teacher)]
    if formula is formulas.CLIPPED_LOGITS:
        return
    ratio = formula.value(*wide, targets, 4.0) / formula.value(student, teacher, targets, 4.0)
    expected = 10 / 11 if formula.mean_over == "samples and classes" else 1
    assert float(ratio) == pytest.approx(expected, rel=1e-5)


@EACH
def test_a_batch_that_is_there_twice_gives_the_same(formula):
    given = example()
    twice = [torch.cat([one, one]) for one in given]
    once = float(formula.value(*given, 4.0))
    assert float(formula.value(*twice, 4.0)) == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize("name", ["R", "R_OVER_K", "KL", "REVERSE_OF_TOKENS", "JSD_OF_TOKENS"])
def test_a_divergence_is_nothing_at_the_teacher(name):
    _, teacher, targets = example()
    assert float(FORMULAS[name].value(teacher, teacher, targets, 4.0)) == pytest.approx(0, abs=1e-6)


def test_a_cross_entropy_is_the_teachers_entropy_at_the_teacher():
    _, teacher, targets = example()
    log_p = F.log_softmax(teacher / 4, 1)
    entropy = float(-(log_p.exp() * log_p).sum(1).mean())
    found = float(formulas.CROSS_ENTROPY.value(teacher, teacher, targets, 4.0))
    assert found == pytest.approx(entropy, rel=1e-6) and entropy > 1


def test_clipped_logits_by_hand():
    """t = (1, 0.5), s = (0.5, 1e-7): 1·log 2 + 0.5·log(0.5/1e-7); the second logit gets nothing."""
    student = torch.tensor([[1.0, -3.0]], requires_grad=True)
    teacher = torch.tensor([[5.0, 1.0]])
    value = formulas.clipped_logits(student, teacher, torch.tensor([0]), 2.0)
    expected = torch.log(torch.tensor(2.0)) + 0.5 * torch.log(torch.tensor(0.5 / 1e-7))
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-6)
    assert torch.autograd.grad(value, student)[0].tolist() == [[-1.0, 0.0]]


@pytest.mark.parametrize("name", libraries.names())
def test_each_formula_is_written_in_tex(name):
    library = libraries.get(name)
    for call in (library.default, library.cured):
        assert call.formula.tex.count("$") == 2 and call.formula.tex.count(
            "{"
        ) == call.formula.tex.count("}")
