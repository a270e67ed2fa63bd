"""The benchmark in its quick mode: it measures what it says, prints a table and writes JSON."""

from __future__ import annotations

import copy
import json
import sys

import pytest
import torch
from helpers import equal_states, own_cache  # noqa: F401

from kdnotes.course import bench
from kdnotes.models import StudentNet, TeacherNet

RATIOS = (
    "speedup",
    "speedup_paying_for_bank",
    "speedup_parallel",
    "distillation_over_cross_entropy",
)


def test_quick_run_fills_every_figure_and_writes_json(own_cache, tmp_path):  # noqa: F811
    lines, output = [], tmp_path / "bench.json"
    figures = bench.run(quick=True, output=output, echo=lines.append)
    written = json.loads(output.read_text())
    assert written == figures
    assert [file.name for file in tmp_path.iterdir()] == ["bench.json"]
    assert all(len(values) == 1 and values[0] > 0 for values in figures["seconds"].values())
    seconds = {name: values[0] for name, values in figures["seconds"].items()}
    assert figures["speedup"] == pytest.approx(seconds["plain"] / seconds["kd"])
    assert figures["speedup_parallel"] == pytest.approx(seconds["plain"] / seconds["parallel"])
    paying = seconds["kd"] + seconds["bank"] / 5
    assert figures["speedup_paying_for_bank"] == pytest.approx(seconds["plain"] / paying)
    ratio = seconds["kd"] / seconds["ce"]
    assert figures["distillation_over_cross_entropy"] == pytest.approx(ratio)
    assert 0.2 < figures["worker_peak_gib"] < 2
    assert 0 < figures["import_seconds"] < 0.5 < 60 > figures["import_seconds_chapter"] > 0
    table = "\n".join(lines)
    assert all(f"{figures[name]:.2f}" in table for name in RATIOS)
    assert "met" in table and "unknown" not in table


def test_plain_loop_trains_the_student_on_the_data_and_leaves_the_teacher():
    data = bench.colour_data(64)
    student, teacher = StudentNet(width=2), TeacherNet(width=2).eval()
    kept, start = copy.deepcopy(teacher.state_dict()), student.head[3].weight.clone()
    assert bench.plain_epoch(student, teacher, data) > 0
    assert equal_states(teacher.state_dict(), kept)
    assert not torch.equal(student.head[3].weight, start)
    assert student.stages.stem[1].num_batches_tracked == 1


def test_pictures_are_the_images_that_kdnotes_trains_on():
    data = bench.colour_data(20)
    pictures = bench.Pictures(data)
    pictures.augment.transforms = pictures.augment.transforms[2:]  # without crop and flip
    for i in range(20):
        image, target = pictures[i]
        assert (image - data.train.images[i]).abs().max() < 0.02 and target == data.train.targets[i]


def test_verdicts_and_unknown_figures():
    assert bench.verdict(10.0, "≥ 10") == bench.verdict(1.1, "≤ 1.10") == "  met"
    assert bench.verdict(9.9, "≥ 10") == bench.verdict(1.2, "≤ 1.10") == "  not met"
    assert bench.verdict(None, "≥ 10") == bench.verdict(5.0, "") == ""
    assert bench.printed_number("print(2.5)") == 2.5
    assert bench.printed_number("raise SystemExit(1)") is None


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not count it")
def test_the_peak_of_a_worker_is_not_that_of_whoever_started_it():
    held = bytearray(b"1" * 2**30)
    peak = bench.printed_number("from kdnotes.course.memory import peak_gib; print(peak_gib())")
    assert 0.01 < peak < len(held) / 2**30


def test_a_missing_output_folder_is_named_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "colour_data", lambda count: pytest.fail("measured"))
    with pytest.raises(ValueError, match=r"output must be a file in an existing folder, .*nowhere"):
        bench.run(quick=True, output=tmp_path / "nowhere" / "bench.json")
