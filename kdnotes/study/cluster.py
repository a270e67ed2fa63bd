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
import logging
import os
import queue
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cloudpickle
import dask
from distributed import Client, Future, KilledWorker, LocalCluster

from kdnotes import store
from kdnotes.study import remote
from kdnotes.study.arms import Arm
from kdnotes.study.stacks import Job, stacked, told, trainings
from kdnotes.training import Run

Report = Callable[[str], None]


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
            address = stack.enter_context(_own(workers)).scheduler_address
        try:
            client = stack.enter_context(Client(address, set_as_default=False))
        except OSError as error:
            raise OSError(f"there is no Dask scheduler at {address}: {error}") from error
        if not client.scheduler_info()["workers"]:
            report(f"{address} has no worker yet: waiting for one")
            client.wait_for_workers(1)
        yield client


@contextlib.contextmanager
def _own(workers: int) -> Iterator[LocalCluster]:
    """Processes of this computer."""
    # A worker that was lost is started again, unless it is away 15 seconds after one of its ends,
    # by chance between two: then it would be given up for good.
    patient = {"distributed.deploy.lost-worker-timeout": "1d"}
    # Without Dask's limit of memory, which would pause a worker rather than fail.
    options = {"threads_per_worker": 1, "memory_limit": 0, "silence_logs": logging.ERROR}
    with dask.config.set(patient), contextlib.ExitStack() as stack:
        try:
            cluster = LocalCluster(workers, dashboard_address="127.0.0.1:0", **options)
        except RuntimeError as error:
            raise RuntimeError(
                f"Dask could not start its workers ({error}). Each imports the script that started "
                "it, which must begin its work behind if __name__ == '__main__':"
            ) from error
        yield stack.enter_context(cluster)


def _check_workers(client: Client) -> int:
    """Refuse what would train otherwise than here, and count the workers."""
    seen, mine = {(socket.gethostname(), os.getpid()): "the client"}, store.versions()
    found = client.run(remote.look, on_error="return")
    for address, one in found.items():
        if isinstance(one, OSError):  # it has just ended
            continue
        if isinstance(one, Exception):
            said = f"{type(one).__name__}: {one}"
            raise RuntimeError(
                f"the worker {address} has no such kdnotes ({said}). {remote.REMEDY}"
            )
        remote.check_threads(address, one["threads"])
        if (other := seen.setdefault(tuple(one["process"]), address)) != address:
            raise ValueError(
                f"the worker {address} must be a process of its own, but shares that of {other}: "
                "one training at a time in a process. Start it with dask worker --nthreads 1"
            )
        remote.check_versions(address, mine, one["versions"])
    return max(len(found), 1)


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
                self.tasks.append(remote.dump(trainings(group, arms), parts))
        self.parts = {key: cloudpickle.dumps(part) for key, part in parts.items()}
        self.futures: dict[int, Future] = {}
        self.news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def __enter__(self) -> _Study:
        self.client.register_plugin(remote.Parts(self.name, self.parts))
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
            remote.train,
            self.name,
            self.tasks[number],
            keys,
            store.versions(),
            key=key,
            priority=-number,
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
            f"{_in_words(group)}: every worker that began it ended, {error.allowed_failures + 1} "
            "in all (out of memory?); the logs of the workers may say why"
        ) from error
    except concurrent.futures.CancelledError as error:
        raise RuntimeError(
            f"{_in_words(group)}: the scheduler was lost, or gave it up ({error}). What has "
            "finished is stored: start again"
        ) from error


def _in_words(group: list[Job]) -> str:
    seeds = ", ".join(str(seed) for _, seed in group)
    return f"arm {group[0][0]!r}, {'seed' if len(group) == 1 else 'seeds'} {seeds}"
