"""The glossary: every entry holds, and can be found, shown and linked to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from kdnotes.course import check, glossary

ROOT = Path(__file__).parents[2]
CHAPTERS = {path.stem[3:] for path in (ROOT / "notebooks").glob("*.ipynb")}
ENTRIES = glossary.entries()
TERMS = [entry.term for entry in ENTRIES]


def test_the_terms_are_sorted_and_each_is_there_once():
    assert len(TERMS) >= 60
    assert sorted(TERMS, key=str.casefold) == TERMS
    assert len({term.casefold() for term in TERMS}) == len(TERMS)


def test_anchors_are_unique_and_can_stand_in_an_address():
    anchors = [entry.anchor for entry in ENTRIES]
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"term(-[a-z0-9]+)+", anchor) for anchor in anchors)
    assert glossary.find("view bank").anchor == "term-view-bank"
    assert glossary.find("McNemar's test").anchor == "term-mcnemar-s-test"


@pytest.mark.parametrize("entry", ENTRIES, ids=TERMS)
def test_an_entry_holds(entry):
    assert entry.term.strip() == entry.term != ""
    assert entry.text[-1] in ".?" and 5 <= len(entry.text.split()) <= 45
    assert len(re.findall(r"[.?](?: |$)", entry.text)) <= 3
    assert entry.chapter in CHAPTERS
    assert entry.arxiv is None or re.fullmatch(r"\d{4}\.\d{4,5}", entry.arxiv)
    assert set(entry.see) <= set(TERMS) - {entry.term}
    assert len(set(entry.see)) == len(entry.see)


def test_all_are_shown_with_their_anchors_and_links_among_them_lead_somewhere():
    text = glossary.markdown()
    anchors = re.findall(r'<a id="([^"]+)"></a>', text)
    assert anchors == [entry.anchor for entry in ENTRIES]
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors)
    assert text.count("\n\n") == len(ENTRIES) - 1


def test_some_are_shown_and_what_is_not_shown_is_no_link():
    text = glossary.markdown("nll", "ECE")
    first, second = text.split("\n\n")
    assert first.startswith('<a id="term-nll"></a>**NLL.** Negative log-likelihood: ')
    assert "see also cross-entropy, [ECE](#term-ece)." in first
    assert "[arXiv 1706.04599](https://arxiv.org/abs/1706.04599)" in second
    assert "Chapter *teachers students data*" in first


def test_chapters_are_linked_where_addresses_are_given():
    links = {"temperature": "03_temperature.html"}
    text = glossary.markdown("resolved", "NLL", links=links)
    assert "Chapter *[temperature](03_temperature.html)*" in text
    assert "Chapter *teachers students data*" in text


def test_an_unknown_term_is_told_the_nearest():
    with pytest.raises(ValueError, match=r"glossary.s, such as 'calibrated'.*not 'calibration'"):
        glossary.markdown("calibration")
    for term in ("xyzzy", None, 3):
        with pytest.raises(ValueError, match="'NLL', 'ECE', not"):
            glossary.find(term)


def test_a_chapter_shows_it(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(glossary, "display", shown.append)
    check.glossary("NLL")
    assert shown[0].data == glossary.markdown("NLL")


def test_the_file_is_in_the_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["kdnotes"]
    files = {path for pattern in patterns for path in (ROOT / "kdnotes").glob(pattern)}
    assert glossary.FILE in files
