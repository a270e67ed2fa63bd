"""The exercises on one's own experiment take a right answer in whatever form, and no wrong one."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher
from lab.made_up import study_of
from sweep import ALL, checked

from kdnotes.course.exercises import your_own_experiment as own
from kdnotes.lab import Design
from kdnotes.losses import kd_loss
from kdnotes.methods import KD, CrossEntropy, OwnLoss
from kdnotes.study import Arm

TEACHER = tiny_teacher()

FACTS, SEEDS = (ALL[name].reference for name in ("Verdict", "Seeds"))


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
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_is_accepted_in_whatever_form(name):
    assert checked(*RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused(name):
    assert not checked(*WRONG[name])


@pytest.mark.parametrize(
    ("gains", "facts"),
    [
        ((0.020, 0.021, 0.022), ["gain", "δ or more"]),
        ((0.004, 0.010, 0.016, 0.010), ["gain"]),
        ((0.004, 0.005, 0.006), ["gain", "excluded"]),
        ((-0.002, 0.000, 0.002), ["excluded"]),
        ((-0.022, -0.021, -0.020), ["excluded", "loss"]),
        ((-0.02, 0.01, 0.03), []),
        ((0.02, 0.02), []),  # no spread
    ],
)
def test_15_4_takes_the_facts_of_the_interval_and_no_others(gains, facts):
    study = study_of(mix=[0.5 + gain for gain in gains], KD=[0.5] * len(gains))
    asked = own.READINGS[4]
    assert asked.judge(facts, (study,)) == "correct"
    for other in ([], ["gain"], ["gain", "δ or more"], ["excluded"], ["excluded", "loss"]):
        assert (asked.judge(other, (study,)) == "correct") == (set(other) == set(facts))


def mixed(batch, given, temperature, alpha, share=0.5):
    z_s, z_t = batch.student_logits, given.logits
    forward, reverse = (kd_loss(*pair, temperature) for pair in ((z_s, z_t), (z_t, z_s)))
    hard = F.cross_entropy(z_s, batch.targets)
    return alpha * hard + (1 - alpha) * ((1 - share) * forward + share * reverse)


def plain_kd(batch, given):  # no constant of it tells that it is no mixture
    return mixed(batch, given, 2.0, 0.1, 0.0)


def halves(batch, given):
    both = mixed(batch, given, 2.0, 0.1, 0.0), mixed(batch, given, 2.0, 0.1, 1.0)
    return {"forward": both[0] / 2, "reverse": both[1] / 2}


def mixture(temperature=2.0, teacher=TEACHER, **options):
    options |= {"temperature": temperature, "alpha": options.get("alpha", 0.1)}
    return OwnLoss(functools.partial(mixed, **options), teacher)


def planned(arms=None, epochs=100, **changes):
    shared = {"student": STUDENT, "data": tiny_data()}
    shared["config"] = dataclasses.replace(CONFIG, epochs=epochs)
    arms = {"mix": mixture(), "KD": KD(TEACHER, 2.0, 0.1)} | (arms or {})
    return Design(arms, **{"treatment": "mix", "baseline": "KD", "seeds": 5} | shared | changes)


def test_15_5_takes_a_right_design():
    assert own.DESIGNS[5].judge(planned()) == []
    assert own.DESIGNS[5].judge(planned(seeds=range(20, 30))) == []
    assert own.DESIGNS[5].judge(planned({"mix": OwnLoss(halves, TEACHER)})) == []


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (planned(epochs=36), "both sides take 100 epochs"),
        (planned({"KD": Arm(KD(TEACHER, 2.0, 0.1), config=CONFIG)}), "both sides take 100 epochs"),
        (planned({"KD": CrossEntropy()}), "the baseline is KD"),
        (planned({"KD": KD(TEACHER, 2.0, 1.0)}), "with α = 1 the baseline asks no teacher"),
        (planned(treatment="KD", baseline="mix"), "the treatment is the mixture"),
        (planned({"mix": mixture(teacher=None)}), "the treatment is the mixture"),
        (planned({"mix": mixture(4.0)}), "temperature too (4 against 2)"),
        (planned({"mix": mixture(share=1.0)}), "is not the mixture with r = 0.5"),
        (planned({"mix": mixture(share=0.25)}), "is not the mixture with r = 0.5"),
        (planned({"mix": mixture(alpha=0.2)}), "is not the mixture with r = 0.5"),
        (planned({"mix": OwnLoss(plain_kd, TEACHER)}), "is not the mixture with r = 0.5"),
        (planned({"KD": KD(tiny_teacher(1), 2.0, 0.1)}), "teacher too"),
        (planned(seeds=3), "take 5 or more"),
        (planned(seeds=1), "there is one seed"),
        (planned(metric="validation_accuracy"), "report test_accuracy"),
        (planned(baseline=None), "there is no baseline"),
    ],
)
def test_15_5_a_design_that_misses_or_is_confounded_is_told_so(design, said):
    assert said in "\n".join(own.DESIGNS[5].judge(design))
