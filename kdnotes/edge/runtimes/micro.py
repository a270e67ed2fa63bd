"""A microcontroller's view: flash for the file, RAM for TensorFlow Lite Micro's arena."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor, nn

from kdnotes import checks
from kdnotes.edge.measure import working_memory
from kdnotes.edge.runtimes.interface import Runtime, version
from kdnotes.edge.runtimes.litert import LiteRT

__all__ = ["FLASH", "PACKAGE", "RAM", "Arena", "arena", "missing", "table"]

FLASH, RAM = 256 * 1024, 64 * 1024  # bytes of a small microcontroller
PACKAGE = "tflite-micro"
RUN = """
import sys
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
with open(sys.argv[1], "rb") as file:
    model = schema.Model.GetRootAsModel(file.read(), 0)
if any(model.Buffers(k).Offset() > 1 for k in range(model.BuffersLength())):
    sys.exit("its weights lie behind the flatbuffer, where tflite-micro does not read them")
network = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
given = network.get_input_details(0)
import numpy
network.set_input(numpy.zeros(given["shape"], given["dtype"]), 0)
network.invoke()
network.print_allocations()
"""
SAID = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True)
class Arena:
    """Bytes of RAM that TensorFlow Lite Micro takes for one network.

    Args:
        total: all of it.
        activations: its head, which tensors share, one after the other.
        persistent: its tail: what is known of tensors and operators, as long as the network lives.
    """

    total: int
    activations: int
    persistent: int


def missing() -> str:
    """What to install before ``arena`` can be called; "" if nothing."""
    return "" if version(PACKAGE) else 'pip install "kdnotes[micro]"'


def arena(path: Path, most: int = 16 * 2**20) -> Arena:
    """What TensorFlow Lite Micro's recording allocator tells after one run, in another process.

    On a computer of 64 bits: on a microcontroller, pointers take half as much, so that
    ``persistent`` is smaller there.

    Args:
        path: a ``.tflite`` file.
        most: bytes that it may take.

    Raises:
        ModuleNotFoundError: tflite-micro is not installed.
        RuntimeError: it could not run the file, such as for an operator that it does not have; or
            weights lie behind the flatbuffer: it would take them for activations, and compute
            something else without a word.
    """
    checks.existing_file("path", path, "a file of LiteRT")
    if what := missing():
        raise ModuleNotFoundError(f"tflite-micro is not installed: {what}")
    command = [sys.executable, "-c", RUN, str(path), str(most)]
    done = subprocess.run(command, capture_output=True, text=True)
    told = {name: int(number) for name, number in SAID.findall(done.stdout + done.stderr)}
    if done.returncode or len(told) < 3:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"tflite-micro could not run {Path(path).name}: {said}")
    return Arena(told["total"], told["head"], told["tail"])


def table(
    networks: Mapping[str, nn.Module], calibration: Tensor, *, flash: int = FLASH, ram: int = RAM,
    writer: Runtime | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Which of the networks fit, in int8? One row each.

    Columns: ``network``, ``parameters``; ``flash``, bytes of the file; ``estimate``, the most
    numbers that wait at once by ``edge.working_memory``, which are bytes in int8; ``activations``,
    ``persistent`` and ``arena``, see ``Arena``; ``fits``, whether file and arena do. The program
    itself takes flash too, which is not counted.

    Args:
        networks: name → network in float, with ``in_channels``.
        calibration: images of the *training* set.
        flash, ram: bytes that there are.
        writer: of the files; by default ``LiteRT()``.
    """
    checks.count("flash", flash)
    checks.count("ram", ram)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, network in networks.items():
            path = (writer or LiteRT()).export(network, Path(folder, "int8.tflite"), calibration)
            taken, size = arena(path), path.stat().st_size
            rows.append(
                {
                    "network": name,
                    "parameters": sum(one.numel() for one in network.parameters()),
                    "flash": size,
                    "estimate": max(working_memory(network).values()),
                    "activations": taken.activations,
                    "persistent": taken.persistent,
                    "arena": taken.total,
                    "fits": size <= flash and taken.total <= ram,
                }
            )
    return pd.DataFrame(rows)
