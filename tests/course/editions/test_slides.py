"""Decks: what their metadata may say, what a slide shows of its cell, and that it can be read."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from pathlib import Path

import pytest
from browser import dom, needs_browser, printed_pages
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import kdnotes
from kdnotes.course import chapters, order
from kdnotes.course.editions import slides
from kdnotes.course.exercises import soft_targets
from kdnotes.show import deck, pages
from kdnotes.show.plots import figure, png

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
COURSE = chapters.find(NOTEBOOKS)


def has_slides(chapter) -> bool:
    return '"slides": [' in chapter.path.read_text(encoding="utf-8")


TOLD = [chapter for chapter in COURSE if has_slides(chapter)]
each = pytest.mark.parametrize("chapter", TOLD, ids=[chapter.name for chapter in TOLD])

# The files of reveal.js 6.0.2 as published: whoever exchanges them exchanges these.
RELEASED = {
    "LICENSE": "b2883e4b610bfa1b4d8fff84c4d4b825cc7d553cbd9fec4777c04068a2859dc0",
    "notes.js": "447c42f365876e41853de81453d0c53c580c5b2099132e8f61200de4a0ba2af3",
    "reveal.css": "615ee850cbbb98a0f688b60ed37b21819a3f54c9f3e6f20e33e63693ab74a0c0",
    "reveal.js": "aa1bbbf2617b23a623b23612cb3c5bdb63de512e652bf20fcfa832b045d37844",
}
MEASURE = """<script>Reveal.on("ready", () => setTimeout(() => {
  const said = [];
  for (let place = 0; place < Reveal.getTotalSlides(); place++) {
    Reveal.slide(place, 0, 9);
    const stage = document.querySelector("section.present .stage"), found = [];
    const box = stage.getBoundingClientRect(), scale = box.width / 1280;
    for (const one of stage.querySelectorAll("*")) {
      const own = one.getBoundingClientRect(), name = one.tagName + "." + one.className;
      if (own.width && (own.right > box.right - 20 * scale || own.bottom > box.bottom - 40 * scale))
        found.push("leaves the slide: " + name);
      const speaks = [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
      if (speaks && own.width && !one.closest("svg, math, style, script") &&
          parseFloat(getComputedStyle(one).fontSize) < 18)
        found.push("too small: " + one.textContent);
      if (one.tagName === "IMG" && !(own.width / scale >= 0.89 * one.naturalWidth))
        found.push("a figure too small, or not there: " + one.alt);
    }
    said.push([Math.round(box.width / scale), Math.round(box.height / scale), found]);
  }
  document.title = JSON.stringify(said);
}, 100));</script></body>"""


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    """The deck of each chapter that has one, by the chapter's name."""
    folder = tmp_path_factory.mktemp("decks")
    written = slides.write(TOLD, folder)
    return {chapter.name: path for chapter, path in zip(TOLD, written, strict=True)}


def sections(path: Path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find_all("section")


# Every chapter's deck.
def test_every_chapter_has_a_deck():
    assert [chapter.name for chapter in COURSE if chapter not in TOLD] == []


@each
def test_a_deck_begins_with_the_title_ends_with_the_quiz_and_where_next(chapter, talks):
    first, *body, last = sections(talks[chapter.name])
    assert 12 <= len(body) + 2 <= 20
    heading = f"{int(chapter.name[:2])}. {chapter.title}"
    assert first.h1.get_text() == heading and f"kdnotes {kdnotes.__version__}" in first.get_text()
    assert first.find("div", class_="text").p.get_text().endswith("?")
    assert body[-1].find("ol", type="a") and last.h2.get_text() == "Where next"
    following = int(chapter.name[:2]) + 1
    assert following > len(order.CHAPTERS) or f"chapter {following}" in last.get_text().lower()


@each
def test_every_slide_has_a_title_and_notes_and_every_figure_its_alternative_text(chapter, talks):
    for section in sections(talks[chapter.name]):
        notes = section.find("aside", class_="notes").get_text()
        assert section.find(["h1", "h2"]).get_text(strip=True)
        assert len(notes.split()) >= 12, section.find(["h1", "h2"]).get_text()
        assert all(len(one["alt"]) > 20 for one in section.select(".figure img"))


@each
def test_a_deck_is_a_talk_with_questions_figures_and_formulas(chapter, talks):
    found = sections(talks[chapter.name])
    assert sum(bool(one.select(".question")) for one in found) >= 4
    assert sum(bool(one.select(".figure img, .kdnotes-interactive")) for one in found) >= 2
    assert not any(one.select("code.math-source") for one in found), "a formula is left as TeX"


@each
def test_a_deck_is_one_small_file_that_asks_for_nothing(chapter, talks):
    page = talks[chapter.name].read_text(encoding="utf-8")
    assert len(page.encode()) <= 2_000_000
    soup = BeautifulSoup(page, "html.parser")
    addresses = [one[name] for name in ("src", "srcset") for one in soup.find_all(**{name: True})]
    assert addresses and all(one.startswith("data:") for one in addresses)
    assert not soup.find_all(["link", "iframe", "object", "embed", "base"])
    styles = "".join(one.get_text() for one in soup.find_all("style"))
    assert "@import" not in styles and "@font-face" not in styles
    assert all(one.strip("\"' ").startswith("data:") for one in re.findall(r"url\(([^)]*)", styles))


@each
def test_no_number_of_an_outcome_is_typed(chapter):
    """A percentage, a decimal or an interval in words of a slide comes from an output, unless the
    chapter itself types it: an example by hand, or a setting.
    """
    notebook = chapters.read(chapter.path)
    chosen = set(re.findall(r"\d+\.\d+", " ".join(cell.source for cell in notebook.cells)))
    for cell in notebook.cells:
        for slide in cell.metadata.get("slides", []):
            typed = " ".join(slide.get(key, "") for key in ("title", "text", "notes"))
            typed = re.sub(r"\{\{.+?\}\}(?!\})|\$.+?\$|`.+?`|[Ee]xercise \d\d\.\d+", "", typed)
            found = set(re.findall(r"\d+\.\d+|\d+ points", typed))
            assert found <= chosen, (cell.id, slide.get("title"))


@each
def test_a_cell_with_slides_is_one_for_other_tools_too(chapter):
    for cell in chapters.read(chapter.path).cells:
        other = cell.metadata.get("slideshow", {})
        assert other == ({"slide_type": "slide"} if "slides" in cell.metadata else {}), cell.id


def measured(page: str, path: Path) -> list:
    """Width, height and faults of each slide of a deck."""
    path.write_text(page, encoding="utf-8")
    found = dom(path.as_uri(), budget=20_000)
    return json.loads(BeautifulSoup(found, "html.parser").title.text)


@needs_browser
@each
def test_every_slide_fits_the_stage_and_can_be_read(chapter, talks, tmp_path):
    page = talks[chapter.name].read_text(encoding="utf-8").replace("</body>", MEASURE)
    said = measured(page, tmp_path / "deck.html")
    assert len(said) == len(sections(talks[chapter.name]))
    for number, (width, height, faults) in enumerate(said, 1):
        assert (width, height, faults) == (1280, 720, []), number


@needs_browser
def test_a_deck_prints_a_page_a_slide(talks, tmp_path):
    path, copy = talks[TOLD[0].name], tmp_path / "deck.html"
    # Without a window frames may never come, and the deck waits for some before it lays out pages.
    frames = "<script>requestAnimationFrame = call => setTimeout(call)</script>"
    page = path.read_text(encoding="utf-8")
    copy.write_text(page.replace("<head>", "<head>" + frames, 1), encoding="utf-8")
    assert printed_pages(f"{copy.as_uri()}?print-pdf") == len(sections(path))


# What a slide may say.
TITLE = new_markdown_cell(
    "# 1. Soft targets\n\nA promise.",
    metadata={"slides": [{"text": "A question?", "notes": "Say this."}]},
)
SAID = "Prediction 01: Which $x$?\nYou made no guess; it was +1.5 points.\nKD 3 %\nCE 2 %\n"


def cell_of(entry, source="x = 1", outputs=()):
    metadata = {"slides": [entry]} if isinstance(entry, dict) else {"slides": entry}
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


def printing(text):
    return new_output("stream", name="stdout", text=text)


def drawing(alt="Two bars, of 2 and 3.", **size):
    data = base64.b64encode(png(figure(**size)[0])).decode()
    element = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    return new_output("display_data", {"image/png": data, "text/html": element, "text/plain": alt})


def talk(folder, *cells):
    path = folder / "01_soft_targets.ipynb"
    chapters.write(path, new_notebook(cells=[TITLE, *cells]))
    (written,) = slides.write(chapters.find(folder), folder / "talks")
    return sections(written)


def slide(folder, entry, *arguments):
    entry = {"title": "A title", "notes": "Say that."} | entry
    return talk(folder, cell_of(entry, *arguments))[1]


def test_code_has_the_colors_of_the_pages():
    """Whose comments have enough contrast."""
    assert pages.code_colors() in deck.deck("A talk", [deck.Slide("A title", notes="Say that.")])


@needs_browser
def test_the_longest_text_that_is_taken_beside_a_figure_fits(tmp_path):
    entry = {"show": ["figure", "markdown"], "title": "A title", "notes": "Say that."}

    def attempt(words):
        text = new_output("display_data", {"text/markdown": "resolved " * words, "text/plain": ""})
        return talk(tmp_path, cell_of(entry, "x = 1", [drawing(width=9, height=3.5), text]))

    with pytest.raises(ValueError, match=r"is the least|choose fewer"):
        attempt(200)
    taken = itertools.takewhile(lambda words: is_taken(attempt, words), range(12, 201, 4))
    longest = max(taken)
    assert attempt(longest)
    page = (tmp_path / "talks" / "01_soft_targets.slides.html").read_text(encoding="utf-8")
    faults = measured(page.replace("</body>", MEASURE), tmp_path / "deck.html")
    assert [one[2] for one in faults] == [[], []]


def is_taken(attempt, words):
    try:
        return bool(attempt(words))
    except ValueError:
        return False


def test_the_title_slide_is_made_of_the_chapter(tmp_path):
    (first,) = talk(tmp_path)
    assert first.h1.get_text() == "1. Soft targets"
    assert first.find("aside").get_text(strip=True) == "Say this."


def test_outputs_speak_in_text_and_notes(tmp_path):
    entry = {"text": "KD {{^KD (.*)}}; {{^CE}}", "notes": "It was {{it was (.*)\\.$}}."}
    found = slide(tmp_path, entry, "x", [printing(SAID)])
    assert found.find(class_="text").get_text(strip=True) == "KD 3 %; CE"
    assert found.aside.get_text(strip=True) == "It was +1.5 points."


def test_what_an_output_says_is_no_markup(tmp_path):
    entry = {"text": "{{^(.*)$}}"}
    found = slide(tmp_path, entry, "x", [printing("<b>a</b> *b* $c$ _d_\n")])
    assert found.find(class_="text").get_text(strip=True) == "<b>a</b> *b* $c$ _d_"
    assert not found.find(["b", "em", "math"])


def test_lines_are_chosen_and_those_of_a_prediction_left_out(tmp_path):
    shown = slide(tmp_path, {"show": "output ~ ^KD"}, "x", [printing(SAID)])
    assert shown.pre.get_text() == "KD 3 %"
    shown = slide(tmp_path, {"show": "output"}, "x", [printing(SAID)])
    assert shown.pre.get_text() == "KD 3 %\nCE 2 %"


def test_a_question_waits_for_its_answer(tmp_path):
    entry = {"show": "question", "then": ["answer", "output"]}
    found = slide(tmp_path, entry, "x", [printing(SAID)])
    assert found.find(class_="label").get_text() == "Question"
    assert found.find(class_="text").get_text(strip=True) == "Which $x$?"
    assert [one["class"] for one in found.select(".fragment")] == [
        ["answer", "fragment"], ["output", "fragment"],
    ]  # fmt: skip
    assert found.find(class_="answer").get_text() == "It was +1.5 points"


def test_a_figure_keeps_its_alternative_text_and_stands_beside_the_title_if_it_is_narrow(tmp_path):
    found = slide(tmp_path, {"show": "figure"}, "x", [drawing(width=5, height=5)])
    assert found.img["alt"] == "Two bars, of 2 and 3." and found.select(".beside")
    found = slide(tmp_path, {"show": "figure"}, "x", [drawing(width=9, height=3)])
    assert not found.select(".beside")


def test_rows_of_a_table_are_chosen(tmp_path):
    rows = "".join(f"<tr><th>{name}</th><td>1</td></tr>" for name in ("CE", "KD", "DKD"))
    table = f"<table><thead><tr><th></th><th>n</th></tr></thead><tbody>{rows}</tbody></table>"
    output = new_output("display_data", {"text/html": table, "text/plain": "table"})
    found = slide(tmp_path, {"show": "table ~ ^K|^C"}, "x", [output])
    assert [row.th.get_text() for row in found.find_all("tr")] == ["", "CE", "KD"]


def test_formulas_are_mathml_without_their_stop(tmp_path):
    cell = new_markdown_cell("$$a=1.$$\n\n$$b=2,\\qquad c=3.$$")
    cell.metadata["slides"] = [{"title": "A", "show": "formula 2", "notes": "Say."}]
    found = talk(tmp_path, cell)[1]
    assert [one.get_text() for one in found.find_all("math")] == ["b=2", "c=3"]


def test_code_is_shown_by_lines(tmp_path):
    found = slide(tmp_path, {"show": "code 2-3"}, "# NBVAL_CHECK_OUTPUT\na = 1\nb = 2\nc = 3")
    assert found.pre.get_text() == "b = 2\nc = 3"


def test_a_quiz_tells_the_speaker_what_is_right_and_why(tmp_path):
    found = talk(tmp_path, cell_of([{"show": "quiz 1"}]))[1]
    item = soft_targets.QUIZ[0]
    assert [one.get_text() for one in found.find_all("li", recursive=True)][:4] == [*item.choices]
    assert "Right: c)" in found.aside.get_text() and "a) the ratio of two" in found.aside.get_text()


WRONG = {
    "a slide must be a dictionary": "figure",
    "and no 'titel'": {"titel": "A"},
    "title must say something": {"title": "", "notes": "n"},
    "notes must say something": {"title": "A", "notes": " "},
    "text must be a string, not int": {"title": "A", "notes": "n", "text": 3},
    "text must have at most 40 words, not 41": {"title": "A", "notes": "n", "text": "word " * 41},
    "title must have at most 60 characters": {"title": "word " * 13, "notes": "n"},
    "kind must be '' or 'question' or 'verdict'": {"title": "A", "notes": "n", "kind": "joke"},
    "show and then must be of formula": {"title": "A", "notes": "n", "show": "picture"},
    "show and then must be of.*not 'figure 0'": {"title": "A", "notes": "n", "show": "figure 0"},
    "'figure': the cell has no figure; has the chapter run": {
        "title": "A", "notes": "n", "show": "figure",
    },
    "'code 3': the cell has 1 lines": {"title": "A", "notes": "n", "show": "code 3"},
    "the quiz of soft_targets has 3 questions, and no 9": {"show": "quiz 9"},
    "no output of the cell says this": {"title": "A", "notes": "{{never}}"},
    r"cuts the number \+1\.5": {"title": "A", "notes": r"{{was (.*?)\.}}"},
    r"cuts the number \+1\.5\Z": {"title": "A", "notes": r"{{was \+(.*)\.$}}"},
    "is no pattern": {"title": "A", "notes": "{{(}}"},
    "asks for no prediction": {"title": "A", "notes": "n", "show": "question"},
}  # fmt: skip


@pytest.mark.parametrize(("message", "entry"), WRONG.items(), ids=[*WRONG])
def test_a_wrong_slide_is_refused_with_its_place(message, entry, tmp_path):
    outputs = [printing(SAID)] if "cuts" in message else []
    cell = cell_of([entry], outputs=outputs)
    with pytest.raises(
        ValueError, match=rf"slides of 01_soft_targets: cell {cell.id}: .*{message}"
    ):
        talk(tmp_path, cell)
    assert not (tmp_path / "talks").exists()


def test_slides_must_be_a_list_and_there_must_be_some(tmp_path):
    with pytest.raises(ValueError, match=r"slides must be a list, not str"):
        talk(tmp_path, cell_of("figure"))
    path = tmp_path / "01_soft_targets.ipynb"
    chapters.write(path, new_notebook(cells=[new_markdown_cell("# 1. Soft targets\n\nA promise.")]))
    with pytest.raises(ValueError, match="01_soft_targets: none of its cells has any"):
        slides.write(chapters.find(tmp_path), tmp_path / "talks")


@pytest.mark.parametrize(
    ("show", "output", "message"),
    [
        ("output", printing("line\n" * 40), "40 lines"),
        ("figure", drawing(width=8, height=9), "880×990 pixels would be shown at"),
        ("figure", drawing(width=14, height=3), "1540×330 pixels would be shown at"),
    ],
)
def test_what_nobody_could_read_is_refused(show, output, message, tmp_path):
    with pytest.raises(ValueError, match=rf"01_soft_targets: slide 2 \('A title'\): .*{message}"):
        slide(tmp_path, {"show": show}, "x", [output])


def test_what_is_moved_has_the_slide_for_itself(tmp_path):
    page = '<div class="kdnotes-interactive">moved</div>'
    output = new_output("display_data", {"text/html": page, "text/plain": "page"})
    assert slide(tmp_path, {"show": "slider"}, "x", [output]).find(class_="kdnotes-interactive")
    with pytest.raises(ValueError, match="needs the slide for itself"):
        slide(tmp_path, {"show": ["slider", "output"]}, "x", [output, printing("line")])


def test_words_are_counted_and_a_formula_is_one():
    text = "- Two words\n- $a + b = c$ and {{it was (.*) points}}"
    assert slides.words(text) == 5


def test_a_long_line_goes_on_in_the_next():
    part = deck.lines("word " * 40)
    assert part.rows == 3.7 and "\n    word" in part.html


@pytest.mark.parametrize("name", RELEASED)
def test_reveal_is_the_release_that_is_named(name):
    content = (Path(deck.__file__).parent / "reveal" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == RELEASED[name]
