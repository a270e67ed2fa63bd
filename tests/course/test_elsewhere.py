"""The commands about other software: what they measure, what they print, how they end."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from kdnotes import cli, libraries
from kdnotes.course import elsewhere
from kdnotes.edge import runtimes


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), [one.name for one in runtimes.ALL]),
        (("onnxruntime",), ["ONNX Runtime"]),
        (("OpenVINO", "ONNX Runtime", "openvino"), ["ONNX Runtime", "OpenVINO"]),
    ],
)
def test_runtimes_are_chosen_by_name_in_the_order_of_the_table(names, found):
    assert [one.name for one in elsewhere.chosen_runtimes(names)] == found


def test_the_command_prints_and_writes_one_row_a_runtime_and_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "cache"))
    absent = dataclasses.replace(runtimes.OpenVino())
    monkeypatch.setattr(type(absent), "missing", lambda self: 'pip install "kdnotes[openvino]"')
    path = tmp_path / "table.csv"
    words = ["runtimes", "--profile", "smoke", "--only", "onnxruntime", "--only", "openvino"]
    assert cli.main([*words, "--repeats", "2", "--output", str(path)]) == 0
    table, printed = pd.read_csv(path), capsys.readouterr().out
    assert list(table["runtime"]) == ["ONNX Runtime"] * 2 + ["OpenVINO"] * 2
    assert list(table["status"]) == ["measured"] * 2 + ["not installed"] * 2
    assert table["flips"][0] == 0 and table["largest_difference"][0] < 1e-4
    assert 'pip install "kdnotes[openvino]"' in printed and f"{table['accuracy'][1]:.2%}" in printed


def test_a_library_that_changed_ends_the_command_with_code_1(monkeypatch, capsys, tmp_path):
    table = libraries.compared("timm")
    path = tmp_path / "libraries.csv"
    for verdict, code in {
        "as recorded": 0, "not installed": 0, "as recorded, in another version": 0,
        "changed: default loss / R 0.1 → 1": 1, "fails: no module": 1,
    }.items():  # fmt: skip
        monkeypatch.setattr(
            libraries, "compared", lambda name, said=verdict: table.assign(verdict=said)
        )
        assert cli.main(["libraries", "--library", "timm", "--output", str(path)]) == code
        assert verdict in capsys.readouterr().out and verdict in path.read_text(encoding="utf-8")
