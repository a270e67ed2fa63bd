"""The record of rounding: the lesson's CE and KD students of all seeds in int8 by torchao.

``python -m kdnotes.course.rounding_record`` writes it, where the extra "executorch" is installed;
without ``--output`` into the package, for the chapter on edge runtimes. The int8 accuracies are
those of ExecuTorch's own files, the float ones PyTorch's. Begun again on the same day, it goes on
with the students that are missing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from kdnotes import edge, metrics, study, training
from kdnotes.course import baseline, edge_record, profiles
from kdnotes.course.profiles import Settings
from kdnotes.data import Split
from kdnotes.edge import runtimes
from kdnotes.methods import CrossEntropy
from kdnotes.training import Run

__all__ = ["accuracy", "measure", "students"]

OUTPUT = Path(runtimes.__file__).with_name("rounding.json")


def students(settings: Settings) -> dict[tuple[str, int], Run]:
    """(arm, seed) → the run of CE or of the KD baseline, from the store if it is there."""
    methods = {"CE": CrossEntropy(), "KD": baseline.kd(settings.teacher()).method}
    shared = {"student": settings.student(), "data": settings.splits(), "config": settings.config()}
    return study.compare(methods, settings.seeds, **shared, report=None).runs


def accuracy(runtime: runtimes.Runtime, network: nn.Module, test: Split, given: Tensor) -> float:
    """Of the runtime's int8 file, which is removed.

    Args:
        given: images of the calibration, ``[N, C, 32, 32]``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = runtime.export(network, Path(folder, f"int8{runtime.suffix}"), given)
        return metrics.accuracy(runtime.load(path).predict(test.images), test.targets)


def measure(
    settings: Settings, path: Path, runtime: runtimes.Runtime | None = None
) -> Iterator[runtimes.Rounding]:
    """The record after each further student. It is written each time, beside the file, whose place
    it takes when it is complete.

    Args:
        path: the file. What it, or one that was begun, holds of the same day, machine and versions
            is kept.
        runtime: by default ExecuTorch, whose int8 is torchao's.

    Raises:
        ModuleNotFoundError: the runtime is not installed.
    """
    runtime = runtime or runtimes.ExecuTorch()
    if what := runtime.missing():
        raise ModuleNotFoundError(f"{runtime.name} is not installed: {what}")
    given, test = edge_record.calibration(settings), settings.splits().test
    about = {"made": made(settings, len(given), len(test.targets), runtime)}
    about["machine"] = edge.machine()
    begun = path.with_suffix(".begun.json")
    rows = _kept(begun if begun.exists() else path, about)
    for (arm, seed), run in students(settings).items():
        if any((row["arm"], row["seed"]) == (arm, seed) for row in rows):
            continue
        network = training.trained(settings.student(), run)
        scores = {"float": run.metrics["test_accuracy"]}
        scores["int8"] = accuracy(runtime, network, test, given)
        rows.append({"arm": arm, "seed": seed, **scores})
        record = runtimes.Rounding(pd.DataFrame(rows), **about)
        record.save(begun)
        yield record
    if begun.exists():
        begun.replace(path)


def made(
    settings: Settings, calibration: int, images: int, runtime: runtimes.Runtime
) -> dict[str, Any]:
    """What the record is of."""
    common = edge_record.made(settings, calibration)
    mine = {"student": "CE and KD baseline", "test images": images, "runtime": runtime.label}
    limits = {
        "instructions": torch.backends.cpu.get_cpu_capability()
    }  # here; the trainings, too, if none was stored
    return common | mine | limits | {"versions": runtime.versions()}


def _kept(path: Path, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a file that was made in this way; of another, or of none, nothing."""
    if not path.exists():
        return []
    held = runtimes.recorded_rounding(path)
    same = {"made": held.made, "machine": held.machine} == about
    return held.table.to_dict("records") if same else []


def main() -> None:
    """Write the record of the lesson's students."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file")
    parser.add_argument("--profile", default="lesson", choices=tuple(profiles.PROFILES))
    given = parser.parse_args()
    if given.profile != "lesson" and given.output == OUTPUT:
        parser.error("--output is needed: the package's record is of the lesson")
    for record in measure(profiles.settings(given.profile, "fashion-mnist", None), given.output):
        row = record.table.iloc[-1]
        print(f"{row['arm']}, seed {row['seed']}: {row['float']:.2%} → {row['int8']:.2%}")


if __name__ == "__main__":
    main()
