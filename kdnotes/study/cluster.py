"""The workers of Dask as a place to train: of this computer, or wherever a scheduler has them.

All groups of runs are submitted at once, the longest with the highest priority. A task is light: of
a data set or a teacher it names the key. What has the key travels beside it, once for a comparison
to each worker, those that come later included (a ``WorkerPlugin``: unlike scattered data, the
scheduler still has it when the last worker that held it is lost). Data travel with their images, so
that workers need no shared disk and none of the client's files. What a teacher says of the data is
computed on each worker once, in the worker's own store.

A worker trains only what has the client's keys there, too: of the run, whose key says all that it
depends on, and of its data and teachers. It stores no run: the client does.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import logging
import os
import pickle
import platform
import queue
import socket
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cloudpickle
import dask
import torch
from distributed import Client, Future, KilledWorker, LocalCluster, WorkerPlugin, get_worker

import kdnotes
from kdnotes import store
from kdnotes.data import Splits
from kdnotes.study.arms import Arm
from kdnotes.study.stacks import Job, stacked, told, trainings
from kdnotes.teachers import Teacher
from kdnotes.training import Run

Report = Callable[[str], None]
REMEDY = "Install the client's versions on all workers, and start them again"


def finish(
    arms: Mapping[Job, Arm], keys: Mapping[Job, str], engine: str, workers: int, report: Report
) -> Iterator[tuple[Job, Run]]:
    """Runs as they finish; nothing is stored.

    Args:
        keys: the key of each run.
        engine: "dask" for a cluster of ``workers`` processes that ends with the last run, or
            "dask:ADDRESS" for all workers of a scheduler.
        report: told of workers that are waited for, or lost.

    Raises:
        OSError: there is no scheduler at the address.
        ValueError: a worker is no process of its own with one thread.
        RuntimeError: a worker would compute something else, or a training ends every worker that
            begins it.
    """
    with _connected(engine.partition(":")[2], workers, report) as client:
        found = _check_workers(client)
        with _Study(client, arms, keys, found, report) as study:
            yield from study.finish()


@contextlib.contextmanager
def _connected(address: str, workers: int, report: Report) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        if not address:
            # A worker that was lost is started again, unless it is away 15 seconds after one of its
            # ends, by chance between two: then it would be given up for good.
            stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "1d"}))
            # Without Dask's limit of memory, which would pause a worker rather than fail.
            local = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0,
                dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR,
            )  # fmt: skip
            address = stack.enter_context(local).scheduler_address
        try:
            client = stack.enter_context(Client(address, set_as_default=False))
        except OSError as error:
            raise OSError(f"there is no Dask scheduler at {address}: {error}") from error
        if not client.scheduler_info()["workers"]:
            report(f"{address} has no worker yet: waiting for one")
            client.wait_for_workers(1)
        yield client


def _check_workers(client: Client) -> int:
    """Refuse what would train otherwise than here, and count the workers."""
    seen, mine = {(socket.gethostname(), os.getpid()): "the client"}, versions()
    found = client.run(look, on_error="return")
    for address, one in found.items():
        if isinstance(one, Exception):
            said = f"{type(one).__name__}: {one}"
            raise RuntimeError(f"the worker {address} has no such kdnotes ({said}). {REMEDY}")
        _check_threads(address, one["threads"])
        if (other := seen.setdefault(tuple(one["process"]), address)) != address:
            raise ValueError(
                f"the worker {address} must be a process of its own, but shares that of {other}: "
                "one training at a time in a process. Start it with dask worker --nthreads 1"
            )
        _check_versions(address, mine, one["versions"])
    return len(found)


def _check_threads(address: str, threads: int) -> None:
    if threads > 1:
        raise ValueError(
            f"the worker {address} must have one thread, not {threads}: they share torch's random "
            "numbers, one training at a time in a process. Start it with dask worker --nthreads 1 "
            "(--nworkers for several)"
        )


def _check_versions(address: str, mine: dict[str, str], its: dict[str, str]) -> None:
    differing = [f"{name} {its[name]}, not {own}" for name, own in mine.items() if its[name] != own]
    if differing:
        raise RuntimeError(f"the worker {address} has {'; '.join(differing)}. {REMEDY}")


def versions() -> dict[str, str]:
    """What the keys of runs depend on, as far as it has a name."""
    return {
        "kdnotes": kdnotes.__version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": torch.__version__,
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's precision of float32 products": torch.get_float32_matmul_precision(),
    }


def look(dask_worker: Any = None) -> dict[str, Any]:
    """What a worker says of itself."""
    process = [socket.gethostname(), os.getpid()]
    return {"threads": dask_worker.state.nthreads, "process": process, "versions": versions()}


class _Study:
    """The groups of one comparison, on their way to the workers and back."""

    def __init__(
        self, client: Client, arms: Mapping[Job, Arm], keys: Mapping[Job, str], workers: int,
        report: Report,
    ) -> None:  # fmt: skip
        self.client, self.keys, self.report = client, keys, report
        self.name, parts = f"kdnotes-{uuid.uuid4().hex}", {}
        self.groups, self.tasks = stacked(arms, workers), []
        for group in self.groups:
            with told(group):
                self.tasks.append(_dump(trainings(group, arms), parts))
        self.parts = {key: cloudpickle.dumps(part) for key, part in parts.items()}
        self.futures: dict[int, Future] = {}
        self.news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def __enter__(self) -> _Study:
        self.client.register_plugin(Parts(self.name, self.parts))
        self.client.subscribe_topic("all", self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(Exception):  # of a scheduler that is gone
            self.client.unsubscribe_topic("all")  # or Dask complains of what it can't tell us
            self.client.cancel(list(self.futures.values()))
            self.client.unregister_worker_plugin(self.name)

    def _hear(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            self.news.put(("lost", message["processing-tasks"]))

    def finish(self) -> Iterator[tuple[Job, Run]]:
        # Dask blames a worker's death on all tasks that it was given, also on those that waited.
        # Whoever seems to end workers is tried again when nothing else is on its way.
        blamed: list[int] = []
        yield from self._compute(range(len(self.groups)), blamed if len(self.groups) > 1 else None)
        for number in blamed:
            yield from self._compute([number], None)

    def _compute(self, numbers: Sequence[int], blamed: list[int] | None) -> Iterator:
        for number in numbers:
            self._submit(number)
        left = len(numbers)
        while left:
            kind, what = self.news.get()
            if kind == "lost":
                self._tell_lost([int(key.rpartition("-")[2]) for key in what if self._is_own(key)])
                continue
            left -= 1
            future = self.futures.pop(what)
            if blamed is not None and isinstance(future.exception(), KilledWorker):
                blamed.append(what)
            else:
                group = self.groups[what]
                with told(group):
                    runs = _result(future, group)
                yield from zip(group, runs, strict=True)

    def _submit(self, number: int) -> None:
        keys = [self.keys[job] for job in self.groups[number]]
        # Another key each time: the scheduler remembers how many workers a key has ended.
        key = f"{self.name}-{uuid.uuid4().hex[:8]}-{number}"
        future = self.client.submit(
            train, self.name, self.tasks[number], keys, versions(), key=key, priority=-number
        )
        self.futures[number] = future
        future.add_done_callback(lambda _: self.news.put(("done", number)))

    def _is_own(self, key: Any) -> bool:
        return isinstance(key, str) and key.startswith(self.name)

    def _tell_lost(self, numbers: list[int]) -> None:
        if numbers:
            named = "; ".join(_in_words(self.groups[number]) for number in sorted(numbers))
            self.report(f"a worker was lost, its trainings begin again: {named}")
            if not self.client.scheduler_info()["workers"]:
                self.report("no worker is left: waiting for one")


def _result(future: Future, group: list[Job]) -> list[Run]:
    try:
        return future.result()
    except KilledWorker as error:
        raise RuntimeError(
            f"{_in_words(group)}: {error.allowed_failures + 1} workers ended while they trained it "
            "(out of memory?); the logs of the workers may say why"
        ) from error
    except concurrent.futures.CancelledError as error:
        raise RuntimeError(
            f"{_in_words(group)}: the scheduler was lost, or gave it up ({error}). What has "
            "finished is stored: start again"
        ) from error


def _in_words(group: list[Job]) -> str:
    seeds = ", ".join(str(seed) for _, seed in group)
    return f"arm {group[0][0]!r}, {'seed' if len(group) == 1 else 'seeds'} {seeds}"


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


def _dump(work: list[store.Training], parts: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, parts).dump(work)
    return file.getvalue()


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
    _check_threads(worker.address, worker.state.nthreads)
    _check_versions(worker.address, client, versions())
    work = _Unpickler(io.BytesIO(task), Parts.here[name]).load()
    if [store.run_key(*one) for one in work] != keys:
        raise RuntimeError(
            f"{_me()} would compute another run than the client: the code of its kdnotes, or of a "
            f"module of yours that the run uses, differs, although the versions are equal. {REMEDY}"
        )
    _find_store()
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
