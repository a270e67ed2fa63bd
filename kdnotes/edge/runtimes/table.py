"""Is it still the same network? One table of all runtimes, in float and in int8."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from kdnotes import checks, costs, metrics
from kdnotes.edge.runtimes.executorch import ExecuTorch
from kdnotes.edge.runtimes.interface import Loaded, Runtime
from kdnotes.edge.runtimes.litert import LiteRT
from kdnotes.edge.runtimes.ncnn import Ncnn
from kdnotes.edge.runtimes.onnx_runtime import OnnxRuntime
from kdnotes.edge.runtimes.openvino import OpenVino
from kdnotes.training import predict

__all__ = ["ALL", "COLUMNS", "compare"]

ALL = (OnnxRuntime(), ExecuTorch(), LiteRT(), Ncnn(), OpenVino())
COLUMNS = (
    "runtime", "kind", "status", "install", "versions", "precision", "layers", "float_layers",
    "largest_difference", "flips", "images", "accuracy", "bytes", "hot_ms", "hot_ratio",
    "paced_ms", "paced_ratio", "operators",
)  # fmt: skip
KINDS = ("float", "int8")
_check_module = checks.instance(nn.Module, said="a torch.nn.Module")
_check_runtime = checks.instance(Runtime, said="runtimes, such as OnnxRuntime()")
YARDSTICK = "yardstick"  # the name of its calls: ONNX Runtime's float file, loaded by itself


def compare(
    network: nn.Module, images: Tensor, targets: Tensor, calibration: Tensor,
    chosen: Sequence[Runtime] = ALL, *, kinds: Sequence[str] = KINDS, repeats: int = 40,
    paced_repeats: int = 20, period: float = 0.02, folder: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """One row for each runtime, in float and in int8: the same answers, at which size and speed?

    Columns: ``runtime``, ``kind``; ``status`` ("measured", "not installed", "not offered" or
    "failed: …"; without "measured" what follows is empty) and ``install``, what to do about it;
    ``versions``; ``precision`` of the layers, how many ``layers`` (convolutions and linear) there
    are and how many ``float_layers`` of them compute in a floating-point number;
    ``largest_difference`` to PyTorch's logits, ``flips``, answers other than PyTorch's, of
    ``images``; ``accuracy``, a fraction; ``bytes`` of all files; ``hot_ms`` and ``paced_ms``,
    medians of single images in turns (``costs.latency``, ``costs.paced``), and their ratios to ONNX
    Runtime's float file in the same turns; ``operators`` that are executed, by type.

    Args:
        network: from images to logits, with ``in_channels``; it is left as it was.
        images, targets: the test set, ``[N, C, 32, 32]`` and ``[N]``.
        calibration: images of the *training* set, for int8.
        chosen: the runtimes, in the order of the rows.
        kinds: of the rows of each runtime.
        repeats, paced_repeats: timed calls of each file.
        period: seconds from one paced call to the next.
        folder: where the files are kept; by default they are removed.
    """
    _check_arguments(network, images, calibration, chosen, kinds, folder)
    checks.count("repeats", repeats)
    checks.count("paced_repeats", paced_repeats)
    checks.positive("period", period)
    wanted = predict(network, images)
    checks.targets(targets, wanted.shape[1], len(images))
    with contextlib.ExitStack() as stack:
        place = Path(folder or stack.enter_context(tempfile.TemporaryDirectory()))
        first, rows = OnnxRuntime(), []
        in_float = first.export(network, place / "yardstick.onnx")
        loaded = {YARDSTICK: first.load(in_float)}
        for number, runtime in enumerate(chosen):
            runtime = runtime.beside(in_float)
            for kind in kinds:
                path = place / f"{number}_{kind}{runtime.suffix}"
                given = calibration if kind == "int8" else None
                row, network_there = _made(runtime, kind, network, path, given)
                if network_there is not None:
                    row |= _same(network_there, images, targets, wanted)
                    loaded[len(rows)] = network_there
                rows.append(row)
        _time(rows, loaded, images[:1], repeats, paced_repeats, period)
        loaded.clear()  # some systems remove no file that is in use
    return pd.DataFrame(rows, columns=COLUMNS)


def _check_arguments(
    network: nn.Module, images: Tensor, calibration: Tensor, chosen: Sequence[Runtime],
    kinds: Sequence[str], folder: Path | None,
) -> None:  # fmt: skip
    """What would else be a failure of each runtime."""
    _check_module("network", network)
    channels = getattr(network, "in_channels", None)
    checks.images("images", images, channels)
    checks.images("calibration", calibration, channels)
    for runtime in chosen:
        _check_runtime("chosen", runtime)
    for kind in kinds:
        checks.one_of(*KINDS)("kinds", kind)
    if folder is not None and not Path(folder).is_dir():
        raise ValueError(f"folder must be an existing folder, not {str(folder)!r}")


def _made(
    runtime: Runtime, kind: str, network: nn.Module, path: Path, calibration: Tensor | None
) -> tuple[dict[str, Any], Loaded | None]:
    """The beginning of a row, and the network as its runtime has loaded it, if it could."""
    row: dict[str, Any] = {"runtime": runtime.label, "kind": kind, "install": runtime.missing()}
    if row["install"]:
        return row | {"status": "not installed"}, None
    row["versions"] = ", ".join(f"{name} {there}" for name, there in runtime.versions().items())
    if kind not in runtime.kinds:
        return row | {"status": "not offered"}, None
    try:
        loaded = runtime.load(runtime.export(network, path, calibration))
    except Exception as error:  # other software, of versions that nobody here has tried
        said = " ".join(str(error).split())[:200]
        return row | {"status": f"failed: {type(error).__name__}: {said}"}, None
    return row | {"status": "measured"}, loaded


def _same(loaded: Loaded, images: Tensor, targets: Tensor, wanted: Tensor) -> dict[str, Any]:
    """How far the logits are from PyTorch's, and what the runtime tells of itself."""
    logits, layers = loaded.predict(images), loaded.layers()
    return {
        "precision": loaded.precision,
        "layers": sum(layers.values()),
        "float_layers": sum(number for kind, number in layers.items() if "float" in kind),
        "largest_difference": float((logits - wanted).abs().max()),
        "flips": int((logits.argmax(1) != wanted.argmax(1)).sum()),
        "images": len(images),
        "accuracy": metrics.accuracy(logits, targets),
        "bytes": loaded.bytes,
        "operators": loaded.operators(),
    }


def _time(
    rows: list[dict[str, Any]], loaded: dict[Any, Loaded], one: Tensor, repeats: int,
    paced_repeats: int, period: float,
) -> None:  # fmt: skip
    """Add the latencies of one image, and their ratios to the yardstick's."""
    calls = {key: network.bound(one) for key, network in loaded.items()}
    paced = costs.paced(calls, period, paced_repeats)
    times = {
        "hot": costs.latency(calls, repeats),
        "paced": {key: statistics.median(found) for key, found in paced.items()},
    }
    for name, medians in times.items():
        for key in medians.keys() - {YARDSTICK}:
            rows[key][f"{name}_ms"] = medians[key]
            rows[key][f"{name}_ratio"] = medians[key] / medians[YARDSTICK]
