"""Each runtime that is installed: the same network in float, nearly so in int8; what it tells."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from edge_networks import IMAGES, X86, network
from torch import nn

from kdnotes.edge import runtimes

TOLERANCE = 1e-4
HALF = (runtimes.Ncnn(half=True), runtimes.OpenVino(half=True))
LAYERS = len([one for one in network().modules() if isinstance(one, (nn.Conv2d, nn.Linear))])


def usable(runtime):
    """The runtime, or the test is skipped with what there is to do."""
    if what := runtime.missing():
        pytest.skip(f"{runtime.name} is not installed: {what}")
    return runtime


def wanted():
    with torch.inference_mode():
        return network()(IMAGES)


every = pytest.mark.parametrize("runtime", runtimes.ALL, ids=lambda one: one.name)


@every
def test_the_float_file_is_the_same_network(runtime, tmp_path):
    path = usable(runtime).export(network(), tmp_path / f"float{runtime.suffix}")
    loaded = runtime.load(path)
    assert (loaded.predict(IMAGES) - wanted()).abs().max() < TOLERANCE
    assert loaded.layers() == {"float32": LAYERS} and loaded.precision == "float32"
    weights = 4 * sum(one.numel() for one in network().parameters())
    assert 0.9 * weights < loaded.bytes < weights + 60_000
    assert sum(loaded.operators().values()) >= LAYERS
    assert set(runtime.versions()) >= set(runtime.packages)
    call, once = loaded.bound(IMAGES[:1]), loaded(IMAGES[:1])
    call()
    assert torch.equal(loaded(IMAGES[:1]), once)  # a timed call leaves the network as it was


@every
def test_the_int8_file_is_nearly_the_same_network_in_integers(runtime, tmp_path):
    if "int8" not in runtime.kinds:
        with pytest.raises(ValueError, match="calibration must be None"):
            runtime.export(network(), tmp_path / "int8", IMAGES)
        return
    path = usable(runtime).export(network(), tmp_path / f"int8{runtime.suffix}", IMAGES)
    loaded, logits = runtime.load(path), wanted()
    error = (loaded.predict(IMAGES) - logits).abs().max()
    assert 0 < error < 0.3 * (logits.max() - logits.min())
    if X86:
        assert loaded.layers() == {"int8": LAYERS}


@every
def test_a_batch_of_one_and_of_all_get_the_same_logits(runtime, tmp_path):
    path = usable(runtime).export(network(), tmp_path / f"float{runtime.suffix}")
    loaded = runtime.load(path)
    each = torch.cat([loaded(one) for one in IMAGES.split(1)])
    assert torch.allclose(loaded.predict(IMAGES), each, atol=TOLERANCE)


@pytest.mark.parametrize("runtime", HALF, ids=lambda one: one.label)
def test_half_precision_is_the_default_of_others_and_can_be_refused(runtime, tmp_path):
    """The surprise, and its cure: twice the bytes, and the logits of the network."""
    whole = dataclasses.replace(usable(runtime), half=False)
    files = {
        one: one.export(network(), tmp_path / f"{one.half}.{one.suffix}")
        for one in (runtime, whole)
    }
    loaded = {one.half: one.load(path) for one, path in files.items()}
    off = {
        half: float((one.predict(IMAGES) - wanted()).abs().max()) for half, one in loaded.items()
    }
    assert off[False] < TOLERANCE < off[True]
    sizes = {half: one.files[1].stat().st_size for half, one in loaded.items()}
    assert sizes[True] < 0.65 * sizes[False]


@pytest.mark.skipif(not X86, reason="other processors execute signed activations as they are")
def test_signed_activations_leave_layers_in_float_and_unsigned_ones_do_not(tmp_path):
    for signed in (True, False):
        runtime = runtimes.OnnxRuntime(signed_activations=signed)
        loaded = runtime.load(runtime.export(network(), tmp_path / "int8.onnx", IMAGES))
        assert (loaded.layers().get("float32", 0) >= 5) == signed


def test_an_export_with_gradients_splits_what_xnnpack_runs(tmp_path):
    """The surprise, and its cure: three calls of the delegate, or one."""
    calls = {}
    for gradients in (True, False):
        runtime = usable(runtimes.ExecuTorch(gradients=gradients))
        loaded = runtime.load(runtime.export(network(), tmp_path / "float.pte"))
        assert (loaded.predict(IMAGES[:4]) - wanted()[:4]).abs().max() < TOLERANCE
        calls[gradients] = loaded.operators()["DelegateCall"]
    assert calls == {True: 3, False: 1}


def test_a_converter_that_fails_says_why(tmp_path, monkeypatch):
    usable(runtimes.LiteRT())
    runtime = runtimes.LiteRT(converter="/bin/false")
    with pytest.raises(RuntimeError, match="KDNOTES_LITERT ended with an error"):
        runtime.export(network(), tmp_path / "float.tflite")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv("KDNOTES_LITERT", raising=False)
    assert "make_converter" in runtimes.LiteRT().missing()
