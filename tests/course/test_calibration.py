"""One temperature a student, fitted on validation."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch
from helpers import study, tiny_data

from kdnotes import metrics
from kdnotes.course import calibration
from kdnotes.methods import CrossEntropy


@pytest.fixture(scope="module")
def one(session_cache):
    return study({"CE": CrossEntropy()}, 1)


def test_it_is_the_temperature_that_fits_validation_best(one):
    run, data = one.runs["CE", 0], tiny_data()
    found = calibration.calibrated(run, data)
    grid = torch.logspace(-1, 1.3, 400, dtype=torch.double)
    nlls = [metrics.negative_log_likelihood(run.validation_logits / t, data.validation.targets)
            for t in grid]  # fmt: skip
    assert found["validation"] == pytest.approx(min(nlls), abs=1e-3)
    best = run.test_logits / grid[int(torch.tensor(nlls).argmin())]
    assert found["test"] == pytest.approx(
        metrics.negative_log_likelihood(best, data.test.targets), abs=0.02
    )


def test_logits_of_another_scale_are_brought_to_the_same(one):
    run, data = one.runs["CE", 0], tiny_data()
    scaled = dataclasses.replace(
        run, validation_logits=3 * run.validation_logits, test_logits=3 * run.test_logits
    )
    found, again = calibration.calibrated(run, data), calibration.calibrated(scaled, data)
    assert again == pytest.approx(found, abs=0.01)


def test_the_study_keeps_its_numbers_and_gets_two_columns(one):
    more = calibration.with_calibrated(one, tiny_data())
    kept = more.frame[list(one.frame.columns)]
    pd.testing.assert_frame_equal(kept, one.frame)
    added = set(more.frame) - set(one.frame)
    assert added == {"validation_calibrated_nll", "test_calibrated_nll"}
    assert more.runs is one.runs
