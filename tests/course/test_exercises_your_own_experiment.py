"""The exercises on one's own experiment take a right answer in whatever form, and no wrong one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sweep import ALL, checked

FACTS, SEEDS, CONTROL = (ALL[name].reference for name in ("Verdict", "Seeds", "Control"))


def as_lists(settings: dict) -> dict:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }


RIGHT = {
    "facts, a list": ("Verdict", lambda *case: list(FACTS(*case))),
    "facts, an array": ("Verdict", lambda *case: np.array(FACTS(*case))),
    "facts, of numpy": ("Verdict", lambda *case: tuple(map(np.bool_, FACTS(*case)))),
    "facts, a width by subtraction": (
        "Verdict",
        lambda low, mean, high, d: (
            high - low > 0 and low > 0,
            high - low > 0 and low >= d,
            low < high < d,
        ),
    ),
    "seeds, a float": ("Seeds", lambda *case: float(SEEDS(*case))),
    "seeds, of numpy": ("Seeds", lambda *case: np.int64(SEEDS(*case))),
    "seeds, a float of numpy": ("Seeds", lambda *case: np.ceil(SEEDS(*case) - 0.4)),
    "seeds, a tensor": ("Seeds", lambda *case: torch.tensor(SEEDS(*case))),
    "control, lists": ("Control", lambda *case: as_lists(CONTROL(*case))),
    "control, an array": (
        "Control",
        lambda *case: (lambda c: c | {"alpha": np.array(c["alpha"])})(CONTROL(*case)),
    ),
    "control, a whole number": (
        "Control",
        lambda given, idea: (
            CONTROL(given, idea) | ({"extra_weight": 0} if idea == "extra term" else {})
        ),
    ),
}

WRONG = {
    "facts, words": ("Verdict", lambda *case: "supported"),
    "facts, two of them": ("Verdict", lambda *case: FACTS(*case)[:2]),
    "facts, other order": ("Verdict", lambda *case: FACTS(*case)[::-1]),
    "facts, at half of δ": (
        "Verdict",
        lambda low, mean, high, smallest: FACTS(low, mean, high, smallest / 2),
    ),
    "facts, a tolerance at the ends": (
        "Verdict",
        lambda low, mean, high, d: FACTS(low - 1e-9, mean, high + 1e-9, d),
    ),
    "seeds, between two numbers": ("Seeds", lambda *case: SEEDS(*case) - 0.5),
    "seeds, NaN": ("Seeds", lambda *case: math.nan),
    "seeds, at most ten": ("Seeds", lambda *case: min(10, SEEDS(*case))),
    "control, lists and another schedule": ("Control", lambda given, idea: as_lists(given)),
    "control, a key too many": ("Control", lambda *case: CONTROL(*case) | {"control": True}),
    "control, alpha summed": (
        "Control",
        lambda given, idea: (
            CONTROL(given, idea)
            | ({"alpha": [sum(given["alpha"])] * 2} if idea == "schedule" else {})
        ),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_is_accepted_in_whatever_form(name):
    assert checked(*RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused(name):
    assert not checked(*WRONG[name])
