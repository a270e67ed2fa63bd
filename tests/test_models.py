"""The networks: exact sizes, named stages, features."""

from __future__ import annotations

import pytest
import torch

from kdnotes.models import ResidualStudent, StudentNet, TeacherNet, count_parameters, forward_features

STAGES = {
    TeacherNet: {"block1": (64, 16), "block2": (128, 8), "block3": (256, 4), "block4": (512, 2)},
    StudentNet: {"stem": (32, 16), "block1": (64, 8), "block2": (128, 4), "block3": (256, 4)},
    ResidualStudent: {"stem": (16, 8), "stage1": (16, 8), "stage2": (32, 4), "stage3": (64, 2)},
}
NETWORKS = pytest.mark.parametrize("network", list(STAGES))


def test_parameter_counts_are_exact():
    teacher, student = count_parameters(TeacherNet()), count_parameters(StudentNet())
    assert (teacher, student, round(teacher / student)) == (10_268_746, 50_570, 203)
    assert 140_000 < count_parameters(ResidualStudent()) < 185_000


def test_frozen_parameters_are_counted_and_buffers_are_not():
    model = StudentNet()
    model.requires_grad_(False)
    assert count_parameters(model) == 50_570 < sum(tensor.numel() for tensor in model.state_dict().values())


@NETWORKS
def test_stages_have_their_names_and_shapes(network):
    logits, features = forward_features(network().eval(), torch.zeros(2, 3, 32, 32))
    assert {name: (f.shape[1], f.shape[2]) for name, f in features.items()} == STAGES[network]
    assert all(f.shape[0] == 2 and f.shape[2] == f.shape[3] for f in features.values())
    assert logits.shape == (2, 10)


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
@pytest.mark.parametrize(("classes", "channels", "width"), [(2, 1, 4), (100, 3, 8), (10, 5, 3)])
def test_any_number_of_classes_and_channels_and_any_width(network, classes, channels, width):
    model = network(num_classes=classes, in_channels=channels, width=width).eval()
    logits, features = forward_features(model, torch.randn(2, channels, 32, 32))
    assert logits.shape == (2, classes) and torch.isfinite(logits).all()
    factor = {name: size[0] / STAGES[network]["stem" if "stem" in features else "block1"][0] for name, size in
              STAGES[network].items()}  # fmt: skip
    assert {name: f.shape[1] for name, f in features.items()} == {name: width * f for name, f in factor.items()}
    assert (model.num_classes, model.in_channels) == (classes, channels)


def test_dropout_is_where_the_course_says():
    rates = [m.p for m in TeacherNet(width=2).modules() if isinstance(m, (torch.nn.Dropout, torch.nn.Dropout2d))]
    assert rates == [0.1, 0.1, 0.1, 0.2, 0.5, 0.5]
    assert [m.p for m in StudentNet(width=2).modules() if isinstance(m, torch.nn.Dropout)] == [0.2]


def test_every_parameter_gets_a_gradient():
    for network in STAGES:
        model = network(width=4)
        model(torch.randn(8, 3, 32, 32)).logsumexp(1).sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
