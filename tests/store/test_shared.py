"""The store that others filled: searched first, read only, and what is wrong with it."""

from __future__ import annotations

import codecs
import dataclasses
import multiprocessing
import os
import re
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import CONFIG, STUDENT, equal_states, study, tiny_data, tiny_teacher
from test_runs import damage

from kdnotes import store, training
from kdnotes.data import Views
from kdnotes.methods import KD, CrossEntropy
from kdnotes.store import cached_run, shared

pytestmark = pytest.mark.usefixtures("own_cache")
codecs.lookup("cp437")  # zipfile's, for users who may not read the installation of Python
QUICK = dataclasses.replace(CONFIG, epochs=1)

PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


def run(method=None, config=QUICK, **options):
    return cached_run(STUDENT, method or CrossEntropy(), tiny_data(), config, **options)


def entries(folder):
    return sorted(folder.rglob("*.safetensors"))


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(shared, "_said", set())


@pytest.fixture(params=["folder", "file"])
def filled(request, own_cache, tmp_path, monkeypatch):
    """A shared store with a run and two banks; one's own store is empty again."""
    run(KD(tiny_teacher(), 2.0, 0.5))
    tiny_teacher().logits(tiny_data().test)
    place = tmp_path / "shared store"
    if request.param == "folder":
        own_cache.rename(place)
    else:
        assert store.pack(place)[:2] == (1, 2)
        shutil.rmtree(own_cache)
    monkeypatch.setenv("KDNOTES_STORE", str(place))
    return place


def contents(place):
    paths = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]


# Order


def test_what_it_has_is_read_from_it_and_nothing_is_written(filled, own_cache, monkeypatch):
    before = contents(filled)
    monkeypatch.setattr(training, "fit_together", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr("kdnotes.teachers.outputs", lambda *_: pytest.fail("computed again"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.check_store()
        found = run(KD(tiny_teacher(), 2.0, 0.5))
    assert found.cached and isinstance(found, store.SharedRun)
    assert contents(filled) == before and not [p for p in own_cache.rglob("*") if p.is_file()]


def test_what_it_has_not_is_computed_and_goes_to_ones_own_store(filled, own_cache):
    before = contents(filled)
    first, again = run(), run()
    assert (first.cached, again.cached) == (False, True)
    assert not isinstance(again, store.SharedRun)
    assert len(entries(own_cache)) == 1 and contents(filled) == before


def test_it_comes_before_ones_own_and_fresh_ignores_it(filled, own_cache):
    method = KD(tiny_teacher(), 2.0, 0.5)
    assert not run(method, fresh=True).cached
    assert len(entries(own_cache / "runs")) == 1
    assert isinstance(run(method), store.SharedRun)


def test_its_runs_equal_ones_own_in_every_bit(filled, monkeypatch):
    method = KD(tiny_teacher(), 2.0, 0.5)
    theirs, mine = run(method), run(method, fresh=True)
    assert equal_states(theirs.state, mine.state) and theirs.metrics == mine.metrics
    assert torch.equal(theirs.test_logits, mine.test_logits)
    columns = [name for name in mine.history.columns if name != "seconds"]
    assert theirs.history[columns].equals(mine.history[columns])


def test_a_comparison_says_what_comes_from_it_and_starts_no_worker(
    own_cache, tmp_path, monkeypatch
):
    study({"CE": CrossEntropy()}, 2, workers=1)
    store.pack(tmp_path / "packed")
    shutil.rmtree(own_cache)
    monkeypatch.setenv("KDNOTES_STORE", str(tmp_path / "packed"))
    monkeypatch.setattr("kdnotes.study.engine.Parallel", lambda **_: pytest.fail("workers"))
    lines = []
    result = study({"CE": CrossEntropy()}, 2, workers=2, report=lines.append)
    assert re.search(r"\(2 of 2 cached, computed 20\S+; 2 from the shared store\)$", lines[-1])
    assert result.frame["cached"].all()


# What is wrong with it


@pytest.mark.parametrize("make", [None, "unreadable"])
def test_a_store_that_is_not_there_is_an_error_that_names_the_variable(tmp_path, monkeypatch, make):
    place = tmp_path / "missing"
    if make:
        place.mkdir()
        monkeypatch.setattr(shared.os, "access", lambda *_: False)
    monkeypatch.setenv("KDNOTES_STORE", str(place))
    why = "this user may not read" if make else "does not exist"
    for call in (store.check_store, run, lambda: study({"CE": CrossEntropy()}, 1)):
        with pytest.raises(ValueError, match=f"KDNOTES_STORE must be .*missing', which {why}"):
            call()


def foreign(place, kind):
    if kind == "text":
        place.write_text("not a store")
    elif kind == "empty file":
        place.touch()
    elif kind == "empty folder":
        place.mkdir()
    elif kind == "another archive":
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("runs/a.txt", "a")
    else:
        run(config=dataclasses.replace(QUICK, seed=9))
        store.pack(place)
        place.write_bytes(place.read_bytes()[:-100])


@pytest.mark.parametrize(
    "kind", ["text", "empty file", "empty folder", "another archive", "cut short"]
)
def test_what_is_no_store_is_said_once_and_ignored(tmp_path, monkeypatch, kind):
    place = tmp_path / "foreign"
    foreign(place, kind)
    monkeypatch.setenv("KDNOTES_STORE", str(place))
    with pytest.warns(store.SharedStoreWarning) as said:
        store.check_store()
        results = [run(), run()]
    assert [one.cached for one in results] == [False, True]
    (message,) = (str(one.message) for one in said)
    assert message.startswith("KDNOTES_STORE must be a folder of stored runs")
    assert str(place) in message and message.endswith(": ignored")


def test_a_damaged_entry_is_said_once_with_its_place_and_ignored(filled):
    if filled.is_dir():
        (path,) = entries(filled / "runs")
        damage(path, "flipped tensor byte")
    else:
        raw = filled.read_bytes()
        place = raw.index(b"safetensors", raw.index(b"runs/")) + 5000  # of the only run
        filled.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    method = KD(tiny_teacher(), 2.0, 0.5)
    with pytest.warns(UserWarning) as said:
        results = [run(method), run(method)]
    assert [one.cached for one in results] == [False, True]
    assert not isinstance(results[1], store.SharedRun)
    (message,) = (str(one.message) for one in said)
    assert str(filled) in message and "runs" in message and "damaged" in message
    assert message.endswith("ignored in KDNOTES_STORE")


def test_something_else_in_the_place_of_a_run_is_said_and_ignored(own_cache, filled, monkeypatch):
    if filled.is_file():
        pytest.skip("in a file it is the same")
    (path,) = entries(filled / "runs")
    path.write_bytes(entries(filled / "banks")[0].read_bytes())
    with pytest.warns(
        UserWarning, match=r"runs.*something else is in its place.*ignored in KDNOTES_"
    ):
        assert not run(KD(tiny_teacher(), 2.0, 0.5)).cached


@pytest.mark.parametrize("other", ["torch", "code"])
def test_a_store_of_another_version_is_said_once_and_nothing_is_found(
    own_cache, tmp_path, monkeypatch, other
):
    with monkeypatch.context() as patch:
        key = "0" * 64
        patch.setattr("kdnotes.store.packing.code_key", lambda: key)
        if other == "torch":
            old = store.versions() | {"torch": "1.0"}
            patch.setattr("kdnotes.store.packing.versions", lambda: old)
        run(key=key)
        store.pack(tmp_path / "old")
    monkeypatch.setenv("KDNOTES_STORE", str(tmp_path / "old"))
    with pytest.warns(store.SharedStoreWarning) as said:
        store.check_store()
        store.check_store()
        assert not run().cached
    (message,) = (str(one.message) for one in said)
    expected = r"torch 1\.0, not \d" if other == "torch" else "another state of the code of kdnotes"
    assert re.search(f"old can be found: it was made with {expected}", message)


def test_a_file_that_is_replaced_while_it_is_in_use_is_read_anew(own_cache, tmp_path, monkeypatch):
    place = tmp_path / "packed"
    run()
    store.pack(place)
    monkeypatch.setenv("KDNOTES_STORE", str(place))
    other = dataclasses.replace(QUICK, seed=1)
    assert not isinstance(run(config=other), store.SharedRun)
    store.pack(place)
    assert isinstance(run(config=other), store.SharedRun)


# Other users


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("closed", [False, True])
def test_another_user_reads_what_is_open_to_all_and_computes_the_rest(filled, closed, monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # unlike pytest's own folder
        place, home = Path(name, "shared"), Path(name, "home")
        filled.rename(place)
        for path in entries(place) if place.is_dir() and closed else [place] * closed:
            path.chmod(0o600)
        home.mkdir()
        os.chown(home, 65534, 65534)
        monkeypatch.setenv("KDNOTES_STORE", str(place))
        monkeypatch.setenv("KDNOTES_CACHE", str(home))
        work = (closed, place.is_file())
        child = multiprocessing.get_context("fork").Process(target=_as_nobody, args=work)
        child.start()
        child.join(60)
        assert child.exitcode == 0


def _as_nobody(closed, is_file):
    os.setgid(65534)
    os.setuid(65534)
    if closed and is_file:
        with pytest.raises(ValueError, match=r"KDNOTES_STORE .* which this user may not read"):
            run()
        os._exit(0)
    found = run(KD(tiny_teacher(), 2.0, 0.5))
    tiny_teacher().bank(tiny_data().train, Views(2))
    written = [path for path in store.cache_folder().rglob("*") if path.is_file()]
    os._exit(0 if found.cached is not closed and bool(written) is closed else 1)
