"""What any network of stages gives: its features, their shapes, its parameters."""

from __future__ import annotations

import pytest
import torch
from helpers import NETWORKS

from kdnotes.models import (
    ResidualStudent,
    StudentNet,
    TeacherNet,
    count_parameters,
    feature_shapes,
    forward_features,
    stages_of_equal_size,
)


def test_frozen_parameters_are_counted_and_buffers_are_not():
    model = StudentNet()
    model.requires_grad_(False)
    with_buffers = sum(tensor.numel() for tensor in model.state_dict().values())
    assert count_parameters(model) == 50_570 < with_buffers


@NETWORKS
def test_forward_features_equals_forward(network):
    model, images = network(width=8).eval(), torch.randn(3, 3, 32, 32)
    logits, features = forward_features(model, images)
    assert torch.equal(logits, model(images))
    assert torch.equal(features[list(features)[-1]], model.stages(images))
    model.train()  # the same dropout masks in the same order
    torch.manual_seed(0)
    expected = model(images)
    torch.manual_seed(0)
    assert torch.equal(forward_features(model, images)[0], expected)


@NETWORKS
@pytest.mark.parametrize("training", [True, False])
def test_feature_shapes_are_those_of_the_stages_and_the_network_is_left_as_it_was(
    network, training
):
    model = network(in_channels=1, width=4).train(training)
    state = {name: t.clone() for name, t in model.state_dict().items()}
    generator = torch.get_rng_state()
    shapes = feature_shapes(model)
    assert all(module.training == training for module in model.modules())
    # The running statistics too.
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    _, features = forward_features(model.eval(), torch.zeros(2, 1, 32, 32))
    assert list(shapes) == list(features)
    assert all(shapes[name] == feature.shape[1:] for name, feature in features.items())


def test_stages_of_equal_size_are_the_last_of_each_size():
    sizes = {"width": 4, "in_channels": 1}
    teacher, student, plain = TeacherNet(**sizes), ResidualStudent(**sizes), StudentNet(**sizes)
    for first, second, firsts, seconds in (
        (student, teacher, "stage1 stage2 stage3", "block2 block3 block4"),
        (plain, teacher, "stem block1 block3", "block1 block2 block3"),
        (teacher, student, "block2 block3 block4", "stage1 stage2 stage3"),
        (plain, plain, "stem block1 block3", "stem block1 block3"),
    ):
        pairs = tuple(zip(firsts.split(), seconds.split(), strict=True))
        assert stages_of_equal_size(first, second) == pairs
