"""What the command's arguments mean."""

from __future__ import annotations

import os
import re

import pytest

from kdnotes.course import arguments, profiles


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


def text(path, content):
    path.write_bytes(content)
    return {"dataset": f"text:{path.name}", "profile": "smoke"}


WORDS = [f"word {number}".encode() for number in range(70)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_text_means_the_same_in_its_chapter(tmp_path, monkeypatch, end):
    monkeypatch.chdir(tmp_path)
    given = text(tmp_path / "a.txt", end.join(WORDS))
    about = arguments.describe(given, False, [])
    assert about["dataset"] == "text:a.txt" and about["profile"] == "smoke"
    assert given["dataset"] == f"text:{tmp_path / 'a.txt'}"
    corpus = profiles.settings(**given).corpus(30, 20, 20)
    assert {*corpus.train.text()} | {*corpus.test.text()} <= {one.decode() for one in WORDS}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no lines"),
        (b"one line", "20 for training, 20 for validation and 20 for the test, but it has 1 diff"),
        (b"again\n" * 1000, "but it has 1 different strings"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not UTF-8"),
        (b"\0".join(WORDS), "not text: it holds characters of number 0"),
        ("Z\u00fcrich\n".encode("latin-1") * 9, "not UTF-8"),
        ("\n".join(map(str, range(99))).encode("utf-16"), "not UTF-8"),
        (b"x" * 100_000, "but it has 2 different strings"),
        ("\n".join(map(chr, range(0x4E00, 0x4F00 + 99))).encode(), "at most 256 different char"),
    ],
)
def test_what_is_no_corpus_is_refused_in_one_line(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    given = text(tmp_path / "a.txt", content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        arguments.describe(given, False, [])
    assert str(caught.value).startswith("--dataset: ") and "\n" not in str(caught.value)


def test_a_text_is_for_what_reads_strings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = text(tmp_path / "a.txt", b"\n".join(WORDS))
    with pytest.raises(ValueError, match=r"a\.txt holds strings, and 03_temperature uses images"):
        arguments.describe(given, False, ["03_temperature"])
