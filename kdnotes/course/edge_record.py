"""The record of the edge runtimes: the lesson's student in all of them, on this machine.

``python -m kdnotes.course.edge_record`` writes it, where all extras are installed and the machine
has nothing else to do; without ``--output`` into the package, for the chapter on edge runtimes.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from kdnotes import edge, models, study, training
from kdnotes.course import baseline, profiles
from kdnotes.course.profiles import Settings
from kdnotes.edge import runtimes
from kdnotes.edge.runtimes import installed, micro, surprises

__all__ = ["SURPRISES", "calibration", "make", "students", "trained_student"]

OUTPUT = Path(runtimes.__file__).with_name("record.json")
SURPRISES = (
    runtimes.OnnxRuntime(signed_activations=True),
    runtimes.ExecuTorch(gradients=True),
    runtimes.LiteRT(ranges="moving average"),
    runtimes.Ncnn(half=True),
    runtimes.OpenVino(half=True),
)
LARGEST = 64  # images of the batch that is asked for


def trained_student(settings: Settings, seed: int = 0) -> nn.Module:
    """The student that the KD baseline has trained, from the store of runs if it is there."""
    kd = baseline.kd(settings.teacher()).method
    shared = {"student": settings.student(), "data": settings.splits(), "config": settings.config()}
    runs = study.compare({"KD": kd}, [seed], **shared, report=None).runs
    return training.trained(settings.student(), runs["KD", seed])


def calibration(settings: Settings) -> Tensor:
    """Training images that show the ranges of activations, as many as in the chapter before."""
    number = settings.pick(smoke=50, lesson=200, full=500)
    return settings.splits().train.images[:number]


def students(settings: Settings) -> Mapping[str, Callable[[], nn.Module]]:
    """The course's networks that might go onto a microcontroller, untrained: sizes need no more."""
    return {
        "student (smoke)": settings.student(profiles.PROFILES["smoke"].student),
        "student (lesson)": settings.student(profiles.PROFILES["lesson"].student),
        "student (full)": settings.student(models.StudentNet),
        "teacher (lesson)": settings.teacher_factory(),
    }


def make(settings: Settings, output: Path, repeats: int = 200, paced_repeats: int = 40) -> None:
    """Measure everything and write it, as ``runtimes.recorded`` reads it.

    Raises:
        ModuleNotFoundError: a runtime or tflite-micro is not installed.
        RuntimeError: a runtime failed.
    """
    for what in [one.missing() for one in runtimes.ALL] + [micro.missing()]:
        if what:
            raise ModuleNotFoundError(f"the record needs all runtimes: {what}")
    network, test, given = trained_student(settings), settings.splits().test, calibration(settings)
    sizes = {"repeats": repeats, "paced_repeats": paced_repeats}
    tables = [
        runtimes.compare(network, test.images, test.targets, given, chosen, **sizes)
        for chosen in (runtimes.ALL, SURPRISES)
    ]
    for status in [one for table in tables for one in table["status"]]:
        if status.startswith("failed"):
            raise RuntimeError(f"a runtime {status}")
    built = {name: build().eval() for name, build in students(settings).items()}
    made = {
        "date": datetime.date.today().isoformat(),
        "student": "KD baseline, seed 0",
        "profile": settings.profile.name,
        "dataset": settings.dataset,
        "calibration images": len(given),
    }
    runtimes.Record(
        *tables, micro.table(built, given), effects(network, test.images, given),
        edge.machine(), made, added_megabytes(),
    ).save(output)  # fmt: skip


def effects(network: nn.Module, images: Tensor, given: Tensor) -> dict[str, dict[str, object]]:
    """What depends on the order of calibration images, and on the example's batch."""
    orders = {
        one: surprises.reordered(runtimes.LiteRT(ranges=one), network, images, given)
        for one in ("moving average", "extremes")
    }
    batches = {
        f"example of {batch}": surprises.largest_batch(
            runtimes.ExecuTorch(batch=batch, up_to=LARGEST), network, images[:LARGEST]
        )
        for batch in (2, LARGEST)
    }
    return {"order of calibration": orders, "largest batch": batches}


def added_megabytes() -> dict[str, float]:
    """What each extra adds to the core's installation here, and all of them together."""
    parts = {one.extra: one.packages for one in runtimes.ALL if one.extra}
    parts["micro"] = (micro.PACKAGE,)
    parts["runtimes"] = tuple(package for packages in parts.values() for package in packages)
    return {extra: round(installed.megabytes(packages), 1) for extra, packages in parts.items()}


def main() -> None:
    """Write the record of the lesson's student."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file")
    parser.add_argument("--profile", default="lesson", choices=tuple(profiles.PROFILES))
    given = parser.parse_args()
    make(profiles.settings(given.profile, "fashion-mnist", None), given.output)


if __name__ == "__main__":
    main()
