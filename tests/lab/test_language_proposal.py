"""The lab notebook on language models: its loss is the divergence that its text says."""

from __future__ import annotations

import math

import nbformat
import pytest
import torch
import torch.nn.functional as F

from kdnotes import losses
from kdnotes.lab import proposals


def loss():
    code = [one.source for one in proposals.notebook("language").cells if one.cell_type == "code"]
    names = {"F": F}
    exec(code[3], names)
    return names["top_and_rest"]


def test_it_is_the_kl_of_the_answers_with_the_others_merged_into_one():
    z_t = torch.tensor([[[0.5, 0.3, 0.15, 0.05]]]).log()
    z_s = torch.tensor([[[0.25, 0.25, 0.3, 0.2]]]).log()
    mask = torch.ones(1, 1, dtype=torch.bool)
    by_hand = 0.5 * math.log(2) + 0.3 * math.log(1.2) + 0.2 * math.log(0.2 / 0.5)
    assert float(loss()(z_s, z_t, mask, 2)) == pytest.approx(by_hand, abs=1e-6)


def test_it_is_at_most_the_whole_kl_and_equal_where_one_answer_is_left_and_masked_places_are_out():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        z_s, z_t = torch.randn(2, 3, 4, 6, generator=generator).unbind()
        mask = torch.rand(3, 4, generator=generator) < 0.7
        mask[0, 0] = True
        whole = losses.token_kl(z_s, z_t, mask)
        z_s[~mask] = torch.nan
        assert float(loss()(z_s, z_t, mask, 3)) <= float(whole) + 1e-6
        torch.testing.assert_close(loss()(z_s, z_t, mask, 5), whole)


def test_its_text_speaks_of_names_and_its_report_of_strings():
    text = nbformat.writes(proposals.notebook("language"))
    assert "images" not in text and "surnames" in text
