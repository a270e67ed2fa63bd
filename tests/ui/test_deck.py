"""A deck in a browser: it presents without a network, by keys, and all can read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from watching import MISSING, barriers

from kdnotes.course import chapters

pytest.importorskip("playwright.sync_api", reason=MISSING)
from playwright.sync_api import expect

slides = pytest.importorskip("kdnotes.course.editions.slides", reason="there are no decks")
COURSE = Path(__file__).parents[2] / "notebooks"
PRESENT = ".slides > section.present"


@pytest.fixture(scope="module")
def deck(watched, tmp_path_factory):
    """The first chapter's deck, opened from the disk."""
    (chapter,) = chapters.choose(chapters.find(COURSE), ["1"])
    (path,) = slides.write([chapter], tmp_path_factory.mktemp("deck"))
    watched.page.goto(path.as_uri())
    expect(watched.page.locator(PRESENT)).to_be_visible()
    return watched.page


def titles(deck) -> list[str]:
    return deck.locator(".slides > section").evaluate_all(
        "all => all.map(one => one.querySelector('h1, h2').textContent.trim())"
    )


def test_the_keys_lead_through_all_slides_and_none_is_higher_than_the_screen(deck):
    wanted = titles(deck)
    assert 12 <= len(wanted) <= 20
    seen = []
    for _ in range(5 * len(wanted)):  # a slide may come in a few steps
        present = deck.locator(PRESENT)
        title = present.locator("h1, h2").first.text_content().strip()
        if not seen or title != seen[-1]:
            seen.append(title)
        box = present.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= deck.viewport_size["height"]
        deck.keyboard.press("ArrowRight")
    assert seen == wanted


def test_formulas_are_typeset_and_no_slide_has_a_barrier(deck):
    deck.keyboard.press("Home")
    assert deck.locator(".slides math").count() > 0
    text = deck.locator(".slides").evaluate("""all => {
        const copy = all.cloneNode(true);
        copy.querySelectorAll("math, code, pre").forEach(part => part.remove());
        return copy.textContent;
    }""")
    assert "$" not in text
    assert barriers(deck) == []
