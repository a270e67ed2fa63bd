"""The record of the edge runtimes: what it is made of, and when it is refused."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from kdnotes.course import edge_record, profiles
from kdnotes.edge import runtimes
from kdnotes.edge.runtimes import micro

SETTINGS = profiles.settings("smoke", "fashion-mnist", None)


def test_calibration_images_are_of_the_training_set():
    given, data = edge_record.calibration(SETTINGS), SETTINGS.splits()
    assert len(given) == 50 and torch.equal(given, data.train.images[:50])


def test_the_networks_for_a_microcontroller_can_be_run():
    trained = SETTINGS.student()().eval()
    networks = edge_record.students(SETTINGS, trained)
    assert networks["student (smoke)"].training is False and len(networks) >= 3
    images = SETTINGS.splits().test.images[:2]
    for network in networks.values():
        assert not network.training and network(images).shape == (2, 10)


def test_no_record_without_all_runtimes(monkeypatch):
    monkeypatch.setattr(micro, "missing", lambda: 'pip install "kdnotes[micro]"')
    with pytest.raises(ModuleNotFoundError, match="the record needs all runtimes"):
        edge_record.make(SETTINGS)


def test_no_record_of_a_runtime_that_failed(monkeypatch):
    calls = []

    def compare(network, images, targets, given, chosen=runtimes.ALL, **options):
        calls.append((chosen, options))
        status = "failed: here" if chosen == runtimes.ALL else "measured"
        return pd.DataFrame({"status": [status]})

    monkeypatch.setattr(runtimes, "compare", compare)
    with pytest.raises(RuntimeError, match="a runtime failed: here"):
        edge_record.compared(None, SETTINGS.splits().test, None, repeats=3)
    kinds = [options.get("kinds") for _, options in calls]
    assert sorted(kinds, key=str) == [("float",), ("int8",), None]
    assert all(options["repeats"] == 3 for _, options in calls)


def test_megabytes_are_told_of_each_extra(monkeypatch):
    sizes = edge_record.added_megabytes()
    assert set(sizes) == {"executorch", "litert", "micro", "ncnn", "openvino", "runtimes"}
    assert all(size <= sizes["runtimes"] for size in sizes.values())
