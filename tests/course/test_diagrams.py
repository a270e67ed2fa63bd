"""Every diagram can be read: letters large enough, nothing over anything else, and described."""

from __future__ import annotations

import inspect
import re
from itertools import combinations
from unittest import mock

import pytest
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kdnotes.course import diagrams, order
from kdnotes.course.diagrams.canvas import Box, Canvas
from kdnotes.show import plots

SMALLEST = 8.0  # points
INDEX = 0.7  # the size of an index, of its letter's: matplotlib's own


def drawn(name: str) -> tuple[Canvas, str]:
    """The page of a diagram, and its alternative text."""
    shown = []
    with mock.patch.object(Canvas, "show", lambda page, alt: shown.append((page, alt))):
        getattr(diagrams, name)()
    ((page, alt),) = shown
    return page, alt


@pytest.fixture(scope="module", params=diagrams.__all__)
def page(request):
    page, page.alt = drawn(request.param)
    page.texts = texts(page)
    page.png = plots.png(page.figure)
    return page


def texts(page: Canvas) -> dict[Text, Bbox]:
    """All that is written, and where, in inches: places are fixed, so nothing need be drawn."""
    renderer = page.figure.canvas.get_renderer()
    written = [text for text in page.figure.findobj(Text) if text.get_text().strip()]
    inches = page.figure.dpi_scale_trans.inverted()
    return {text: text.get_window_extent(renderer).transformed(inches) for text in written}


def touching(arrow: tuple[tuple[float, float], ...], area: Bbox) -> bool:
    return Path(arrow).intersects_bbox(area, filled=False)


def inside(box: Box, margin: float = 0.0) -> Bbox:
    low = (box.x + margin, box.y + margin)
    return Bbox([low, (box.x + box.width - margin, box.y + box.height - margin)])


def test_letters_are_large_enough(page):
    for text in page.texts:
        indexed = re.search(r"\$[^$]*[_^][^$]*\$", text.get_text())
        assert text.get_size() * (INDEX if indexed else 1) >= SMALLEST, text.get_text()


def test_the_page_is_seven_inches_wide_and_holds_all_that_is_written(page):
    width, height = page.figure.get_size_inches()
    assert width == 7 and height < 5
    for text, place in page.texts.items():
        where = (place.x0, place.y0, width - place.x1, height - place.y1)
        assert min(where) >= 0.03, text.get_text()


def test_no_two_texts_overlap(page):
    for (one, here), (other, there) in combinations(page.texts.items(), 2):
        assert not here.overlaps(there), (one.get_text(), other.get_text())


def test_boxes_hold_their_texts_and_no_others(page):
    places = page.texts
    for box, own in page.boxes:
        for text in own:
            place, held = places[text], inside(box, 0.01)
            assert held.x0 <= place.x0 and place.x1 <= held.x1, text.get_text()
            assert held.y0 <= place.y0 and place.y1 <= held.y1, text.get_text()
        for text in places.keys() - set(own):
            assert not places[text].overlaps(inside(box)), text.get_text()


def test_no_arrow_crosses_a_text_or_a_box(page):
    for arrow in page.arrows:
        for text, place in page.texts.items():
            assert not touching(arrow, place), (arrow, text.get_text())
        for box, _ in page.boxes:
            assert not touching(arrow, inside(box, 0.01)), (arrow, box)


def test_boxes_do_not_overlap(page):
    for (one, _), (other, _) in combinations(page.boxes, 2):
        assert not inside(one, 0.01).overlaps(inside(other)), (one, other)


def test_the_alternative_text_is_full_sentences(page):
    sentences = re.findall(r"[A-Z][^.]*\.", page.alt)
    assert 2 <= len(sentences) <= 5 and page.alt.endswith(".")
    assert 150 <= len(page.alt) <= 650
    assert not re.search(r"[$\\_^]", page.alt)


def test_the_picture_is_small(page):
    assert 5_000 < len(page.png) < 60_000


def test_it_is_displayed_as_the_course_displays_figures():
    page = Canvas(1.0)
    with mock.patch.object(plots, "show") as show:
        page.show("Nothing. Nothing at all.")
    show.assert_called_once_with(page.figure, "Nothing. Nothing at all.")
    plots.plt.close(page.figure)


def test_the_table_has_every_diagram_and_calls_chapters_by_their_names():
    rows = dict(re.findall(r"^(\w+) +(``.+)$", diagrams.__doc__, re.MULTILINE))
    assert set(re.findall(r"``(\w+)``", " ".join(rows.values()))) == set(diagrams.__all__)
    assert set(rows) <= {*order.CHAPTERS, "relations"}  # whose notebook is to be written


@pytest.mark.parametrize("name", diagrams.__all__)
def test_it_says_what_it_shows(name):
    said = inspect.getdoc(getattr(diagrams, name))
    assert len(said.split()) > 6 and not re.search(r"[Cc]hapters? \d", said)


def overlapping() -> Canvas:
    page = Canvas(2.0)
    page.box(1, 1, 0.3, 0.3, "too long for it")
    page.arrow((0.5, 1.15), (2, 1.15))
    page.text(1.2, 1.15, "over it", size=6)
    page.texts = texts(page)
    return page


@pytest.mark.parametrize(
    "check",
    [
        test_letters_are_large_enough,
        test_no_two_texts_overlap,
        test_boxes_hold_their_texts_and_no_others,
        test_no_arrow_crosses_a_text_or_a_box,
    ],
)
def test_what_is_wrong_is_found(check):
    page = overlapping()
    with pytest.raises(AssertionError):
        check(page)
    plots.plt.close(page.figure)
