"""What a check says where the answers were left out of the package."""

from __future__ import annotations

import pytest

from kdnotes.course import check
from kdnotes.course.exercises import soft_targets, standard_distillation
from kdnotes.course.ungraded import CHECKED, Ungraded, UngradedItem


def answered(a, b):
    return a + b


def stub(a, b): ...


@pytest.fixture(autouse=True)
def without_answers(monkeypatch):
    monkeypatch.setattr(soft_targets, "EXERCISES", {1: Ungraded()})
    monkeypatch.setattr(soft_targets, "BY_HAND", {5: Ungraded("a number, give or take 1")})
    monkeypatch.setattr(soft_targets, "READINGS", {6: Ungraded("a factor")})
    monkeypatch.setattr(standard_distillation, "DESIGNS", {4: Ungraded()})
    choices = {"yes, it is": "", "no": ""}
    monkeypatch.setattr(soft_targets, "QUIZ", (UngradedItem("Is it?", choices),) * 2)


@pytest.mark.parametrize(
    "ask, said",
    [(lambda: check.exercise("01.1", answered), f"Exercise 01.1: {CHECKED}"),
     (lambda: check.exercise("01.1", lambda a, b: 1), f"Exercise 01.1: {CHECKED}"),
     (lambda: check.exercise("01.1", max), f"Exercise 01.1: {CHECKED}"),
     (lambda: check.exercise("01.1", stub), "Exercise 01.1: todo"),
     (lambda: check.by_hand("01.5", 0.3), f"Exercise 01.5: {CHECKED}"),
     (lambda: check.by_hand("01.5", None), "Exercise 01.5: todo (a number, give or take 1)"),
     (lambda: check.read("01.6", ["a"], {}), f"Exercise 01.6: {CHECKED}"),
     (lambda: check.read("01.6", ..., {}), "Exercise 01.6: todo (a factor)"),
     (lambda: check.design("04.4", "a design"), f"Exercise 04.4: {CHECKED}"),
     (lambda: check.design("04.4", None), "Exercise 04.4: todo")],
)  # fmt: skip
def test_a_check_tells_who_has_the_answer(ask, said, capsys):
    assert ask() is False
    assert capsys.readouterr().out == f"{said}\n"


def test_a_quiz_shows_its_questions_and_takes_letters(capsys):
    assert check.quiz("01", {1: "b"}) is False
    asked = "Is it?\n   a) yes, it is\n   b) no\n   → "
    assert capsys.readouterr().out == f"1. {asked}{CHECKED}\n2. {asked}todo\n"
    with pytest.raises(ValueError, match="answer 1 must be one of 'a', 'b'"):
        check.quiz("01", {1: "c"})


def test_an_exercise_that_there_is_not_is_still_an_error():
    with pytest.raises(ValueError, match=r"such as '01.1', not '01.9'"):
        check.exercise("01.9", answered)
    with pytest.raises(TypeError, match="answer must be a function, not int"):
        check.exercise("01.1", 3)
