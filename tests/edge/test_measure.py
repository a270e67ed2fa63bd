"""Working memory by hand, resident memory of fresh processes, the machine by name."""

from __future__ import annotations

import functools
import pathlib
import platform

import pytest
import torch
from edge_networks import IMAGES, network
from helpers import CLASSES
from torch import nn

from kdnotes import edge


def test_working_memory_by_hand():
    found = edge.working_memory(network())
    assert found["stages.stem.0"] == 32 * 32 + 2 * 16 * 16
    stage1, stage2 = 2 * 8 * 8, 4 * 4 * 4
    assert found["stages.stage1.residual.0"] == 2 * stage1  # the shortcut is the input itself
    assert found["stages.stage1.residual.3"] == 3 * stage1  # the input waits for the addition
    assert found["stages.stage2.residual.0"] == stage1 + stage2
    assert found["stages.stage2.residual.3"] == stage1 + 2 * stage2
    assert found["stages.stage2.shortcut.0"] == stage1 + 2 * stage2  # the residual waits
    assert found["head.2"] == 8 + CLASSES


def test_a_larger_network_takes_more_resident_memory():
    load = {size: functools.partial(nn.Linear, 32, size) for size in (8, 2_000_000)}
    grown = edge.resident_memory(load, IMAGES[:1], repeats=1)
    wanted = 4 * 2_000_000 * 33 / 2**20  # weights and bias; the output comes on top
    assert all(len(values) == 1 for values in grown.values())
    assert 0.9 * wanted < grown[2_000_000][0] - grown[8][0] < 3 * wanted


def test_a_failure_in_the_measuring_process_is_told():
    with pytest.raises(ValueError, match=r"path must be an ONNX file, not 'missing\.onnx'"):
        edge.resident_memory(
            {"missing": functools.partial(edge.OnnxNetwork, "missing.onnx")}, IMAGES[:1], repeats=1
        )


def test_the_machine_is_named_without_its_host():
    named = edge.machine()
    assert named["PyTorch"] == torch.__version__ and int(named["cores"]) >= 1 and named["processor"]
    assert named["VNNI"] in ("yes", "no", "unknown")
    host = platform.node() or "no host"
    assert all(value and host not in value for value in named.values())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("model name\t: X\nflags\t\t: sse avx512f avx512_vnni\n", "yes"),
        ("flags\t: avx2 avx_vnni fma\n", "yes"),
        ("flags\t: avx2 fma\n", "no"),
        ("Features\t: asimddp\n", "unknown"),
    ],
)
def test_vnni_is_read_from_the_flags(monkeypatch, text, word):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, encoding: text)
    assert edge.machine()["VNNI"] == word


def test_a_wrong_number_of_repeats_is_refused():
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1"):
        edge.resident_memory({}, IMAGES, repeats=0)
