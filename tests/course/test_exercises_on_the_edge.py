"""The exercises on edge devices at their edges: right answers in other forms, nearly right ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnxruntime.quantization import QuantFormat, QuantType
from sweep import ALL, checked

from kdnotes.course.attempt import sentence

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
