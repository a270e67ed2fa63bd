"""The exercises on edge runtimes at their edges: right answers in other forms, nearly right."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import CONFIG, student_of, tiny_data, tiny_teacher
from sweep import ALL, checked

from kdnotes import edge, training
from kdnotes.course import check, order
from kdnotes.course.attempt import sentence
from kdnotes.course.exercises.edge_runtimes import BY_HAND, QUIZ, READINGS
from kdnotes.course.questions import RIGHT as RIGHT_ANSWER
from kdnotes.experiment import Design
from kdnotes.intervals import mean_interval
from kdnotes.methods import KD, CrossEntropy
from kdnotes.study import Arm, PerSeed

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def by_counting(ours, theirs, targets):
    pairs = list(
        zip(ours.argmax(1).tolist(), theirs.argmax(1).tolist(), targets.tolist(), strict=True)
    )
    flips = sum(a != b for a, b, _ in pairs)
    lost = sum(a == y != b for a, b, y in pairs)
    won = sum(b == y != a for a, b, y in pairs)
    return [flips / len(pairs), lost / len(pairs), won / len(pairs)]


def by_numpy(ours, theirs, targets):
    a, b, y = ours.numpy().argmax(1), theirs.numpy().argmax(1), targets.numpy()
    return np.array([(a != b).mean(), ((a == y) & (b != y)).mean(), ((a != y) & (b == y)).mean()])


def by_powers(lows, highs, weight):
    def last(values):
        first, *rest = values
        total = (1 - weight) ** len(rest) * first
        ages = reversed(range(len(rest)))
        return total + sum(
            weight * (1 - weight) ** age * x for age, x in zip(ages, rest, strict=True)
        )

    return torch.tensor([min(last(lows), 0.0), max(last(highs), 0.0)], dtype=torch.double)


def clipped_at_each_step(lows, highs, weight):
    low, high = min(lows[0], 0.0), max(highs[0], 0.0)
    for a, b in zip(lows[1:], highs[1:], strict=True):
        low = min((1 - weight) * low + weight * a, 0.0)
        high = max((1 - weight) * high + weight * b, 0.0)
    return low, high


RIGHT = {"Changed": (by_counting, by_numpy), "MovingRange": (by_powers,)}
WRONG = {
    "Changed": (
        lambda a, b, y: by_counting(a, b, y)[:2],
        lambda a, b, y: (by_counting(a, b, y)[0], *by_counting(b, a, y)[1:]),
        lambda a, b, y: [100 * one for one in by_counting(a, b, y)],
        lambda a, b, y: by_counting(a.abs(), b.abs(), y),
        lambda a, b, y: by_counting(-a, -b, y),
        lambda a, b, y: by_counting(a[:-1], b[:-1], y[:-1]),
    ),
    "MovingRange": (
        clipped_at_each_step,
        lambda low, high, w: by_powers(low, high, w).flip(0),
        lambda low, high, w: by_powers(low, high, 0.25),
        lambda low, high, w: by_powers(low, high, w / 2),
        lambda low, high, w: (min(low[-1], 0.0), max(high[-1], 0.0)),
    ),
}


def cases(table):
    return [
        pytest.param(name, answer, id=f"{name}-{i}")
        for name in table
        for i, answer in enumerate(table[name])
    ]


@pytest.mark.parametrize(("name", "answer"), cases(RIGHT))
def test_a_right_answer_in_another_form_is_accepted(name, answer, capsys):
    assert checked(name, answer), capsys.readouterr().out


@pytest.mark.parametrize(("name", "answer"), cases(WRONG))
def test_a_nearly_right_answer_is_refused(name, answer, capsys):
    assert not checked(name, answer)
    assert "not yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Changed", "MovingRange"])
def test_each_trap_is_told_by_its_own_sentence(name, capsys):
    for wrong in ALL[name].traps:
        assert not checked(name, wrong)
        assert sentence(wrong) in capsys.readouterr().out


def test_the_arena_by_hand_and_its_traps(capsys):
    assert check.by_hand("17.3", 5632)
    for wrong in BY_HAND[3].traps:
        assert not check.by_hand("17.3", wrong())
        assert sentence(wrong) in capsys.readouterr().out
    assert not check.by_hand("17.3", 5.5)  # KiB
    assert not check.by_hand("17.3", 5633)  # bytes are counted


def table(**milliseconds):
    """Rows of two runtimes that were measured, one that has no int8, one that is not there."""
    times = {"A": (1.0, 0.5), "B": (2.0, 3.0)} | milliseconds
    rows = [
        {"runtime": name, "kind": kind, "status": "measured", "hot_ms": one}
        for name, pair in times.items()
        for kind, one in zip(("float", "int8"), pair, strict=True)
    ]
    rows += [{"runtime": "C", "kind": "float", "status": "measured", "hot_ms": 1.0}]
    rows += [{"runtime": "C", "kind": "int8", "status": "not offered"}]
    rows += [
        {"runtime": "D", "kind": kind, "status": "not installed"} for kind in ("float", "int8")
    ]
    return pd.DataFrame(rows)


def test_17_4_is_read_from_the_table_that_is_passed():
    assert check.read("17.4", ["B"], table())
    assert not check.read("17.4", ["A", "B"], table())
    assert not check.read("17.4", [], table())
    assert check.read("17.4", [], table(B=(2.0, 2.0)))  # as long is not longer
    assert check.read("17.4", {"A", "B"}, table(A=(0.1, 0.2)))
    with pytest.raises(ValueError, match="C"):  # it has no int8 to be compared
        check.read("17.4", ["C"], table())


def test_17_5_asks_for_the_upper_end(capsys):
    protected = {"4 bits": mean_interval([0.001, 0.012, 0.004, 0.009, -0.002])}
    assert check.read("17.5", 100 * protected["4 bits"].high, protected, "4 bits")
    for wrong in READINGS[5].traps:
        assert not check.read("17.5", wrong(protected, "4 bits"), protected, "4 bits")
        assert sentence(wrong) in capsys.readouterr().out


@functools.cache
def _data():
    return tiny_data()


def _start(bits, seed):
    build = student_of(CrossEntropy())
    state = training.build(build, seed).state_dict()
    return edge.Start(build, state, _data().train.images[:4], bits)


def _other_start(bits, seed):
    build = student_of(CrossEntropy())
    state = training.build(build, 100 + seed).state_dict()
    return edge.Start(build, state, _data().train.images[:4], bits)


def _untrained(bits, seed):
    return student_of(CrossEntropy())


def arm(method=None, bits=3, epochs=1, start=_start):
    method = method or KD(tiny_teacher(), 2.0, 0.1)
    config = dataclasses.replace(CONFIG, epochs=epochs)
    student = PerSeed(functools.partial(start, bits))
    return Arm(method, student=student, data=_data(), config=config)


def compared(treatment, baseline, seeds=5):
    arms = {"KD": treatment, "labels": baseline}
    return check.design("17.6", Design(arms, "KD", "labels", seeds=seeds))


def test_17_6_only_the_loss_differs():
    assert compared(arm(), arm(CrossEntropy()))
    assert compared(arm(bits=4), arm(CrossEntropy(), bits=4))


@pytest.mark.parametrize(
    ("treatment", "baseline", "said"),
    [
        ({}, {"method": CrossEntropy(), "start": _other_start}, "initial weights"),
        ({}, {"method": CrossEntropy(), "bits": 4}, "equal numbers of bits"),
        ({}, {"method": CrossEntropy(), "epochs": 2}, "epochs"),
        ({"bits": None}, {"method": CrossEntropy(), "bits": None}, "in float it is no QAT"),
        ({"start": _untrained}, {"method": CrossEntropy()}, "must start from a trained student"),
        ({"method": CrossEntropy()}, {"method": CrossEntropy()}, "must learn from the teacher"),
        ({}, {}, "must learn from the labels alone"),
        (
            {"method": KD(tiny_teacher(), 2.0, 1.0)},
            {"method": CrossEntropy()},
            "with α = 1 no teacher is asked",
        ),
    ],
)
def test_17_6_a_confounded_design_is_refused(treatment, baseline, said, capsys):
    assert not compared(arm(**treatment), arm(**baseline))
    assert said in capsys.readouterr().out


def test_17_6_one_seed_is_none():
    assert not compared(arm(), arm(CrossEntropy()), seeds=1)


def test_the_quiz_has_one_right_answer_a_question():
    for item in QUIZ:
        assert list(item.choices.values()).count(RIGHT_ANSWER) == 1


def test_the_rates_are_among_those_that_the_chapter_on_the_edge_tries():
    """It chose them once; another processor's luck may choose others (its stored output tells)."""
    tries, takes = (
        "".join(cell.source for cell in notebook(name)) for name in ("on_the_edge", "edge_runtimes")
    )
    tried = re.search(r"tuned\(method, few_bits, r\) for r in \(([^)]*)\)", tries)[1]
    taken = re.search(r'rates = \{"CE": ([\de.-]+), "KD": ([\de.-]+)\}', takes).groups()
    assert {*map(float, taken)} <= {*map(float, tried.split(","))}


def notebook(name):
    return nbformat.read(NOTEBOOKS / f"{order.stem(name)}.ipynb", 4).cells
