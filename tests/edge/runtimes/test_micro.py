"""A microcontroller's arena, where tflite-micro and LiteRT are installed."""

from __future__ import annotations

import subprocess

import pytest
from edge_networks import IMAGES, network
from made_up_runtimes import MadeUp
from test_adapters import usable

from kdnotes import edge, models
from kdnotes.edge import runtimes
from kdnotes.edge.runtimes import micro

TOLD = """[RecordingMicroAllocator] Arena allocation total 12000 bytes
[RecordingMicroAllocator] Arena allocation head 9000 bytes
[RecordingMicroAllocator] Arena allocation tail 3000 bytes
"""


@pytest.fixture
def told(monkeypatch):
    """As if tflite-micro had run the network."""
    done = subprocess.CompletedProcess([], 0, "", TOLD)
    monkeypatch.setattr(micro, "version", lambda package: "1")
    monkeypatch.setattr(micro.subprocess, "run", lambda *args, **kwargs: done)
    return done


def test_what_the_allocator_says_is_read(told, tmp_path):
    path = MadeUp().export(network(), tmp_path / "network.pt2")
    assert micro.arena(path) == micro.Arena(total=12000, activations=9000, persistent=3000)
    told.stderr = "Traceback\nno such operator"
    with pytest.raises(RuntimeError, match=r"could not run network\.pt2: no such operator"):
        micro.arena(path)


def test_a_network_fits_if_its_file_and_its_arena_do(told):
    size = micro.table({"it": network()}, IMAGES, writer=MadeUp()).loc[0, "flash"]
    for flash, ram, fits in ((size, 12000, True), (size - 1, 12000, False), (size, 11999, False)):
        row = micro.table(
            {"it": network()}, IMAGES, flash=int(flash), ram=ram, writer=MadeUp()
        ).loc[0]
        assert row["fits"] == fits and row["network"] == "it" and row["arena"] == 12000
        assert row["estimate"] == max(edge.working_memory(network()).values())


def test_without_tflite_micro_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(micro, "version", lambda package: "")
    assert micro.missing() == 'pip install "kdnotes[micro]"'
    with pytest.raises(ModuleNotFoundError, match="tflite-micro is not installed"):
        micro.arena(__file__)
    with pytest.raises(ValueError, match="path must be a file of LiteRT"):
        micro.arena("no.tflite")


def test_the_arena_holds_more_than_the_estimate():
    if what := micro.missing():
        pytest.skip(f"tflite-micro is not installed: {what}")
    usable(runtimes.LiteRT())
    row = micro.table({"it": network()}, IMAGES).loc[0]
    assert row["arena"] >= row["activations"] + row["persistent"] - 64
    assert row["estimate"] <= row["activations"] < 20 * row["estimate"]
    assert row["fits"]


def test_weights_of_a_larger_network_are_written_where_they_are_read(tmp_path):
    if what := micro.missing():
        pytest.skip(f"tflite-micro is not installed: {what}")
    larger = models.TeacherNet(in_channels=1, width=16).eval()  # the quantizer moves its weights
    path = usable(runtimes.LiteRT()).export(larger, tmp_path / "inside.tflite", IMAGES)
    estimate = max(edge.working_memory(larger).values())
    assert estimate <= micro.arena(path).activations < 2 * estimate
    behind = tmp_path / "behind.tflite"
    behind.write_bytes(moved_behind(path.read_bytes()))
    with pytest.raises(RuntimeError, match="weights lie behind the flatbuffer"):
        micro.arena(behind)


def moved_behind(file: bytes) -> bytes:
    """The same network, its largest weights behind the flatbuffer, as the format allows."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(file), 0)
    largest = max((one for one in model.buffers if one.data is not None), key=lambda b: len(b.data))
    weights, largest.data = bytes(largest.data), None
    largest.offset, largest.size = 2**20, len(weights)  # beyond what is packed
    builder = flatbuffers.Builder(len(file))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()).ljust(2**20, b"\0") + weights
