"""The record of what int8 costs: what it keeps, what it says, and what is shipped."""

from __future__ import annotations

import pandas as pd
import pytest

from kdnotes.edge import runtimes

ROWS = [("CE", 0, 0.7, 0.65), ("CE", 1, 0.8, 0.8), ("KD", 0, 0.75, 0.7501), ("KD", 1, 1 / 3, 0.3)]


@pytest.fixture
def record():
    table = pd.DataFrame(ROWS, columns=["arm", "seed", "float", "int8"])
    made = {"date": "2026-01-02", "dataset": "some", "profile": "smoke", "versions": {"a": "0.1"}}
    return runtimes.Rounding(table, made, {"processor": "some"})


def test_the_loss_is_float_minus_int8_by_seed(record):
    lost = record.loss("CE")
    assert lost.index.name == "seed" and lost.to_dict() == pytest.approx({0: 0.05, 1: 0.0})
    assert record.loss("KD")[0] == pytest.approx(-0.0001)
    with pytest.raises(ValueError, match=r"arm must be one of .*CE.*not 'DML'"):
        record.loss("DML")


def test_it_is_kept_to_the_last_digit(record, tmp_path):
    record.save(tmp_path / "rounding.json")
    again = runtimes.recorded_rounding(tmp_path / "rounding.json")
    pd.testing.assert_frame_equal(again.table, record.table, check_exact=True)
    assert (again.made, again.machine) == (record.made, record.machine)
    with pytest.raises(ValueError, match="path must be a file of Rounding"):
        runtimes.recorded_rounding(tmp_path / "no.json")


def test_it_says_of_what_it_is_and_how_many_students_are_the_same_here(record):
    mine = {("CE", 0): 0.7, ("CE", 1): 0.8001, ("KD", 1): 1 / 3, ("DML", 0): 0.75}
    assert record.said(mine) == (
        "recorded 2026-01-02, some, smoke; float accuracies as here: 2 of 4"
    )


def test_the_shipped_record_is_of_twenty_students_and_its_setting_is_that_of_all_runtimes():
    record, other = runtimes.recorded_rounding(), runtimes.recorded()
    rows = record.table.set_index(["arm", "seed"])
    assert sorted(rows.index) == [(arm, seed) for arm in ("CE", "KD") for seed in range(10)]
    assert set(record.made["versions"]) == {"executorch", "torchao"} and record.made["date"]
    assert record.made["test images"] == 10_000 and record.machine["processor"]
    for name in ("profile", "dataset", "calibration images"):
        assert record.made[name] == other.made[name]
    assert (rows["float"] != rows["int8"]).any()
    assert record.made["instructions"] in ("AVX2", "AVX512")
