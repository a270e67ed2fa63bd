"""The one table, with runtimes that are made up and with ONNX Runtime."""

from __future__ import annotations

import dataclasses
import math
import random
from unittest import mock

import pandas as pd
import pytest
import torch
from edge_networks import IMAGES, X86, network
from made_up_runtimes import Failing, MadeUp, NotThere, OnlyFloat

from kdnotes.edge import runtimes
from kdnotes.edge.runtimes import onnx_runtime
from kdnotes.edge.runtimes import table as table_module
from kdnotes.edge.runtimes.table import COLUMNS

with torch.inference_mode():
    ANSWERS = network()(IMAGES).argmax(1)
QUICK = {"repeats": 2, "paced_repeats": 2, "period": 0.001}


def compared(*chosen, yardstick=MadeUp, **changes):
    """The table; its yardstick is made up too unless it is asked for, for it is faster."""
    given = {"targets": ANSWERS, "calibration": IMAGES} | QUICK | changes
    with mock.patch.object(table_module, "OnnxRuntime", yardstick):
        return runtimes.compare(network(), IMAGES, chosen=chosen, **given)


@pytest.fixture(scope="module")
def table():
    chosen = (runtimes.OnnxRuntime(), MadeUp(shift=0.5), MadeUp(negated=True), NotThere())
    table = compared(*chosen, OnlyFloat(), Failing(), yardstick=runtimes.OnnxRuntime)
    return table.set_index(["runtime", "kind"])


def test_each_runtime_has_a_row_for_float_and_for_int8(table):
    assert tuple(table.reset_index().columns) == COLUMNS
    status = table["status"].unstack()
    assert list(status.loc["ONNX Runtime"]) == ["measured"] * 2
    assert list(status.loc["not there"]) == ["not installed"] * 2
    assert status.loc["only float"].to_dict() == {"float": "measured", "int8": "not offered"}
    assert list(status.loc["failing"]) == ["failed: RuntimeError: of another version"] * 2
    assert set(table.loc["not there", "install"]) == {'pip install "kdnotes[nothing]"'}


def test_a_row_that_was_not_measured_is_empty(table):
    rest = [
        name for name in COLUMNS if name not in ("runtime", "kind", "status", "install", "versions")
    ]
    others = table[table["status"] != "measured"]
    assert len(others) == 5 and others[rest].isna().all(axis=None)
    assert table.loc[table["status"] == "measured", rest].notna().all(axis=None)


def test_a_shift_is_the_largest_difference_and_flips_nothing(table):
    row = table.loc[("made up, shift 0.5", "float")]
    assert row["largest_difference"] == pytest.approx(0.5, abs=1e-5)
    assert (row["flips"], row["images"], row["accuracy"]) == (0, len(IMAGES), 1.0)
    assert (row["layers"], row["float_layers"]) == (12, 4)


def test_flips_are_answers_other_than_those_of_pytorch(table):
    row = table.loc[("made up, negated", "float")]
    assert row["flips"] == len(IMAGES) and row["accuracy"] == 0
    other = compared(MadeUp(negated=True), targets=1 - ANSWERS.clamp(max=1))
    assert set(other["flips"]) == {len(IMAGES)}  # whatever the targets are


def test_the_network_is_exported_once_for_all_rows_of_onnx_runtime(tmp_path):
    chosen = (runtimes.OnnxRuntime(), runtimes.OnnxRuntime(signed_activations=True))
    with mock.patch.object(onnx_runtime, "export", side_effect=onnx_runtime.export) as export:
        compared(*chosen, yardstick=runtimes.OnnxRuntime, folder=tmp_path)
    assert export.call_count == 1
    for number, kind, calibration in ((0, "float", None), (1, "int8", IMAGES)):
        alone = chosen[number].export(network(), tmp_path / "alone.onnx", calibration)
        assert alone.read_bytes() == (tmp_path / f"{number}_{kind}.onnx").read_bytes()


def test_onnx_runtime_is_measured_against_itself(table):
    rows = table.loc["ONNX Runtime"]
    assert rows.loc["float", "largest_difference"] < 1e-4
    assert rows.loc["float", "float_layers"] == rows.loc["float", "layers"] == 12
    assert rows.loc["int8", "float_layers"] == 0 or not X86
    for name in ("hot", "paced"):
        assert (rows[f"{name}_ms"] > 0).all()
        ratios = rows[f"{name}_ms"] / rows[f"{name}_ratio"]
        assert math.isclose(*ratios)  # one yardstick for all rows


def test_files_are_kept_on_request_and_the_generators_are_left_alone(tmp_path):
    states = torch.get_rng_state(), random.getstate()
    compared(MadeUp(), folder=tmp_path)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert {"0_float.pt2", "0_int8.pt2"} <= {one.name for one in tmp_path.iterdir()}


def test_no_runtime_at_all_is_an_empty_table():
    assert list(compared().columns) == list(COLUMNS) and len(compared()) == 0


def test_bad_input_of_the_table_is_named():
    for changes, said in (
        ({"targets": ANSWERS[:3]}, "targets must be one class for each of the 24"),
        ({"calibration": IMAGES[0]}, "calibration must be a floating-point"),
        ({"repeats": 0}, "repeats must be a whole number of at least 1"),
        ({"period": 0.0}, "period must be"),
        ({"kinds": ("int4",)}, "kinds must be 'float' or 'int8'"),
        ({"folder": "no/folder"}, "folder must be an existing folder"),
    ):
        with pytest.raises(ValueError, match=said):
            compared(**changes)
    with pytest.raises(TypeError, match="chosen must be runtimes, such as"):
        compared("openvino")
    with pytest.raises(ValueError, match="path must be a file of Record"):
        runtimes.recorded("no.json")
    with pytest.raises(TypeError, match="network must be a torch"):
        runtimes.compare("student", IMAGES, ANSWERS, IMAGES)


def test_the_record_keeps_what_was_measured(tmp_path, table):
    frame = table.reset_index()
    effects = {"largest batch": {"example of 2": 15}}
    micro = pd.DataFrame([{"network": "student", "fits": True}])
    record = runtimes.Record(frame, frame, micro, effects, {"cores": "2"}, {"date": "today"}, {})
    record.save(tmp_path / "record.json")
    again = runtimes.recorded(tmp_path / "record.json")
    assert list(again.table.columns) == list(COLUMNS)
    numbers = ["largest_difference", "flips", "bytes", "hot_ratio"]
    pd.testing.assert_frame_equal(
        again.table[numbers].astype(float), frame[numbers].astype(float), rtol=1e-6
    )
    assert again.table.loc[0, "operators"] == frame.loc[0, "operators"]
    assert (again.effects, again.machine) == (effects, {"cores": "2"})
    assert again.micro.loc[0, "fits"]


def test_versions_that_differ_from_the_record_are_named(table):
    frame = table.reset_index()
    record = runtimes.recorded()
    mine = frame.assign(versions="onnxruntime 0.1, torch 1.0")
    (said,) = runtimes.differing(record, mine)
    assert said.startswith("onnxruntime: ") and said.endswith(" in the record, 0.1 here")
    same = dataclasses.replace(record, table=mine)
    assert runtimes.differing(same, mine) == []
    assert runtimes.differing(record, frame.assign(versions=None)) == []


def test_the_shipped_record_is_of_all_runtimes_and_of_one_student():
    record = runtimes.recorded()
    names = {one.name for one in runtimes.ALL}
    assert set(record.table["runtime"]) == names
    status = record.table.set_index(["runtime", "kind"])["status"]
    assert status.pop(("ncnn", "int8")) == "not offered" and set(status) == {"measured"}
    floats = record.table[record.table["kind"] == "float"]
    assert (floats["largest_difference"] < 1e-3).all() and (floats["flips"] == 0).all()
    assert set(record.table["images"].dropna()) == {10_000}
    assert set(record.sizes) == {"executorch", "litert", "micro", "ncnn", "openvino", "runtimes"}
    assert record.machine["processor"] and record.made["date"]
