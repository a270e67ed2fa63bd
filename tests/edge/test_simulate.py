"""Fake quantisation against loops, the simulated network, and runs that start from it."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import torch
from edge_networks import IMAGES, STUDENT, network
from helpers import CLASSES, CONFIG, own_cache, tiny_data, tiny_teacher  # noqa: F401
from torch import nn

from kdnotes import edge, study
from kdnotes.methods import KD, CrossEntropy
from kdnotes.store import fingerprint
from kdnotes.training import predict


def fake_by_loop(weight: torch.Tensor, bits: int) -> np.ndarray:
    largest, out = 2 ** (bits - 1) - 1, weight.numpy().copy()
    for channel in out:
        scale = (
            np.float32(np.abs(channel).max() / largest) if np.abs(channel).max() else np.float32(1)
        )
        for index, value in np.ndenumerate(channel):
            channel[index] = scale * min(max(round(float(value / scale)), -largest), largest)
    return out


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (5, 7)])
def test_fake_quantise_is_the_loop_over_channels_and_weights(bits, shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(bits))
    weight *= torch.logspace(-2, 1, shape[0]).view(-1, *[1] * (len(shape) - 1))
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
        assert torch.cosine_similarity(gradient, wanted[name.replace("inner.", "")], dim=0) > 0.8, (
            name
        )


def test_one_layer_of_the_simulation_by_hand():
    layer = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3))
    fake = edge.FakeQuantised(layer, IMAGES, 4, 8)
    x = IMAGES.flatten(1).double().numpy()
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    rounded = (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale
    weight = fake_by_loop(layer[1].weight.detach(), 4)
    expected = rounded @ weight.T + layer[1].bias.detach().numpy()
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
        assert inside.keys() == folded.keys() and all(
            torch.equal(inside[name], folded[name]) for name in folded
        )
        assert all(
            parameter.requires_grad for parameter in built.parameters()
        )  # biases made by folding too


def test_the_key_of_a_start_tells_everything_apart():
    state = network().state_dict()
    starts = [
        edge.Start(STUDENT, state, IMAGES, 4, 8), edge.Start(STUDENT, state, IMAGES, 8, 8),
        edge.Start(STUDENT, state, IMAGES, 4, None), edge.Start(STUDENT, state, IMAGES[:5], 4, 8),
        edge.Start(STUDENT, {name: tensor + 1 for name, tensor in state.items()}, IMAGES, 4, 8),
    ]  # fmt: skip
    assert len({fingerprint(start) for start in starts}) == len(starts)
    equal = edge.Start(STUDENT, dict(state), IMAGES.clone(), 4, 8)
    assert fingerprint(starts[0]) == fingerprint(equal)


def test_arms_of_a_study_train_through_the_rounding_from_one_start():
    def arm(bits):
        return study.Arm(
            CrossEntropy(),
            student=study.PerSeed(lambda seed: edge.Start(STUDENT, state, IMAGES, bits)),
        )

    state = network().state_dict()
    result = study.compare(
        {"4": arm(4), "float": arm(None)},
        1,
        data=tiny_data(),
        config=CONFIG,
        workers=1,
        report=None,
    )
    four, plain = (result.runs[name, 0] for name in ("4", "float"))
    assert four.start == plain.start and not torch.equal(four.test_logits, plain.test_logits)


def test_one_and_two_workers_train_a_quantised_student_bit_for_bit(own_cache):  # noqa: F811
    states = [
        {name: tensor + seed for name, tensor in network().state_dict().items()}
        for seed in range(2)
    ]
    starts = study.PerSeed(functools.partial(started, states))
    arms = {
        "labels": study.Arm(CrossEntropy(), student=starts),
        "kd": study.Arm(KD(tiny_teacher()), student=starts),
    }
    found = []
    for workers in (1, 2):
        result = study.compare(
            arms, 2, data=tiny_data(), config=CONFIG, workers=workers, fresh=True, report=None
        )
        found.append(result.runs)
    for job, run in found[0].items():
        other = found[1][job]
        assert run.start == other.start and torch.equal(run.test_logits, other.test_logits)
        assert run.state.keys() == other.state.keys()
        assert all(torch.equal(tensor, other.state[name]) for name, tensor in run.state.items())
    assert found[0]["kd", 0].start != found[0]["kd", 1].start


def started(states, seed):
    return edge.Start(STUDENT, states[seed], IMAGES, 4, 8)


@pytest.mark.parametrize("bits", [1, 9, 4.0, True])
def test_wrong_bits_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be a whole number from 2 to 8"):
        edge.fake_quantise(torch.ones(2, 2), bits)
    for name in ("weight_bits", "activation_bits"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 2 to 8"):
            edge.FakeQuantised(network(), IMAGES, **{name: bits})


def test_calibration_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="calibration must have 1 channels, not 3"):
        edge.FakeQuantised(network(), torch.zeros(2, 3, 32, 32))


def test_a_lone_layer_and_a_layer_in_two_places_are_rounded_wherever_they_stand():
    shared = nn.Conv2d(1, 1, 3, padding=1)
    for built, count in ((shared, 1), (nn.Sequential(shared, nn.ReLU(), shared), 2)):
        fake = edge.FakeQuantised(built, IMAGES, 2, None)
        assert len(fake.layers()) == count and not torch.equal(fake(IMAGES), built(IMAGES))
        assert torch.equal(fake.as_float()(IMAGES), built(IMAGES))
