"""The record of rounding: whose students, which file, and what it does not measure again."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from kdnotes import edge, metrics, training
from kdnotes.course import edge_record, profiles, rounding_record
from kdnotes.edge import runtimes

SETTINGS = profiles.settings("smoke", "fashion-mnist", 1)
ONNX = runtimes.OnnxRuntime()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("rounding") / "rounding.json"
    return path, list(rounding_record.measure(SETTINGS, path, ONNX))


def test_each_student_is_measured_as_its_file_answers(measured, tmp_path):
    path, records = measured
    assert [len(one.table) for one in records] == [1, 2]
    table = runtimes.recorded_rounding(path).table
    assert list(zip(table["arm"], table["seed"], strict=True)) == [("CE", 0), ("KD", 0)]
    test, given = SETTINGS.splits().test, edge_record.calibration(SETTINGS)
    for row, run in zip(
        table.itertuples(), rounding_record.students(SETTINGS).values(), strict=True
    ):
        network = training.trained(SETTINGS.student(), run)
        assert row.float == metrics.accuracy(training.predict(network, test.images), test.targets)
        whole = edge.export(network, tmp_path / f"{row.arm}.onnx")
        edge.quantise(whole, tmp_path / row.arm, given, reduce_range=True)
        logits = edge.OnnxNetwork(tmp_path / row.arm).predict(test.images)
        assert row.int8 == metrics.accuracy(logits, test.targets)


def test_the_kd_student_is_that_of_the_other_record():
    run = rounding_record.students(SETTINGS)["KD", 0]
    mine = training.trained(SETTINGS.student(), run).state_dict()
    other = edge_record.trained_student(SETTINGS).state_dict()
    assert all(torch.equal(mine[name], other[name]) for name in other)


def test_it_goes_on_where_it_was_and_starts_anew_with_other_versions(
    measured, monkeypatch, tmp_path
):
    record, path = measured[1][0], tmp_path / "rounding.json"
    held = record.table.assign(int8=0.5)
    calls = []
    monkeypatch.setattr(rounding_record, "accuracy", lambda *given: calls.append(given) or 0.25)
    runtimes.Rounding(held, record.made, record.machine).save(path)
    assert [list(one.table["int8"]) for one in rounding_record.measure(SETTINGS, path, ONNX)] == [
        [0.5, 0.25]
    ]
    other = record.made | {"versions": {"onnxruntime": "0.1"}}
    runtimes.Rounding(held, other, record.machine).save(path)
    list(rounding_record.measure(SETTINGS, path, ONNX))
    assert list(runtimes.recorded_rounding(path).table["int8"]) == [0.25, 0.25]
    assert len(calls) == 3


def test_an_older_record_stays_until_the_new_one_is_complete(measured, monkeypatch, tmp_path):
    record, path = measured[1][-1], tmp_path / "rounding.json"
    monkeypatch.setattr(rounding_record, "accuracy", lambda *given: 0.25)
    other = record.made | {"versions": {"onnxruntime": "0.1"}}
    runtimes.Rounding(record.table, other, record.machine).save(path)
    next(rounding_record.measure(SETTINGS, path, ONNX))  # and then it is stopped
    assert runtimes.recorded_rounding(path).made == other
    (again,) = rounding_record.measure(SETTINGS, path, ONNX)
    assert list(again.table["int8"]) == [0.25, 0.25] and list(tmp_path.iterdir()) == [path]
    pd.testing.assert_frame_equal(runtimes.recorded_rounding(path).table, again.table)


def test_the_packages_record_is_of_no_other_profile(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["rounding_record", "--profile", "smoke"])
    with pytest.raises(SystemExit):
        rounding_record.main()
    assert "--output is needed" in capsys.readouterr().err


def test_it_says_what_was_measured(measured):
    made = measured[1][-1].made
    assert (made["profile"], made["runtime"]) == ("smoke", "ONNX Runtime")
    assert (made["test images"], made["calibration images"]) == (300, 50)
    assert set(made["versions"]) == {"onnxruntime"} and measured[1][-1].machine == edge.machine()


def test_nothing_is_measured_without_the_runtime(monkeypatch, tmp_path):
    monkeypatch.setattr(runtimes.ExecuTorch, "missing", lambda self: "pip install it")
    with pytest.raises(ModuleNotFoundError, match="ExecuTorch is not installed: pip install it"):
        next(rounding_record.measure(SETTINGS, tmp_path / "rounding.json"))
    assert not list(tmp_path.iterdir())
