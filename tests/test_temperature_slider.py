"""The temperature slider: its HTML is deterministic, self-contained, escaped, and right before any script runs."""

from __future__ import annotations

import json
import math
import re
from unittest import mock

import pytest
import torch

from kdnotes import plots

LOGITS = torch.tensor([2.0, 0.0, -1.0])


def render(*arguments, **options) -> str:
    with mock.patch.object(plots, "display") as display:
        plots.temperature_slider(*arguments, **options)
    (shown,) = display.call_args.args
    return shown.data


def test_two_sliders_can_share_a_page():
    page = render(LOGITS, "abc")
    assert page == render(LOGITS, "abc")
    assert not re.search(r"\bid=|https?:|//", page)


def test_bars_without_a_script_are_the_softmax_at_the_start():
    page = render(LOGITS, "abc", start=2.0)
    shown = [float(value) for value in re.findall(r'class="value">([^<]*)', page)]
    assert shown == pytest.approx((LOGITS / 2.0).softmax(0).tolist(), abs=1e-4)
    assert 'class="control" style="display:none"' in page
    assert float(re.search(r'step="any" value="([^"]*)', page)[1]) == pytest.approx(math.log(2.0), abs=1e-5)


def test_the_script_gets_the_logits():
    data = re.search(r'data-logits="([^"]*)"', render(LOGITS, "abc"))[1]
    assert json.loads(data) == LOGITS.tolist()


def test_class_names_are_escaped():
    page = render([0.0, 1.0], ["<script>", "b"])
    assert "&lt;script&gt;" in page
    assert page.count("<script>") == 1


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1.0], ["a"]), {}, "logits"),
        (([1.0, float("nan")], ["a", "b"]), {}, "logits"),
        (([1.0, 2.0], ["a"]), {}, "classes"),
        (([1.0, 2.0], ["a", "b"]), {"start": 0.0}, "start"),
        (([1.0, 2.0], ["a", "b"]), {"start": 21.0}, "start"),
    ],
)
def test_bad_input_names_the_argument(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        plots.temperature_slider(*arguments, **options)
