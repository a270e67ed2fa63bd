"""The networks: exact sizes, named stages, features."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch

from kdnotes.models import (
    Cohort,
    MultiExitStudent,
    ResidualStudent,
    StridedPointwise,
    StudentNet,
    TeacherNet,
    count_parameters,
    feature_shapes,
    forward_features,
    stages_of_equal_size,
)

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


# Shapes of features


@NETWORKS
@pytest.mark.parametrize("training", [True, False])
def test_feature_shapes_are_those_of_the_stages_and_the_network_is_left_as_it_was(network, training):
    model = network(in_channels=1, width=4).train(training)
    state, generator = {name: t.clone() for name, t in model.state_dict().items()}, torch.get_rng_state()
    shapes = feature_shapes(model)
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())  # also the running statistics
    assert torch.equal(torch.get_rng_state(), generator)
    _, features = forward_features(model.eval(), torch.zeros(2, 1, 32, 32))
    assert list(shapes) == list(features)
    assert all(shapes[name] == feature.shape[1:] for name, feature in features.items())


def test_stages_of_equal_size_are_the_last_of_each_size():
    sizes = {"width": 4, "in_channels": 1}
    teacher, student, plain = TeacherNet(**sizes), ResidualStudent(**sizes), StudentNet(**sizes)
    assert stages_of_equal_size(student, teacher) == (("stage1", "block2"), ("stage2", "block3"), ("stage3", "block4"))
    assert stages_of_equal_size(plain, teacher) == (("stem", "block1"), ("block1", "block2"), ("block3", "block3"))
    assert stages_of_equal_size(teacher, student) == (("block2", "stage1"), ("block3", "stage2"), ("block4", "stage3"))
    assert stages_of_equal_size(plain, plain) == (("stem", "stem"), ("block1", "block1"), ("block3", "block3"))


# Peers


def cohort(*networks, **sizes):
    return Cohort(tuple(functools.partial(network, **({"width": 4} | sizes)) for network in networks))


def test_a_cohort_gives_the_first_peers_logits_and_as_its_stage_those_of_all():
    model = cohort(StudentNet, ResidualStudent, StudentNet, num_classes=7, in_channels=2).eval()
    assert [type(peer) for peer in model.peers] == [StudentNet, ResidualStudent, StudentNet]
    assert (model.num_classes, model.in_channels) == (7, 2)
    images = torch.randn(5, 2, 32, 32)
    logits, features = forward_features(model, images)
    each = [peer(images) for peer in model.peers]
    assert list(features) == ["peers"] and torch.equal(features["peers"], torch.stack(each, dim=1))
    assert features["peers"].shape == (5, 3, 7)
    assert torch.equal(logits, each[0]) and torch.equal(model(images), each[0])
    assert len({tuple(one.flatten().tolist()) for one in each}) == 3
    assert count_parameters(model) == sum(map(count_parameters, model.peers))


def test_the_first_peer_is_the_one_that_it_would_be_alone_also_with_dropout():
    torch.manual_seed(3)
    alone = StudentNet(width=4)
    torch.manual_seed(3)
    model = cohort(StudentNet, ResidualStudent, StudentNet)
    state = alone.state_dict()
    assert all(torch.equal(t, state[name]) for name, t in model.peers[0].state_dict().items())
    images = torch.randn(4, 3, 32, 32)
    torch.manual_seed(4)
    expected = alone(images)
    torch.manual_seed(4)
    assert torch.equal(model(images), expected) and model.training


def test_peers_share_no_parameter_and_each_gets_its_own_gradient():
    model = cohort(StudentNet, StudentNet)
    groups = [list(peer.parameters()) for peer in model.peers]
    assert len({id(parameter) for group in groups for parameter in group}) == 2 * len(groups[0])
    _, features = forward_features(model, torch.randn(8, 3, 32, 32))
    features["peers"][:, 1].logsumexp(1).sum().backward()
    assert all((p.grad == 0).all() for p in groups[0]) and all(p.grad is not None for p in groups[1])
    assert any((p.grad != 0).any() for p in groups[1])


# Exits


# For each exit the channels of its 3×3 convolutions, at the default widths.
EXITS = {
    TeacherNet: {"block2": [128, 512, 512], "block3": [256, 512]},
    StudentNet: {"block1": [64, 256], "block2": [128, 256]},
    ResidualStudent: {"stage1": [16, 64, 64], "stage2": [32, 64]},
}


def multi_exit(network, **sizes):
    return MultiExitStudent(functools.partial(network, **sizes))


def calls(model, call):
    """Names of the stages and exits that ``call`` computed, in order."""
    seen = []
    parts = {**dict(model.stages.named_children()), **{f"exit {name}": exit for name, exit in model.exits.items()}}
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in (*parts.items(), ("head", model.head))
    ]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return seen


@NETWORKS
def test_exits_lie_after_every_stage_but_the_first_and_reach_the_size_of_the_last(network):
    model = multi_exit(network).eval()
    logits, features = forward_features(model, torch.zeros(2, 3, 32, 32))
    assert list(model.exits) == list(features)[1:-1] == list(EXITS[network])
    for name, exit in model.exits.items():
        assert exit.bottleneck(features[name]).shape == features[list(features)[-1]].shape
        assert exit(features[name]).shape == logits.shape == (2, 10)


@NETWORKS
def test_parameter_counts_of_exits_are_exact(network):
    expected = count_parameters(network())
    for channels in EXITS[network].values():
        for before, after in itertools.pairwise(channels):
            expected += 9 * before * after + 2 * after  # convolution without bias; scale and shift of the norm
        expected += channels[-1] * 10 + 10
    assert count_parameters(multi_exit(network)) == expected


def test_parameter_counts_of_the_two_students_with_exits():
    counts = count_parameters(multi_exit(StudentNet)), count_parameters(multi_exit(ResidualStudent))
    assert counts == (50_570 + 150_538 + 297_994, count_parameters(ResidualStudent()) + 46_986 + 19_210)


@NETWORKS
@pytest.mark.parametrize(("classes", "channels", "width"), [(2, 1, 4), (7, 5, 3)])
def test_forward_until_equals_forward_exits_and_computes_no_deeper_stage(network, classes, channels, width):
    model = multi_exit(network, num_classes=classes, in_channels=channels, width=width).eval()
    torch.manual_seed(0)
    images = torch.randn(3, channels, 32, 32)
    with torch.no_grad():
        exits = model.forward_exits(images)
        stages = [name for name, _ in model.stages.named_children()]
        assert list(exits) == stages[1:]
        for depth, (name, logits) in enumerate(exits.items(), start=2):
            assert logits.shape == (3, classes) and torch.isfinite(logits).all()
            assert torch.equal(model.forward_until(images, name), logits)
            last = "head" if name == stages[-1] else f"exit {name}"
            assert calls(model, lambda name=name: model.forward_until(images, name)) == [*stages[:depth], last]
        assert torch.equal(model(images), exits[stages[-1]])
    assert calls(model, lambda: model(images)) == [*stages, "head"]  # an exit that is not asked for costs nothing
    assert len({tuple(logits.flatten().tolist()) for logits in exits.values()}) == len(exits)


@pytest.mark.parametrize(("channels", "out", "stride"), [(2, 4, 2), (7, 12, 2), (12, 24, 2), (3, 3, 1), (5, 2, 3)])
def test_a_strided_pointwise_convolution_and_its_gradients_are_exact_in_channels_last(channels, out, stride):
    """Its gradient, computed as torch does, writes past its memory where channels are few (found as crashes)."""
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


@NETWORKS
def test_the_backbone_is_the_one_that_it_would_be_alone_with_fresh_buffers(network):
    torch.manual_seed(3)
    alone = network(width=4)
    torch.manual_seed(3)
    model = MultiExitStudent(functools.partial(network, width=4))
    state = model.state_dict()
    for name, tensor in alone.state_dict().items():
        assert torch.equal(state[name], tensor), name
    fresh = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0}
    for name, buffer in model.named_buffers():
        assert (buffer == fresh[name.rpartition(".")[2]]).all(), name
    assert all(module.training for module in model.modules())
    alone.eval(), model.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), alone(images))


def test_every_parameter_of_every_exit_gets_a_gradient():
    for network in EXITS:
        model = multi_exit(network, width=4)
        sum(logits.logsumexp(1).sum() for logits in model.forward_exits(torch.randn(8, 3, 32, 32)).values()).backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
