"""trl's loss in our loop of strings trains what ours does."""

from __future__ import annotations

import pytest
import torch
from language_helpers import SCHEDULE, corpus, fit, teacher

from kdnotes import language as lm
from kdnotes import losses
from kdnotes.libraries import strings

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.0), (2.0, 0.3)])
def test_trls_loss_trains_our_student(temperature, alpha):
    pytest.importorskip("trl")
    found = fit(strings.by_trl(teacher(), temperature, alpha))
    ours = fit(lm.TokenKD(teacher(), temperature, alpha))
    assert found.history["loss"].tolist() == pytest.approx(ours.history["loss"].tolist(), rel=1e-5)
    assert found.metrics["test_nll"] == pytest.approx(ours.metrics["test_nll"], rel=1e-4)


def test_only_the_places_that_count_reach_the_library(monkeypatch):
    asked = []

    def own(student, theirs, targets, temperature):
        asked.append((len(student), len(targets)))
        one = torch.ones(1, len(student), dtype=torch.bool)
        return losses.token_kl(student[None], theirs[None], one, temperature)

    monkeypatch.setattr(strings, "installed", lambda package: "1.0")
    monkeypatch.setattr(strings, "gkd_cured", own)
    found, ours = fit(strings.by_trl(teacher(), 2.0)), fit(lm.TokenKD(teacher(), 2.0))
    assert found.history["loss"].tolist() == pytest.approx(ours.history["loss"].tolist(), rel=1e-5)
    assert asked and all(rows == targets for rows, targets in asked)
    padded = SCHEDULE.batch_size * (corpus().context + 1)
    assert all(rows < padded for rows, _ in asked)


def test_a_missing_library_and_a_wrong_number_are_said(monkeypatch):
    monkeypatch.setattr(strings, "installed", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match="trl is not installed: pip install trl"):
        strings.by_trl(teacher())
    monkeypatch.setattr(strings, "installed", lambda package: "1.0")
    with pytest.raises(ValueError, match="temperature must be"):
        strings.by_trl(teacher(), 0.0)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\]"):
        strings.by_trl(teacher(), 1.0, 1.5)
