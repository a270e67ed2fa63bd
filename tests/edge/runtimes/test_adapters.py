"""Each runtime that is installed: the same network in float, nearly so in int8; what it tells."""

from __future__ import annotations

import dataclasses
import functools

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


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Loads the file of a runtime and a kind, which is written once: some take seconds."""

    @functools.cache
    def written(runtime, kind):
        path = tmp_path_factory.mktemp("written") / f"{kind}{runtime.suffix}"
        return runtime.export(network(), path, IMAGES if kind == "int8" else None)

    return lambda runtime, kind: usable(runtime).load(written(runtime, kind))


@every
def test_the_float_file_is_the_same_network(runtime, load):
    loaded = load(runtime, "float")
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
def test_the_int8_file_is_nearly_the_same_network_in_integers(runtime, load, tmp_path):
    if "int8" not in runtime.kinds:
        with pytest.raises(ValueError, match="calibration must be None"):
            runtime.export(network(), tmp_path / "int8", IMAGES)
        return
    loaded, logits = load(runtime, "int8"), wanted()
    error = (loaded.predict(IMAGES) - logits).abs().max()
    assert 0 < error < 0.3 * (logits.max() - logits.min())
    if X86:
        assert loaded.layers() == {"int8": LAYERS}


@every
def test_one_image_and_all_images_get_the_same_logits(runtime, load):
    loaded = load(runtime, "float")
    each = torch.cat([loaded(one) for one in IMAGES.split(1)])
    assert torch.allclose(loaded.predict(IMAGES), each, atol=TOLERANCE)


@pytest.mark.parametrize("runtime", HALF, ids=lambda one: one.label)
def test_half_precision_is_the_default_of_others_and_can_be_refused(runtime, load):
    """The surprise, and its cure: twice the bytes, and the logits of the network."""
    whole = dataclasses.replace(usable(runtime), half=False)
    loaded = {one.half: load(one, "float") for one in (runtime, whole)}
    off = {
        half: float((one.predict(IMAGES) - wanted()).abs().max()) for half, one in loaded.items()
    }
    assert off[False] < TOLERANCE and 2 * off[False] < off[True]
    sizes = {half: one.files[1].stat().st_size for half, one in loaded.items()}
    assert sizes[True] < 0.65 * sizes[False]


@pytest.mark.skipif(not X86, reason="other processors execute signed activations as they are")
def test_signed_activations_leave_layers_in_float_and_unsigned_ones_do_not(load):
    for signed in (True, False):
        loaded = load(runtimes.OnnxRuntime(signed_activations=signed), "int8")
        assert (loaded.layers().get("float32", 0) >= 5) == signed


def test_an_export_with_gradients_splits_what_xnnpack_runs(load):
    """The surprise, and its cure: three calls of the delegate, or one."""
    calls = {}
    for gradients in (True, False):
        loaded = load(runtimes.ExecuTorch(gradients=gradients), "float")
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
    assert "no file now: no/python" in runtimes.LiteRT(converter="no/python").missing()


def test_a_runtime_that_knows_no_batches_refuses_one(load):
    with pytest.raises(ValueError, match="images must be one image, not 2"):
        load(runtimes.Ncnn(), "float")(IMAGES[:2])
