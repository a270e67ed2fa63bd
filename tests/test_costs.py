"""Multiply-accumulates by hand; latency in the right unit, in turns and on one thread."""

from __future__ import annotations

import functools
import time

import pytest
import torch
from torch import nn

from kdnotes import costs
from kdnotes.models import StudentNet


def test_multiply_accumulates_of_a_convolution_and_a_linear_layer_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(8 * 32 * 32, 10)
    )
    expected = 32 * 32 * 8 * 3 * 9 + 8 * 32 * 32 * 10
    for batch in (1, 4):
        call = functools.partial(network, torch.zeros(batch, 3, 32, 32))
        assert costs.macs(call) == batch * expected


def test_depthwise_convolutions_count_by_group():
    images = torch.zeros(1, 16, 32, 32)
    plain, depthwise = (nn.Conv2d(16, 16, 3, padding=1, groups=groups) for groups in (1, 16))
    assert costs.macs(lambda: plain(images)) == 16 * costs.macs(lambda: depthwise(images))


def test_latency_is_in_milliseconds_in_turns_and_on_one_thread_without_gradients():
    seen = []

    def call(name, seconds):
        seen.append((name, torch.get_num_threads(), torch.is_grad_enabled()))
        time.sleep(seconds)

    threads = torch.get_num_threads()
    slow, fast = functools.partial(call, "slow", 0.02), functools.partial(call, "fast", 0.002)
    measured = costs.latency({"slow": slow, "fast": fast}, repeats=3)
    assert list(measured) == ["slow", "fast"]
    assert 20 <= measured["slow"] < 200 and 2 <= measured["fast"] < 20
    # three untimed calls before each timed one
    turn = [("slow", 1, False)] * 4 + [("fast", 1, False)] * 4
    assert seen == turn * 8 and torch.get_num_threads() == threads


def test_counting_leaves_the_network_as_it_was():
    network = StudentNet(width=2).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    costs.macs(functools.partial(network, torch.randn(1, 3, 32, 32)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True])
def test_a_wrong_number_of_repeats_is_refused(repeats):
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1"):
        costs.latency({"nothing": lambda: None}, repeats)


def test_timings_leave_the_warm_up_out_and_latency_is_their_median(monkeypatch):
    taken = [100] * costs.WARM_UP + [1, 2, 3]
    clock = iter([value for turn in range(8) for value in (turn, turn + taken[turn])])
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))
    assert costs.timings({"call": lambda: None}, 3) == {"call": [1000, 2000, 3000]}
    monkeypatch.setattr(costs, "timings", lambda calls, repeats: {"call": [1.0, 9.0, 2.0]})
    assert costs.latency({"call": None}, 3) == {"call": 2.0}
    assert costs.throughput({"call": None}, 100, 3) == {"call": 50_000.0}


def test_bad_input_of_throughput_is_named():
    for images in (0, 1.5, True):
        with pytest.raises(ValueError, match="images must be a whole number of at least 1"):
            costs.throughput({"call": lambda: None}, images)


def test_paced_calls_come_in_stretches_whose_first_call_is_left_out(monkeypatch):
    clock, seen = [0.0], []

    def call(name, seconds):
        seen.append((name, round(clock[0], 6), torch.get_num_threads(), torch.is_grad_enabled()))
        clock[0] += seconds * (
            10 if len(seen) in (1, 12) else 1
        )  # 1, 12: the first calls of each kind

    monkeypatch.setattr(costs.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(
        costs.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    )
    calls = {
        "quick": functools.partial(call, "quick", 0.001),
        "slow": functools.partial(call, "slow", 0.003),
    }
    found = costs.paced(calls, 0.05, repeats=12)
    assert found == {"quick": pytest.approx([1.0] * 12), "slow": pytest.approx([3.0] * 12)}
    assert [name for name, *_ in seen] == ["quick"] * 11 + ["slow"] * 11 + ["quick"] * 3 + [
        "slow"
    ] * 3
    assert [began for _, began, *_ in seen] == pytest.approx([0.05 * k for k in range(28)])
    assert {(threads, gradients) for *_, threads, gradients in seen} == {(1, False)}


def test_a_call_that_takes_longer_than_the_period_is_not_followed_by_a_pause(monkeypatch):
    monkeypatch.setattr(costs.time, "sleep", lambda seconds: pauses.append(seconds))
    pauses = []
    assert all(
        value > 1 for value in costs.paced({"long": lambda: sum(range(200_000))}, 0.0005, 2)["long"]
    )
    assert pauses == [0.0] * 3


@pytest.mark.parametrize("period", [0, -1, float("inf"), float("nan"), "20", True])
def test_a_wrong_period_is_refused(period):
    with pytest.raises((TypeError, ValueError), match=r"period must be a (finite )?number"):
        costs.paced({"nothing": lambda: None}, period)
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1"):
        costs.paced({"nothing": lambda: None}, 0.01, 0)
