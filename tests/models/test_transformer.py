"""The vision transformer: sizes, maps, tokens, other images, its costs, its file for a device."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from helpers import CLASSES, TRANSFORMER, equal_states, study, tiny_teacher, train

from kdnotes import costs, edge
from kdnotes.methods import AT, DeiT, FitNets, TwoClassTokens
from kdnotes.models import (
    StudentNet,
    VisionTransformer,
    count_parameters,
    feature_shapes,
    forward_features,
    input_shape,
    mean_of_softmaxes,
    stages_of_equal_size,
)
from kdnotes.training import build, predict

pytestmark = pytest.mark.usefixtures("own_cache")
GREY = functools.partial(VisionTransformer, 10, 1)


def parameters_by_hand(width, depth, patch, grid, channels, tokens, classes):
    block = (
        2 * 2 * width + 4 * width * (width + 1) + (2 * width + 1) * width + (width + 1) * 2 * width
    )
    patches = width * (channels * patch**2 + 1) + width * grid**2
    return depth * block + patches + 2 * width + tokens * (width + classes * (width + 1))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, 139_914),
        ({"tokens": 2}, 140_628),
        ({"patch": 8}, 139_914),
        ({"depth": 6, "joint": 6}, 206_858),
        ({"width": 96, "patch": 8}, 308_170),
    ],
)
def test_parameter_counts_are_exact(sizes, expected):
    network = GREY(**sizes)
    given = {"width": 64, "depth": 4, "patch": 4, "tokens": 1} | sizes
    patch = given["patch"]
    counted = parameters_by_hand(
        given["width"], given["depth"], patch, 32 // patch, 1, given["tokens"], 10
    )
    assert count_parameters(network) == counted == expected


def test_stages_are_maps_and_the_last_one_logits_by_token():
    network = GREY(width=8, heads=2, depth=5, joint=2, tokens=2).eval()
    images = torch.randn(3, 1, 32, 32)
    logits, features = forward_features(network, images)
    maps = dict.fromkeys(("patches", "block1", "block2", "block3"), (8, 8, 8))
    assert {name: tuple(f.shape[1:]) for name, f in features.items()} == maps | {"tokens": (2, 10)}
    assert torch.equal(logits, network(images)) and logits.shape == (3, 10)


@pytest.mark.parametrize("image_size", [28, 64])
def test_images_of_another_size_than_32_pixels(image_size, tmp_path):
    sizes = {"patch": 4, "image_size": image_size}
    network = build(functools.partial(TRANSFORMER, **sizes), 0).eval()
    images = torch.randn(2, 1, image_size, image_size)
    assert network(images).shape == (2, CLASSES)
    assert input_shape(network) == (1, image_size, image_size)
    path = edge.export(network, tmp_path / "network.onnx")
    many = torch.randn(7, 1, image_size, image_size)
    torch.testing.assert_close(
        edge.OnnxNetwork(path)(many), predict(network, many), rtol=1e-4, atol=1e-4
    )
    assert list(edge.working_memory(network))


def test_a_network_says_for_which_images_it_is_made():
    assert input_shape(StudentNet()) == (3, 32, 32)
    assert input_shape(torch.nn.Flatten()) is None


def test_positions_are_interpolated_for_images_of_another_size():
    network = build(functools.partial(GREY, width=8, heads=2), 0).eval()
    patches, images = network.stages.patches, torch.zeros(1, 1, 64, 64)
    positions = patches.positions.view(1, 8, 8, 8)
    wanted = torch.nn.functional.interpolate(positions, (16, 16), mode="bilinear")
    found = patches(images) - patches.projection(images)
    torch.testing.assert_close(found, wanted)
    assert network(images).shape == (1, 10)


def test_the_second_token_is_drawn_last_so_that_both_networks_share_their_start():
    one, two = (build(functools.partial(TRANSFORMER, tokens=n), 0).state_dict() for n in (1, 2))
    assert equal_states(one, {name: two[name] for name in one})
    assert {name for name in two if name not in one} == {
        f"stages.tokens.tokens.1.{part}"
        for part in ("vector", "classifier.weight", "classifier.bias")
    }


def test_every_parameter_gets_a_gradient_and_vectors_do_not_decay():
    network = GREY(width=8, heads=2, tokens=2)
    network(torch.randn(4, 1, 32, 32)).logsumexp(1).sub(torch.randn(4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    small = {name for name, p in network.named_parameters() if p.ndim == 1}
    assert "stages.patches.positions" in small and "stages.tokens.tokens.1.vector" in small


def test_attention_is_softmax_of_scaled_products():
    attention = build(functools.partial(GREY, width=8, heads=2), 0).stages.block1.attention
    x = torch.randn(2, 5, 8)
    query, (key, value) = attention.query(x), attention.key_value(x).chunk(2, dim=2)
    parts = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (query[..., head] @ key[..., head].transpose(1, 2) / math.sqrt(4)).softmax(2)
        parts.append(weights @ value[..., head])
    torch.testing.assert_close(attention(x, x), attention.output(torch.cat(parts, dim=2)))


def test_the_last_block_gives_the_tokens_what_it_gives_them_among_all():
    block = build(functools.partial(GREY, width=8, heads=2), 0).stages.tokens.blocks[-1]
    x = torch.randn(3, 9, 8)
    torch.testing.assert_close(block(x, first=2), block(x)[:, :2])


def test_one_answer_of_two_tokens_is_the_mean_of_their_softmaxes_not_of_their_logits():
    sure, unsure = torch.tensor([[8.0, 0.0, 0.0]]), torch.tensor([[0.0, 3.0, 0.0]])
    answer = mean_of_softmaxes(torch.stack([sure, unsure], dim=1))
    torch.testing.assert_close(answer.softmax(1), (sure.softmax(1) + unsure.softmax(1)) / 2)
    assert not torch.allclose(answer.softmax(1), ((sure + unsure) / 2).softmax(1), atol=0.1)
    assert torch.equal(mean_of_softmaxes(sure[:, None]), sure)
    assert mean_of_softmaxes(torch.tensor([[[1e4, 0.0], [0.0, 1e4]]])).isfinite().all()


def test_macs_count_the_attention_too():
    network, width, places = GREY().eval(), 64, 64
    block = places * 8 * width**2 + 2 * places**2 * width
    joint = (places + 1) * 8 * width**2 + 2 * (places + 1) ** 2 * width
    last = (places + 1) * 2 * width**2 + 6 * width**2 + 2 * (places + 1) * width
    by_hand = places * 16 * width + 2 * block + joint + last + 10 * width
    assert costs.macs(functools.partial(network, torch.zeros(1, 1, 32, 32))) == by_hand


def test_a_study_of_transformers_does_not_depend_on_the_workers():
    arms = {"DeiT": DeiT(tiny_teacher()), "two": TwoClassTokens()}
    one, two = (study(arms, 2, student=TRANSFORMER, workers=n, fresh=True) for n in (1, 2))
    for job, run in one.runs.items():
        assert equal_states(run.state, two.runs[job].state)
        assert torch.equal(run.test_logits, two.runs[job].test_logits)


def test_hints_and_attention_of_a_convolutional_teacher_reach_a_transformer():
    student = functools.partial(TRANSFORMER, depth=3)
    teacher = tiny_teacher()
    assert stages_of_equal_size(build(student, 0), teacher.model) == (("block2", "block3"),)
    pairs = (("block1", "block1"), ("block2", "block3"))  # 4×4 against 16×16 and 4×4
    for method in (FitNets(teacher, 2.0, 0.5, pairs), AT(teacher, 2.0, 0.5, pairs)):
        run = train(method, student=student)
        other = train(type(method)(teacher, 2.0, 0.5, pairs, weight=0.0), student=student)
        first = "stages.block1.attention.query.weight"
        assert not torch.equal(run.state[first], other.state[first])


def test_logits_by_token_are_no_map_and_the_message_says_so():
    method = FitNets(tiny_teacher(), pairs=(("tokens", "block3"),))
    message = r"must have the shape \[batch, channels, height, width\], not \[16, 2, 4\]"
    with pytest.raises(ValueError, match=message):
        train(method, student=TRANSFORMER)
    two = build(TRANSFORMER, 0), build(TRANSFORMER, 1)
    assert stages_of_equal_size(*two) == (("block1", "block1"),)
    assert list(feature_shapes(two[0])) == ["patches", "block1", "tokens"]


WRONG = [
    ({"width": 10}, "width must be a multiple of heads, 4, not 10"),
    ({"image_size": 30}, "image_size must be a multiple of patch, 4, not 30"),
    ({"tokens": 3}, "tokens must be a whole number from 1 to 2, not 3"),
    ({"tokens": True}, "tokens must be a whole number from 1 to 2, not True"),
    ({"joint": 5}, "joint must be a whole number from 1 to 4, not 5"),
    ({"joint": 0}, "joint must be a whole number from 1 to 4, not 0"),
    ({"depth": 0}, "depth must be at least 1, not 0"),
    ({"num_classes": 1}, "num_classes must be at least 2, not 1"),
    ({"in_channels": 0}, "in_channels must be at least 1, not 0"),
    ({"patch": -4}, "patch must be at least 1, not -4"),
    ({"width": 64.0}, "width must be an integer, not float"),
]


@pytest.mark.parametrize(("sizes", "message"), WRONG)
def test_wrong_sizes_are_named(sizes, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        VisionTransformer(**sizes)
    assert str(caught.value) == message
