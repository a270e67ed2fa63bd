"""What the command's arguments mean."""

from __future__ import annotations

import os

import pytest

from kdnotes.course import arguments


def test_a_relative_cache_folder_means_the_same_in_the_chapters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDNOTES_CACHE", "store")
    arguments.check_store()
    assert (
        os.environ["KDNOTES_CACHE"] == str(tmp_path / "store")
        and (tmp_path / "store" / "runs").is_dir()
    )


def test_parameters_are_literals_or_text_and_options_that_are_not_given_are_left_out():
    given = arguments.parameters({"profile": None, "seeds": 3}, ["rate=0.5", "name=a=b", "on=True"])
    assert given == {"seeds": 3, "rate": 0.5, "name": "a=b", "on": True}


def test_a_relative_shared_store_means_the_same_in_the_chapters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared" / "runs").mkdir(parents=True)
    monkeypatch.setenv("KDNOTES_STORE", "shared")
    arguments.check_store()
    assert os.environ["KDNOTES_STORE"] == str(tmp_path / "shared")


@pytest.mark.parametrize(
    ("profile", "workers", "jobs", "expected"),
    [("smoke", None, None, (3, "1")), ("smoke", 2, 1, (1, "2")), ("lesson", None, None, (1, None))],
)
def test_smoke_runs_chapters_at_once_and_the_others_processes(
    profile, workers, jobs, expected, monkeypatch
):
    for name in ("KDNOTES_WORKERS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # for the end of the test
        monkeypatch.delenv(name)
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    shared = arguments.share_cores(profile, 3, workers, jobs)
    assert (shared, os.environ.get("KDNOTES_WORKERS")) == expected
    assert os.environ.get("OMP_NUM_THREADS") == ("1" if shared > 1 else None)


def test_a_data_folder_means_the_same_in_the_chapters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdnotes.data.load", lambda *_, **__: None)
    given = {"dataset": "folder:mine", "profile": "smoke"}
    assert arguments.describe(given, False)["dataset"] == "folder:mine"
    assert given["dataset"] == f"folder:{tmp_path / 'mine'}"
