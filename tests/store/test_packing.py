"""A store as one file."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile

import pytest
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher
from test_runs import damage

from kdnotes import store
from kdnotes.methods import KD, CrossEntropy
from kdnotes.store import cached_run

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = dataclasses.replace(CONFIG, epochs=1)


def run(method=None, **options):
    return cached_run(STUDENT, method or CrossEntropy(), tiny_data(), QUICK, **options)


def used_in(folder, monkeypatch):
    monkeypatch.setenv("KDNOTES_USED", str(folder))


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return sorted(name for name in archive.namelist() if "/" in name)


def test_all_of_ones_own_is_packed_as_it_is_uncompressed_and_the_same_each_time(
    own_cache, tmp_path
):
    run(KD(tiny_teacher(), 2.0, 0.5))
    first, again = store.pack(tmp_path / "a"), store.pack(tmp_path / "b")
    assert first == again == (1, 1, (tmp_path / "a").stat().st_size, [])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert json.loads(archive.read("kdnotes.json"))["torch"] == store.versions()["torch"]
        for name in names_in(tmp_path / "a"):
            assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED
            assert archive.read(name) == (own_cache / name).read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_unpacked_it_is_a_store_that_others_can_read(own_cache, tmp_path, monkeypatch):
    run()
    store.pack(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}
        archive.extractall(tmp_path / "unpacked")
    monkeypatch.setenv("KDNOTES_STORE", str(tmp_path / "unpacked"))
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "mine"))
    store.check_store()
    assert isinstance(run(), store.SharedRun)


def test_only_what_was_used_is_noted_whether_read_or_made_by_any_process(
    own_cache, tmp_path, monkeypatch
):
    run()
    used_in(tmp_path / "used", monkeypatch)
    code = f"import sys; sys.path[:0] = {sys.path!r}; import test_packing as t; t.used()"
    for _ in ("made", "read"):
        subprocess.run([sys.executable, "-c", code], check=True)
        marks = [path.relative_to(tmp_path / "used") for path in (tmp_path / "used").glob("*/*")]
        assert sorted(mark.parts[0] for mark in marks) == ["banks", "runs"]
    entries = [store.entry_named(mark.as_posix()) for mark in marks]
    packed = store.pack(tmp_path / "a", entries)
    assert packed[:2] == (1, 1) and len(list((own_cache / "runs").glob("*.safetensors"))) == 2
    assert names_in(tmp_path / "a") == sorted(entry.name for entry in entries)


def used():
    run(KD(tiny_teacher(), 2.0, 0.5))


def test_what_was_found_in_a_shared_store_is_packed_from_there(own_cache, tmp_path, monkeypatch):
    run(key="k")
    store.pack(tmp_path / "a")
    monkeypatch.setenv("KDNOTES_STORE", str(tmp_path / "a"))
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "mine"))
    store.pack(tmp_path / "b", [store.Entry("runs", "k")])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_or_missing_entry_is_named_and_leaves_the_earlier_file(own_cache, tmp_path):
    run(key="k")
    (path,) = own_cache.rglob("*.safetensors")
    before = store.pack(tmp_path / "a"), (tmp_path / "a").read_bytes()
    wanted = [store.Entry("runs", "k"), store.Entry("banks", "none")]
    with pytest.raises(ValueError, match=r"none\.safetensors is missing .*run the chapters again"):
        store.pack(tmp_path / "a", wanted)
    damage(path, "flipped tensor byte")
    with pytest.raises(ValueError, match=r"k\.safetensors is damaged .*run the chapters again"):
        store.pack(tmp_path / "a", wanted[:1])
    assert (tmp_path / "a").read_bytes() == before[1] and len(list(tmp_path.iterdir())) == 2
    assert store.pack(tmp_path / "all")[:4:3] == (0, ["runs/k.safetensors"])


def test_there_is_nothing_to_pack_or_no_place(own_cache, tmp_path):
    with pytest.raises(ValueError, match="there is nothing to pack: no finished run in"):
        store.pack(tmp_path / "a")
    run()
    with pytest.raises(OSError, match=r"cannot write .*No such file"):
        store.pack(tmp_path / "no folder" / "a")


@pytest.mark.parametrize("name", ["runs/../secret.safetensors", "runs/a.lock", "a", "data/a.npz"])
def test_what_is_no_entry_has_no_place(name):
    assert store.entry_named(name) is None
    assert store.entry_named("banks/a.safetensors") == store.Entry("banks", "a")
