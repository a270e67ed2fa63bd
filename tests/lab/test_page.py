"""The report: what it holds, what it keeps back, what it remembers."""

from __future__ import annotations

import dataclasses
import functools
import html
import os
import re
from pathlib import Path

import pytest
from helpers import CONFIG, STUDENT, tiny_data
from made_up import PLAN, own_loss, own_loss_to_do

from kdnotes import methods, store, study
from kdnotes.course import profiles
from kdnotes.lab.page import report
from kdnotes.lab.plan import Experiment


@pytest.fixture(scope="module")
def finished():
    arms = {
        "old": methods.CrossEntropy(),
        "new": methods.OwnLoss(functools.partial(own_loss, strength=0.5)),
    }
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG}
    return arms, shared, study.compare(arms, 3, **shared, workers=1, report=None)


def written(finished, folder, plan=PLAN, arms=None) -> str:
    """The page as its reader sees it, without HTML's escapes."""
    known, shared, result = finished
    path, settings = folder / "a" / "report.html", profiles.settings("smoke")
    report(plan, result, arms or known, path, settings=settings, **shared)
    assert [item.name for item in path.parent.iterdir()] == [path.name]  # no temporary file is left
    return html.unescape(path.read_text(encoding="utf-8"))


def test_the_report_holds_plan_verdict_figure_source_and_provenance(finished, tmp_path):
    page, verdict = written(finished, tmp_path), PLAN.verdict(finished[2])
    read = int(finished[2].frame["cached"].sum())  # the cache is that of the whole test session
    for part in (
        f"Verdict: {verdict.word}", str(verdict), PLAN.hypothesis, PLAN.prediction, "+0.5 points",
        "Loss: own_loss", "return strength * F.cross_entropy", "strength=0.5", "3: 0, 1, 2",
        tiny_data().key[:16], "StudentNet", "smoke", "epochs=2", f"{read} read from the cache",
        "logical cores",
    ):  # fmt: skip
        assert part in page, part
    assert re.findall(r'<img alt="[^"]{40,}" src="data:image/png;base64,', page)


def test_the_report_says_what_is_from_the_shared_store(tmp_path, monkeypatch):
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "cache"))
    arms = {"old": methods.CrossEntropy(), "new": methods.LabelSmoothing(0.1)}
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG}
    study.compare(arms, 2, **shared, workers=1, report=None)
    store.pack(tmp_path / "packed")
    monkeypatch.setenv("KDNOTES_STORE", str(tmp_path / "packed"))
    found = study.compare(arms, 3, **shared, workers=1, report=None)
    page = written((arms, shared, found), tmp_path)
    assert "4 read from the cache (4 from the shared store); computed 20" in page


def test_the_report_needs_no_network_and_names_no_folder(finished, tmp_path):
    page = re.sub(r"base64,[^\"]+", "base64,", written(finished, tmp_path))
    assert not re.search(r"<script|<link|@import|https?://|src=\"(?!data:)", page)
    assert str(tmp_path) not in page and str(Path.home()) not in page and "0x" not in page
    assert not re.search(r"(?<![\w.~+/:<])/(?:home|root|Users|tmp|work|usr|var)/\w", page)


def test_the_report_on_a_folder_of_images_names_the_folder_without_its_path(finished, tmp_path):
    arms, shared, result = finished
    data = dataclasses.replace(shared["data"], name="folder:/somewhere/secret/pictures")
    page = written((arms, shared | {"data": data}, result), tmp_path)
    assert "folder:pictures: " in page and "secret" not in page


def test_a_report_that_is_not_filled_in_shows_no_result(finished, tmp_path):
    plan = Experiment("What?", "TODO", "P.", "new", "old")
    arms = finished[0] | {"new": methods.OwnLoss(own_loss_to_do)}
    for page in (written(finished, tmp_path, plan), written(finished, tmp_path, arms=arms)):
        assert "Not filled in" in page
        assert not re.search("<img|Verdict| ± ", page)
    assert "the function own_loss_to_do" in page


def test_the_report_lists_what_was_seen_before_and_what_was_changed_since(finished, tmp_path):
    first = written(finished, tmp_path)
    assert "This is the first result on this page." in first and "changed before it" not in first
    assert written(finished, tmp_path).count("<li>") == 1  # nothing changed: no further look
    easier = dataclasses.replace(PLAN, smallest_difference=0.001, prediction="I knew it.")
    second = written(finished, tmp_path, easier)
    assert second.count("<li>") == 2 and "exploratory: a fresh sample" in second
    assert "smallest difference of interest (+0.5 points → +0.1 points)" in second
    assert "prediction (A little. → I knew it.)" in second
    arms = finished[0] | {"new": methods.OwnLoss(functools.partial(own_loss, strength=0.25))}
    third = written(finished, tmp_path, easier, arms)
    assert third.count("<li>") == 3 and "changed before it: arm new" in third
    to_do = written(finished, tmp_path, Experiment("What?", "TODO", "P.", "new", "old"))
    assert (
        to_do.count("<li>") == 3 and "<img" not in to_do
    )  # an emptied plan makes it forget nothing
    assert written(finished, tmp_path).count("<li>") == 4


def test_a_page_of_another_kind_holds_no_earlier_look(finished, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.html").write_bytes(b"\xff not a page")
    assert written(finished, tmp_path).count("<li>") == 1


def test_a_report_is_replaced_completely_or_not_at_all(finished, tmp_path, monkeypatch):
    before = written(finished, tmp_path)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="cannot write"):
        written(finished, tmp_path, dataclasses.replace(PLAN, prediction="Another."))
    (page,) = (tmp_path / "a").iterdir()  # and no temporary file
    assert html.unescape(page.read_text(encoding="utf-8")) == before
