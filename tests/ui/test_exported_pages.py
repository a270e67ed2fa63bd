"""The pages that ``kdnotes run`` writes: the ways through them, and whether all can go them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from watching import MISSING, barriers

from kdnotes.course import chapters, glossary, results

pytest.importorskip("playwright.sync_api", reason=MISSING)
from playwright.sync_api import expect

COURSE = Path(__file__).parents[2] / "notebooks"
ABOUT = {"profile": "lesson", "dataset": "fashion-mnist", "kdnotes": "0", "torch": "0"}
PHONE = {"width": 400, "height": 800}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages of the first two chapters, with the outputs that they are committed with."""
    folder = tmp_path_factory.mktemp("pages")
    everything = chapters.find(COURSE)
    entries = {}
    for chapter in everything[:2]:
        notebook = chapters.read(chapter.path)
        entry = {"status": "passed", "seconds": 1.0, "profile": "lesson", "error": ""}
        entries[chapter.name] = {"chapter": chapter.name, "minutes": 90} | entry
        results.write_chapter(folder, everything, chapter, notebook, "passed")
        results.write(folder, everything, entries, ABOUT | {"started": "now"}, chapter)
    return folder


@pytest.fixture
def page(watched):
    watched.page.set_viewport_size({"width": 1280, "height": 900})
    return watched.page


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("0*.html"))


def test_a_word_typed_in_a_chapter_leads_to_a_section_that_has_it(page, folder):
    first, second = names(folder)
    page.goto((folder / second).as_uri())
    page.get_by_role("searchbox").first.fill("label smoothing")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"index\.html\?q=label\+smoothing$"))
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^\d+ sections?$"))
    found = page.get_by_role("link", name="A target of its own for every image")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("search").get_by_role("link").first).to_be_focused()
    found.click()
    expect(page).to_have_url(re.compile(rf"{first}#A-target-of-its-own"))
    heading = page.get_by_role("heading", name="A target of its own for every image")
    expect(heading).to_be_in_viewport()


def test_a_section_that_is_folded_opens_for_who_is_led_to_it(page, folder):
    page.goto((folder / names(folder)[0]).as_uri())
    appendix = page.locator("details.appendix")
    assert appendix.get_attribute("open") is None
    page.get_by_role("navigation", name="Contents").get_by_role(
        "link", name="For the curious"
    ).click()
    expect(appendix).to_have_attribute("open", "")
    expect(appendix.get_by_role("heading", name="For the curious")).to_be_in_viewport()


def test_chapters_lead_to_each_other_and_to_the_index(page, folder):
    first, second = names(folder)
    page.goto((folder / first).as_uri())
    top = page.get_by_role("navigation", name="Chapters", exact=True)
    below = page.get_by_role("navigation", name="Chapters, below the text")
    below.get_by_role("link", name="2. ").click()
    expect(page).to_have_url(re.compile(second))
    top.get_by_role("link", name="1. ").click()
    expect(page).to_have_url(re.compile(first))
    top.get_by_role("link", name="All chapters").click()
    expect(page.locator("main h2")).to_have_count(len(chapters.find(COURSE)) + 1)
    page.get_by_role("link", name="2. ").click()
    expect(page).to_have_url(re.compile(second))
    top.get_by_role("link", name="3. ").click()  # has not run: the index says how to
    expect(page).to_have_url(re.compile(r"index\.html#03_"))


def test_a_term_says_what_it_means_and_leads_to_the_glossary(page, folder):
    meanings = {f"glossary.html#{one.anchor}": one.text for one in glossary.entries()}
    page.goto((folder / names(folder)[0]).as_uri())
    terms = page.locator("main a.term")
    said = terms.evaluate_all("all => all.map(a => [a.getAttribute('href'), a.title])")
    assert len(said) > 10 and all(meanings[place] == text for place, text in said)
    terms.nth(3).click()
    expect(page).to_have_url(re.compile(r"glossary\.html#"))
    expect(page.locator(f"[id='{page.url.partition('#')[2]}']")).to_be_in_viewport()


def test_a_solution_opens_by_keys(page, folder):
    page.goto((folder / names(folder)[0]).as_uri())
    solution = page.locator("details.solution").first
    summary, code = solution.locator("summary"), solution.locator("pre").first
    expect(code).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    expect(code).to_be_visible()
    expect(summary).to_have_text("Solution")


@pytest.mark.parametrize("place", ["index.html", "01_soft_targets.html", "glossary.html"])
@pytest.mark.parametrize("size", [None, PHONE], ids=["wide", "phone"])
def test_no_page_has_a_barrier(page, folder, place, size):
    page.set_viewport_size(size or page.viewport_size)
    page.goto((folder / place).as_uri())
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    assert barriers(page, colours=size is None) == []
