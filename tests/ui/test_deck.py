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
SLIDES = ".slides > section"
PRESENT = f"{SLIDES}.present"


@pytest.fixture(scope="module")
def deck(watched, tmp_path_factory):
    """The first chapter's deck, opened from the disk."""
    (chapter,) = chapters.choose(chapters.find(COURSE), ["1"])
    (path,) = slides.write([chapter], tmp_path_factory.mktemp("deck"))
    watched.page.goto(path.as_uri())
    expect(watched.page.locator(PRESENT)).to_be_visible()
    return watched.page


def test_the_keys_lead_through_all_slides_and_none_is_higher_than_the_screen(deck):
    count = deck.locator(SLIDES).count()
    assert 12 <= count <= 20
    seen = []
    for _ in range(5 * count):  # a slide may come in a few steps
        place = deck.locator(PRESENT).evaluate("one => [...one.parentNode.children].indexOf(one)")
        if place not in seen:
            seen.append(place)
            box = deck.locator(PRESENT).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= deck.viewport_size["height"]
            assert barriers(deck, PRESENT) == []
        deck.keyboard.press("ArrowRight")
    assert seen == list(range(count))


def test_formulas_are_typeset(deck):
    assert deck.locator(".slides math").count() > 0
    text = deck.locator(".slides").evaluate("""all => {
        const copy = all.cloneNode(true);
        copy.querySelectorAll("math, code, pre").forEach(part => part.remove());
        return copy.textContent;
    }""")
    assert "$" not in text
