"""Folding, files and their bad input, parity of the export, what is in the int8 file."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
import torch
from edge_networks import IMAGES, network
from helpers import CLASSES
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import nn

from kdnotes import edge, models
from kdnotes.training import build, predict

close = functools.partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)


def int8_weights(path):
    """Name → tensor of the convolutions' weights, and name → tensor of all that the file holds."""
    held = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    int8 = onnx.TensorProto.INT8
    weights = {k: v for k, v in held.items() if v.data_type == int8 and len(v.dims) == 4}
    return weights, held


def test_folding_keeps_the_function_and_leaves_the_network():
    before = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    kinds = (models.TeacherNet, models.StudentNet)
    others = [build(functools.partial(kind, CLASSES, 1, 2), 0) for kind in kinds]
    for built in (network(), *others):
        folded = edge.fold(built)
        assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
        close(predict(folded, IMAGES), predict(built, IMAGES))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network().state_dict().items())


def test_a_batch_norm_that_cannot_be_folded_is_named():
    with pytest.raises(ValueError, match="a convolution before each batch norm, not so: 0"):
        edge.fold(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3)))


def test_the_export_is_the_same_network_in_eval_mode_for_any_batch(files):
    runtime, many = edge.OnnxNetwork(files[0]), IMAGES.repeat(5, 1, 1, 1)[:100]
    close(runtime(many), predict(network(), many))
    for count in (1, 2, 7, 24):
        close(runtime(IMAGES[:count]), predict(network(), IMAGES[:count]))
    close(runtime.predict(IMAGES, 5), predict(network(), IMAGES))
    assert runtime.session.get_session_options().intra_op_num_threads == 1


def test_the_export_of_a_network_in_training_mode_leaves_its_mode_and_is_silent(tmp_path, capfd):
    dropping = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(1024, 3)).train()
    path = edge.export(dropping, tmp_path / "a.onnx", channels=1)
    assert dropping.training and capfd.readouterr() == ("", "")
    close(edge.OnnxNetwork(path)(IMAGES), predict(dropping, IMAGES))


class AsksForLength(nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :3] + torch.zeros(1, 3).expand(len(images), -1)


def test_a_network_that_takes_one_size_of_batch_is_not_exported_as_if_it_took_any(tmp_path):
    message = r"network \(AsksForLength\) must take a batch of any size, but its export takes 2"
    with pytest.raises(ValueError, match=message):
        edge.export(AsksForLength(), tmp_path / "a.onnx", channels=1)
    assert not list(tmp_path.iterdir())


def test_the_exported_file_holds_no_path_and_little_but_weights(files):
    content = files[0].read_bytes()
    assert not {"Slice", "Gather"} & {node.op_type for node in onnx.load(files[0]).graph.node}
    assert b"site-packages" not in content and b".py" not in content
    size = 4 * models.count_parameters(network())
    assert 0.9 * size < len(content) < size + 30_000


def test_the_int8_file_holds_8_bit_weights_with_a_scale_a_channel_and_predicts_the_same(files):
    weights, held = int8_weights(files[1])
    assert len(weights) == len([m for m in network().modules() if isinstance(m, nn.Conv2d)])
    for name, tensor in weights.items():
        assert list(held[name.replace("_quantized", "_scale")].dims) == [tensor.dims[0]]
    logits, reference = edge.OnnxNetwork(files[1]).predict(IMAGES), predict(network(), IMAGES)
    assert 0 < (logits - reference).norm() / reference.norm() < 0.1


def test_one_scale_for_all_channels_is_one_number_a_weight(files, tmp_path):
    path = edge.quantise(files[0], tmp_path / "one.onnx", IMAGES, per_channel=False)
    weights, held = int8_weights(path)
    assert weights and all(not held[name.replace("_quantized", "_scale")].dims for name in weights)


def test_a_reduced_range_leaves_the_weights_7_bits(files, tmp_path):
    def largest(path):
        arrays = map(numpy_helper.to_array, int8_weights(path)[0].values())
        return max(int(np.abs(array.astype(int)).max()) for array in arrays)

    reduced = edge.quantise(files[0], tmp_path / "a", IMAGES, reduce_range=True)
    assert largest(files[1]) == 127 and largest(reduced) in (63, 64)


@pytest.mark.parametrize("step", ["export", "quantise"])
def test_a_failure_on_the_way_leaves_the_earlier_file_and_nothing_else(
    files, tmp_path, monkeypatch, step
):
    def fails(*arguments, **options):
        raise OSError("no space left on device")

    path = tmp_path / "a.onnx"
    path.write_bytes(b"earlier")
    if step == "export":
        monkeypatch.setattr("onnx.save", fails)
    else:
        monkeypatch.setattr("onnxruntime.quantization.quantize_static", fails)
    with pytest.raises(OSError, match="no space left"):
        edge.export(network(), path) if step == "export" else edge.quantise(files[0], path, IMAGES)
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_quantising_is_silent_and_depends_on_the_calibration(files, tmp_path, capfd, caplog):
    narrow = edge.quantise(files[0], tmp_path / "narrow.onnx", IMAGES / 10)
    assert capfd.readouterr() == ("", "") and not caplog.records
    reference = predict(network(), IMAGES)
    found = [edge.OnnxNetwork(path).predict(IMAGES) for path in (files[1], narrow)]
    assert (found[0] - reference).norm() < (found[1] - reference).norm()


def test_the_calibration_reader_hands_out_every_image_once_then_none():
    reader, seen = edge.CalibrationImages(IMAGES, 10), []
    while (batch := reader.get_next()) is not None:
        seen.append(batch["images"])
    assert [len(part) for part in seen] == [10, 10, 4]
    assert np.array_equal(np.concatenate(seen), IMAGES.numpy())
    assert reader.get_next() is None


def test_saved_weights_come_back_and_a_failure_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = edge.save(network(), tmp_path / "a.safetensors")
    saved, state = load_file(path), network().state_dict()
    assert saved.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in saved.items())
    before = path.read_bytes()

    def fails(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fails)
    with pytest.raises(OSError, match="no space left"):
        edge.save(network(), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_bad_input_of_files_is_named(tmp_path, files):
    with pytest.raises(TypeError, match=r"network must be a torch\.nn\.Module, not str"):
        edge.fold("network")
    for images in (IMAGES[:0], IMAGES[0], IMAGES.byte(), None):
        with pytest.raises(ValueError, match="calibration must be a floating-point tensor"):
            edge.quantise(files[0], tmp_path / "a.onnx", images)
    with pytest.raises(ValueError, match="path must be an ONNX file"):
        edge.quantise(tmp_path / "missing.onnx", tmp_path / "a.onnx", IMAGES)
    with pytest.raises(ValueError, match="channels must be given"):
        edge.export(nn.Flatten(), tmp_path / "a.onnx")
    nowhere = tmp_path / "missing" / "a"
    for call in (edge.save, edge.export):
        with pytest.raises(ValueError, match="path must be a file in an existing folder, not"):
            call(network(), nowhere)
    with pytest.raises(ValueError, match="target must be a file in an existing folder"):
        edge.quantise(files[0], nowhere, IMAGES)
    assert list(tmp_path.iterdir()) == []
