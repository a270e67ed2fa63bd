"""Networks made of networks: cohorts of peers, and a student with exits."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from helpers import NETWORKS

from kdnotes.models import (
    Cohort,
    MultiExitStudent,
    ResidualStudent,
    StudentNet,
    TeacherNet,
    count_parameters,
    forward_features,
)

# Peers


def cohort(*networks, **sizes):
    return Cohort(
        tuple(functools.partial(network, **({"width": 4} | sizes)) for network in networks)
    )


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
    assert all((p.grad == 0).all() for p in groups[0])
    assert all(p.grad is not None for p in groups[1])
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
    parts = {**dict(model.stages.named_children()), "head": model.head}
    parts |= {f"exit {name}": way for name, way in model.exits.items()}
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in parts.items()
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
    for name, way in model.exits.items():
        assert way.bottleneck(features[name]).shape == features[list(features)[-1]].shape
        assert way(features[name]).shape == logits.shape == (2, 10)


@NETWORKS
def test_parameter_counts_of_exits_are_exact(network):
    expected = count_parameters(network())
    for channels in EXITS[network].values():
        for before, after in itertools.pairwise(channels):
            # convolution without bias; scale and shift of the norm
            expected += 9 * before * after + 2 * after
        expected += channels[-1] * 10 + 10
    assert count_parameters(multi_exit(network)) == expected


def test_parameter_counts_of_the_two_students_with_exits():
    assert count_parameters(multi_exit(StudentNet)) == 50_570 + 150_538 + 297_994
    residual = count_parameters(ResidualStudent())
    assert count_parameters(multi_exit(ResidualStudent)) == residual + 46_986 + 19_210


@NETWORKS
@pytest.mark.parametrize(("classes", "channels", "width"), [(2, 1, 4), (7, 5, 3)])
def test_forward_until_equals_forward_exits_and_computes_no_deeper_stage(
    network, classes, channels, width
):
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
            called = calls(model, lambda name=name: model.forward_until(images, name))
            assert called == [*stages[:depth], last]
        assert torch.equal(model(images), exits[stages[-1]])
    # An exit that is not asked for costs nothing.
    assert calls(model, lambda: model(images)) == [*stages, "head"]
    assert len({tuple(logits.flatten().tolist()) for logits in exits.values()}) == len(exits)


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
        exits = model.forward_exits(torch.randn(8, 3, 32, 32))
        sum(logits.logsumexp(1).sum() for logits in exits.values()).backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
