"""Numbers by hand, answers read from a result, designs and quizzes: what is accepted, what is not.

Made-up exercises first, then those of the chapters, each with the wrong answers that an adversary
would try.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher
from lab.made_up import study_of

from kdnotes.course import check, order
from kdnotes.course.attempt import sentence
from kdnotes.course.questions import RIGHT, Item, Question
from kdnotes.intervals import Interval
from kdnotes.lab import Design
from kdnotes.methods import KD, CrossEntropy, LabelSmoothing, UncertaintyKD
from kdnotes.study import together

MODULES = {
    f"{number:02d}": importlib.import_module(f"kdnotes.course.exercises.{name}")
    for number, name in enumerate(order.CHAPTERS, 1)
    if importlib.util.find_spec(f"kdnotes.course.exercises.{name}")
}


def defined(table: str) -> dict[str, Any]:
    """The exercises of a kind, by number."""
    return {
        f"{chapter}.{place}": one
        for chapter, module in MODULES.items()
        for place, one in getattr(module, table, {}).items()
    }


BY_HAND, READINGS = defined("BY_HAND"), defined("READINGS")
QUIZZES = {chapter: module.QUIZ for chapter, module in MODULES.items() if hasattr(module, "QUIZ")}
ITEMS = [(chapter, n) for chapter, items in QUIZZES.items() for n in range(1, len(items) + 1)]


class Share(Question):
    asks = "a share between 0 and 1"
    hint = "look at the last row"
    absolute = 0.005

    def expected(self, *results):
        return results[0] if results else 0.25

    def wrong_rest(self, *results):
        """That is the rest."""
        return 1 - self.expected(*results)


class Number(Question):
    def expected(self):
        return 32


class Names(Question):
    asks = "a list of arms"
    hint = "read the column"

    def expected(self, best):
        return best

    def choices(self, best):
        return ["A", "B", "C"]


QUIZ = (
    Item("First?", {"this": RIGHT, "that": "it is not that", "those": "there is one only"}),
    Item("Second?", {"no": "it is", "yes": RIGHT, "both": "it cannot be both"}),
)


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    module = types.ModuleType("kdnotes.course.exercises.made_up")
    module.BY_HAND = {1: Share(), 2: Number()}
    module.READINGS = {3: Share(), 4: Names()}
    module.QUIZ = QUIZ
    chapters = (*order.CHAPTERS, *["absent"] * (97 - len(order.CHAPTERS)), "made_up")
    monkeypatch.setattr(order, "CHAPTERS", chapters)
    monkeypatch.setitem(sys.modules, "kdnotes.course.exercises.made_up", module)


def verdict(capsys, function, number, *given):
    correct = function(number, *given)
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"Exercise {number}: ")
    line = line.removeprefix(f"Exercise {number}: ")
    assert correct == (line == "correct")
    return line


@pytest.mark.parametrize("answer", [0.25, 0.2501, 0.2549, np.float32(0.25), torch.tensor(0.25)])
def test_a_number_within_the_tolerance_is_correct(answer, capsys):
    assert verdict(capsys, check.by_hand, "98.1", answer) == "correct"


@pytest.mark.parametrize("answer", [None, ...])
def test_no_answer_is_to_do_and_says_what_is_asked(answer, capsys):
    said = "todo (a share between 0 and 1, give or take 0.005)"
    assert verdict(capsys, check.by_hand, "98.1", answer) == said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (0.75, "that is the rest"),
        (-0.25, "the size is right, the sign is not"),
        (25, "100 times too large: asked for is a share between 0 and 1"),
        (0.0025, "100 times too small: asked for is a share between 0 and 1"),
        (0.26, "close, but off by more than 0.005"),
        (0.5, "look at the last row"),
        (0, "look at the last row"),
        (math.nan, "look at the last row"),
        (math.inf, "look at the last row"),
        (1e300, "look at the last row"),
    ],
)
def test_a_wrong_number_is_named(answer, said, capsys):
    assert verdict(capsys, check.by_hand, "98.1", answer) == f"not yet: {said}"


def test_near_0_a_wrong_number_has_neither_a_wrong_sign_nor_a_wrong_unit(capsys):
    assert verdict(capsys, check.read, "98.3", 0.3, 0.002) == "not yet: look at the last row"


@pytest.mark.parametrize("answer", ["0.25", True, [0.25], {"answer": 0.25}, lambda: 0.25])
def test_what_is_no_number_is_refused(answer):
    with pytest.raises(TypeError, match="answer must be a share between 0 and 1, give or take"):
        check.by_hand("98.1", answer)


@pytest.mark.parametrize("answer", [31.999, 32.001, 31, 3200])
def test_without_a_tolerance_a_number_is_exact(answer, capsys):
    assert verdict(capsys, check.by_hand, "98.2", answer) != "correct"
    assert verdict(capsys, check.by_hand, "98.2", 32.0) == "correct"
    assert verdict(capsys, check.by_hand, "98.2", 0.1 * 320) == "correct"


def test_a_reading_is_computed_from_the_results_that_are_passed(capsys):
    assert verdict(capsys, check.read, "98.3", 0.4, 0.4) == "correct"
    assert verdict(capsys, check.read, "98.3", 0.4, 0.6) == "not yet: that is the rest"


@pytest.mark.parametrize("computed", [math.nan, math.inf, -math.inf])
def test_where_a_run_gives_no_number_no_number_is_right(computed, capsys):
    for answer in (0.5, 0.0, -1e9, 1e308):
        assert verdict(capsys, check.read, "98.3", answer, computed) != "correct"
    assert verdict(capsys, check.read, "98.3", computed, computed) == "correct"


@pytest.mark.parametrize(
    ("answer", "best", "said"),
    [
        ("A", "A", "correct"),
        ("B", "A", "not yet: read the column"),
        (["A", "B"], {"A", "B"}, "correct"),
        (("B", "A", "A"), {"A", "B"}, "correct"),
        ([], set(), "correct"),
        (["A", "B", "C"], {"A", "B"}, "not yet: 1 too many, 0 missing; read the column"),
        (["C"], {"A", "B"}, "not yet: 1 too many, 2 missing; read the column"),
        ([], {"A"}, "not yet: 0 too many, 1 missing; read the column"),
    ],
)
def test_names(answer, best, said, capsys):
    assert verdict(capsys, check.read, "98.4", answer, best) == said


def test_names_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match=r"a list of arms, of \['A', 'B', 'C'\], not 'D'"):
        check.read("98.4", "D", "A")
    with pytest.raises(TypeError, match="answer must be a list of arms"):
        check.read("98.4", ["A"], "A")  # one name is asked for
    with pytest.raises(TypeError, match="answer must be a list of arms"):
        check.read("98.4", "A", {"A"})


@pytest.mark.parametrize(
    ("function", "number"),
    [
        (check.by_hand, "98.3"),
        (check.read, "98.1"),
        (check.design, "98.1"),
        (check.by_hand, "97.1"),
        (check.read, "x"),
        (check.design, 4.4),
    ],
)
def test_an_exercise_of_another_kind_is_unknown(function, number):
    with pytest.raises(ValueError, match="number must be that of an exercise for check"):
        function(number)


# --- quizzes


def test_an_unanswered_quiz_prints_the_questions_and_is_to_do(capsys):
    for given in ((), ({1: None, 2: ...},), ({},)):
        assert not check.quiz("98", *given)
        printed = capsys.readouterr().out
        assert printed.startswith("1. First?\n   a) this\n   b) that\n   c) those\n   → todo\n2. ")
        assert printed.count("todo") == 2


def test_right_answers_in_any_spelling(capsys):
    assert check.quiz("98", {1: "a", 2: "B) "})
    assert capsys.readouterr().out.count("→ correct") == 2


def test_one_wrong_answer_is_told_why_and_the_quiz_is_not_solved(capsys):
    assert not check.quiz("98", {1: "a", 2: "c"})
    printed = capsys.readouterr().out
    assert "→ correct" in printed and "→ not yet: c) it cannot be both" in printed


@pytest.mark.parametrize(
    "answer", ["d", "", "ab", "abc", ["a"], {"a", "b"}, 1, True, "this", "a,b", "a) or b)"]
)
def test_what_is_no_letter_is_refused_before_anything_is_printed(answer, capsys):
    with pytest.raises(ValueError, match="answer 1 must be one of 'a', 'b', 'c', or None, not"):
        check.quiz("98", {2: "a", 1: answer})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("question", [0, 3, "1"])
def test_a_question_that_there_is_not(question):
    with pytest.raises(ValueError, match=r"a question must be one of \[1, 2\], not"):
        check.quiz("98", {question: "a"})


def test_a_quiz_that_there_is_not():
    for chapter in ("97", "x", 5.5, None):
        with pytest.raises(ValueError, match="chapter must be one that has exercises"):
            check.quiz(chapter)
    with pytest.raises(TypeError, match="answers_given must be a dict"):
        check.quiz("98", ["a", "b"])


# --- printed solutions


def test_a_printed_solution_of_any_kind_is_told_in_one_line_that_is_no_verdict(capsys):
    sides = {"KD": KD(tiny_teacher(), 2.0, 0.1), "LS": LabelSmoothing(0.1)}
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG}
    given = {"98.1": (0.25,), "98.3": (0.4, 0.4), "98": ({1: "a", 2: "b"},)}
    given |= {"04.4": (Design(sides, "KD", "LS", seeds=5, **shared),)}
    given |= {
        "04.2": (lambda student, baseline, teacher: (student - baseline) / (teacher - baseline),)
    }
    for number, answer in given.items():
        check.solution(number, *answer)
        what = number if "." in number else f"quiz {number}"
        assert capsys.readouterr().out == f"Solution of {what}: correct\n"


@pytest.mark.parametrize(
    ("number", "answer", "error"),
    [
        ("98.1", (0.75,), "98.1: not yet: that is the rest"),
        ("98.1", (None,), "98.1: todo"),
        ("98", ({1: "a", 2: "c"},), "quiz 98: not yet: c) it cannot be both"),
        ("98", ({},), "quiz 98: todo; todo"),
        ("04.2", (lambda *case: None,), "04.2: todo"),
        ("04.4", (None,), "04.4: todo"),
    ],
)
def test_a_wrong_printed_solution_stops_the_chapter(number, answer, error, capsys):
    with pytest.raises(AssertionError, match=re.escape(f"solution of {error}")):
        check.solution(number, *answer)
    assert capsys.readouterr().out == ""


def test_a_solution_of_nothing_is_refused():
    for number in ("98.9", "99.1", "first.1", "99", "first", 5, ""):
        with pytest.raises(ValueError, match=r"(number|chapter) must be"):
            check.solution(number, 0.25)


@pytest.mark.parametrize("chapter", QUIZZES)
def test_a_quiz_is_three_questions(chapter, capsys):
    assert len(QUIZZES[chapter]) == 3
    right = {n: letter_of(item) for n, item in enumerate(QUIZZES[chapter], 1)}
    assert len(set(right.values())) > 1  # not the same letter for all
    assert check.quiz(chapter, right)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 88


def letter_of(item: Item) -> str:
    return "abcdef"[list(item.choices.values()).index(RIGHT)]


@pytest.mark.parametrize(("chapter", "number"), ITEMS)
def test_each_question_has_one_right_answer_and_a_sentence_for_each_wrong_one(chapter, number):
    item = QUIZZES[chapter][number - 1]
    reasons = [reason for reason in item.choices.values() if reason != RIGHT]
    assert 2 <= len(reasons) == len(item.choices) - 1 <= 3
    assert item.text[-1] in ".?" and all(choice[-1] == "." for choice in item.choices)
    right = next(choice for choice, reason in item.choices.items() if reason == RIGHT)
    for reason in reasons:
        assert 3 <= len(reason.split()) <= 25 and reason[-1] not in ".!?" and "todo" not in reason
        assert ". " not in reason  # one sentence
        assert right.lower().strip(".") not in reason.lower()  # does not give the answer away


@pytest.mark.parametrize(("chapter", "number"), ITEMS)
def test_each_wrong_letter_is_told_why(chapter, number, capsys):
    item = QUIZZES[chapter][number - 1]
    for letter, reason in zip("abcd", item.choices.values(), strict=False):
        assert not check.quiz(chapter, {number: letter})
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= 88
        said = " ".join(printed.split())
        assert ("→ correct" if reason == RIGHT else f"→ not yet: {letter}) {reason}") in said


# --- the chapters' own


@pytest.mark.parametrize("number", BY_HAND)
def test_a_number_by_hand_has_a_tolerance_that_tells_its_traps_apart(number, capsys):
    spec = BY_HAND[number]
    assert verdict(capsys, check.by_hand, number, spec.expected()) == "correct"
    for trap in spec.traps:
        assert verdict(capsys, check.by_hand, number, trap()) == f"not yet: {sentence(trap)}"


@pytest.mark.parametrize(("value", "correct"), [(0.73, True), (0.731, True), (0.7, False)])
def test_01_5_two_digits_are_enough_and_needed(value, correct):
    assert check.by_hand("01.5", value) == correct


def test_01_6_is_the_ratio_of_two_lengths_that_are_printed_with_three_digits(capsys):
    pulls = {1.0: 0.4164, 4.0: 2.1261, 20.0: 3.31}
    for answer in (2.1261 / 0.4164, 2.13 / 0.416):
        assert verdict(capsys, check.read, "01.6", answer, pulls) == "correct"
    spec = READINGS["01.6"]
    for trap in spec.traps:
        assert verdict(capsys, check.read, "01.6", trap(pulls), pulls) == (
            f"not yet: {sentence(trap)}"
        )
    assert verdict(capsys, check.read, "01.6", 3.31 / 0.4164, pulls) == f"not yet: {spec.hint}"


def temperatures(shift: float = 0.0):
    """T=1 and T=2 are chosen and close; T=4 loses a point and a half."""
    base = np.array([0.80, 0.81, 0.79, 0.80, 0.82])
    noise = np.array([0.001, -0.002, 0.001, 0.002, -0.002])
    arms = {"T=1": base + noise, "T=2": base + 0.001, "T=4": base - 0.015 + noise / 2}
    study = study_of(**{name: list(values + shift) for name, values in arms.items()})
    study.frame["validation_accuracy"] = study.frame["test_accuracy"]
    return study, list(arms)


def test_02_5_is_the_cost_with_the_smallest_ratio(capsys):
    rows = {"teacher": [640_000, 18.0, 2.6, 3.0], "student": [80_000, 0.6, 0.35, 1.5]}
    columns = ["parameters", "million MACs", "file MB", "latency ms"]
    costs = pd.DataFrame.from_dict(rows, "index", columns=columns)
    assert verdict(capsys, check.read, "02.5", "latency ms", costs) == "correct"
    assert "column by column" in verdict(capsys, check.read, "02.5", "million MACs", costs)
    costs.loc["student", "file MB"] = 2.0
    assert verdict(capsys, check.read, "02.5", "file MB", costs) == "correct"


def test_03_4_and_12_4_are_resolved_in_nll_and_not_in_accuracy(capsys):
    study, _ = temperatures()  # from T=1: T=2 is not resolved, T=4 is
    noise = np.array([0.001, -0.002, 0.001, 0.002, -0.002])
    study.frame["test_nll"] = [*(0.6 + noise), *(0.5 - noise), *(0.7 + noise / 2)]
    for exercise in ("03.4", "12.4"):
        assert verdict(capsys, check.read, exercise, ["T=2"], study, "T=1") == "correct"
        for wrong in ([], ["T=4"], ["T=2", "T=4"]):
            assert "not yet" in verdict(capsys, check.read, exercise, wrong, study, "T=1")
        with pytest.raises(ValueError, match="'T=1'"):  # the baseline is no arm against it
            check.read(exercise, ["T=1"], study, "T=1")
    study.frame["test_nll"] = [*(0.6 + noise), *(0.6 - noise), *(0.7 + noise / 2)]
    assert verdict(capsys, check.read, "03.4", [], study, "T=1") == "correct"


def test_13_5_is_the_upper_end_of_the_last_row(capsys):
    gains = {
        "30 epochs": np.array([0.001, 0.003, -0.002]),
        "72 epochs": np.array([0.012, 0.004, 0.009]),
    }
    rows = together(gains | {"longest − shortest": np.subtract(*reversed(gains.values()))})
    high = 100 * rows["longest − shortest"].high
    for answer in (high, round(high, 2), high - 0.015):
        assert verdict(capsys, check.read, "13.5", answer, rows) == "correct"
    spec = READINGS["13.5"]
    for trap in spec.traps:
        assert verdict(capsys, check.read, "13.5", trap(rows), rows) == f"not yet: {sentence(trap)}"


def test_04_6_better_is_resolved_and_above(capsys):
    study, _ = temperatures()  # against T=4 both others gain, against T=1 nothing does
    assert verdict(capsys, check.read, "04.6", ["T=1", "T=2"], study, "T=4") == "correct"
    assert verdict(capsys, check.read, "04.6", [], study, "T=1") == "correct"
    assert "1 missing" in verdict(capsys, check.read, "04.6", ["T=2"], study, "T=4")
    for wrong in (["T=2"], ["T=4"]):  # not resolved; resolved, and worse
        assert "1 too many" in verdict(capsys, check.read, "04.6", wrong, study, "T=1")


def planned(**changes):
    teacher = tiny_teacher()
    arms = {
        "KD": KD(teacher, 2.0, 0.1),
        "KD α=0.5": KD(teacher, 2.0, 0.5),
        "KD α=1": KD(teacher, 2.0, 1.0),
        "LS": LabelSmoothing(0.1),
        "LS 0.2": LabelSmoothing(0.2),
        "LS 0": LabelSmoothing(0.0),
        "LS 1": LabelSmoothing(1.0),
        "CE": CrossEntropy(),
        "weighted": UncertaintyKD(teacher, 2.0, 0.1),
    }
    given = {"treatment": "KD", "baseline": "LS", "seeds": 5, "student": STUDENT}
    return Design(arms, **(given | {"data": tiny_data(), "config": CONFIG} | changes))


CHOICE = {"choose_by": "validation_accuracy", "choose_seeds": 3, "seeds": range(3, 8)}
BOTH = {"treatment": ("KD", "KD α=0.5"), "baseline": ("LS", "LS 0.2")} | CHOICE


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seeds": range(10)},
        {"seeds": [7, 1, 20, 3, 4]},
        {"metric": "test_nll"},
        {"treatment": "KD α=0.5", "baseline": "LS 0.2"},
        BOTH,
        BOTH | {"choose_by": "validation_nll"},
        BOTH | {"treatment": ["KD α=0.5", "KD", "KD α=1"]},
        BOTH | {"choose_seeds": [99, 100]},
    ],
)
def test_04_4_every_right_design_is_accepted(changes, capsys):
    assert verdict(capsys, check.design, "04.4", planned(**changes)) == "correct"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "CE"}, "the baseline must soften its targets without a teacher"),
        ({"baseline": "KD α=0.5"}, "the baseline must soften its targets"),
        ({"treatment": "LS 0.2"}, "the treatment must be KD"),
        ({"treatment": "weighted"}, "the treatment must be KD"),
        ({"treatment": "KD α=1"}, "nothing is left of the teacher"),
        ({"baseline": "LS 0"}, "with ε = 0 the targets are not softened"),
        ({"baseline": None}, "there is no baseline"),
        ({"seeds": 1}, "there is one seed"),
        ({"seeds": 3}, "3 seeds give a wide interval: take 5 or more"),
        ({"seeds": [0] * 5}, "there is one seed"),
        ({"seeds": [0, 1, 2, 3, 3, 3]}, "a seed is counted more than once"),
        (BOTH | {"baseline": "LS"}, "tune both or neither"),
        (BOTH | {"choose_by": None}, "nothing that chooses"),
        (BOTH | {"choose_by": "test_accuracy"}, "test_accuracy chooses"),
        (BOTH | {"choose_seeds": None}, "no seeds for the choice"),
        (BOTH | {"choose_seeds": 4}, "seeds both choose and report (3)"),
        (BOTH | {"choose_seeds": [99]}, "one seed chooses by its luck"),
        (BOTH | {"choose_seeds": [99, 99]}, "one seed chooses by its luck"),
        ({"baseline": "LS 1"}, "nothing is left of the labels"),
        (BOTH | {"metric": "validation_accuracy"}, "the images that chose measure again"),
        ({"metric": "validation_accuracy"}, "report test_accuracy or test_nll: of test images"),
        ({"metric": "seconds"}, "report test_accuracy or test_nll: of test images"),
    ],
)
def test_04_4_a_design_that_misses_or_is_confounded_is_told_so(changes, said, capsys):
    line = verdict(capsys, check.design, "04.4", planned(**changes))
    assert line.startswith("not yet: ") and said in line


def warmer(**changes):
    teacher = tiny_teacher()
    arms = {
        f"T={t:g}, α={a:g}": KD(teacher, t, a) for t in (1.0, 4.0, 8.0) for a in (0.1, 0.5, 1.0)
    }
    arms |= {"weighted": UncertaintyKD(teacher, 4.0, 0.1), "CE": CrossEntropy()}
    given = {"treatment": "T=4, α=0.1", "baseline": "T=1, α=0.1", "seeds": 5, "student": STUDENT}
    return Design(arms, **(given | {"data": tiny_data(), "config": CONFIG} | changes))


HOTTER = {
    "treatment": ["T=4, α=0.1", "T=8, α=0.1"],
    "choose_by": "validation_accuracy",
    "choose_seeds": [98, 99],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "correct"),
        ({"metric": "test_nll"}, "correct"),
        ({"treatment": "T=4, α=0.5", "baseline": "T=1, α=0.5"}, "correct"),
        ({"treatment": "T=1, α=0.1", "baseline": "T=4, α=0.1"}, "must have the higher temperature"),
        ({"baseline": "T=1, α=0.5"}, "not only the temperature differs"),
        ({"treatment": "T=4, α=1", "baseline": "T=1, α=1"}, "no teacher is asked"),
        ({"treatment": "weighted"}, "both sides must be KD"),
        ({"baseline": "CE"}, "both sides must be KD"),
        ({"baseline": None}, "there is no baseline"),
        (HOTTER, "tune both or neither"),
        ({"seeds": 3}, "take 5 or more"),
        ({"metric": "validation_accuracy"}, "report test_accuracy or test_nll: of test images"),
    ],
)
def test_03_6_asks_for_two_temperatures_and_one_weight_of_the_labels(changes, said, capsys):
    assert said in verdict(capsys, check.design, "03.6", warmer(**changes))


def test_a_design_is_to_do_or_is_one(capsys):
    assert verdict(capsys, check.design, "04.4", None) == "todo"
    with pytest.raises(TypeError, match=r"design must be an experiment\.Design, or None, not dict"):
        check.design("04.4", {"arms": {}})


def test_all_faults_of_a_design_are_told(capsys):
    design = planned(**BOTH | {"choose_by": "test_accuracy", "choose_seeds": None, "seeds": 1})
    line = verdict(capsys, check.design, "04.4", design)
    assert line.count("\n  and: ") == 2


class Found:
    """Stands for ``comparison.Comparison``: KD minus CE is +1.20 ± 0.50 points."""

    def difference(self, method, other):
        assert (method, other) == ("KD", "CE")
        return Interval(0.0120, 0.0070, 0.0170, 10)


def test_14_5_the_lower_end_of_an_interval_may_be_rounded_and_is_not_its_middle(capsys):
    spec = READINGS["14.5"]
    for answer in (0.70, 0.69, 0.71):
        assert verdict(capsys, check.read, "14.5", answer, Found()) == "correct"
    for trap in spec.traps:
        line = verdict(capsys, check.read, "14.5", trap(Found()), Found())
        assert line == f"not yet: {sentence(trap)}"
    for wrong in (-0.70, 0.0, 0.007):
        assert verdict(capsys, check.read, "14.5", wrong, Found()) != "correct"


HONEST = {"treatment": ("LS", "LS 0.2"), "baseline": "CE"} | CHOICE


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seeds": range(10), "choose_seeds": range(1000, 1003)},
        {"choose_by": "validation_nll"},
        {"treatment": ["LS 0.2", "LS", "LS 0"]},
    ],
)
def test_14_6_every_honest_choice_is_accepted(changes, capsys):
    assert verdict(capsys, check.design, "14.6", planned(**HONEST | changes)) == "correct"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"treatment": "LS"}, "there is nothing to choose"),
        ({"treatment": ("LS", "LS 0")}, "there is nothing to choose"),
        ({"treatment": ("LS", "KD")}, "the treatment must be label smoothing"),
        ({"baseline": "KD"}, "the baseline must be cross-entropy"),
        ({"baseline": None}, "there is no baseline"),
        ({"choose_by": "test_accuracy"}, "test_accuracy chooses"),
        ({"choose_by": None}, "nothing that chooses"),
        ({"choose_seeds": None}, "no seeds for the choice"),
        ({"choose_seeds": 5}, "seeds both choose and report (3, 4)"),
        ({"metric": "validation_accuracy"}, "report test_accuracy: of test images"),
        ({"metric": "test_nll"}, "report test_accuracy: of test images"),
        ({"seeds": [3, 4]}, "2 seeds give a wide interval"),
    ],
)
def test_14_6_what_is_dishonest_is_named(changes, said, capsys):
    line = verdict(capsys, check.design, "14.6", planned(**HONEST | changes))
    assert line.startswith("not yet: ") and said in line
