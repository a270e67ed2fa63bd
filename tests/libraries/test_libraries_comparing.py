"""Verdicts on what is found here, against the record."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
from made_up_libraries import broken, made_up, on_the_shelf

from kdnotes import libraries
from kdnotes.libraries import comparing, recording

THEN = recording.read()["modelopt"]


def now(**changes):
    found = copy.deepcopy(THEN) | changes
    return found


def changed(call, field, value):
    return now(**{call: THEN[call] | {field: value}})


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (now(), "as recorded"),
        (now(version="9.9"), "as recorded, in another version"),
        (now(version=None), "not installed"),
        (changed("default", "loss", 1.0), "changed: default loss / R 0.1 → 1"),
        (changed("cured", "gradient", 0.5), "changed: cured gradient / R 1 → 0.5"),
        (changed("default", "cosine", -1.0), "changed: default cosine 1 → -1"),
        (changed("default", "loss", float("nan")), "changed: default loss / R 0.1 → nan"),
        (changed("default", "loss", 0.10001), "as recorded"),
        ({"version": "0.47.0", "problem": "ImportError: x"}, "fails: ImportError: x"),
    ],
)
def test_verdict(found, verdict):
    assert comparing.verdict(THEN, found) == verdict


def test_a_weight_that_changed_is_named():
    found = now()
    setting = next(iter(found["weights"]))
    found["weights"][setting]["labels"] = 1.0
    assert comparing.verdict(THEN, found) == f"changed: weight of labels at {setting} 0.25 → 1"
    found["weights"] = {}
    assert "→ none" in comparing.verdict(THEN, found)


def test_two_changes_are_both_told():
    found = changed("default", "loss", 1.0)
    found["cured"] = THEN["cured"] | {"loss": 2.0}
    told = comparing.verdict(THEN, found)
    assert told == "changed: default loss / R 0.1 → 1; cured loss / R 1 → 2"


def test_a_library_that_could_not_run():
    then = {"version": "1", "problem": "ImportError: a"}
    same = {"version": "1", "problem": "ImportError: b"}
    assert comparing.verdict(then, same) == "cannot be run, as recorded"
    other = same | {"version": "2"}
    assert comparing.verdict(then, other) == "cannot be run, as recorded, in another version"
    assert comparing.verdict(then, now()) == "runs now; recorded: ImportError: a"


def test_a_table_of_a_made_up_library(monkeypatch):
    on_the_shelf(monkeypatch, made_up(), made_up("stuck", broken), made_up("gone"))
    record = {name: recording.entry(name) for name in ("made-up", "gone")}
    record["stuck"] = record["gone"]
    monkeypatch.setattr("kdnotes.libraries.comparing.read", lambda: record)
    table = libraries.compared()
    assert table["verdict"].to_dict() == {
        "made-up": "as recorded",
        "stuck": "fails: RuntimeError: no such thing",
        "gone": "as recorded",
    }
    assert table.loc["made-up", "loss / R found"] == pytest.approx(3 / 16, rel=1e-5)
    assert pd.isna(table.loc["stuck", "loss / R found"])
    assert list(libraries.compared("gone").index) == ["gone"]


def test_nothing_installed(monkeypatch):
    monkeypatch.setattr("kdnotes.libraries.comparing.installed", lambda package: None)
    table = libraries.compared()
    assert tuple(table.index) == libraries.names()
    assert set(table["verdict"]) == {"not installed"} and set(table["version found"]) == {""}
    assert table["loss / R found"].isna().all()
