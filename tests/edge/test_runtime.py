"""Which operators run, bound calls, and integer layers against exact arithmetic."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from edge_networks import IMAGES, STUDENT, X86, network
from helpers import CLASSES
from torch import nn

from kdnotes import edge, models
from kdnotes.edge import runtime

NETWORKS = {
    "teacher": functools.partial(models.TeacherNet, CLASSES, 1, 2),
    "depthwise": functools.partial(models.StudentNet, CLASSES, 1, 2),
    "residual": STUDENT,
    "in colour": functools.partial(models.ResidualStudent, CLASSES, 3, 4),
    "after training through the rounding": lambda: edge.FakeQuantised(network(), IMAGES).as_float(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_convolution_and_no_addition_of_any_network_is_left_in_float(name, tmp_path):
    built = NETWORKS[name]().eval()
    images = IMAGES.expand(-1, getattr(built, "in_channels", 1), -1, -1)
    float_file = edge.export(built, tmp_path / "float.onnx", channels=images.shape[1])
    layers = [m for m in built.modules() if isinstance(m, nn.Conv2d)]
    others = ({"reduce_range": True}, {"per_channel": False}) if name == "residual" else ()
    for options in ({}, *others):
        left = edge.operators(edge.quantise(float_file, tmp_path / "int8.onnx", images, **options))
        assert (
            not {"Conv", "FusedConv", "NhwcFusedConv", "Add", "Relu", "Clip", "Gemm", "MatMul"}
            & left.keys()
        ), left
        assert left["QLinearConv"] == len(layers) and left["QGemm"] >= 1
        assert (
            left["QuantizeLinear"] <= 2 and left["DequantizeLinear"] <= 3
        )  # 3 in ONNX Runtime 1.23 to 1.26


@pytest.mark.skipif(not X86, reason="other processors execute signed activations as they are")
def test_signed_activations_leave_what_a_shortcut_feeds_in_float(files, tmp_path):
    path = edge.quantise(files[0], tmp_path / "signed.onnx", IMAGES, signed_activations=True)
    left = edge.operators(path)
    assert left["Conv"] >= 6  # 7 in ONNX Runtime 1.23 to 1.26
    assert left["Conv"] + left["QLinearConv"] == 11 and left["Add"] == 4


def test_the_operators_of_the_float_file_are_counted_by_type(files):
    counts = edge.operators(files[0])
    assert counts["Gemm"] == 1
    assert counts["Conv"] == len([m for m in network().modules() if isinstance(m, nn.Conv2d)])
    assert "BatchNormalization" not in counts and list(counts) == sorted(counts)


@pytest.mark.parametrize("name", ["teacher", "depthwise", "residual"])
def test_every_layer_is_computed_again_and_weights_of_7_bits_are_exact_on_any_processor(
    name, tmp_path
):
    built = network() if name == "residual" else NETWORKS[name]().eval()
    float_file = edge.export(built, tmp_path / "float.onnx")
    layers = {n for n, m in built.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    path = edge.quantise(float_file, tmp_path / "int8.onnx", IMAGES, reduce_range=True)
    assert edge.cut_off(path, IMAGES) == dict.fromkeys(layers, 0.0)


class Saturating(nn.Module):
    """Weights all at the top of their grid: a pair of products does not fit 16 bits."""

    def __init__(self, layer):
        super().__init__()
        self.in_channels, self.layer = 1, layer
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)

    def forward(self, images):
        return self.layer(images).flatten(1)


def test_sums_are_cut_off_where_the_processor_lacks_vnni_and_nowhere_else(tmp_path):
    float_file = edge.export(Saturating(nn.Conv2d(1, 4, 3, 3)), tmp_path / "float.onnx")
    bright = IMAGES.abs() * 0.1 + 5
    eight = edge.quantise(float_file, tmp_path / "8.onnx", bright)
    seven = edge.quantise(float_file, tmp_path / "7.onnx", bright, reduce_range=True)
    (share,), (reduced,) = (edge.cut_off(path, bright).values() for path in (eight, seven))
    assert reduced == 0
    vnni = edge.machine()["VNNI"]
    if X86 and vnni != "unknown":
        assert share > 0.5 if vnni == "no" else share == 0


def test_a_wrong_output_of_the_runtime_is_seen(files, monkeypatch):
    path = edge.quantise(files[0], files[0].parent / "seven.onnx", IMAGES, reduce_range=True)
    exact = runtime.exact_output
    monkeypatch.setattr(runtime, "exact_output", lambda node, held: exact(node, held) + 2)
    assert set(edge.cut_off(path, IMAGES).values()) == {1.0}
    monkeypatch.setattr(runtime, "exact_output", lambda node, held: exact(node, held) + 1)
    assert set(edge.cut_off(path, IMAGES).values()) == {0.0}  # one step is rounding


def test_a_bound_call_is_the_same_network_and_leaves_earlier_logits(files):
    runtime = edge.OnnxNetwork(files[0])
    for part in (IMAGES[:1], IMAGES[3:8]):
        call = runtime.bound(part)
        assert call() is None
        assert np.array_equal(call.args[0].get_outputs()[0].numpy(), runtime(part).numpy())


def test_bad_input_of_the_runtime_is_named(tmp_path, files):
    for call in (edge.OnnxNetwork, edge.operators, lambda path: edge.cut_off(path, IMAGES)):
        with pytest.raises(ValueError, match="path must be an ONNX file"):
            call(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="images must be a floating-point tensor"):
        edge.cut_off(files[1], IMAGES[0])
