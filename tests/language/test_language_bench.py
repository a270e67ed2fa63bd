"""The benchmark of language models measures what it says, and its plain loop learns the same."""

from __future__ import annotations

import re

import pytest
import torch
from language_helpers import STUDENT, corpus, teacher

from kdnotes import language as lm
from kdnotes.language import bench
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")


def test_all_figures_are_there():
    found = bench.measure(steps=1, written=2, rounds=1)
    assert all(value > 0 for value in found.values())
    assert found["plain_over_kd"] == found["plain_step"] / found["kd_step"]
    assert found["uncached_over_cached"] == found["write_uncached"] / found["write_cached"]


def test_the_plain_loop_learns_what_the_courses_does():
    """The order of its batches is another one, so the results are near, and not equal."""
    schedule, student = lm.Schedule(steps=150, batch_size=16, learning_rate=1e-2), build(STUDENT, 0)
    torch.manual_seed(0)
    plain = bench.plain_loop(student, teacher().model, corpus(), schedule)
    own = lm.trained(STUDENT, lm.fit(student, lm.TokenKD(teacher()), corpus(), schedule))
    found = [
        lm.against(model, teacher().model, corpus().train)["kl"] for model in (plain, own, student)
    ]
    assert found[0] == pytest.approx(found[1], rel=0.25) and found[2] > 3 * found[1]


@pytest.mark.parametrize("name", ["steps", "written", "rounds"])
def test_wrong_calls(name):
    with pytest.raises(ValueError, match=re.escape(f"{name} must be at least 1, not 0")):
        bench.measure(**{name: 0})
