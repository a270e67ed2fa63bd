"""Seconds of a training, measured in turns and not read from the store."""

from __future__ import annotations

import dataclasses

from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher

from kdnotes.course import costing
from kdnotes.methods import KD, CrossEntropy
from kdnotes.study import Arm

SHARED = {"student": STUDENT, "data": tiny_data(), "config": CONFIG}


def test_it_is_the_median_of_some_epochs_of_the_fastest_turn_times_their_number(monkeypatch):
    seen = []
    fit = costing.training.fit

    def watched(student, method, data, config):
        seen.append((method, config.epochs, len(data.train), len(data.test)))
        run = fit(student, method, data, config)
        slower = {4: 1.0, 5: 1.0}.get(len(seen), 2.0)  # CE and "long" are faster in one turn
        run.history["seconds"] = [slower * s for s in (5.0, 1.0, 2.0)][: config.epochs]
        return run

    monkeypatch.setattr(costing.training, "fit", watched)
    long = dataclasses.replace(CONFIG, epochs=30)
    kd = KD(tiny_teacher(), 2.0, 0.1)
    arms = {"CE": Arm(CrossEntropy()), "long": Arm(CrossEntropy(), config=long)}
    found = costing.seconds_of(arms | {"by seed": Arm(lambda seed: kd)}, **SHARED)
    assert found == {"CE": 2 * 3.0, "long": 30 * 2.0, "by seed": 2 * 6.0}
    turn = [(2, 60, 20), (3, 60, 20), (2, 60, 20)]
    assert [rest for _, *rest in seen] == [list(one) for one in turn * costing.ROUNDS]
    assert seen[2][0] is kd
