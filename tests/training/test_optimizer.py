"""The optimiser: the numbers of torch's own, without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from kdnotes.training.optimizer import Group, OneCycleAdamW


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    shapes = ((12, 4, 3, 3), (13,), (5, 7), (3,))
    return [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]


@pytest.mark.parametrize("steps", [1, 4, 5, 6, 40])
def test_it_gives_the_numbers_of_adamw_and_one_cycle_to_the_last_bit(steps):
    mine, theirs = parameters(), parameters()
    ours = OneCycleAdamW([Group(mine[:2], 0.05), Group(mine[2:], 0.0)], 0.004, steps)
    groups = [
        {"params": theirs[:2], "weight_decay": 0.05},
        {"params": theirs[2:], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.004, fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.004, total_steps=max(steps + 1, 6), pct_start=0.2, cycle_momentum=False
    )
    for step in range(steps):
        assert ours.rate == scheduler.get_last_lr()[0]
        for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            # The last gets no gradient in the first steps, as a method's part that starts later.
            late = number == 3 and step < 2
            one.grad = None if late else torch.randn_like(one)
            other.grad = None if late else one.grad.clone()
        ours.step()
        optimizer.step()
        scheduler.step()
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one, other)


def test_a_training_does_not_wait_for_torchs_compiler():
    code = """
import functools, sys
from kdnotes import data, methods, models, training
splits = data.load(train_images=20, validation_images=20, test_images=20)
student = models.ResidualStudent(in_channels=1, width=4)
training.fit(student, methods.CrossEntropy(), splits, training.Config(epochs=1, batch_size=10))
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
