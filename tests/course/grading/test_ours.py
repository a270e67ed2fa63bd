"""Our own run of a chapter, for the answers that build on it."""

from __future__ import annotations

import ast
import os
from types import SimpleNamespace

import pytest

from kdnotes.course.grading import ours, slices


def test_what_we_train_while_grading_starts_no_workers_and_writes_no_progress(monkeypatch):
    """Submissions are graded in workers, whose own workers would be threads."""
    code = ast.parse("import os; seen = dict(os.environ)").body
    monkeypatch.setattr(slices, "needed", lambda *_: [SimpleNamespace(code=one) for one in code])
    monkeypatch.setenv("KDNOTES_WORKERS", "2")
    book = SimpleNamespace(name="chapter", statements=lambda until: [])
    seen = ours.values.__wrapped__(book, 0, frozenset({"seen"}), "smoke", None)["seen"]
    assert (seen["KDNOTES_WORKERS"], seen["KDNOTES_PROGRESS"]) == ("1", "0")
    assert seen["KDNOTES_PROFILE"] == "smoke" and os.environ["KDNOTES_WORKERS"] == "2"


@pytest.mark.parametrize("before", [None, "3"])
def test_an_error_leaves_the_environment_as_it_was(before, monkeypatch):
    monkeypatch.delenv("KDNOTES_WORKERS", raising=False)
    if before:
        monkeypatch.setenv("KDNOTES_WORKERS", before)
    code = ast.parse("1 / 0").body
    monkeypatch.setattr(slices, "needed", lambda *_: [SimpleNamespace(code=one) for one in code])
    book = SimpleNamespace(name="chapter", statements=lambda until: [])
    with pytest.raises(ZeroDivisionError):
        ours.values.__wrapped__(book, 0, frozenset(), "smoke", None)
    assert os.environ.get("KDNOTES_WORKERS") == before
