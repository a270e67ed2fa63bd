"""What every runtime promises, with one that is made up: arguments, modes, batches, precision."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from edge_networks import IMAGES, network
from made_up_runtimes import MadeUp, NotThere, OnlyFloat

from kdnotes.edge import runtimes
from kdnotes.edge.runtimes.interface import by_precision, version

HEAVY = ("executorch", "torchao", "openvino", "nncf", "ncnn", "pnnx", "ai_edge_litert")


def test_the_core_imports_no_runtime():
    code = (
        f"import sys, kdnotes.edge.runtimes; print([one for one in {HEAVY} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_file_is_written_and_is_the_same_network(tmp_path):
    built = copy.deepcopy(network()).train()
    state = copy.deepcopy(built.state_dict())
    path = MadeUp().export(built, tmp_path / "there.pt2")
    assert built.training and all(map(torch.equal, state.values(), built.state_dict().values()))
    loaded = MadeUp().load(path)
    with torch.inference_mode():
        wanted = network()(IMAGES)
    assert torch.allclose(loaded.predict(IMAGES), wanted, atol=1e-5)
    assert loaded.calls == [7, 7, 7, 3]
    assert loaded.bytes == path.stat().st_size > 0


def test_precision_names_the_most_layers_first(tmp_path):
    loaded = MadeUp().load(MadeUp().export(network(), tmp_path / "there.pt2"))
    assert loaded.precision == "int8 (8 of 12 layers), float32 (4)"
    loaded.layers = lambda: {"int8": 12}
    assert loaded.precision == "int8"
    loaded.layers = lambda: {}
    assert loaded.precision == "unknown"


def test_layers_are_counted_by_the_precision_of_their_operators():
    counts = {"QConv": 3, "Conv": 2, "Relu": 9}
    kinds = {"int8": ("QConv", "QGemm"), "float32": ("Conv",), "float16": ("Half",)}
    assert by_precision(counts, kinds) == {"int8": 3, "float32": 2}


def test_a_label_tells_the_settings_that_are_not_the_default():
    assert MadeUp().label == "made up"
    assert MadeUp(shift=0.5, negated=True).label == "made up, shift 0.5, negated"
    assert runtimes.LiteRT(converter="some/python").label == "LiteRT"
    assert runtimes.LiteRT(ranges="moving average").label == "LiteRT, ranges moving average"
    assert runtimes.OnnxRuntime(reduce_range=False).label == "ONNX Runtime, reduce range False"


def test_what_is_not_installed_says_how_to_install_it(tmp_path):
    assert NotThere().missing() == 'pip install "kdnotes[nothing]"' and not MadeUp().missing()
    assert NotThere().versions() == {"torch": version("torch")}
    for call in (
        lambda: NotThere().export(network(), tmp_path / "there.pt2"),
        lambda: NotThere().load(__file__),
    ):
        with pytest.raises(ModuleNotFoundError, match=r"not there is not installed: pip install"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_bad_input_of_every_runtime_is_named(tmp_path):
    path, adapter = tmp_path / "there.pt2", MadeUp()
    bare = torch.nn.Flatten()
    for call, said in (
        (lambda: adapter.export(network(), tmp_path / "no" / "there"), "path must be a file in an"),
        (lambda: adapter.export(bare, path), "network must have in_channels"),
        (
            lambda: adapter.export(network(), path, IMAGES[0]),
            "calibration must be a floating-point",
        ),
        (lambda: adapter.export(network(), path, IMAGES.repeat(1, 3, 1, 1)), "1 channels, not 3"),
        (lambda: OnlyFloat().export(network(), path, IMAGES), "calibration must be None for only"),
        (lambda: adapter.load(path), "path must be a file of made up"),
        (lambda: runtimes.LiteRT(ranges="largest"), "ranges must be 'extremes' or"),
        (lambda: runtimes.ExecuTorch(batch=0), "batch must be a whole number of at least 1"),
        (lambda: runtimes.ExecuTorch(up_to=-1), "up_to must be a whole number of at least 0"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match=r"network must be a torch\.nn\.Module, not dict"):
        adapter.export({}, path)
    saved = adapter.load(adapter.export(network(), path))
    with pytest.raises(ValueError, match="images must be a floating-point tensor"):
        saved.predict(IMAGES[0])
