"""Ten users at once on one machine: one cache folder to write to, or a shared store to read."""

from __future__ import annotations

import codecs
import multiprocessing
import os
import shutil
import stat
import tempfile
import traceback
from pathlib import Path

import pytest
from filelock import FileLock
from helpers import study, tiny_teacher

from kdnotes import store
from kdnotes.methods import KD, CrossEntropy
from kdnotes.store import folder, runs

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin as copies"),
]
USERS = 10
codecs.lookup("cp437")  # zipfile's, for users who may not read the installation of Python
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0  # then they are users of different numbers


@pytest.fixture
def place(monkeypatch):
    """A folder that all users may enter, unlike pytest's own, and the cache folder in it."""
    with tempfile.TemporaryDirectory(prefix="kdnotes-") as name:
        os.chmod(name, 0o755)
        monkeypatch.setenv("KDNOTES_CACHE", str(Path(name, "cache")))
        yield Path(name)


@pytest.fixture
def own_cache(place):
    return place / "cache"


def compare():
    return study({"CE": CrossEntropy(), "KD": KD(tiny_teacher(), 2.0, 0.5)}, 2, workers=1)


def work(number, place, start):
    """What a user does; leaves the accuracies, and a line for each run that is computed."""
    try:
        original = runs.train

        def train(trainings):
            with open(place / "computed", "a", encoding="utf-8") as file:
                file.writelines(f"{store.run_key(*one)}\n" for one in trainings)
            return original(trainings)

        runs.train = train
        if ROOT:
            os.setgid(20_000 + number)
            os.setuid(20_000 + number)
        os.umask(0o022)
        start.wait(60)
        study = compare()
        accuracies = study.frame["test_accuracy"].tolist()
        (place / "results" / str(number)).write_text(str(accuracies), encoding="utf-8")
    except BaseException:
        (place / "results" / str(number)).write_text(traceback.format_exc(), encoding="utf-8")
        raise


def ten_at_once(place):
    """What each of them got, and the keys of the runs that were computed."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(USERS)
    (place / "results").mkdir()
    (place / "results").chmod(0o777)
    (place / "computed").touch()
    (place / "computed").chmod(0o666)
    users = [context.Process(target=work, args=(one, place, start)) for one in range(USERS)]
    for user in users:
        user.start()
    for user in users:
        user.join(120)
    results = [(place / "results" / str(one)).read_text(encoding="utf-8") for one in range(USERS)]
    assert [user.exitcode for user in users] == [0] * USERS, results
    return results, (place / "computed").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("mode", [0o777, 0o1777], ids=oct)
def test_with_one_cache_folder_no_run_is_computed_twice_and_no_lock_is_left(own_cache, place, mode):
    own_cache.mkdir()
    own_cache.chmod(mode)
    results, computed = ten_at_once(place)
    assert len(set(results)) == 1
    assert len(computed) == len(set(computed)) == 4
    assert len(list((own_cache / "runs").glob("*.safetensors"))) == 4
    for path in own_cache.glob("*/*"):
        assert path.suffix in (".lock", ".safetensors"), "a temporary file is left"
        if path.suffix == ".lock":
            with FileLock(path, timeout=0):
                pass


def test_with_a_shared_store_none_is_computed_and_nothing_is_written_to_it(
    own_cache, place, monkeypatch
):
    compare()
    store.pack(place / "packed")
    shutil.rmtree(own_cache)
    own_cache.mkdir(mode=0o777)
    own_cache.chmod(0o777)
    before = (place / "packed").stat().st_mtime_ns
    monkeypatch.setenv("KDNOTES_STORE", str(place / "packed"))
    results, computed = ten_at_once(place)
    assert len(set(results)) == 1 and computed == []
    assert not [path for path in own_cache.rglob("*") if path.is_file()], "no lock either"
    assert (place / "packed").stat().st_mtime_ns == before


@pytest.mark.skipif(os.name != "posix", reason="of POSIX's modes")
@pytest.mark.parametrize(
    ("theirs", "expected"), [(0o2775, 0o2775), (0o1777, 0o777), (0o755, 0o755), (0o700, 0o755)]
)
def test_who_may_write_to_the_cache_folder_may_write_to_those_in_it(own_cache, theirs, expected):
    own_cache.mkdir()
    own_cache.chmod(theirs)
    before = os.umask(0o022)
    try:
        store.check_store()
    finally:
        os.umask(before)
    for kind in ("runs", "banks"):
        assert stat.S_IMODE((own_cache / kind).stat().st_mode) == expected
    assert {path.name for path in own_cache.iterdir()} == {"runs", "banks"}


def test_a_lock_that_another_user_is_just_making_is_waited_for(own_cache, monkeypatch):
    """Between its making and its mode it is closed to others."""
    refused, acquire = [], folder.FileLock.acquire

    def once_refused(lock, *arguments, **options):
        if not refused:
            refused.append(lock)
            raise PermissionError(13, "Permission denied")
        return acquire(lock, *arguments, **options)

    monkeypatch.setattr(folder.FileLock, "acquire", once_refused)
    compare()
    assert refused and len(list((own_cache / "runs").glob("*.safetensors"))) == 4
