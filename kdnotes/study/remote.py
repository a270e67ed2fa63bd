"""What the processes of Dask do: take in what runs are computed from, check it, and train.

A task is light: of a data set or a teacher it names the key. What has the key travels beside it,
once for a comparison to each worker (``Parts``), data with their images.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import socket
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import cloudpickle
from distributed import WorkerPlugin, get_worker

from kdnotes import progress, store
from kdnotes.data import Splits
from kdnotes.teachers import Teacher
from kdnotes.training import Run

REMEDY = "Install the client's versions on all workers, and start them again"


def check_threads(address: str, threads: int) -> None:
    """One training at a time in a process."""
    if threads > 1:
        raise ValueError(
            f"the worker {address} must have one thread, not {threads}: they share torch's random "
            "numbers, one training at a time in a process. Start it with dask worker --nthreads 1 "
            "(--nworkers for several)"
        )


def check_versions(address: str, mine: dict[str, str], its: dict[str, str]) -> None:
    """What the client has, the worker has."""
    differing = [f"{name} {its[name]}, not {own}" for name, own in mine.items() if its[name] != own]
    if differing:
        raise RuntimeError(f"the worker {address} has {'; '.join(differing)}. {REMEDY}")


def look(dask_worker: Any = None) -> dict[str, Any]:
    """What a worker says of itself."""
    process = [socket.gethostname(), os.getpid()]
    return {"threads": dask_worker.state.nthreads, "process": process, "versions": store.versions()}


class _Pickler(cloudpickle.Pickler):
    """Leaves out data and teachers, which it puts into ``parts`` by their keys."""

    def __init__(self, file: io.BytesIO, parts: dict[str, Any]) -> None:
        super().__init__(file)
        self.parts = parts

    def persistent_id(self, value: Any) -> str | None:
        if type(value) not in (Splits, Teacher):
            return None
        if value.key not in self.parts:
            # Without the recipe, by which data would be read from the worker's disk, and without
            # the key, which the worker is to compute itself.
            plain = Teacher(value.model, value.record) if isinstance(value, Teacher) else None
            self.parts[value.key] = plain or dataclasses.replace(value)
        return value.key


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, parts: Parts) -> None:
        super().__init__(file)
        self.persistent_load = parts.get


def dump(work: list[store.Training], parts: dict[str, Any]) -> bytes:
    """A task, light; the data and teachers that it names are added to ``parts``."""
    file = io.BytesIO()
    _Pickler(file, parts).dump(work)
    return file.getvalue()


def load(task: bytes, parts: Parts) -> list[store.Training]:
    """What was dumped."""
    return _Unpickler(io.BytesIO(task), parts).load()


class Parts(WorkerPlugin):
    """Data and teachers of a comparison on a worker, by key; each is unpickled once, if needed."""

    here: dict[str, Parts] = {}  # noqa: RUF012 - of this process, by the name of the comparison

    def __init__(self, name: str, pickled: Mapping[str, bytes]) -> None:
        self.name, self.pickled, self.loaded = name, dict(pickled), {}

    def setup(self, worker: Any) -> None:
        self.here[self.name] = self

    def teardown(self, worker: Any) -> None:
        self.here.pop(self.name, None)

    def get(self, key: str) -> Any:
        if key not in self.loaded:
            value = pickle.loads(self.pickled[key])
            if value.key != key:
                what = "code of the teacher" if isinstance(value, Teacher) else "data"
                raise RuntimeError(f"{_me()} has other {what} than the client. {REMEDY}")
            self.loaded[key] = value
            del self.pickled[key]
        return self.loaded[key]


def train(name: str, task: bytes, keys: list[str], client: dict[str, str]) -> list[Run]:
    """The runs of a group, on a worker.

    Args:
        name: of the comparison, whose parts have arrived.
        task: the group's trainings.
        keys: the client's key of each.
        client: the client's versions.
    """
    worker = get_worker()  # it may have come after the others were looked at
    check_threads(worker.address, worker.state.nthreads)
    check_versions(worker.address, client, store.versions())
    work = load(task, Parts.here[name])
    if [store.run_key(*one) for one in work] != keys:
        raise RuntimeError(
            f"{_me()} would compute another run than the client: the code of its kdnotes, or of a "
            f"module of yours that the run uses, differs, although the versions are equal. {REMEDY}"
        )
    _find_store()
    with progress.silent():  # its terminal is nobody's
        return store.train(work)


def _me() -> str:
    return f"the worker {get_worker().address}"


def _find_store() -> None:
    """A folder for what teachers say of the data: the worker's own, or one for its life."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", store.NotStoredWarning)
            store.check_store()
    except (OSError, store.NotStoredWarning):
        Parts.folder = tempfile.TemporaryDirectory(prefix="kdnotes-")
        os.environ["KDNOTES_CACHE"] = Parts.folder.name
