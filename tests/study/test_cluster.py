"""Dask as an engine: the numbers of the local one, lost workers, and workers that are refused."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import dask
import distributed
import psutil
import pytest
import torch
from helpers import CONFIG, STUDENT, equal_states, study, tiny_data, tiny_teacher

from kdnotes import store
from kdnotes.methods import KD, CrossEntropy
from kdnotes.study import Arm, chosen, engine, remote

pytestmark = pytest.mark.usefixtures("own_cache")
NOWHERE = "dask:tcp://127.0.0.1:1"  # what asks for no worker does not connect
# A worker that dies is started again, which takes seconds: once is enough. Dask's clusters of this
# computer give a worker up that is away 15 seconds after one of its deaths.
FEW = {"distributed.scheduler.allowed-failures": 1, "distributed.deploy.lost-worker-timeout": "1h"}


@dataclasses.dataclass(eq=False)
class Slow(CrossEntropy):
    """Cross-entropy whose trainings tell in a folder which process has begun them."""

    folder: str = ""

    def terms(self, batch):
        Path(self.folder, str(os.getpid())).touch()
        time.sleep(0.2)
        return super().terms(batch)


@dataclasses.dataclass(eq=False)
class Deadly(CrossEntropy):
    """Ends the worker that trains it."""

    def terms(self, batch):
        if multiprocessing.parent_process() is None:
            raise AssertionError("trained by the client")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The store of the workers."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def local(elsewhere):
    """Two worker processes with a store of their own; none is left at the end."""
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with (
        dask.config.set(FEW),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, env={"KDNOTES_CACHE": str(elsewhere)}, **quiet
        ) as workers,
    ):
        yield workers
        pids = [nanny.process.pid for nanny in workers.workers.values() if nanny.process]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.fixture
def address(local):
    return f"dask:{local.scheduler_address}"


def assert_equal(first, second):
    assert first.runs.keys() == second.runs.keys()
    for job, one in first.runs.items():
        other = second.runs[job]
        assert equal_states(one.state, other.state), job
        for name in ("validation_logits", "test_logits"):
            assert torch.equal(getattr(one, name), getattr(other, name)), job
        assert one.history.drop(columns="seconds").equals(other.history.drop(columns="seconds"))
        assert (one.metrics, one.start, one.order) == (other.metrics, other.start, other.order)


def arms():
    return {"ce": CrossEntropy(), "kd": KD(tiny_teacher(0), 2.0, 0.5)}


def test_numbers_are_the_local_engines_and_the_client_stores_them(
    address, own_cache, elsewhere, monkeypatch
):
    said = []
    far = study(arms(), 3, engine=address, report=said.append)
    assert not far.frame["cached"].any() and [line.split(":")[0] for line in said] == ["ce", "kd"]
    assert not list(elsewhere.glob("runs/*.safetensors"))
    assert len(list(elsewhere.glob("banks/*.safetensors"))) == 1, "the teacher's logits, once"
    assert not list(own_cache.glob("banks/*.safetensors"))
    stored = study(arms(), 3)
    assert stored.frame["cached"].all(), "not the keys of the local engine"
    assert_equal(far, stored)
    assert_equal(study(arms(), 3, fresh=True), far)
    # Stored runs need no worker; with ``fresh`` there are none.
    assert study(arms(), 3, engine=NOWHERE).frame["cached"].all()
    monkeypatch.setenv("KDNOTES_ENGINE", address)
    assert not study({"ce": CrossEntropy()}, 1, fresh=True).frame["cached"].any()


def test_a_cluster_of_its_own_ends_with_the_comparison():
    before = set(psutil.Process().children(recursive=True))
    found = study({"ce": CrossEntropy()}, 1, engine="dask", workers=1)
    # But for the tracker of multiprocessing, which is one for all and leaves with this process.
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [one for one in left if "resource_tracker" not in " ".join(one.cmdline())]
    assert_equal(found, study({"ce": CrossEntropy()}, 1, fresh=True))


def test_a_lost_workers_trainings_begin_again_and_the_report_says_so(address, tmp_path):
    begun, said = tmp_path / "begun", []
    begun.mkdir()

    def kill_the_first():
        while not (pids := list(begun.iterdir())):
            time.sleep(0.01)
        os.kill(int(pids[0].name), signal.SIGKILL)

    thread = threading.Thread(target=kill_the_first)
    thread.start()
    found = study({"slow": Slow(str(begun))}, 2, engine=address, report=said.append)
    thread.join()
    assert len(list(begun.iterdir())) >= 2
    lost = [line for line in said if "lost" in line]
    assert len(lost) == 1 and lost[0].startswith("a worker was lost, its trainings begin again: ")
    assert "arm 'slow', seed" in lost[0]
    plain = study({"slow": CrossEntropy()}, 2)
    for job, run in plain.runs.items():
        assert equal_states(run.state, found.runs[job].state)


def test_a_training_that_ends_every_worker_is_named_and_the_others_finish(
    address, local, monkeypatch
):
    monkeypatch.setattr(local.scheduler, "allowed_failures", 0)  # for each death takes seconds
    both = {"deadly": Arm(Deadly()), "ce": CrossEntropy()}
    with pytest.raises(
        RuntimeError, match=r"arm 'deadly', seed 0: every worker that began it ended, 1 in all"
    ) as caught:
        study(both, 1, engine=address)
    assert "in arm 'deadly'" in caught.value.__notes__
    assert study({"ce": CrossEntropy()}, 1, engine=NOWHERE).frame["cached"].all()


def test_a_failed_run_tells_its_arm_and_seed(address):
    fast = Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, learning_rate=1e30))
    with pytest.raises(ValueError, match="lower learning_rate") as caught:
        study({"fast": fast}, 1, engine=address)
    assert {"with seed 0", "in arm 'fast'"} <= set(caught.value.__notes__)


def test_a_worker_with_another_kdnotes_is_refused_before_it_trains(address, monkeypatch, own_cache):
    with monkeypatch.context() as patch:
        patch.setattr(engine.store, "run_key", lambda *_: "0" * 64)
        with pytest.raises(RuntimeError, match=r"code of its kdnotes.* differs.*start them again"):
            study({"ce": CrossEntropy()}, 1, engine=address)
    other = store.versions() | {"torch": "1.0"}
    monkeypatch.setattr(store, "versions", lambda: other)
    with pytest.raises(RuntimeError, match=r"has torch \S+, not 1\.0\. Install"):
        study({"ce": CrossEntropy()}, 1, engine=address)
    assert not list(own_cache.glob("runs/*.safetensors"))


@pytest.mark.parametrize(
    ("threads", "said"),
    [(2, "must have one thread, not 2: .*--nthreads 1"), (1, "shares that of the client.*")],
)
def test_workers_that_are_threads_are_refused(threads, said, own_cache):
    options = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=threads, **options) as workers,
        pytest.raises(ValueError, match=said),
    ):
        study({"ce": CrossEntropy()}, 1, engine=f"dask:{workers.scheduler_address}")
    assert not list(own_cache.glob("runs/*.safetensors"))


def test_no_scheduler_is_an_error():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(OSError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1"),
    ):
        study({"ce": CrossEntropy()}, 1, engine=NOWHERE)


def test_a_task_is_light_and_data_travel_with_their_images():
    data, teacher, parts = dataclasses.replace(tiny_data()), tiny_teacher(0), {}
    object.__setattr__(data, "recipe", functools.partial(pytest.fail, "read from the disk"))
    work = [
        store.Training(STUDENT, KD(teacher, temperature), data, CONFIG)
        for temperature in (1.0, 2.0)
    ]
    task = remote.dump(work, parts)
    assert len(task) < 5000 and set(parts) == {data.key, teacher.key}
    pickled = {key: remote.cloudpickle.dumps(part) for key, part in parts.items()}
    arrived = remote.Parts("name", pickled)
    one, two = remote.load(task, arrived)
    assert one.data is two.data and one.method.teacher is two.method.teacher
    assert store.run_key(*one) == store.run_key(*work[0])


def test_other_data_than_the_clients_are_refused(monkeypatch):
    monkeypatch.setattr(remote, "_me", lambda: "the worker")
    other = remote.Parts("name", {"key": remote.cloudpickle.dumps(tiny_data())})
    with pytest.raises(RuntimeError, match="the worker has other data than the client"):
        other.get("key")


def test_a_worker_without_a_store_has_one_for_its_life(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "store"))
    remote._find_store()
    assert store.cached_tensor(["a"], lambda: torch.ones(1)) == 1
    assert Path(os.environ["KDNOTES_CACHE"]).is_dir()
    remote.Parts.folder.cleanup()


@pytest.mark.parametrize("bad", ["ray", "dask:", "dask:host", "Dask", "", 3])
def test_an_unknown_engine_is_refused(bad, monkeypatch):
    said = r"engine \(KDNOTES_ENGINE\) must be 'local', 'dask' or 'dask:ADDRESS' .*, not "
    with pytest.raises(ValueError, match=said + repr(bad)):
        study({"ce": CrossEntropy()}, 1, engine=bad)
    monkeypatch.setenv("KDNOTES_ENGINE", str(bad))
    if bad:
        with pytest.raises(ValueError, match=said):
            chosen(None)
    else:
        assert chosen(None) == "local"


def test_without_distributed_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    assert chosen("local") == "local"
    with pytest.raises(
        ValueError, match=r"'dask' needs the package distributed: .*kdnotes\[dask\]"
    ):
        chosen("dask")
