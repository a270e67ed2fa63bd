"""Sliders show, at every position, what the package's own functions give."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from slider_helpers import boxes, number, paths, said, shown, texts

from kdnotes import losses, metrics
from kdnotes.show import interactive

Z_S = torch.tensor([1.0, 0.5, -0.5, 0.2])
Z_T = torch.tensor([3.0, 2.0, -1.0, 0.0])
NAMES = ["cat", "dog", "car", "ship"]
TARGET = 1


def test_the_temperature_slider_shows_the_softmax_at_every_temperature():
    data = shown(interactive.temperature_slider, Z_T, NAMES, start=2.0)
    temperatures = [float(value) for value in data["values"][0]]
    assert temperatures[0] == 0.5 and temperatures[-1] == 20 and 2.0 in temperatures
    for frame, t in zip(data["frames"], temperatures, strict=True):
        p = (Z_T.double() / t).softmax(0)
        values = [float(value) for value in texts(frame) if re.fullmatch(r"[\d.]+", value)]
        assert values == pytest.approx(p.tolist(), abs=6e-3)  # T is written with 3 digits
        assert [b[2] - b[0] for b in boxes(frame)[-4:]] == pytest.approx(
            (240 * p).tolist(), abs=1.5
        )
        entropy = -(p * p.log()).sum()
        assert number(r"entropy ([\d.]+)", said(frame)) == pytest.approx(float(entropy), abs=6e-3)


def drawn_gradients(frame, series: int, classes: int, largest: float) -> np.ndarray:
    """The last bars of a picture as numbers, ``[series, classes]``."""
    ends = [box[2] for box in boxes(frame)[-series * classes :]]
    return (np.reshape(ends, (series, classes)) - 245) / 145 * largest


def test_the_two_gradients_are_those_of_the_formulas():
    data = shown(interactive.gradient_slider, Z_S, Z_T, TARGET, NAMES, alpha=0.3)
    alphas, temperatures = ([float(one) for one in values] for values in data["values"])
    assert 0.3 in alphas and {0, 1} < set(alphas) and len(data["frames"]) == len(alphas) * 10
    y = torch.eye(4, dtype=torch.float64)[TARGET]
    z_s, z_t = Z_S.double(), Z_T.double()
    hard = z_s.softmax(0) - y
    soft = {t: t * ((z_s / t).softmax(0) - (z_t / t).softmax(0)) for t in temperatures}
    largest = max(float(one.abs().max()) for one in (hard, *soft.values()))
    for k, frame in enumerate(data["frames"]):
        a, t = alphas[k // len(temperatures)], temperatures[k % len(temperatures)]
        parts = [a * hard, (1 - a) * soft[t], a * hard + (1 - a) * soft[t]]
        wanted = torch.stack(parts).numpy()
        assert drawn_gradients(frame, 3, 4, largest) == pytest.approx(wanted, abs=2e-3 * largest)
        lengths = [float(part.norm()) for part in parts]
        found = [float(one) for one in re.findall(r"\d\.\d{3}", said(frame))]
        assert found == pytest.approx(lengths, abs=6e-4)


def test_no_angle_is_said_where_one_of_the_two_says_nothing():
    data = shown(interactive.gradient_slider, Z_S, Z_T, TARGET, NAMES)
    angles = ["angle" in said(frame) for frame in data["frames"]]
    assert angles == [False] * 10 + [True] * 90 + [False] * 10
    same = shown(interactive.gradient_slider, Z_S, Z_S, TARGET, NAMES)
    assert not any("angle" in said(frame) for frame in same["frames"])


def test_dkd_is_plain_distillation_where_beta_is_what_the_teacher_leaves():
    y = torch.tensor([TARGET])
    rest = 1 - float(losses.soften(Z_T[None].double(), 4.0)[0, TARGET])
    data = shown(interactive.decoupled_slider, Z_S, Z_T, TARGET, NAMES, beta=rest)
    betas, temperatures = ([float(one) for one in values] for values in data["values"])
    equal, t = next(k for k, b in enumerate(betas) if abs(b - rest) < 1e-4), temperatures.index(4)
    frame = data["frames"][equal * len(temperatures) + t]
    plain, decoupled = drawn_gradients(frame, 2, 4, 1.0)
    assert plain == pytest.approx(decoupled, abs=1e-3) and np.abs(plain).max() > 0
    tckd, nckd = losses.decoupled_terms(Z_S[None].double(), Z_T[None].double(), y, 4.0)
    amounts = [float(one) for one in texts(frame) if re.fullmatch(r"\d\.\d{3}", one)]
    assert amounts == pytest.approx([float(tckd), rest * float(nckd), rest * float(nckd)], abs=6e-4)
    kd = float(losses.kd_loss(Z_S[None].double(), Z_T[None].double(), 4.0))
    assert amounts[0] + amounts[1] == pytest.approx(kd, abs=1e-3)


def test_beta_weighs_the_other_classes():
    data = shown(interactive.decoupled_slider, Z_S, Z_T, TARGET, NAMES)
    betas, temperatures = ([float(one) for one in values] for values in data["values"])
    y, z_s = torch.tensor([TARGET]), Z_S[None].double().requires_grad_()
    loss = losses.dkd_loss(z_s, Z_T[None].double(), y, temperatures[-1], beta=betas[-1])
    wanted = torch.autograd.grad(loss, z_s)[0][0].numpy()
    found = drawn_gradients(data["frames"][-1], 2, 4, 1.0)[1]
    assert found / np.abs(found).max() == pytest.approx(wanted / np.abs(wanted).max(), abs=5e-3)
    assert said(data["frames"][0]).startswith("β = 0, T = 1: NCKD is ")
    assert "0.0 % of DKD's" in said(data["frames"][0])


COLUMNS = ("right", "too sure", "unsure", "share")


@pytest.fixture(scope="module")
def predictions():
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(500, 5, generator=generator)
    return logits, torch.randint(0, 5, (500,), generator=generator)


def test_the_error_is_the_metric_at_every_number_of_bins(predictions):
    logits, targets = predictions
    data = shown(interactive.reliability_slider, logits, targets, bins=7)
    counts = [int(value) for value in data["values"][0]]
    assert 7 in counts and counts[0] == 1
    for frame, bins in zip(data["frames"], counts, strict=True):
        ece = metrics.expected_calibration_error(logits, targets, bins)
        assert number(r"ECE ([\d.]+) %", said(frame)) == pytest.approx(100 * ece, abs=6e-3)


def test_the_bins_that_are_drawn_are_those_of_the_error(predictions):
    logits, targets = predictions
    data = shown(interactive.reliability_slider, logits, targets)
    frame = data["frames"][data["values"][0].index("10")]
    confidence, predicted = logits.double().softmax(1).max(1)
    columns = {name: boxes(path) for name, path in zip(COLUMNS, paths(frame)[-5:-1], strict=True)}
    where = (confidence * 10).ceil().clamp(1, 10)
    for k in where.unique().tolist():
        inside, left = where == k, 40 + 35.2 * (k - 1)
        here = {
            name: [190 - end for end in corners[1::2]]
            for name, found in columns.items()
            for corners in found
            if abs(corners[0] - left) < 0.06 and abs(corners[2] - left - 35.2) < 0.06
        }
        right = 152 * float((predicted == targets)[inside].double().mean())
        sure = 152 * float(confidence[inside].mean())
        gap = "too sure" if sure > right else "unsure"
        assert set(here) == {"right", gap, "share"} - ({"right"} if right == 0 else set())
        if right:
            assert here["right"][1] == pytest.approx(min(right, sure) + 14, abs=0.06)
        ends = [right, sure] if gap == "too sure" else [sure, right]
        assert here[gap] == pytest.approx([end + 14 for end in ends], abs=0.06)
        share = 30 * float(inside.double().mean())
        assert here["share"] == pytest.approx([-52, share - 52], abs=0.06)


def test_a_calibrated_network_has_the_error_of_chance():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 3, generator=generator)
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    for frame in shown(interactive.reliability_slider, logits, targets)["frames"]:
        ece, chance = (float(one) for one in re.findall(r"([\d.]+) %", said(frame))[:2])
        assert ece == pytest.approx(chance, abs=1.2)
    assert chance > 1.0  # with many bins, much of nothing


CONFIDENCE = torch.tensor([[0.95, 0.6, 0.4, 0.9], [0.9, 0.7, 0.95, 0.3], [0.5, 0.9, 0.6, 0.8]])
CORRECT = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 0]], dtype=torch.bool)
COSTS, EXITS = [10, 25, 40], ["first", "second", "last"]


def test_images_leave_at_the_first_exit_that_is_sure():
    data = shown(interactive.exit_slider, CONFIDENCE, CORRECT, COSTS, EXITS, threshold=0.65)
    for frame, value in zip(data["frames"], data["values"][0], strict=True):
        stops = []
        for image in range(4):
            sure = [k for k in (0, 1) if float(CONFIDENCE[k, image]) > float(value)]
            stops.append(sure[0] if sure else 2)
        right = [bool(CORRECT[k, image]) for image, k in enumerate(stops)]
        accuracy, cost = np.mean(right), np.mean([COSTS[k] for k in stops]) / 40
        words = said(frame)
        assert number(r"accuracy ([\d.]+) %", words) == pytest.approx(100 * accuracy, abs=6e-3)
        assert number(r"at (\d+) %", words) == pytest.approx(100 * cost, abs=0.51)
        shares = [float(one[:-2]) for one in texts(frame)[-6::2]]
        assert shares == pytest.approx([100 * stops.count(k) / 4 for k in range(3)])
    assert "75.00 %" in words  # the last exit alone


def test_the_seeds_slider_says_the_interval_of_the_first_seeds():
    differences = [0.012, 0.018, 0.005, 0.02, 0.011, -0.002, 0.015]
    data = shown(interactive.seeds_slider, differences, start=3)
    assert data["values"] == [["2", "3", "4", "5", "6", "7"]]
    for n, frame in enumerate(data["frames"], start=2):
        interval = metrics.mean_interval(differences[:n])
        assert said(frame).startswith(f"The first {n} seeds: {metrics.said(interval)}.")
        assert number(r"about (\d+) seeds", said(frame)) > n
    assert number(r"about (\d+) seeds", said(data["frames"][3])) == 13
    # Of t(n − 1)/√n: 2.776/√5 = 1.242, 2.201/√12 = 0.635, 2.179/√13 = 0.604.


def test_another_unit_is_left_as_it_is():
    data = shown(interactive.seeds_slider, [0.1, 0.3, 0.2], start=2, unit="nats")
    assert "+0.200" in said(data["frames"][1]) and "nats" in said(data["frames"][1])


def test_looking_after_every_seed_finds_too_much():
    page = shown(interactive.seeds_slider, [0.01, 0.02, 0.0])["page"]
    told = number(r"finds one in\s+([\d.]+) of 100 studies", page) / 100
    draws = np.random.default_rng(1).standard_normal((1500, 3))
    found = [any(metrics.mean_interval(row[:n]).resolved for n in (2, 3)) for row in draws]
    assert told > 0.05
    assert told == pytest.approx(np.mean(found), abs=4 * math.sqrt(0.08 * 0.92 / 1500) + 0.005)


def test_of_many_classes_the_likeliest_and_the_label_are_drawn():
    z = torch.arange(40.0)
    data = shown(interactive.gradient_slider, z, z, 3, [f"class {k}" for k in range(40)])
    names = [one for one in texts(data["frames"][0]) if one.startswith("class")]
    assert names == ["class 3", *(f"class {k}" for k in range(29, 40))]
    assert len(data["page"]) < 300_000


EXTREME = torch.tensor([1e4, -1e4, 0.0])


@pytest.mark.parametrize(
    ("slider", "arguments"),
    [
        ("temperature_slider", (EXTREME, "abc")),
        ("gradient_slider", (EXTREME, EXTREME, 0, "abc")),
        ("decoupled_slider", (EXTREME, EXTREME, 0, "abc")),
        ("decoupled_slider", (EXTREME, -EXTREME, 1, "abc")),
        ("reliability_slider", (EXTREME.expand(20, 3), torch.zeros(20, dtype=torch.int64))),
        ("exit_slider", (torch.ones(2, 9), torch.ones(2, 9).bool(), [1, 1], "ab")),
        ("seeds_slider", ([0.0, 0.0, 0.0],)),
        ("seeds_slider", ([0.01, 0.02],)),
    ],
)  # fmt: skip
def test_extremes_are_drawn_with_numbers(slider, arguments):
    data = shown(getattr(interactive, slider), *arguments)
    for frame in data["frames"]:
        assert not re.search(r"\b(nan|inf)\b", "".join(frame))


PAIR = ([1.0, 2.0, 3.0], [0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("slider", "arguments", "options", "message"),
    [
        ("temperature_slider", ([1.0], ["a"]), {}, "logits"),
        ("temperature_slider", ([1.0, float("nan")], ["a", "b"]), {}, "logits"),
        ("temperature_slider", (["x", "y"], ["a", "b"]), {}, "logits"),
        ("temperature_slider", ([1.0, 2.0], ["a"]), {}, "classes"),
        ("temperature_slider", ([1.0, 2.0], ["a", "b"]), {"start": 0.0}, "start"),
        ("temperature_slider", ([1.0, 2.0], ["a", "b"]), {"start": 21.0}, "start"),
        ("gradient_slider", (*PAIR, 3, "abc"), {}, "target"),
        ("gradient_slider", (*PAIR, 0, "ab"), {}, "classes"),
        ("gradient_slider", ([1.0, 2.0], PAIR[1], 0, "ab"), {}, "teacher_logits"),
        ("gradient_slider", (*PAIR, 0, "abc"), {"alpha": 1.5}, "alpha"),
        ("gradient_slider", (*PAIR, 0, "abc"), {"temperature": 0.0}, "temperature"),
        ("decoupled_slider", (*PAIR, 0, "abc"), {"beta": -1.0}, "beta"),
        ("decoupled_slider", ([1.0, 2.0], [0.0, 1.0], 0, "ab"), {}, "classes"),
        ("reliability_slider", (torch.zeros(3, 2), torch.zeros(3).long()), {"bins": 0}, "bins"),
        ("exit_slider", (CONFIDENCE + 1, CORRECT, COSTS, EXITS), {}, "confidence"),
        ("exit_slider", (CONFIDENCE, CORRECT[:2], COSTS, EXITS), {}, "correct"),
        ("exit_slider", (CONFIDENCE, CORRECT, COSTS[:2], EXITS), {}, "costs"),
        ("exit_slider", (CONFIDENCE, CORRECT, [0, 1, 2], EXITS), {}, "costs"),
        ("exit_slider", (CONFIDENCE, CORRECT, COSTS, EXITS[:2]), {}, "exits"),
        ("exit_slider", (CONFIDENCE, CORRECT, COSTS, EXITS), {"threshold": 1.2}, "threshold"),
        ("seeds_slider", ([0.1],), {"start": 2}, "differences"),
        ("seeds_slider", ([0.1, 0.2, 0.3],), {"start": 1}, "start"),
        ("seeds_slider", ([0.1, float("nan"), 0.3],), {"start": 2}, "differences"),
    ],
)
def test_bad_input_names_the_argument(slider, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(interactive, slider)(*arguments, **options)
