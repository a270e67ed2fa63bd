"""Edge: folding, fake quantisation against loops, starts, files, parity of the export, real int8, budgets."""

from __future__ import annotations

import functools
import pickle
import platform

import numpy as np
import pytest
import torch
from helpers import CLASSES, CONFIG, own_cache, tiny_data, tiny_teacher  # noqa: F401
from safetensors.torch import load_file
from torch import nn

from kdnotes import cache, edge, models, study
from kdnotes.methods import KD, CrossEntropy
from kdnotes.training import build, predict

STUDENT = functools.partial(models.ResidualStudent, num_classes=CLASSES, in_channels=1, width=2)
IMAGES = torch.randn(24, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@functools.lru_cache(maxsize=1)
def network() -> nn.Module:
    """A student whose batch norms are not the identity: with means, variances, scales and shifts of their own."""
    made, generator = build(STUDENT, 0), torch.Generator().manual_seed(1)
    for norm in (module for module in made.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
    return made.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The float file and the int8 file of ``network``."""
    folder = tmp_path_factory.mktemp("onnx")
    path = edge.export(network(), folder / "float.onnx")
    return path, edge.quantise(path, folder / "int8.onnx", IMAGES)


def fake_by_loop(weight: torch.Tensor, bits: int) -> np.ndarray:
    largest, out = 2 ** (bits - 1) - 1, weight.numpy().copy()
    for channel in out:
        scale = np.float32(np.abs(channel).max() / largest) if np.abs(channel).max() else np.float32(1)
        for index, value in np.ndenumerate(channel):
            channel[index] = scale * min(max(round(float(value / scale)), -largest), largest)
    return out


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (5, 7)])
def test_fake_quantise_is_the_loop_over_channels_and_weights(bits, shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(bits)) * torch.logspace(-2, 1, shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )
    weight[1] = 0
    quantised = edge.fake_quantise(weight, bits)
    np.testing.assert_allclose(quantised.numpy(), fake_by_loop(weight, bits), rtol=1e-5, atol=1e-7)
    assert all(len(channel.unique()) <= 2**bits - 1 for channel in quantised)
    torch.testing.assert_close(quantised.flatten(1).abs().amax(1), weight.flatten(1).abs().amax(1))


def test_scales_are_positive_also_of_a_channel_of_zeros():
    weight = torch.tensor([[0.5, -2.0], [0.0, 0.0]])
    assert edge.weight_scales(weight, 8).tolist() == pytest.approx([2 / 127, 1.0])


def test_the_gradient_passes_straight_through_the_rounding():
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    (edge.fake_quantise(weight, 4) * torch.arange(12.0).view(3, 4)).sum().backward()
    assert torch.equal(weight.grad, torch.arange(12.0).view(3, 4))


def test_folding_keeps_the_function_and_leaves_the_network():
    before = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    others = (functools.partial(kind, CLASSES, 1, 2) for kind in (models.TeacherNet, models.StudentNet))
    for built in (network(), *(build(factory, 0) for factory in others)):
        folded = edge.fold(built)
        assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
        torch.testing.assert_close(predict(folded, IMAGES), predict(built, IMAGES), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network().state_dict().items())


def test_a_batch_norm_that_cannot_be_folded_is_named():
    with pytest.raises(ValueError, match="must have a convolution before each batch norm, not so: 0"):
        edge.fold(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3)))


def test_without_bits_the_simulation_is_the_network_and_fewer_bits_err_more():
    reference = predict(network(), IMAGES)
    errors = {}
    for weights, activations in ((None, None), (8, 8), (4, 8), (2, 8)):
        fake = edge.FakeQuantised(network(), IMAGES, weights, activations)
        errors[weights] = float((predict(fake, IMAGES) - reference).norm() / reference.norm())
    assert errors[None] < 1e-4 < errors[8] < errors[4] < errors[2] and errors[8] < 0.1


def test_the_gradient_reaches_every_layer_and_at_8_bits_is_close_to_the_float_networks():
    def gradients(model):
        nn.functional.cross_entropy(model(IMAGES), torch.arange(len(IMAGES)) % CLASSES).backward()
        return {name: parameter.grad.flatten() for name, parameter in model.named_parameters()}

    wanted = gradients(edge.fold(network()))
    found = gradients(edge.FakeQuantised(network(), IMAGES).train().network)
    assert {name.replace("inner.", "") for name in found} == wanted.keys()
    for name, gradient in found.items():
        assert torch.cosine_similarity(gradient, wanted[name.replace("inner.", "")], dim=0) > 0.8, name


def test_one_layer_of_the_simulation_by_hand():
    layer = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3))
    fake = edge.FakeQuantised(layer, IMAGES, 4, 8)
    x, low, high = IMAGES.flatten(1).double().numpy(), min(IMAGES.min().item(), 0), max(IMAGES.max().item(), 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    rounded = (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale
    expected = rounded @ fake_by_loop(layer[1].weight.detach(), 4).T + layer[1].bias.detach().numpy()
    np.testing.assert_allclose(predict(fake, IMAGES).numpy(), expected, rtol=1e-3, atol=5e-3)


def test_the_calibration_fixes_the_range_and_0_is_always_in_it():
    fake = edge.FakeQuantised(nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)), IMAGES.abs() + 1)
    (layer,) = fake.layers()
    assert layer.low == 0 and layer.high == (IMAGES.abs() + 1).max()
    fake.train()(100 * IMAGES)
    assert layer.high == (IMAGES.abs() + 1).max()


def test_a_start_holds_the_folded_weights_of_its_run_and_survives_pickling():
    start = edge.Start(STUDENT, network().state_dict(), IMAGES, 4, 8)
    folded = edge.fold(network()).state_dict()
    for built in (start(), pickle.loads(pickle.dumps(start))()):
        inside = built.as_float().state_dict()
        assert inside.keys() == folded.keys() and all(torch.equal(inside[name], folded[name]) for name in folded)
        assert all(parameter.requires_grad for parameter in built.parameters())  # biases made by folding too


def test_the_key_of_a_start_tells_everything_apart():
    state = network().state_dict()
    starts = [
        edge.Start(STUDENT, state, IMAGES, 4, 8), edge.Start(STUDENT, state, IMAGES, 8, 8),
        edge.Start(STUDENT, state, IMAGES, 4, None), edge.Start(STUDENT, state, IMAGES[:5], 4, 8),
        edge.Start(STUDENT, {name: tensor + 1 for name, tensor in state.items()}, IMAGES, 4, 8),
    ]  # fmt: skip
    assert len({cache.fingerprint(start) for start in starts}) == len(starts)
    assert cache.fingerprint(starts[0]) == cache.fingerprint(edge.Start(STUDENT, dict(state), IMAGES.clone(), 4, 8))


def test_arms_of_a_study_train_through_the_rounding_from_one_start():
    def arm(bits):
        return study.Arm(CrossEntropy(), student=study.PerSeed(lambda seed: edge.Start(STUDENT, state, IMAGES, bits)))

    state = network().state_dict()
    result = study.compare(
        {"4": arm(4), "float": arm(None)}, 1, data=tiny_data(), config=CONFIG, workers=1, report=None
    )
    four, plain = (result.runs[name, 0] for name in ("4", "float"))
    assert four.start == plain.start and not torch.equal(four.test_logits, plain.test_logits)


def test_one_and_two_workers_train_a_quantised_student_bit_for_bit(own_cache):  # noqa: F811
    states = [{name: tensor + seed for name, tensor in network().state_dict().items()} for seed in range(2)]
    starts = study.PerSeed(functools.partial(started, states))
    arms = {"labels": study.Arm(CrossEntropy(), student=starts), "kd": study.Arm(KD(tiny_teacher()), student=starts)}
    found = []
    for workers in (1, 2):
        result = study.compare(arms, 2, data=tiny_data(), config=CONFIG, workers=workers, fresh=True, report=None)
        found.append(result.runs)
    for job, run in found[0].items():
        other = found[1][job]
        assert run.start == other.start and torch.equal(run.test_logits, other.test_logits)
        assert run.state.keys() == other.state.keys()
        assert all(torch.equal(tensor, other.state[name]) for name, tensor in run.state.items())
    assert found[0]["kd", 0].start != found[0]["kd", 1].start


def started(states, seed):
    return edge.Start(STUDENT, states[seed], IMAGES, 4, 8)


def test_the_export_is_the_same_network_in_eval_mode_for_any_batch(files):
    runtime, many = edge.OnnxNetwork(files[0]), IMAGES.repeat(5, 1, 1, 1)[:100]
    torch.testing.assert_close(runtime(many), predict(network(), many), rtol=1e-4, atol=1e-4)
    for count in (1, 2, 7, 24):
        torch.testing.assert_close(runtime(IMAGES[:count]), predict(network(), IMAGES[:count]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(runtime.predict(IMAGES, 5), predict(network(), IMAGES), rtol=1e-4, atol=1e-4)
    assert runtime.session.get_session_options().intra_op_num_threads == 1


def test_the_export_of_a_network_in_training_mode_leaves_its_mode_and_is_silent(tmp_path, capfd):
    dropping = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(1024, 3)).train()
    path = edge.export(dropping, tmp_path / "a.onnx", channels=1)
    assert dropping.training and capfd.readouterr() == ("", "")
    torch.testing.assert_close(edge.OnnxNetwork(path)(IMAGES), predict(dropping, IMAGES), rtol=1e-4, atol=1e-4)


def test_the_exported_file_holds_no_path_and_little_but_weights(files):
    import onnx

    content = files[0].read_bytes()
    assert not {"Slice", "Gather"} & {node.op_type for node in onnx.load(files[0]).graph.node}
    assert b"site-packages" not in content and b".py" not in content
    assert 4 * models.count_parameters(network()) * 0.9 < len(content) < 4 * models.count_parameters(network()) + 30_000


def test_the_int8_file_holds_8_bit_weights_with_a_scale_a_channel_and_predicts_the_same(files):
    import onnx

    held = {tensor.name: tensor for tensor in onnx.load(files[1]).graph.initializer}
    weights = [
        tensor for tensor in held.values() if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(weights) == len([m for m in network().modules() if isinstance(m, nn.Conv2d)])
    for tensor in weights:
        assert list(held[tensor.name.replace("_quantized", "_scale")].dims) == [tensor.dims[0]]
    logits, reference = edge.OnnxNetwork(files[1]).predict(IMAGES), predict(network(), IMAGES)
    assert 0 < (logits - reference).norm() / reference.norm() < 0.1


X86 = platform.machine().lower() in ("x86_64", "amd64")
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
        assert not {"Conv", "FusedConv", "NhwcFusedConv", "Add", "Relu", "Clip", "Gemm", "MatMul"} & left.keys(), left
        assert left["QLinearConv"] == len(layers) and left["QGemm"] >= 1
        assert left["QuantizeLinear"] <= 2 and left["DequantizeLinear"] <= 3  # 3 in ONNX Runtime 1.23 to 1.26


@pytest.mark.skipif(not X86, reason="other processors execute signed activations as they are")
def test_signed_activations_leave_what_a_shortcut_feeds_in_float(files, tmp_path):
    left = edge.operators(edge.quantise(files[0], tmp_path / "signed.onnx", IMAGES, signed_activations=True))
    assert left["Conv"] >= 6 and left["Conv"] + left["QLinearConv"] == 11 and left["Add"] == 4  # 7 in 1.23 to 1.26


def test_the_operators_of_the_float_file_are_counted_by_type(files):
    counts = edge.operators(files[0])
    assert counts["Conv"] == len([m for m in network().modules() if isinstance(m, nn.Conv2d)]) and counts["Gemm"] == 1
    assert "BatchNormalization" not in counts and list(counts) == sorted(counts)


@pytest.mark.parametrize("name", ["teacher", "depthwise", "residual"])
def test_every_layer_is_computed_again_and_weights_of_7_bits_are_exact_on_any_processor(name, tmp_path):
    built = network() if name == "residual" else NETWORKS[name]().eval()
    float_file = edge.export(built, tmp_path / "float.onnx")
    layers = {n for n, m in built.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    shares = edge.cut_off(edge.quantise(float_file, tmp_path / "int8.onnx", IMAGES, reduce_range=True), IMAGES)
    assert shares == dict.fromkeys(layers, 0.0)


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
    (share,) = edge.cut_off(edge.quantise(float_file, tmp_path / "int8.onnx", bright), bright).values()
    (reduced,) = edge.cut_off(
        edge.quantise(float_file, tmp_path / "7.onnx", bright, reduce_range=True), bright
    ).values()
    assert reduced == 0
    vnni = edge.machine()["VNNI"]
    if X86 and vnni != "unknown":
        assert share > 0.5 if vnni == "no" else share == 0


def test_a_wrong_output_of_the_runtime_is_seen(files, monkeypatch):
    path = edge.quantise(files[0], files[0].parent / "seven.onnx", IMAGES, reduce_range=True)
    exact = edge._exact
    monkeypatch.setattr(edge, "_exact", lambda node, x, held: exact(node, x, held) + 2)
    assert set(edge.cut_off(path, IMAGES).values()) == {1.0}
    monkeypatch.setattr(edge, "_exact", lambda node, x, held: exact(node, x, held) + 1)
    assert set(edge.cut_off(path, IMAGES).values()) == {0.0}  # one step is rounding


def test_a_bound_call_is_the_same_network_and_leaves_earlier_logits(files):
    runtime = edge.OnnxNetwork(files[0])
    for part in (IMAGES[:1], IMAGES[3:8]):
        call = runtime.bound(part)
        assert call() is None
        assert np.array_equal(call.args[0].get_outputs()[0].numpy(), runtime(part).numpy())


def test_one_scale_for_all_channels_is_one_number_a_weight(files, tmp_path):
    import onnx

    path = edge.quantise(files[0], tmp_path / "one.onnx", IMAGES, per_channel=False)
    held = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    weights = [
        name for name, tensor in held.items() if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert weights and all(not held[name.replace("_quantized", "_scale")].dims for name in weights)


def test_a_reduced_range_leaves_the_weights_7_bits(files, tmp_path):
    import onnx
    from onnx import numpy_helper

    largest = {}
    for name, path in (("8", files[1]), ("7", edge.quantise(files[0], tmp_path / "a", IMAGES, reduce_range=True))):
        held = [tensor for tensor in onnx.load(path).graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
        weights = [numpy_helper.to_array(tensor) for tensor in held if len(tensor.dims) == 4]
        largest[name] = max(int(np.abs(weight.astype(int)).max()) for weight in weights)
    assert largest["8"] == 127 and largest["7"] in (63, 64)


@pytest.mark.parametrize("step", ["export", "quantise"])
def test_a_failure_on_the_way_leaves_the_earlier_file_and_nothing_else(files, tmp_path, monkeypatch, step):
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
    assert path.read_bytes() == b"earlier" and [item.name for item in tmp_path.iterdir()] == ["a.onnx"]


def test_quantising_is_silent_and_depends_on_the_calibration(files, tmp_path, capfd, caplog):
    narrow = edge.quantise(files[0], tmp_path / "narrow.onnx", IMAGES / 10)
    assert capfd.readouterr() == ("", "") and not caplog.records
    reference = predict(network(), IMAGES)
    errors = [(edge.OnnxNetwork(path).predict(IMAGES) - reference).norm() for path in (files[1], narrow)]
    assert errors[0] < errors[1]


def test_the_calibration_reader_hands_out_every_image_once_then_none():
    reader, seen = edge.CalibrationImages(IMAGES, 10), []
    while (batch := reader.get_next()) is not None:
        seen.append(batch["images"])
    assert [len(part) for part in seen] == [10, 10, 4] and np.array_equal(np.concatenate(seen), IMAGES.numpy())
    assert reader.get_next() is None


def test_saved_weights_come_back_and_a_failure_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = edge.save(network(), tmp_path / "a.safetensors")
    assert all(torch.equal(tensor, network().state_dict()[name]) for name, tensor in load_file(path).items())
    before = path.read_bytes()

    def fails(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fails)
    with pytest.raises(OSError, match="no space left"):
        edge.save(network(), path)
    assert path.read_bytes() == before and [item.name for item in tmp_path.iterdir()] == ["a.safetensors"]


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
    with pytest.raises(RuntimeError, match=r"(?s)measures memory failed.*must be an ONNX file"):
        edge.resident_memory({"missing": functools.partial(edge.OnnxNetwork, "missing.onnx")}, IMAGES[:1], repeats=1)


def test_the_machine_is_named_without_its_host():
    named = edge.machine()
    assert named["PyTorch"] == torch.__version__ and int(named["cores"]) >= 1 and named["processor"]
    assert named["VNNI"] in ("yes", "no", "unknown")
    assert all(value and (not platform.node() or platform.node() not in value) for value in named.values())


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
    monkeypatch.setattr(edge.Path, "read_text", lambda self, encoding: text)
    assert edge._has_vnni() == word


@pytest.mark.parametrize("bits", [1, 9, 4.0, True])
def test_wrong_bits_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be a whole number from 2 to 8"):
        edge.fake_quantise(torch.ones(2, 2), bits)
    for name in ("weight_bits", "activation_bits"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 2 to 8"):
            edge.FakeQuantised(network(), IMAGES, **{name: bits})


def test_bad_input_is_named(tmp_path, files):
    with pytest.raises(TypeError, match=r"network must be a torch\.nn\.Module, not str"):
        edge.fold("network")
    with pytest.raises(ValueError, match="images must have 1 channels, not 3"):
        edge.FakeQuantised(network(), torch.zeros(2, 3, 32, 32))
    for images in (IMAGES[:0], IMAGES[0], IMAGES.byte(), None):
        with pytest.raises(ValueError, match="images must be a floating-point tensor"):
            edge.quantise(files[0], tmp_path / "a.onnx", images)
    with pytest.raises(ValueError, match="path must be an ONNX file"):
        edge.quantise(tmp_path / "missing.onnx", tmp_path / "a.onnx", IMAGES)
    for call in (edge.operators, lambda path: edge.cut_off(path, IMAGES)):
        with pytest.raises(ValueError, match="path must be an ONNX file"):
            call(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="images must be a floating-point tensor"):
        edge.cut_off(files[1], IMAGES[0])
    with pytest.raises(ValueError, match="channels must be given"):
        edge.export(nn.Flatten(), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="path must be in an existing folder"):
        edge.save(network(), tmp_path / "missing" / "a.safetensors")
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1"):
        edge.resident_memory({}, IMAGES, repeats=0)
    assert list(tmp_path.iterdir()) == []
