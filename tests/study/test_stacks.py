"""Which runs are trained together."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from helpers import CONFIG, STUDENT, equal_states, study, tiny_data

from kdnotes import training
from kdnotes.methods import CrossEntropy
from kdnotes.study import Arm, engine, stacks

pytestmark = pytest.mark.usefixtures("own_cache")


def jobs(seeds, arms=("ce",), epochs=2, **changes):
    config = dataclasses.replace(CONFIG, epochs=epochs)
    arm = Arm(CrossEntropy(), **({"student": STUDENT, "data": tiny_data()} | changes))
    return {
        (name, seed): dataclasses.replace(arm, config=dataclasses.replace(config, seed=seed))
        for name in arms
        for seed in range(seeds)
    }


def sizes(given, workers):
    return [len(group) for group in stacks.stacked(given, workers)]


@pytest.fixture(autouse=True)
def every_stack_is_exact(monkeypatch):
    monkeypatch.setattr(training, "is_exact", lambda *_: True)


@pytest.mark.parametrize(
    ("seeds", "arms", "workers", "found"),
    [
        (5, "a", 1, [5]),
        (5, "a", 2, [3, 2]),
        (5, "a", 8, [1] * 5),
        (5, "ab", 2, [5, 5]),
        (5, "abcdef", 2, [5] * 6),
        (10, "a", 2, [5, 5]),
        (3, "a", 1, [3]),
        (1, "abc", 2, [1, 1, 1]),
        (2, "a", 2, [1, 1]),
        (11, "a", 1, [4, 4, 3]),
    ],
)
def test_as_many_together_as_leave_no_worker_idle(seeds, arms, workers, found):
    assert sorted(sizes(jobs(seeds, arms), workers), reverse=True) == found


def test_every_run_is_in_one_group_and_a_group_has_one_arm():
    given = jobs(7, "abc")
    groups = stacks.stacked(given, 2)
    assert sorted(job for group in groups for job in group) == sorted(given)
    assert all(len({arm for arm, _ in group}) == 1 for group in groups)


def test_the_longest_group_comes_first():
    given = jobs(2, "a", epochs=2) | jobs(5, "b", epochs=9)
    assert stacks.stacked(given, 1)[0] == [("b", seed) for seed in range(5)]


def test_seeds_of_other_data_are_trained_alone():
    given = jobs(3)
    given["ce", 1] = dataclasses.replace(given["ce", 1], data=dataclasses.replace(tiny_data()))
    assert sizes(given, 1) == [1, 1, 1]


def test_where_a_stack_is_not_exact_each_is_trained_alone(monkeypatch):
    monkeypatch.setattr(training, "is_exact", lambda *_: False)
    assert sizes(jobs(5), 1) == [1] * 5


def test_a_study_does_not_depend_on_the_workers_nor_on_what_is_stored(monkeypatch):
    monkeypatch.undo()
    if not training.is_exact(STUDENT, tiny_data(), CONFIG):
        pytest.skip("the kernels of this processor round otherwise in a stack: none is made on it")
    arms = {"ce": CrossEntropy()}
    seen, honest = [], engine.stacked

    def watched(*given):
        seen.append([len(group) for group in honest(*given)])
        return honest(*given)

    monkeypatch.setattr(engine, "stacked", watched)
    whole = study(arms, 5, workers=1, fresh=True)
    split = study(arms, 5, workers=2, fresh=True)
    part = study(arms, 3, workers=1, fresh=True)
    assert seen == [[5], [3, 2], [3]]
    for seed in range(5):
        run = whole.runs["ce", seed]
        for other in (split, part):
            if ("ce", seed) in other.runs:
                assert equal_states(run.state, other.runs["ce", seed].state)
                assert torch.equal(run.test_logits, other.runs["ce", seed].test_logits)
