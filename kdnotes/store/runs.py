"""Finished trainings and outputs of teachers: stored under their fingerprint, or computed."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from kdnotes import training
from kdnotes.data import Splits
from kdnotes.methods import Method
from kdnotes.store.fingerprint import fingerprint
from kdnotes.store.folder import load_or_make, load_or_make_all, path_of
from kdnotes.store.tensorfile import read, write
from kdnotes.training import Config, Run, loop


def product_precision() -> str:
    """Torch's precision of float32 products."""
    with warnings.catch_warnings():  # torch 2.9 advises against the function, and has no other
        warnings.simplefilter("ignore")
        return torch.get_float32_matmul_precision()


def run_key(factory: Callable[[], nn.Module], method: Method, data: Splits, config: Config) -> str:
    """The key under which ``cached_run`` stores this run."""
    code = [loop.fit, loop.build, torch.__version__]
    code += [torch.get_default_dtype(), product_precision()]
    return fingerprint([code, factory, method, data, config])


def cached_run(
    factory: Callable[[], nn.Module],
    method: Method,
    data: Splits,
    config: Config,
    *,
    fresh: bool = False,
    key: str | None = None,
) -> Run:
    """``training.fit`` of a newly built student, or its stored result (then ``run.cached``).

    Args:
        factory: builds the student, such as ``functools.partial(StudentNet, in_channels=1)``;
            called with the generator seeded by ``config.seed``.
        fresh: compute even if a result is stored, and replace it.
        key: ``run_key`` of these arguments, where it is known.
    """
    keys = None if key is None else [key]
    return cached_runs([Training(factory, method, data, config)], fresh=fresh, keys=keys)[0]


class Training(NamedTuple):
    """What a run is computed from."""

    factory: Callable[[], nn.Module]
    method: Method
    data: Splits
    config: Config


def cached_runs(
    trainings: Sequence[Training], *, fresh: bool = False, keys: Sequence[str] | None = None
) -> list[Run]:
    """``cached_run`` of trainings that differ in their seeds (and methods): what is not stored is
    trained together (``training.fit_together``), and each is stored by itself.

    Args:
        keys: ``run_key`` of each, where they are known.
    """
    keys = [run_key(*one) for one in trainings] if keys is None else keys
    paths = [path_of("runs", key) for key in keys]

    return load_or_make_all(
        paths,
        _read_run,
        lambda missing: train([trainings[number] for number in missing]),
        _write_run,
        fresh,
    )


def train(trainings: Sequence[Training]) -> list[Run]:
    """Their runs, as they are stored: computed here and now, together, whatever is stored."""
    students = [training.build(one.factory, one.config.seed) for one in trainings]
    methods, configs = [one.method for one in trainings], [one.config for one in trainings]
    runs = training.fit_together(students, methods, trainings[0].data, configs)
    # A file does not keep the order of its tensors: what is keyed by a state must not, either.
    return [dataclasses.replace(run, state=_sort(run.state), kept=_sort(run.kept)) for run in runs]


def keep(run: Run, key: str, *, fresh: bool = False) -> Run:
    """Store a run that ``train`` gave in another process, on another machine perhaps.

    Returns:
        The run; or, unless ``fresh``, the one that was stored meanwhile.
    """
    path = path_of("runs", key)
    return load_or_make(
        path, _read_run, lambda: run, lambda one: _write_run(path, one), fresh=fresh
    )


def is_stored(key: str) -> bool:
    """Whether there is a run under this key, whole or damaged."""
    return os.path.exists(path_of("runs", key))


def cached_tensor(parts: list[Any], compute: Callable[[], Tensor]) -> Tensor:
    """The tensor that ``compute`` returns, or the stored one.

    Args:
        parts: all that it depends on, with the function that computes it.
    """
    path = path_of("banks", fingerprint([parts, torch.__version__]))
    return load_or_make(
        path,
        lambda stored: read(stored)[0]["tensor"],
        lambda: compute().contiguous(),
        lambda tensor: write(path, {"tensor": tensor}, {}),
    )


def _write_run(path: Path, run: Run) -> None:
    tensors = {"logits.validation": run.validation_logits, "logits.test": run.test_logits}
    tensors |= {f"state.{name}": tensor for name, tensor in run.state.items()}
    tensors |= {f"kept.{name}": tensor for name, tensor in run.kept.items()}
    named = ("metrics", "seconds", "start", "order", "created")
    record = {name: getattr(run, name) for name in named}
    record["history"] = run.history.to_dict(orient="list")  # JSON of floats is exact; pandas' not
    write(path, {name: tensor.contiguous() for name, tensor in tensors.items()}, record)


def _read_run(path: Path) -> Run:
    tensors, record = read(path)
    history = pd.DataFrame(record.pop("history"))
    state, kept = (
        _sort({n.removeprefix(p): one for n, one in tensors.items() if n.startswith(p)})
        for p in ("state.", "kept.")
    )
    return Run(
        history=history,
        validation_logits=tensors["logits.validation"],
        test_logits=tensors["logits.test"],
        state=state,
        kept=kept,
        cached=True,
        **record,
    )


def _sort(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(sorted(tensors.items()))
