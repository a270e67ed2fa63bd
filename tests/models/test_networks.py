"""The networks: exact sizes, stages, dropout, and a convolution that is exact."""

from __future__ import annotations

import pytest
import torch
from helpers import NETWORKS

from kdnotes.models import (
    ResidualStudent,
    StridedPointwise,
    StudentNet,
    TeacherNet,
    count_parameters,
    forward_features,
)

STAGES = {
    TeacherNet: {"block1": (64, 16), "block2": (128, 8), "block3": (256, 4), "block4": (512, 2)},
    StudentNet: {"stem": (32, 16), "block1": (64, 8), "block2": (128, 4), "block3": (256, 4)},
    ResidualStudent: {"stem": (16, 8), "stage1": (16, 8), "stage2": (32, 4), "stage3": (64, 2)},
}


def test_parameter_counts_are_exact():
    teacher, student = count_parameters(TeacherNet()), count_parameters(StudentNet())
    assert (teacher, student, round(teacher / student)) == (10_268_746, 50_570, 203)
    assert 140_000 < count_parameters(ResidualStudent()) < 185_000


@NETWORKS
def test_stages_have_their_names_and_shapes(network):
    logits, features = forward_features(network().eval(), torch.zeros(2, 3, 32, 32))
    assert {name: (f.shape[1], f.shape[2]) for name, f in features.items()} == STAGES[network]
    assert all(f.shape[0] == 2 and f.shape[2] == f.shape[3] for f in features.values())
    assert logits.shape == (2, 10)


@NETWORKS
@pytest.mark.parametrize(("classes", "channels", "width"), [(2, 1, 4), (100, 3, 8), (10, 5, 3)])
def test_any_number_of_classes_and_channels_and_any_width(network, classes, channels, width):
    model = network(num_classes=classes, in_channels=channels, width=width).eval()
    logits, features = forward_features(model, torch.randn(2, channels, 32, 32))
    assert logits.shape == (2, classes) and torch.isfinite(logits).all()
    default = STAGES[network][next(iter(features))][0]
    expected = {name: width * size // default for name, (size, _) in STAGES[network].items()}
    assert {name: feature.shape[1] for name, feature in features.items()} == expected
    assert (model.num_classes, model.in_channels) == (classes, channels)


def test_dropout_is_where_the_course_says():
    def rates(network):
        kinds = torch.nn.Dropout, torch.nn.Dropout2d
        return [module.p for module in network.modules() if isinstance(module, kinds)]

    assert rates(TeacherNet(width=2)) == [0.1, 0.1, 0.1, 0.2, 0.5, 0.5]
    assert rates(StudentNet(width=2)) == [0.2]


def test_every_parameter_gets_a_gradient():
    for network in STAGES:
        model = network(width=4)
        model(torch.randn(8, 3, 32, 32)).logsumexp(1).sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("channels", "out", "stride"), [(2, 4, 2), (7, 12, 2), (12, 24, 2), (3, 3, 1), (5, 2, 3)]
)
def test_a_strided_pointwise_convolution_and_its_gradients_are_exact_in_channels_last(
    channels, out, stride
):
    """As torch computes it, its gradient writes past its memory where channels are few."""
    generator = torch.Generator().manual_seed(channels)
    ours = StridedPointwise(channels, out, 1, stride)
    exact = torch.nn.Conv2d(channels, out, 1, stride).double()
    exact.load_state_dict(ours.state_dict())
    for size in (8, 9, 16):
        x = torch.randn(16, channels, size, size, generator=generator)
        ours_in = x.clone(memory_format=torch.channels_last).requires_grad_(True)
        exact_in = x.double().requires_grad_(True)
        made, wanted = ours(ours_in), exact(exact_in)
        weights = torch.randn(made.shape, generator=generator)
        (made * weights).sum().backward()
        (wanted * weights).sum().backward()
        with torch.no_grad():
            torch.testing.assert_close(ours(ours_in), wanted.float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(made, wanted.float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours_in.grad, exact_in.grad.float(), rtol=1e-4, atol=1e-5)
        for parameter, other in zip(ours.parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, other.grad.float(), rtol=1e-3, atol=1e-3)
            parameter.grad = other.grad = None
