"""The cost of the course's training loop, as ratios measured in one run on one machine.

The work is an epoch of distillation from TeacherNet to StudentNet. A plain loop, as tutorials write
it, is timed against ``training.fit``; they alternate, so that a drift of the machine's speed meets
both. torchdistill is left out: its data handling is configuration, so that any figure would be that
of our configuration.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from kdnotes import checks, losses, progress
from kdnotes.data import Split, Splits, Views, load
from kdnotes.files import write_text
from kdnotes.methods import KD, CrossEntropy, Method
from kdnotes.models import StudentNet, TeacherNet
from kdnotes.teachers import Teacher, outputs
from kdnotes.training import STACKED, Config, build, fit, fit_together

__all__ = ["run"]

CONFIG = Config(epochs=1, batch_size=64, views=Views(1))
EPOCHS_A_VIEW = 5  # of the lesson profile: 40 epochs, 8 views
SECONDS = {
    "plain": "plain loop: PIL, 2 loading processes, live teacher, all cores",
    "kd": "kdnotes, distillation, one run in one thread",
    "stack": f"kdnotes, distillation, {STACKED} seeds as one network in one thread, a seed",
    "parallel": f"kdnotes, distillation, {STACKED} seeds a core, a seed",
    "ce": "kdnotes, cross-entropy, one run in one thread",
    "bank": f"bank of one view, which serves {EPOCHS_A_VIEW} epochs of every run",
}
FIGURES = {  # what it is, and the aim
    "speedup": ("plain loop / kdnotes", "≥ 10"),
    "speedup_paying_for_bank": ("plain loop / kdnotes, if one run alone pays for the bank", ""),
    "speedup_stack": ("one seed at a time / seeds as one network, one thread", ""),
    "speedup_parallel": ("plain loop / kdnotes as studies run it, a stack a core", "≥ 14"),
    "distillation_over_cross_entropy": ("distillation arm / cross-entropy arm", "≤ 1.10"),
    "worker_peak_gib": ("peak memory of a worker, GiB", "≤ 2"),
    "import_seconds": ("import kdnotes after torch, s", "≤ 0.5"),
    "import_seconds_chapter": ("import of all that a chapter uses after torch, s", ""),
}
CHAPTER = "kdnotes.course.profiles, kdnotes.study, kdnotes.show.plots"
IMPORT = "import torch, time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
WORKER = """
from kdnotes import methods, study
from kdnotes.course import profiles
from kdnotes.course.memory import peak_gib
chosen = profiles.settings("{}")
study.compare({{"kd": methods.KD(chosen.teacher(), 2.0)}}, 1, student=chosen.student(),
              data=chosen.splits(), config=chosen.config(epochs=2), workers=1, report=None)
print(peak_gib())
"""


@dataclass
class Stored:
    """A teacher whose outputs ``[views, N, classes]`` are at hand: the bank is measured apart."""

    logits: Tensor

    def bank(self, split: Split, views: Views) -> Tensor:
        return self.logits


def run(
    *, quick: bool = False, output: Path | None = None, echo: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure, print a table through ``echo``, and return all figures; also write ``output``, JSON.

    With ``quick`` the sizes are small and nothing is repeated: it shows that the measurement works.
    """
    if output is not None:
        checks.new_file("output", output)
    count, widths, repeats = (192, (8, 8), 1) if quick else (5000, (64, 32), 3)
    data, cores = colour_data(count), cpu_count()
    teacher = Teacher(build(functools.partial(TeacherNet, width=widths[0]), 0), {}).model
    student = build(functools.partial(StudentNet, width=widths[1]), 0)
    kd = KD(Stored(outputs(teacher, data.train, CONFIG.views)), 4.0, 0.1)
    times: dict[str, list[float]] = {name: [] for name in SECONDS}
    with Parallel(n_jobs=cores) as pool, progress.task("bench", repeats, "rounds") as task:
        _measure(pool, student, teacher, colour_data(128), CrossEntropy())  # to warm up
        for _ in range(repeats):
            measured = _measure(pool, student, teacher, data, kd)
            task.advance()
            echo("measured, in seconds: " + ", ".join(f"{k} {v:.2f}" for k, v in measured.items()))
            for name, seconds in measured.items():
                times[name].append(seconds)
    figures = {"images": count, "cores": cores, "torch": torch.__version__, "quick": quick}
    figures["load"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    best = {name: min(values) for name, values in times.items()}
    figures |= {"seconds": times, **_figures(best, "smoke" if quick else "lesson")}
    if output is not None:  # before anything that can go wrong with what is printed
        write_text(Path(output), json.dumps(figures, indent=2) + "\n")
    _print(figures, echo)
    return figures


def _measure(
    pool: Parallel, student: nn.Module, teacher: nn.Module, data: Splits, method: Method
) -> dict[str, float]:
    """Seconds of each kind of work, done once."""
    began = time.perf_counter()
    outputs(teacher, data.train, CONFIG.views)
    measured = {"bank": time.perf_counter() - began}
    measured["plain"] = plain_epoch(copy.deepcopy(student), teacher, data)
    measured["kd"] = fit(student, method, data, CONFIG).seconds
    measured["ce"] = fit(student, CrossEntropy(), data, CONFIG).seconds
    measured["stack"] = _stack(student, method, data)
    done = pool(delayed(_stack)(student, method, data) for _ in range(pool.n_jobs))
    return measured | {"parallel": statistics.mean(done) / len(done)}


def _stack(student: nn.Module, method: Method, data: Splits) -> float:
    """Seconds a seed of as many as are trained together."""
    configs = [replace(CONFIG, seed=seed) for seed in range(STACKED)]
    return fit_together([student] * STACKED, [method] * STACKED, data, configs)[0].seconds


def colour_data(count: int) -> Splits:
    """``count`` embedded training images, in three channels."""
    grey = load(train_images=count, validation_images=20, test_images=20)
    parts = {name: getattr(grey, name) for name in ("train", "validation", "test")}
    for name, part in parts.items():
        parts[name] = replace(part, images=part.images.repeat(1, 3, 1, 1))
    return replace(grey, **parts, mean=grey.mean * 3, std=grey.std * 3, name="bench")


class Pictures(torch.utils.data.Dataset):
    """The training images as PIL pictures, augmented and normalised one by one."""

    def __init__(self, data: Splits):
        steps = [transforms.RandomCrop(32, padding=2), transforms.RandomHorizontalFlip()]
        steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        self.augment, self.targets = transforms.Compose(steps), data.train.targets.tolist()
        self.pictures = [to_pil_image(image) for image in data.pixels(data.train.images)]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.augment(self.pictures[i]), self.targets[i]


def plain_epoch(student: nn.Module, teacher: nn.Module, data: Splits) -> float:
    """Seconds of most tutorials' loop: PIL in two processes, the teacher asked at every step."""
    loader = torch.utils.data.DataLoader(Pictures(data), batch_size=64, shuffle=True, num_workers=2)
    optimizer = torch.optim.AdamW(student.parameters(), lr=4e-3)
    student.train()
    began = time.perf_counter()
    for images, targets in loader:
        with torch.no_grad():
            teacher_logits = teacher(images)
        logits = student(images)
        hard = nn.functional.cross_entropy(logits, targets)
        loss = 0.1 * hard + 0.9 * losses.kd_loss(logits, teacher_logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def printed_number(code: str) -> float | None:
    """The number that a fresh Python with an empty cache prints; ``None`` if it could not."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"KDNOTES_CACHE": folder, "KDNOTES_STORE": ""}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return float(done.stdout) if done.returncode == 0 else None


def _figures(best: dict[str, float], profile: str) -> dict[str, float | None]:
    return {
        "speedup": best["plain"] / best["kd"],
        "speedup_paying_for_bank": best["plain"] / (best["kd"] + best["bank"] / EPOCHS_A_VIEW),
        "speedup_stack": best["kd"] / best["stack"],
        "speedup_parallel": best["plain"] / best["parallel"],
        "distillation_over_cross_entropy": best["kd"] / best["ce"],
        "worker_peak_gib": printed_number(WORKER.format(profile)),
        "import_seconds": printed_number(IMPORT.format("kdnotes")),
        "import_seconds_chapter": printed_number(IMPORT.format(CHAPTER)),
    }


def _print(figures: dict[str, Any], echo: Callable[[str], None]) -> None:
    heading = f"One epoch of {figures['images']} images, batch 64, {figures['cores']} cores"
    echo(f"\n{heading:<66}{'best s':>9}{'median s':>10}")
    for name, what in SECONDS.items():
        times = figures["seconds"][name]
        echo(f"{what:<66}{min(times):9.2f}{statistics.median(times):10.2f}")
    print_figures("Figure (of best times)", FIGURES, figures, echo)


def print_figures(
    heading: str,
    what: Mapping[str, tuple[str, str]],
    figures: Mapping[str, Any],
    echo: Callable[[str], None],
) -> None:
    """A line a figure: what it is, its value and its aim, and whether it meets it.

    Args:
        what: name → words and aim, such as "≥ 10" or "".
    """
    echo(f"\n{heading:<66}{'measured':>9}{'aim':>10}")
    for name, (words, aim) in what.items():
        value = figures[name]
        shown = "unknown" if value is None else f"{value:.2f}"
        echo(f"{words:<66}{shown:>9}{aim:>10}{verdict(value, aim)}")


def verdict(value: float | None, aim: str) -> str:
    """Whether a figure meets its aim, such as "≥ 10"; "" where either lacks."""
    if value is None or not aim:
        return ""
    sign, bound = aim.split()
    met = value >= float(bound) if sign == "≥" else value <= float(bound)
    return "  met" if met else "  not met"
