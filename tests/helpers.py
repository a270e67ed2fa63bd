"""What several test modules share: a private cache, tiny data, tiny networks and tiny methods."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from joblib.externals.loky import reusable_executor
from PIL import Image
from torch import nn

from kdnotes import losses, methods
from kdnotes.data import Split, Splits, Views
from kdnotes.methods import Batch, CrossEntropy, Method
from kdnotes.models import (
    Cohort,
    MultiExitStudent,
    ResidualStudent,
    StudentNet,
    TeacherNet,
    VisionTransformer,
)
from kdnotes.study import compare
from kdnotes.teachers import Teacher
from kdnotes.training import Config, Run, build, fit

CLASSES = 4
STUDENT = functools.partial(StudentNet, num_classes=CLASSES, in_channels=1, width=4)
MULTI_EXIT = functools.partial(MultiExitStudent, STUDENT)
COHORT = functools.partial(Cohort, (STUDENT, STUDENT))
TRANSFORMER = functools.partial(
    VisionTransformer, CLASSES, 1, 16, depth=2, heads=2, patch=8, tokens=2, joint=1
)
CONFIG = Config(epochs=2, batch_size=16, learning_rate=1e-2, views=Views(2))
# Stages of STUDENT and of ``tiny_teacher`` of equal size.
PAIRS = (("stem", "block1"), ("block1", "block2"))
TELLING = ["seconds", "created", "cached"]  # what a run says of itself, in a study's frame
NETWORKS = pytest.mark.parametrize("network", [TeacherNet, StudentNet, ResidualStudent])


class LiveFitNets(methods.FitNets):
    """Hints from a teacher that looks at every image again: nothing of it is stored."""

    STORE_AT_MOST = 0


class LiveAT(methods.AT):
    STORE_AT_MOST = 0


class LiveOwnLoss(methods.OwnLoss):
    STORE_AT_MOST = 0


def hint_written_as_a_function(batch, given):
    """What ``FitNets(teacher, 2.0, 0.5, PAIRS[1:], 0.3)`` does, for ``OwnLoss``."""
    hint = losses.hint_loss(given.module(batch.features["block1"]), given.features["block2"])
    return {
        "hard": 0.5 * F.cross_entropy(batch.student_logits, batch.targets),
        "soft": 0.5 * losses.kd_loss(batch.student_logits, given.logits, 2.0),
        "hint": 0.3 * hint,
    }


def smaller_logits(batch, given):
    """A loss without a teacher, as one scalar, for ``OwnLoss``."""
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    return hard + 0.1 * batch.student_logits.square().mean()


# Every method of the package, with settings other than the defaults where these would hide a part
# of it; ``t`` is a list of three teachers.
METHODS = {
    "CrossEntropy": lambda t: methods.CrossEntropy(),
    "LabelSmoothing": lambda t: methods.LabelSmoothing(0.2),
    "KD": lambda t: methods.KD(t[0], 2.0, 0.5),
    "DKD": lambda t: methods.DKD(t[0], warmup=0.5),
    "UncertaintyKD": lambda t: methods.UncertaintyKD(t[0], 2.0, 0.5),
    "UncertaintyKD, selecting": lambda t: methods.UncertaintyKD(t[0], 2.0, 0.5, keep_share=0.5),
    "AnnealedKD": lambda t: methods.AnnealedKD(t[0], (4.0, 1.0), (0.0, 0.5)),
    "StandardizedKD": lambda t: methods.StandardizedKD(t[0], 2.0, 0.5),
    "CTKD": lambda t: methods.CTKD(t[0], 4.0, 0.5),
    "CTKD, not adversarial": lambda t: methods.CTKD(t[0], 4.0, 0.5, adversarial=False),
    "PSKD": lambda t: methods.PSKD(),
    "BYOT": lambda t: methods.BYOT(),
    "MultiTeacherKD": lambda t: methods.MultiTeacherKD(tuple(t), 2.0, 0.5),
    "CAMKD": lambda t: methods.CAMKD(tuple(t), 2.0, 0.5),
    "GatedKD": lambda t: methods.GatedKD(tuple(t), 2.0, 0.5),
    "GatedKD, by imitation": lambda t: methods.GatedKD(
        tuple(t), 2.0, 0.5, train_gate_by="imitation"
    ),
    "ESKD": lambda t: methods.ESKD(t[0], 2.0, 0.5, until=0.5),
    "FitNets": lambda t: methods.FitNets(t[0], 2.0, 0.5, PAIRS, 0.3),
    "FitNets, alone at first": lambda t: methods.FitNets(t[0], 2.0, 0.5, PAIRS[1:], 3.0, alone=0.5),
    "FitNets, live": lambda t: LiveFitNets(t[0], 2.0, 0.5, PAIRS, 0.3),
    "AT": lambda t: methods.AT(t[0], 2.0, 0.5, PAIRS, 100.0),
    "AT, as in the paper": lambda t: methods.AT(t[0], 2.0, 0.5, PAIRS, 1.0, form="paper"),
    "AT, live": lambda t: LiveAT(t[0], 2.0, 1.0, PAIRS, 100.0),
    "RKD": lambda t: methods.RKD(t[0], 2.0, 0.5, PAIRS, 10.0, 20.0),
    "SP": lambda t: methods.SP(t[0], 2.0, 0.5, PAIRS, 100.0),
    "DIST": lambda t: methods.DIST(t[0], 2.0, 2.0, 3.0),
    "CRD": lambda t: methods.CRD(t[0], 2.0, 0.5, PAIRS, 0.8, negatives=8, size=5),
    "CRD, against all": lambda t: methods.CRD(t[0], 2.0, 0.5, PAIRS, 0.8, size=5),
    "DML": lambda t: methods.DML(0.7, 2.0),
    "DML, with a teacher": lambda t: methods.DML(1.0, 1.0, t[0], 2.0, 0.5),
    "HardKD": lambda t: methods.HardKD(t[0], 0.4),
    "DeiT": lambda t: methods.DeiT(t[0], alpha=0.4),
    "DeiT, soft": lambda t: methods.DeiT(t[0], "soft", 2.0, 0.4),
    "TwoClassTokens": lambda t: methods.TwoClassTokens(),
    "OwnLoss": lambda t: methods.OwnLoss(smaller_logits),
    "OwnLoss, with a teacher and a module, live": lambda t: LiveOwnLoss(
        hint_written_as_a_function, t[0], ("block2",), functools.partial(nn.Conv2d, 8, 4, 1)
    ),
    "OwnLoss, with a teacher and a module": lambda t: methods.OwnLoss(
        hint_written_as_a_function, t[0], ("block2",), functools.partial(nn.Conv2d, 8, 4, 1)
    ),
}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder, also for worker processes: an earlier test's would use another."""
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


def write_image_folder(
    path: Path, train: Sequence[int], test: Sequence[int], *, grey: bool = False
) -> str:
    """A data set of PNG files, noise over a pattern that tells the class; its name for ``load``.

    Args:
        train, test: the number of images of each class.
        grey: grey files instead of coloured ones.
    """
    rng = np.random.default_rng(0)
    for part, counts in (("train", train), ("test", test)):
        for number, count in enumerate(counts):
            folder = path / part / f"class {number:03d}"
            folder.mkdir(parents=True)
            pattern = np.random.default_rng(number).integers(60, 196, (4, 5, 1 if grey else 3))
            pattern = pattern.repeat(6, 0).repeat(6, 1)
            for image in range(count):
                pixels = (pattern + rng.normal(0, 40, pattern.shape)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels.squeeze()).save(folder / f"{image}.png")
    return f"folder:{path}"


@functools.lru_cache(maxsize=4)
def tiny_data(channels: int = 1) -> Splits:
    """60 training, 20 validation, 40 test images of 4 classes: not from ``load``, no recipe."""
    parts = [tiny_split(count, seed, channels) for seed, count in enumerate((60, 20, 40))]
    mean, std = (0.0,) * channels, (1.0,) * channels
    return Splits(*parts, classes=("a", "b", "c", "d"), mean=mean, std=std, name="tiny")


def tiny_teacher(seed: int = 0) -> Teacher:
    """An untrained teacher with distinctive outputs: enough for everything but accuracy."""
    network = functools.partial(TeacherNet, num_classes=CLASSES, in_channels=1, width=2)
    return Teacher(build(network, seed), {})


@dataclass(eq=False)
class Outputs:
    """A teacher whose outputs ``[views, N, classes]`` are given."""

    logits: torch.Tensor

    def bank(self, split, views):
        return self.logits


def student_of(method):
    """Builds the student that this method needs."""
    needs = {methods.BYOT: MULTI_EXIT, methods.DML: COHORT}
    needs |= {methods.DeiT: TRANSFORMER, methods.TwoClassTokens: TRANSFORMER}
    return next((student for kind, student in needs.items() if isinstance(method, kind)), STUDENT)


def train(method=None, config=CONFIG, student=None, data=None) -> Run:
    """The tiny training of a method, of the student that it needs."""
    method = method or CrossEntropy()
    student = build(student or student_of(method), config.seed)
    return fit(student, method, data or tiny_data(), config)


def study(arms, seeds=2, by=compare, **changes):
    """A comparison, or a choice, on the tiny data."""
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "workers": 1}
    return by(arms, seeds, **(shared | {"report": None} | changes))


def batch_of(view=0, count=6, **changes):
    """A batch of random logits; the positions are 3, 4, …"""
    torch.manual_seed(0)
    given = {
        "images": torch.zeros(count, 1, 32, 32),
        "targets": torch.arange(count) % CLASSES,
        "positions": torch.arange(count) + 3,
        "view": view,
        "progress": 0.5,
        "student": nn.Identity(),
        "student_logits": torch.randn(count, CLASSES, requires_grad=True),
        "features": {},
        "epoch": 1,
        "epochs": 2,
    }
    return Batch(**(given | changes))


def equal_states(first: dict, second: dict) -> bool:
    same = first.keys() == second.keys()
    return same and all(torch.equal(first[name], second[name]) for name in first)


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
    """Cross-entropy of logits times a trained scale: a method with a parameter of its own."""

    def prepare(self, student, train, views, device):
        self.scale = nn.Parameter(torch.ones((), device=device))

    def parameters(self):
        return [self.scale]

    def terms(self, batch):
        return {"hard": F.cross_entropy(batch.student_logits * self.scale, batch.targets)}


class DrawingStudent(StudentNet):
    """A student whose construction consumes one random number more than it should."""

    def __init__(self, **sizes):
        torch.rand(1)
        super().__init__(**sizes)


class TinySettings:
    """Stands for ``course.profiles.Settings``, with the data of the tests."""

    seeds = 2
    choice_seeds = 1

    @staticmethod
    def pick(*, smoke, lesson, full):
        return smoke

    def splits(self):
        return tiny_data()

    def student(self, architecture=None):
        sizes = {"num_classes": CLASSES, "in_channels": 1}
        return functools.partial(architecture, **sizes) if architecture else STUDENT

    def config(self, **changes):
        return dataclasses.replace(CONFIG, **changes)

    def teacher(self):
        return self.timed(tiny_teacher(0), 100.0)

    def more_teachers(self):
        wide = Teacher(build(functools.partial(STUDENT, width=4), 1), {})
        return {"wide": self.timed(wide, 10.0), "third": self.timed(tiny_teacher(2), 1.0)}

    @staticmethod
    def timed(teacher, seconds):
        teacher.record["seconds"] = seconds
        return teacher
