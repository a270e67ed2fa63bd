"""Networks of torchvision and timm as teachers: size, normalisation, classes, local weights."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from helpers import CLASSES, CONFIG, equal_states, tiny_data, tiny_teacher, train
from safetensors.torch import save_file
from torch import nn

from kdnotes import edge
from kdnotes.methods import KD, CrossEntropy
from kdnotes.models import IMAGENET, Preset, adapt, load_weights, preset_of
from kdnotes.teachers import Teacher, train_or_load
from kdnotes.training import build, predict

torchvision = pytest.importorskip("torchvision")
pytestmark = pytest.mark.usefixtures("own_cache")
SMALL = Preset(48, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def shuffle_net(classes=CLASSES):
    """A tiny network of torchvision, made on the spot."""
    return torchvision.models.ShuffleNetV2([1, 1, 1], [8, 16, 16, 32, 32], num_classes=classes)


def vision_transformer(classes=CLASSES):
    """Torchvision's, whose attention takes another path in evaluation than in training."""
    return torchvision.models.VisionTransformer(48, 16, 2, 2, 8, 16, num_classes=classes)


class Sees(nn.Module):
    """Gives what it is shown: three channels' first pixels and sizes as logits."""

    def forward(self, images):
        self.images = images
        return images.mean(dim=(2, 3))


def classes_of(data, count):
    return dataclasses.replace(data, classes=tuple(map(str, range(count))))


def test_the_network_sees_its_own_size_colour_and_normalisation():
    data = dataclasses.replace(tiny_data(), mean=(0.25,), std=(0.5,), classes=("a", "b", "c"))
    network, images = Sees(), torch.full((2, 1, 32, 32), -0.1)
    logits = adapt(network, data, SMALL)(images)
    assert network.images.shape == (2, 3, 48, 48)
    pixel = -0.1 * 0.5 + 0.25
    wanted = [(pixel - mean) / std for mean, std in zip(SMALL.mean, SMALL.std, strict=True)]
    torch.testing.assert_close(logits, torch.tensor([wanted, wanted]))


def test_images_in_colour_keep_their_channels_and_an_equal_size_is_left_as_it_is():
    data = classes_of(tiny_data(3), 3)
    network, images = Sees(), tiny_data(3).test.images
    adapt(network, data, Preset(32, (0.0,) * 3, (1.0,) * 3))(images)
    torch.testing.assert_close(network.images, images)


def test_smaller_images_are_averaged_not_sampled():
    data, network = classes_of(tiny_data(), 2), nn.Sequential(nn.Flatten(), nn.Linear(16 * 16, 2))
    seen = []
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    stripes = torch.zeros(2, 1, 32, 32)
    stripes[..., ::2] = 1.0
    adapt(network, data, Preset(16, (0.0,), (1.0,)))(stripes)
    assert (seen[-1][..., 1:-1] - 0.5).abs().max() < 0.13


def test_columns_pick_the_classes_of_the_data():
    network = build(functools.partial(shuffle_net, 10), 0).eval()
    images = tiny_data().test.images
    everything = adapt(network, classes_of(tiny_data(), 10), SMALL)(images)
    some = adapt(network, tiny_data(), SMALL, columns=(7, 0, 9, 3))(images)
    assert torch.equal(some, everything[:, [7, 0, 9, 3]])


@pytest.mark.parametrize("make", [shuffle_net, vision_transformer])
def test_it_is_a_teacher_whose_answers_are_the_same_each_time(make):
    def outputs():
        teacher = Teacher(adapt(build(make, 0), tiny_data(), SMALL), {})
        return teacher, predict(teacher.model, tiny_data().test.images)

    (teacher, first), (other, second) = outputs(), outputs()
    assert torch.equal(first, second) and teacher.key == other.key
    assert torch.equal(teacher.logits(tiny_data().test), first)
    run = train(KD(teacher, 2.0, 0.5))
    assert equal_states(run.state, train(KD(other, 2.0, 0.5)).state)


@pytest.mark.parametrize("make", [shuffle_net, vision_transformer])
def test_it_is_a_student_that_trains_the_same_each_time(make):
    student = functools.partial(adapted, make)
    first, second = (train(CrossEntropy(), student=student) for _ in range(2))
    assert equal_states(first.state, second.state)
    assert torch.equal(first.test_logits, second.test_logits)


def adapted(make, frozen=False):
    network = make()
    if frozen:
        network.requires_grad_(False)
        (network.fc if hasattr(network, "fc") else network.heads).requires_grad_(True)
    return adapt(network, tiny_data(), SMALL)


def test_another_normalisation_or_column_is_another_teacher():
    network = build(functools.partial(shuffle_net, 6), 0)
    keys = set()
    for preset in (SMALL, SMALL._replace(size=32), SMALL._replace(mean=(0.4, 0.5, 0.5))):
        for columns in ((0, 1, 2, 3), (0, 1, 2, 5)):
            keys.add(Teacher(adapt(network, tiny_data(), preset, columns=columns), {}).key)
    assert len(keys) == 6


def test_a_new_last_layer_is_trained_on_frozen_features():
    """The usual way to a teacher where the classes are other ones."""
    factory = functools.partial(adapted, shuffle_net, frozen=True)
    teacher = train_or_load(factory, tiny_data(), CONFIG)
    start, end = build(factory, 0).state_dict(), teacher.model.state_dict()
    parameters = dict(teacher.model.named_parameters())
    changed = {name for name in parameters if not torch.equal(start[name], end[name])}
    assert changed == {"network.fc.weight", "network.fc.bias"}


def test_torchvisions_weights_and_timms_networks_say_which_images_they_want():
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    assert preset_of(weights) == IMAGENET
    network = Sees()
    network.pretrained_cfg = {"input_size": (3, 160, 160), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert preset_of(network) == Preset(160, (0.5,) * 3, (0.5,) * 3)
    assert adapt(network, classes_of(tiny_data(), 3)).size == 160


def test_a_network_of_timm_is_adapted_by_what_it_says_of_itself():
    timm = pytest.importorskip("timm")
    network = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=CLASSES, depth=1)
    teacher = Teacher(adapt(network, tiny_data()), {})
    assert teacher.model.size == 224
    assert teacher.logits(tiny_data().test.take(torch.arange(4))).shape == (4, CLASSES)


def test_the_mode_of_the_network_and_its_statistics_are_left_as_they_were():
    network = build(shuffle_net, 0).train()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    assert adapt(network, tiny_data(), SMALL).training and network.training
    assert equal_states(before, network.state_dict())


def test_an_adapted_network_is_exported_with_its_adapter(tmp_path):
    network = adapt(build(shuffle_net, 0), tiny_data(), SMALL).eval()
    path, images = edge.export(network, tmp_path / "a.onnx"), tiny_data().test.images
    torch.testing.assert_close(
        edge.OnnxNetwork(path)(images), predict(network, images), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped"])
def test_weights_of_a_local_file(kind, tmp_path):
    state = build(shuffle_net, 1).state_dict()
    if kind == "safetensors":
        save_file(state, path := tmp_path / "w.safetensors")
    else:
        torch.save(
            {"state_dict": state} if kind == "wrapped" else state, path := tmp_path / "w.pth"
        )
    network = load_weights(build(shuffle_net, 0), path)
    assert equal_states(network.state_dict(), state)


def test_the_last_layer_of_other_classes_can_be_left_out(tmp_path):
    many = build(functools.partial(shuffle_net, 9), 1).state_dict()
    save_file(many, path := tmp_path / "w.safetensors")
    network, start = build(shuffle_net, 0), build(shuffle_net, 0).state_dict()
    message = (
        r"path must hold weights of a ShuffleNetV2: 2 tensors differ, the first is 'fc.weight'"
    )
    with pytest.raises(ValueError, match=message):
        load_weights(network, path)
    assert equal_states(network.state_dict(), start)
    load_weights(network, path, without=("fc.",))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, start[name] if name.startswith("fc.") else many[name])


class Code:
    """Whose pickle would run code."""

    def __reduce__(self):
        return print, ("ran",)


def test_no_code_of_a_file_runs_and_what_holds_no_tensors_is_named(tmp_path, capsys):
    contents = {"code": Code(), "list": [torch.zeros(1)], "numbers": {"a": 1}}
    for name, content in contents.items():
        torch.save(content, path := tmp_path / f"{name}.pth")
        with pytest.raises(ValueError, match="path must hold tensors"):
            load_weights(shuffle_net(), path)
    for name in ("a.safetensors", "a.pth"):
        (path := tmp_path / name).write_bytes(b"not a file of weights, " * 9)
        with pytest.raises(ValueError, match=f"path must hold tensors, but {name} does not"):
            load_weights(shuffle_net(), path)
    assert capsys.readouterr().out == ""
    for path in (tmp_path, "https://example.org/w.pth", tmp_path / "missing.pth"):
        with pytest.raises(ValueError, match="path must be a local file of weights, not"):
            load_weights(shuffle_net(), path)


class Says:
    def __init__(self, **said):
        self.pretrained_cfg = said


WRONG = [
    (lambda: adapt(shuffle_net(), tiny_data()),
     "preset must be given, as models.Preset(size, mean, std) or weights of torchvision: a Shuff"),
    (lambda: adapt(shuffle_net(), tiny_data(), "imagenet"), "preset must be given, as models.Pre"),
    (lambda: preset_of(torchvision.models.segmentation.FCN_ResNet50_Weights.DEFAULT),
     "preset must be given, as models.Preset(size, mean, std) or weights of torchvision"),
    (lambda: preset_of(Says(input_size=(3, 224, 160), mean=(0.5,) * 3, std=(0.5,) * 3)),
     "size must be one number of pixels, height and width, not (224, 160)"),
    (lambda: preset_of(Says()), "preset must be given, as models.Preset(size, mean, std)"),
    (lambda: adapt(shuffle_net, tiny_data(), SMALL), "network must be a torch.nn.Module, not fun"),
    (lambda: adapt(shuffle_net(), tiny_data().train, SMALL), "data must be a kdnotes.data.Splits"),
    (lambda: adapt(shuffle_net(7), tiny_data(), SMALL),
     "network (Adapted) must give logits [2, 4], but in evaluation it returns a float32 tensor [2"),
    (lambda: adapt(shuffle_net(7), tiny_data(), SMALL, columns=(0, 1)),
     "columns must be 4 different outputs, one for each class, not [0, 1]"),
    (lambda: adapt(shuffle_net(7), tiny_data(), SMALL, columns=(0, 1, 2, 2)),
     "columns must be 4 different outputs, one for each class, not [0, 1, 2, 2]"),
    (lambda: adapt(shuffle_net(7), tiny_data(), SMALL, columns=(0, 1, 2, -1)),
     "columns must be at least 0, not -1"),
    (lambda: adapt(shuffle_net(7), tiny_data(), SMALL, columns=(0, 1, 2, 9)),
     "network (Adapted) must take float32 images [batch, 1, 32, 32], but fails (IndexError"),
    (lambda: adapt(shuffle_net(), tiny_data(3), Preset(32, (0.5,), (0.5,))),
     "network must see images of 3 channels, as the data has, or data be grey; its preset has 1"),
    (lambda: adapt(vision_transformer(), tiny_data(), SMALL._replace(size=40)),
     "network (Adapted) must take float32 images [batch, 1, 32, 32], but fails (AssertionError"),
    (lambda: adapt(shuffle_net(), tiny_data(), SMALL._replace(size=0)), "size must be at least 1"),
    (lambda: adapt(shuffle_net(), tiny_data(), SMALL._replace(std=(1.0, 0.0, 1.0))),
     "std must be a finite number above 0, not 0.0"),
    (lambda: adapt(shuffle_net(), tiny_data(), SMALL._replace(std=(1.0,))),
     "mean and std must have a number a channel, not (0.4, 0.5, 0.6) and (1.0,)"),
    (lambda: load_weights(tiny_teacher(), "w.pth"), "network must be a torch.nn.Module, not Tea"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_calls_are_named(call, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
