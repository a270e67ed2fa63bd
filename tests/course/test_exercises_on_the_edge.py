"""The exercises on edge devices at their edges: right answers in other forms, nearly right ones."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from helpers import CONFIG, student_of, tiny_data, tiny_teacher
from onnxruntime.quantization import QuantFormat, QuantType
from sweep import ALL, checked

from kdnotes import edge, training
from kdnotes.course import check
from kdnotes.course.attempt import sentence
from kdnotes.course.exercises.on_the_edge import READINGS
from kdnotes.experiment import Design
from kdnotes.methods import KD, CrossEntropy
from kdnotes.study import Arm, PerSeed

SETTINGS = ALL["Settings"].reference


def by_clamp(weight, bits):
    largest = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-20) / largest
    return scale * (weight / scale).round().clamp(-largest, largest)


def by_torch(weight, bits):
    largest = 2 ** (bits - 1) - 1
    scale = weight.flatten(1).abs().amax(1) / largest
    scale = scale.where(scale > 0, 1.0)
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -largest, largest)


def settings(**changes):
    return lambda cuts_off: SETTINGS(cuts_off) | changes


RIGHT = {
    "FakeQuantisation": (
        by_clamp,
        by_torch,
        lambda w, b: by_clamp(w.double(), b),
        lambda w, b: by_clamp(w, b).numpy(),
    ),
    "Latencies": (
        lambda t, k: [float(np.median(t[k:])), float(np.quantile(t[k:], 0.95))],
        lambda t, k: np.percentile(t[k:], [50, 95]),
        lambda t, k: torch.tensor(t[k:], dtype=torch.double).quantile(
            torch.tensor([0.5, 0.95], dtype=torch.double)
        ),
    ),
    "Settings": (
        settings(quant_format=QuantFormat.QOperator),
        settings(quant_format=QuantFormat.QDQ, extra_options={"ActivationSymmetric": False}),
        lambda cuts_off: {
            "activation_type": QuantType.QUInt8,
            "per_channel": 1,
            "reduce_range": int(cuts_off),
        },
    ),
}
WRONG = {
    "FakeQuantisation": (
        lambda w, b: by_clamp(w, b).half(),
        lambda w, b: by_clamp(w, max(b, 3)),
        lambda w, b: by_clamp(w, b).clamp(-1e3, 1e3),
        lambda w, b: by_clamp(w, b) + 1e-6,
        lambda w, b: torch.where(
            w.flatten(1).abs().amax(1).view(-1, *[1] * (w.ndim - 1)) < 1e-5, 0, by_clamp(w, b)
        ),
        lambda w, b: torch.where(by_clamp(w, b) == 0, torch.nan, by_clamp(w, b)),
        lambda w, b: torch.sign(w) * torch.floor(w.abs() / (by_clamp(w, 2).abs().max() / 127)),
    ),
    "Latencies": (
        lambda t, k: RIGHT["Latencies"][0](t, max(k, 1)),
        lambda t, k: RIGHT["Latencies"][0](t, max(k - 1, 0)),
        lambda t, k: RIGHT["Latencies"][0](t, min(k + 1, len(t) - 1)),
        lambda t, k: (RIGHT["Latencies"][0](t, k)[1], RIGHT["Latencies"][0](t, k)[0]),
        lambda t, k: (float(np.median(t[k:])), float(np.quantile(t[k:], 0.95, method="higher"))),
        lambda t, k: (
            float(np.float16(np.median(t[k:]))),
            float(np.float16(np.quantile(t[k:], 0.95))),
        ),
    ),
    "Settings": (
        settings(activation_type=QuantType.QInt8),
        settings(activation_type=QuantType.QInt8, quant_format=QuantFormat.QOperator),
        settings(activation_type=QuantType.QUInt16),
        settings(op_types_to_quantize=["Add"]),
        lambda cuts_off: SETTINGS(cuts_off) | {"per_channel": not cuts_off},
    ),
}


def cases(table):
    return [
        pytest.param(name, answer, id=f"{name}-{i}")
        for name in table
        for i, answer in enumerate(table[name])
    ]


@pytest.mark.parametrize(("name", "answer"), cases(RIGHT))
def test_a_right_answer_in_another_form_is_accepted(name, answer, capsys):
    assert checked(name, answer), capsys.readouterr().out


@pytest.mark.parametrize(("name", "answer"), cases(WRONG))
def test_a_nearly_right_answer_is_refused(name, answer, capsys):
    assert not checked(name, answer)
    assert "not yet" in (out := capsys.readouterr().out) or "stopped with" in out


def test_the_librarys_default_of_signed_activations_is_named(capsys):
    for answer in (
        settings(activation_type=QuantType.QInt8),
        lambda cuts_off: {"per_channel": True} | ({"reduce_range": True} if cuts_off else {}),
    ):
        assert not checked("Settings", answer)
        assert "your activations are signed, as by default" in capsys.readouterr().out


def test_a_channel_of_zeros_does_not_hide_another_mistake(capsys):
    for wrong in ALL["FakeQuantisation"].traps[2:]:
        assert not checked(
            "FakeQuantisation", lambda *case, wrong=wrong: wrong(*case).nan_to_num(0)
        )
        assert sentence(wrong) in capsys.readouterr().out


def test_16_5_is_read_from_the_operators_of_this_run(capsys):
    counts = {
        "unsigned": {"QuantizeLinear": 2, "DequantizeLinear": 3},
        "signed": {"QuantizeLinear": 13, "DequantizeLinear": 29, "Conv": 6},
    }
    assert check.read("16.5", 42, counts)
    for wrong in READINGS[5].traps:
        assert not check.read("16.5", wrong(counts), counts)
        assert sentence(wrong) in capsys.readouterr().out
    none = {"signed": {"QLinearConv": 3}, "unsigned": {}}  # where nothing is left in float
    assert check.read("16.5", 0, none) and not check.read("16.5", 1, none)


@functools.cache
def _data():
    return tiny_data()


def _start(bits, seed):
    build = student_of(CrossEntropy())
    state = training.build(build, seed).state_dict()
    return edge.Start(build, state, _data().train.images[:4], bits)


def arm(method=None, bits=3, epochs=1, rate=1e-3, start=_start):
    method = method or KD(tiny_teacher(), 2.0, 0.1)
    config = dataclasses.replace(CONFIG, epochs=epochs, learning_rate=rate)
    student = PerSeed(functools.partial(start, bits))
    return Arm(method, student=student, data=_data(), config=config)


def longer(treatment, seeds=5, **baseline):
    return check.design(
        "16.6", Design({"long": treatment, "short": arm(**baseline)}, "long", "short", seeds=seeds)
    )


def test_16_6_twice_as_long_and_nothing_else():
    assert longer(arm(epochs=2))
    assert longer(arm(bits=2, epochs=4), bits=2, epochs=2)


LABELS = KD(tiny_teacher(), 2.0, 1.0)


def _untrained(bits, seed):
    return student_of(CrossEntropy())


@pytest.mark.parametrize(
    ("treatment", "baseline", "said"),
    [
        ({"epochs": 3}, {}, "for twice as many epochs"),
        ({}, {}, "for twice as many epochs"),
        ({"epochs": 2, "bits": 2}, {}, "equal numbers of bits"),
        ({"epochs": 2, "bits": None}, {"bits": None}, "in float it is no QAT"),
        ({"epochs": 2, "method": CrossEntropy()}, {}, "must learn from the teacher"),
        ({"epochs": 2, "method": LABELS}, {"method": LABELS}, "with α = 1 no teacher is asked"),
        ({"epochs": 2, "rate": 3e-3}, {}, "not only the epochs differs"),
        ({"epochs": 2, "start": _untrained}, {}, "must start from a trained student"),
    ],
)
def test_16_6_a_confounded_design_is_refused(treatment, baseline, said, capsys):
    assert not longer(arm(**treatment), **baseline)
    assert said in capsys.readouterr().out


def test_16_6_one_seed_is_none():
    assert not longer(arm(epochs=2), seeds=1)
