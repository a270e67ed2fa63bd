"""A store on a full disk, on a read-only one, and of another user."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import warnings

import pytest
from helpers import CONFIG, STUDENT, equal_states, own_cache, tiny_data, tiny_teacher  # noqa: F401

from kdnotes import files, store
from kdnotes.methods import KD, CrossEntropy
from kdnotes.store import cached_run, folder, tensorfile

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = dataclasses.replace(CONFIG, epochs=1)


def run(method=None, config=QUICK, **options):
    return cached_run(STUDENT, method or CrossEntropy(), tiny_data(), config, **options)


def entries(folder):
    return sorted(folder.rglob("*.safetensors"))


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def half(path, raw):
    with open(path, "wb") as file:
        file.write(raw[:100])
    full()


@pytest.mark.parametrize("step", ["create", "write", "rename"])
def test_a_full_disk_is_named_and_leaves_earlier_results_and_no_partial_file(own_cache, monkeypatch, step):  # noqa: F811
    run()
    before = {path: path.read_bytes() for path in entries(own_cache)}
    if step == "write":
        monkeypatch.setattr(tensorfile.Path, "write_bytes", half)
    else:
        monkeypatch.setattr(*((files.tempfile, "mkstemp") if step == "create" else (files.os, "replace")), full)
    for options in ({"fresh": True}, {"config": dataclasses.replace(QUICK, seed=5)}):
        with pytest.raises(OSError, match=r"cannot write .*\.safetensors: No space left on device"):
            run(**options)
    monkeypatch.undo()
    monkeypatch.setenv("KDNOTES_CACHE", str(own_cache))
    assert {path: path.read_bytes() for path in entries(own_cache)} == before
    assert not [path for path in own_cache.rglob("*") if path.name.startswith(".")]
    assert run().cached


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "cache"))
    for call in (run, store.check_store):
        with pytest.raises(
            OSError, match=r"cannot create the cache folder .*; set the variable KDNOTES_CACHE to a folder"
        ):
            call()


# A store that is not ours to write to


@pytest.fixture(params=["another user's", "read-only disk", "another user's locks alone"])
def not_ours(request, own_cache, monkeypatch):  # noqa: F811
    """A store with one run and one bank, in which nothing can be written from now on."""
    run(KD(tiny_teacher(), 2.0, 0.5))
    number = errno.EROFS if request.param == "read-only disk" else errno.EACCES
    failure = OSError(number, os.strerror(number))

    def refuse(*_, **__):
        raise failure

    monkeypatch.setattr(folder.FileLock, "acquire", refuse)
    if request.param != "another user's locks alone":
        monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
        monkeypatch.setattr(folder.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(folder, "_said", set())
    return failure.strerror


def test_what_another_user_stored_is_read_without_a_lock(not_ours):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(KD(tiny_teacher(), 2.0, 0.5)).cached
        tiny_teacher().bank(tiny_data().train, QUICK.views)


def test_what_cannot_be_stored_is_computed_and_said_once_with_the_remedy(not_ours, own_cache):  # noqa: F811
    before = entries(own_cache)
    with pytest.warns(store.NotStoredWarning) as said:
        first, again = run(), run()
        tiny_teacher(1).bank(tiny_data().train, QUICK.views)
        run(fresh=True)
    assert len(said) == 1 and not_ours in str(said[0].message)
    assert str(own_cache) in str(said[0].message) and "set the variable KDNOTES_CACHE to a folder" in str(
        said[0].message
    )
    assert not first.cached and not again.cached and equal_states(first.state, again.state)
    assert entries(own_cache) == before


def test_a_store_that_cannot_be_written_to_is_said_at_the_start(not_ours, request):
    if "locks" in request.node.name:
        pytest.skip("the folder itself can be written to")
    with pytest.warns(store.NotStoredWarning, match=f"computed but not stored: .*{not_ours}"):
        store.check_store()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("which", ["filled", "cannot be made"])
def test_another_user_reads_computes_and_is_told(which, own_cache, tmp_path, monkeypatch):  # noqa: F811
    run()
    for path in (*tmp_path.parents, tmp_path, own_cache):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    monkeypatch.setattr(folder, "_said", set())
    made = own_cache if which == "filled" else own_cache / "below"
    code = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(str(made),))
    code.start()
    code.join(60)
    assert code.exitcode == 0


def _as_nobody(place):
    os.setgid(65534)
    os.setuid(65534)
    os.environ["KDNOTES_CACHE"] = place
    if place.endswith("below"):
        with pytest.raises(
            OSError, match=r"cannot create the cache folder .*Permission denied; set the variable KDNOTES_"
        ):
            store.check_store()
        with pytest.raises(OSError, match="cannot create the cache folder"):
            run()
        os._exit(0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        store.check_store()
        found = [run().cached, run(config=dataclasses.replace(QUICK, seed=1)).cached]
    os._exit(0 if found == [True, False] and len(said) == 1 else 1)
