"""The process of a submission: what it has ready before an answer's time begins."""

from __future__ import annotations

import subprocess
import sys

# What answers do, and which modules are imported while they do it.
WORK = """
import sys
from kdnotes.course.grading import student

student.prepare()
ready = set(sys.modules)

import torch
from torch import nn

network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
optimiser = torch.optim.AdamW(network.parameters(), lr=0.1)
loss = nn.functional.cross_entropy(network(torch.randn(2, 1, 8, 8)), torch.tensor([0, 2]))
torch.autograd.grad(loss, list(network.parameters()), torch.ones(()), retain_graph=True)
loss.backward()
optimiser.step()
print(*sorted(set(sys.modules) - ready))
"""


def test_nothing_is_imported_in_the_time_of_an_answer():
    """Torch imports a compiler and its algebra at the first gradient or step: a few seconds."""
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
