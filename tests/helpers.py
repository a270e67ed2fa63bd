"""What several test modules share: a private cache, tiny data, tiny networks and tiny methods."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest
import torch
from joblib.externals.loky import reusable_executor
from torch import nn

from kdnotes.data import Split, Splits, Views
from kdnotes.methods import CrossEntropy, Method
from kdnotes.models import StudentNet, TeacherNet
from kdnotes.teachers import Teacher
from kdnotes.training import Config, build

CLASSES = 4
STUDENT = functools.partial(StudentNet, num_classes=CLASSES, in_channels=1, width=2)
CONFIG = Config(epochs=2, batch_size=16, learning_rate=1e-2, views=Views(2))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder, also for worker processes (those of an earlier test would use an earlier folder)."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KDNOTES_CACHE", str(folder))
    for name in ("KDNOTES_FRESH", "KDNOTES_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(kill_workers=True)
    return folder


def tiny_split(count: int, seed: int, channels: int = 1) -> Split:
    """Noise with a bright quadrant that tells the class."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % CLASSES
    images = torch.randn(count, channels, 32, 32, generator=generator)
    for i, target in enumerate(targets.tolist()):
        row, column = 16 * (target // 2), 16 * (target % 2)
        images[i, :, row : row + 16, column : column + 16] += 1.5
    return Split(images, targets, torch.arange(count))


@functools.lru_cache(maxsize=4)
def tiny_data(channels: int = 1) -> Splits:
    """60 training, 20 validation and 40 test images of 4 classes; not from ``load``, so pickled as they are."""
    parts = [tiny_split(count, seed, channels) for seed, count in enumerate((60, 20, 40))]
    return Splits(*parts, classes=("a", "b", "c", "d"), mean=(0.0,) * channels, std=(1.0,) * channels, name="tiny")


def tiny_teacher(seed: int = 0) -> Teacher:
    """An untrained teacher with distinctive outputs: enough for everything but accuracy."""
    return Teacher(build(functools.partial(TeacherNet, num_classes=CLASSES, in_channels=1, width=2), seed), {})


def equal_states(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@dataclass(eq=False)
class Drawing(CrossEntropy):
    """Cross-entropy that also draws random numbers, everywhere it can."""

    def prepare(self, student, train, views, device):
        torch.randn(7)

    def terms(self, batch):
        torch.randn(3)
        return super().terms(batch)


@dataclass(eq=False)
class Scaled(Method):
    """Cross-entropy of logits times a scale that is trained: a method with a parameter of its own."""

    def prepare(self, student, train, views, device):
        self.scale = nn.Parameter(torch.ones((), device=device))

    def parameters(self):
        return [self.scale]

    def terms(self, batch):
        return {"hard": nn.functional.cross_entropy(batch.student_logits * self.scale, batch.targets)}


class DrawingStudent(StudentNet):
    """A student whose construction consumes one random number more than it should."""

    def __init__(self, **sizes):
        torch.rand(1)
        super().__init__(**sizes)
