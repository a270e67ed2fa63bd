"""The cost of the course's training loop, as ratios measured in one run on one machine.

The work is an epoch of distillation from TeacherNet to StudentNet. A plain loop, as tutorials write it, is timed
against ``training.fit``; they alternate, so that a drift of the machine's speed meets both. torchdistill is left out:
its data handling is configuration, so that any figure would be that of our configuration.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from torch import Tensor, nn

from kdnotes import losses, training
from kdnotes.data import Split, Splits, Views, load
from kdnotes.methods import KD, CrossEntropy, Method
from kdnotes.models import StudentNet, TeacherNet
from kdnotes.teachers import Teacher, outputs
from kdnotes.training import Config

__all__ = ["run"]

CONFIG = Config(epochs=1, batch_size=64, views=Views(1))
EPOCHS_A_VIEW = 5  # of the lesson profile: 40 epochs, 8 views
SECONDS = {
    "plain": "plain loop: PIL, 2 loading processes, live teacher, all cores",
    "kd": "kdnotes, distillation, one run in one thread",
    "parallel": "kdnotes, distillation, a run a core, an epoch",
    "ce": "kdnotes, cross-entropy, one run in one thread",
    "bank": f"bank of one view, which serves {EPOCHS_A_VIEW} epochs of every run",
}
FIGURES = {
    "speedup": ("plain loop / kdnotes", "≥ 10"),
    "speedup_paying_for_bank": ("plain loop / kdnotes, if one run alone pays for the bank", ""),
    "speedup_parallel": ("plain loop / kdnotes as studies run it, a run a core", "≥ 10"),
    "distillation_over_cross_entropy": ("distillation arm / cross-entropy arm", "≤ 1.10"),
    "worker_peak_gib": ("peak memory of a worker, GiB", "≤ 2"),
    "import_seconds": ("import kdnotes after torch, s", "≤ 0.5"),
    "import_seconds_chapter": ("import of all that a chapter uses after torch, s", ""),
}
IMPORT = "import torch, time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
WORKER = """
import resource, sys
from kdnotes import methods, study
from kdnotes.course import profiles
chosen = profiles.settings("{}")
study.compare({{"kd": methods.KD(chosen.teacher(), 2.0)}}, 1, student=chosen.student(), data=chosen.splits(),
              config=chosen.config(epochs=2), workers=1, report=None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30)
"""


@dataclass
class Stored:
    """A teacher whose outputs ``[views, N, classes]`` are at hand: what the bank costs is measured apart."""

    logits: Tensor

    def bank(self, split: Split, views: Views) -> Tensor:
        return self.logits


def run(*, quick: bool = False, output: Path | None = None, echo: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure, print a table through ``echo``, and return all figures; also write them to ``output`` as JSON.

    With ``quick`` the sizes are small and nothing is repeated: it shows that the measurement works, no more.
    """
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise ValueError(f"output must be a file in an existing folder, not {str(output)!r}")
    count, widths, repeats = (192, (8, 8), 1) if quick else (5000, (64, 32), 3)
    data, small, cores = _data(count), _data(128), os.cpu_count() or 1
    teacher = Teacher(training.build(functools.partial(TeacherNet, width=widths[0]), 0), {})
    student = functools.partial(StudentNet, width=widths[1])
    kd = KD(Stored(outputs(teacher.model, data.train, CONFIG.views)), 4.0, 0.1)
    times: dict[str, list[float]] = {name: [] for name in ("plain", "bank", "kd", "ce", "parallel")}
    with Parallel(n_jobs=cores) as pool:
        for work in (small, *[data] * repeats):  # the first is to warm up: thread pools, processes, memory
            method = kd if work is data else CrossEntropy()
            began = time.perf_counter()
            outputs(teacher.model, work.train, CONFIG.views)
            measured = {"bank": time.perf_counter() - began, "plain": _plain_epoch(student(), teacher.model, work)}
            measured |= {"kd": _fit(student, method, work), "ce": _fit(student, CrossEntropy(), work)}
            runs = pool(delayed(_fit)(student, method, work) for _ in range(cores))
            measured["parallel"] = statistics.mean(runs) / cores
            if work is data:
                echo("measured, in seconds: " + ", ".join(f"{name} {value:.2f}" for name, value in measured.items()))
                times = {name: [*values, measured[name]] for name, values in times.items()}
    figures = {"images": count, "cores": cores, "torch": torch.__version__, "quick": quick, "load": os.getloadavg()[0]
               if hasattr(os, "getloadavg") else None, "seconds": times, **_ratios(times, quick)}  # fmt: skip
    if output is not None:  # before anything that can go wrong with what is printed
        partial = Path(output).with_name(Path(output).name + ".tmp")
        partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        partial.replace(output)
    _print(figures, echo)
    return figures


def _data(count: int) -> Splits:
    """Embedded images in three channels."""
    grey = load(train_images=count, validation_images=20, test_images=20)
    parts = [Split(p.images.repeat(1, 3, 1, 1), p.targets, p.index) for p in (grey.train, grey.validation, grey.test)]
    return Splits(*parts, classes=grey.classes, mean=grey.mean * 3, std=grey.std * 3, name="bench")


def _fit(student: Callable[[], nn.Module], method: Method, data: Splits) -> float:
    return training.fit(student(), method, data, CONFIG).seconds


class _Pictures(torch.utils.data.Dataset):
    def __init__(self, data: Splits):
        from torchvision import transforms as T
        from torchvision.transforms.functional import to_pil_image

        steps = [T.RandomCrop(32, padding=2), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(data.mean, data.std)]
        self.augment, self.targets = T.Compose(steps), data.train.targets.tolist()
        self.pictures = [to_pil_image(image) for image in data.pixels(data.train.images)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.augment(self.pictures[i]), self.targets[i]


def _plain_epoch(student: nn.Module, teacher: nn.Module, data: Splits) -> float:
    """The loop of most tutorials: PIL transforms in two loading processes, and the teacher asked at every step."""
    loader = torch.utils.data.DataLoader(_Pictures(data), batch_size=64, shuffle=True, num_workers=2)
    optimizer = torch.optim.AdamW(student.parameters(), lr=4e-3)
    student.train()
    began = time.perf_counter()
    for images, targets in loader:
        with torch.no_grad():
            teacher_logits = teacher(images)
        logits = student(images)
        loss = 0.1 * nn.functional.cross_entropy(logits, targets) + 0.9 * losses.kd_loss(logits, teacher_logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def _subprocess(code: str) -> float | None:
    """The number that a fresh Python with an empty cache prints; ``None`` if it could not."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"KDNOTES_CACHE": folder}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return float(done.stdout) if done.returncode == 0 else None


def _ratios(times: dict[str, list[float]], quick: bool) -> dict[str, float | None]:
    best = {name: min(values) for name, values in times.items()}
    return {
        "speedup": best["plain"] / best["kd"],
        "speedup_paying_for_bank": best["plain"] / (best["kd"] + best["bank"] / EPOCHS_A_VIEW),
        "speedup_parallel": best["plain"] / best["parallel"],
        "distillation_over_cross_entropy": best["kd"] / best["ce"],
        "worker_peak_gib": _subprocess(WORKER.format("smoke" if quick else "lesson")),
        "import_seconds": _subprocess(IMPORT.format("kdnotes")),
        "import_seconds_chapter": _subprocess(IMPORT.format("kdnotes.profiles, kdnotes.study, kdnotes.plots")),
    }


def _print(figures: dict[str, Any], echo: Callable[[str], None]) -> None:
    heading = f"One epoch of {figures['images']} images, batch 64, {figures['cores']} cores"
    echo(f"\n{heading:<66}{'best s':>9}{'median s':>10}")
    for name, what in SECONDS.items():
        times = figures["seconds"][name]
        echo(f"{what:<66}{min(times):9.2f}{statistics.median(times):10.2f}")
    echo(f"\n{'Figure (of best times)':<66}{'measured':>9}{'aim':>10}")
    for name, (what, aim) in FIGURES.items():
        value = figures[name]
        echo(f"{what:<66}{'unknown' if value is None else f'{value:.2f}':>9}{aim:>10}{_verdict(value, aim)}")


def _verdict(value: float | None, aim: str) -> str:
    if value is None or not aim:
        return ""
    sign, bound = aim.split()
    return "  met" if (value >= float(bound) if sign == "≥" else value <= float(bound)) else "  not met"
