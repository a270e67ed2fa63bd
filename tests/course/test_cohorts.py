"""Single networks, their ensemble and their disagreement."""

import pytest
import torch

from kdnotes.course import cohorts


def test_scores_by_hand():
    """Each network gets two of three images right, and they disagree on two."""
    first = [[0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]]
    second = [[0.1, 0.45, 0.45], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]
    logits = torch.tensor([first, second]).transpose(0, 1).add(1e-9).log()
    (row,) = cohorts.scores([logits], torch.tensor([0, 1, 2])).to_dict("records")
    assert row["mean peer"] == pytest.approx((2 + 2) / 6)
    assert row["ensemble"] == pytest.approx(1 / 3)  # of the first image it says the second class
    assert row["disagreement"] == pytest.approx(2 / 3)


def test_one_row_a_seed():
    logits = [torch.randn(5, 3, 4) for _ in range(2)]
    assert len(cohorts.scores(logits, torch.zeros(5, dtype=torch.long))) == 2


def test_networks_that_are_alike_are_an_ensemble_of_one():
    one = torch.randn(20, 1, 4)
    table = cohorts.scores([one.expand(20, 3, 4)], torch.arange(20) % 4)
    assert table["disagreement"].item() == 0
    assert table["ensemble"].item() == pytest.approx(table["mean peer"].item())
