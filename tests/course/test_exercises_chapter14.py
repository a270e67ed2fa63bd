"""Chapter 14's exercises take a right answer in whatever form it comes, and no wrong one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kdnotes.course import check
from kdnotes.course.exercises.chapter14 import EXERCISES

FACTS, SEEDS, CONTROL = (EXERCISES[f"14.{number}"].reference for number in (1, 2, 3))


def as_lists(settings: dict) -> dict:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


RIGHT = {
    "facts, a list": ("14.1", lambda *case: list(FACTS(*case))),
    "facts, an array": ("14.1", lambda *case: np.array(FACTS(*case))),
    "facts, of numpy": ("14.1", lambda *case: tuple(map(np.bool_, FACTS(*case)))),
    "facts, a width by subtraction": (
        "14.1",
        lambda low, mean, high, d: (
            high - low > 0 and low > 0,
            high - low > 0 and low >= d,
            low < high < d,
        ),
    ),
    "seeds, a float": ("14.2", lambda *case: float(SEEDS(*case))),
    "seeds, of numpy": ("14.2", lambda *case: np.int64(SEEDS(*case))),
    "seeds, a float of numpy": ("14.2", lambda *case: np.ceil(SEEDS(*case) - 0.4)),
    "seeds, a tensor": ("14.2", lambda *case: torch.tensor(SEEDS(*case))),
    "control, lists": ("14.3", lambda *case: as_lists(CONTROL(*case))),
    "control, an array": (
        "14.3",
        lambda *case: (lambda c: c | {"alpha": np.array(c["alpha"])})(CONTROL(*case)),
    ),
    "control, a whole number": (
        "14.3",
        lambda given, idea: (
            CONTROL(given, idea) | ({"extra_weight": 0} if idea == "extra term" else {})
        ),
    ),
}

WRONG = {
    "facts, words": ("14.1", lambda *case: "supported"),
    "facts, two of them": ("14.1", lambda *case: FACTS(*case)[:2]),
    "facts, other order": ("14.1", lambda *case: FACTS(*case)[::-1]),
    "facts, at half of δ": (
        "14.1",
        lambda low, mean, high, smallest: FACTS(low, mean, high, smallest / 2),
    ),
    "facts, a tolerance at the ends": (
        "14.1",
        lambda low, mean, high, d: FACTS(low - 1e-9, mean, high + 1e-9, d),
    ),
    "seeds, between two numbers": ("14.2", lambda *case: SEEDS(*case) - 0.5),
    "seeds, NaN": ("14.2", lambda *case: math.nan),
    "seeds, at most ten": ("14.2", lambda *case: min(10, SEEDS(*case))),
    "control, lists and another schedule": ("14.3", lambda given, idea: as_lists(given)),
    "control, a key too many": ("14.3", lambda *case: CONTROL(*case) | {"control": True}),
    "control, alpha summed": (
        "14.3",
        lambda given, idea: (
            CONTROL(given, idea)
            | ({"alpha": [sum(given["alpha"])] * 2} if idea == "schedule" else {})
        ),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_is_accepted_in_whatever_form(name):
    assert check.exercise(*RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused(name):
    assert not check.exercise(*WRONG[name])
