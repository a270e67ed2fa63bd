"""The record: complete, measured, and written anew without losing what is not installed."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import torch
from made_up_libraries import broken, made_up, on_the_shelf

from kdnotes import libraries
from kdnotes.libraries import Call, measuring, recording

RUN = [name for name, found in recording.read().items() if "problem" not in found]


def test_every_library_is_in_the_record():
    assert tuple(recording.read()) == libraries.names()
    table = libraries.recorded()
    assert tuple(table.index) == libraries.names() and len(set(table.index)) >= 10
    assert len({libraries.get(name).package for name in libraries.names()}) >= 10
    assert len(RUN) >= 10


@pytest.mark.parametrize("name", RUN)
def test_the_recorded_ratios_are_those_of_the_formulas(name):
    """What was measured with the library is found again without it."""
    library, found = libraries.get(name), recording.read()[name]
    for call, part in ((library.default, "default"), (library.cured, "cured")):
        again = measuring.ratios(Call(call.code, call.formula.value, call.formula))
        assert found[part]["formula_error"] < 1e-4
        for field in ("loss", "gradient", "cosine"):
            assert found[part][field] == pytest.approx(getattr(again, field), rel=1e-4), field


@pytest.mark.parametrize("name", RUN)
def test_the_cured_call_is_ours(name):
    cured = recording.read()[name]["cured"]
    for field in ("loss", "gradient", "cosine"):
        assert cured[field] == pytest.approx(1, abs=1e-4)


def test_what_is_said_of_weights_was_measured():
    table = libraries.weights()
    assert (table["rest"] < 1e-5).all()
    weights = {setting: tuple(row) for (_, setting), row in table.round(6).iterrows()}
    assert weights["task_loss_weight=0.25"][:2] == (0.25, 0.75)
    assert weights["distill_loss_weight=0.75"][:2] == (1, 0.75)
    assert weights["no weight"][:2] == (1, 1)
    assert weights["alpha=0"][:2] == (0, 0.0625) and weights["alpha=0.25"][:2] == (0.25, 0.75)


def test_a_row_tells_when_and_with_what():
    for found in recording.read().values():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", found["date"])
        assert found["version"] and found["torch"] and found["python"]


def test_no_path_of_a_computer_is_in_the_record():
    text = json.dumps(recording.read())
    assert not re.search(r"/(tmp|home|usr|root|work)\b|site-packages|[A-Z]:\\\\", text)


def test_a_library_that_cannot_run_says_why():
    table = libraries.recorded()
    stuck = table[table["problem"] != ""]
    assert stuck["loss / R"].isna().all() and list(stuck.index) == ["kd-lib"]
    assert table.loc["timm", "problem"] == "" and pd.notna(table.loc["timm", "loss / R"])


def test_write_measures_what_is_named_and_keeps_the_rest(monkeypatch, tmp_path):
    on_the_shelf(monkeypatch, made_up("one"), made_up("two"), made_up("three", broken))
    path = tmp_path / "recorded.json"
    recording.write(path, "two", "three")
    recording.write(path, "one")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert list(record) == ["one", "two", "three"]
    assert record["one"]["default"]["loss"] == pytest.approx(3 / 16, rel=1e-5)
    assert record["one"]["torch"] == torch.__version__.partition("+")[0]
    assert record["one"]["weights"]["both"]["labels"] == pytest.approx(0.5, rel=1e-5)
    assert record["three"]["problem"] == "RuntimeError: no such thing"
    before = path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="name must be 'one' or"):
        recording.write(path, "one", "four")
    monkeypatch.setattr("kdnotes.libraries.recording.installed", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match="torch is not installed"):
        recording.write(path, "one")
    assert path.read_text(encoding="utf-8") == before


def test_a_problem_is_one_line_without_paths():
    error = ImportError("cannot import name 'AdamW' from 'x' (C:\\somewhere\\x.py)\nsecond line")
    assert recording.problem(error) == "ImportError: cannot import name 'AdamW' from 'x'"
    assert recording.problem(ValueError()) == "ValueError"
