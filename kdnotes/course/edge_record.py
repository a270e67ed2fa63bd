"""The record of the edge runtimes: the lesson's student in all of them, on this machine.

``python -m kdnotes.course.edge_record`` writes it, where all extras are installed and the machine
has nothing else to do; without ``--output`` into the package, for the chapter on edge runtimes.
"""

from __future__ import annotations

import argparse
import datetime
import functools
from pathlib import Path

import pandas as pd
from torch import Tensor, nn

from kdnotes import edge, study, training
from kdnotes.course import baseline, profiles
from kdnotes.course.profiles import Settings
from kdnotes.data import Split
from kdnotes.edge import runtimes
from kdnotes.edge.runtimes import installed, micro, surprises

__all__ = ["SURPRISES", "calibration", "make", "students", "trained_student"]

OUTPUT = Path(runtimes.__file__).with_name("record.json")
SURPRISES = {  # the kind of file → settings that make a surprise in it
    "float": (
        runtimes.ExecuTorch(gradients=True), runtimes.Ncnn(half=True), runtimes.OpenVino(half=True),
    ),
    "int8": (
        runtimes.OnnxRuntime(signed_activations=True), runtimes.LiteRT(ranges="moving average"),
    ),
}  # fmt: skip
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


def students(settings: Settings, trained: nn.Module) -> dict[str, nn.Module]:
    """The course's networks that might go onto a microcontroller; sizes need no other training."""
    untrained = {
        "student (smoke)": settings.student(profiles.PROFILES["smoke"].student),
        "student (lesson)": settings.student(profiles.PROFILES["lesson"].student),
        "student (full)": settings.student(profiles.PROFILES["full"].student),
        "teacher (lesson)": settings.teacher_factory(),
    }
    networks = {name: build().eval() for name, build in untrained.items()}
    return networks | {f"student ({settings.profile.name})": trained}


def make(settings: Settings, repeats: int = 200, paced_repeats: int = 40) -> runtimes.Record:
    """Measure everything.

    Raises:
        ModuleNotFoundError: a runtime or tflite-micro is not installed.
        RuntimeError: a runtime failed.
    """
    for what in [one.missing() for one in runtimes.ALL] + [micro.missing()]:
        if what:
            raise ModuleNotFoundError(f"the record needs all runtimes: {what}")
    network, test, given = trained_student(settings), settings.splits().test, calibration(settings)
    tables = compared(network, test, given, repeats=repeats, paced_repeats=paced_repeats)
    small = micro.table(students(settings, network), given)
    found = effects(network, test.images, given)
    return runtimes.Record(
        *tables, small, found, edge.machine(), made(settings, len(given)), added_megabytes()
    )


def compared(
    network: nn.Module, test: Split, given: Tensor, **sizes: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of all runtimes, and that of the settings that make surprises."""
    call = functools.partial(runtimes.compare, network, test.images, test.targets, given, **sizes)
    parts = [call(chosen, kinds=(kind,)) for kind, chosen in SURPRISES.items()]
    tables = call(), pd.concat(parts, ignore_index=True)
    for status in [one for table in tables for one in table["status"]]:
        if status.startswith("failed"):
            raise RuntimeError(f"a runtime {status}")
    return tables


def made(settings: Settings, images: int) -> dict[str, object]:
    """What the record is of."""
    return {
        "date": datetime.date.today().isoformat(),
        "student": "KD baseline, seed 0",
        "profile": settings.profile.name,
        "dataset": settings.dataset,
        "calibration images": images,
    }


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
    make(profiles.settings(given.profile, "fashion-mnist", None)).save(given.output)


if __name__ == "__main__":
    main()
