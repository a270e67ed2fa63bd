"""A chapter in JupyterLab, as a reader uses it: run, read, slide, guess, err, see a solution."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from watching import MISSING, barriers

from kdnotes.course.exercises.soft_targets import SoftLoss
from kdnotes.show.pages import notebook_page

pytest.importorskip("playwright.sync_api", reason=MISSING)
import laboratory
from playwright.sync_api import Locator, expect

COURSE = Path(__file__).parents[2] / "notebooks"
FIRST, OTHER = "01_soft_targets.ipynb", "05_decoupled_distillation.ipynb"
GUESS, OUTCOME = 'check.predict(\n    "01 off"', 'check.outcome("01 off"'
OUTPUT = ".jp-Cell-outputArea"
EXERCISE = 'check.exercise("01.1", soft_loss)'
WRONG = f"""def soft_loss(z_s, z_t, temperature):
    p_t = losses.soften(z_t, temperature)
    return temperature**2 * losses.soft_cross_entropy(z_s / temperature, p_t)


solved = {EXERCISE}"""
RIGHT = f"""def soft_loss(z_s, z_t, temperature):
    log_s, log_t = (F.log_softmax(z / temperature, dim=1) for z in (z_s, z_t))
    kl = F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)
    return temperature**2 * kl


solved = {EXERCISE}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on a copy of the chapters, and the copy."""
    laboratory.need_jupyterlab()
    folder = tmp_path_factory.mktemp("lab")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    for path in COURSE.glob("*.ipynb"):
        copied = nbformat.read(path, as_version=4)
        for cell in copied.cells:  # a number beside a cell shall say that it has run here
            if cell.cell_type == "code":
                cell.execution_count = None
        nbformat.write(copied, notebooks / path.name)
    with laboratory.running(notebooks, folder) as address:
        yield address, notebooks


@pytest.fixture(scope="module")
def opened(watched, lab):
    """The first chapter as it is after a clone."""
    address, notebooks = lab
    return laboratory.Notebook(watched.page, address, notebooks / FIRST)


@pytest.fixture(scope="module")
def untrusted(opened):
    """What the sliders are before any cell has run: pictures, which say how to wake them."""
    return opened.page.locator(".kdnotes-interactive").evaluate_all("""all => all.map(one =>
        ["img", ".hint", "input"].map(part => one.querySelector(part).checkVisibility()))""")


@pytest.fixture(scope="module")
def chapter(opened, untrusted):
    """The first chapter, all of whose cells have run, with a guess typed into it before."""
    asked = opened.cell(GUESS)
    asked.locator(".cm-content").get_by_text("None", exact=True).dblclick()
    opened.page.keyboard.type("30")
    opened.run_all()
    return opened


def test_before_its_cell_has_run_a_slider_is_a_picture_with_a_hint(untrusted):
    assert untrusted == [[True, True, False]] * 2


def test_all_cells_run_without_an_error(chapter):
    page = chapter.page
    assert (
        page.locator(
            ".jp-OutputArea [data-mime-type*=error], .jp-RenderedText[data-mime-type*=stderr]"
        ).count()
        == 0
    )
    last = [cell.source for cell in chapter.cells if cell.cell_type == "code"][-1]
    assert "correct" in chapter.cell(last, solution=True).locator(".jp-OutputArea").inner_text()
    assert not page.locator(".kdnotes-interactive .hint").count()


def test_every_formula_is_rendered(chapter):
    page, text = chapter.page, ".jp-MarkdownCell"
    markdown = [cell for cell in chapter.cells if cell.cell_type == "markdown"]
    html = notebook_page(nbformat.v4.new_notebook(cells=markdown), "")
    wanted = len(BeautifulSoup(html, "html.parser").find_all("math"))
    assert wanted > 100
    expect(page.locator(f"{text} mjx-container")).to_have_count(wanted)
    assert page.locator("mjx-merror").count() == 0
    left = page.locator(".jp-RenderedMarkdown").evaluate_all("""all => all.map(one => {
        const copy = one.cloneNode(true);
        copy.querySelectorAll("mjx-container, code, pre").forEach(part => part.remove());
        return copy.textContent;
    }).join("\\n")""")
    assert not re.search(r"\$|\\[a-zA-Z(\[]", left)


def sliders(notebook) -> list[Locator]:
    return notebook.page.locator(".kdnotes-interactive input[type=range]").all()


def picture(slider: Locator) -> str:
    return slider.locator("xpath=ancestor::*[contains(@class, 'kdnotes-interactive')]").inner_html()


def by_mouse(slider: Locator) -> None:
    """Pull a slider from its middle to its end."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle, end = ({"x": box["width"] * part, "y": box["height"] / 2} for part in (0.5, 0.98))
    slider.drag_to(slider, source_position=middle, target_position=end)
    expect(slider).to_have_value(slider.get_attribute("max"))


def by_keys(slider: Locator) -> None:
    """Move a slider that has the focus with all keys that it knows, one step at last."""
    last = int(slider.get_attribute("max"))
    steps = {"Home": 0, "ArrowRight": 1, "ArrowUp": 2, "ArrowDown": 1, "ArrowLeft": 0}
    for key, place in (steps | {"End": last, "PageDown": None, "PageUp": last}).items():
        slider.page.keyboard.press(key)
        if place is not None:
            expect(slider).to_have_value(str(place))
    slider.page.keyboard.press("ArrowLeft")
    expect(slider).to_have_value(str(last - 1))


def check_slider(notebook, slider: Locator) -> None:
    """A slider follows mouse and keys, its picture follows it, and nothing else moves."""
    by_mouse(slider)
    folded, before = notebook.folded(), picture(slider)
    by_keys(slider)
    assert picture(slider) != before
    assert slider.get_attribute("aria-valuetext") in picture(slider)
    assert notebook.folded() == folded
    expect(slider).to_be_focused()


def test_sliders_follow_mouse_and_keys_and_no_section_folds(chapter):
    moved = sliders(chapter)
    assert len(moved) == 3
    for slider in moved:
        check_slider(chapter, slider)


def test_outputs_have_no_barrier(chapter):
    assert barriers(chapter.page, ".kdnotes-interactive", ".jp-RenderedHTML") == []


def trap() -> str:
    """The sentence for who leaves the entropy in the loss, without its capital and its stop."""
    return " ".join(SoftLoss.wrong_entropy_left.__doc__.split())[1:-1]


def test_a_wrong_answer_is_told_its_mistake_and_the_right_one_is_correct(chapter):
    cell = chapter.cell(EXERCISE)
    chapter.write(cell, WRONG)
    trapped = re.compile(rf"^Exercise 01\.1: not yet: .{re.escape(trap())}")
    expect(chapter.run(cell)).to_have_text(trapped)
    chapter.write(cell, RIGHT)
    expect(chapter.run(cell)).to_have_text("Exercise 01.1: correct")


def test_a_solution_is_folded_opens_and_says_that_it_is_one(chapter):
    cell = chapter.cell('"01.1", solution_soft_loss', solution=True)
    source = chapter.source('"01.1", solution_soft_loss', solution=True)
    placeholder = cell.locator(".jp-InputPlaceholder")
    assert cell.locator(".cm-content").count() == 0
    expect(placeholder).to_have_text(source.splitlines()[0])
    placeholder.click()
    expect(cell.locator(".cm-content")).to_be_visible()
    assert laboratory.shown(cell) == source and source.startswith("# Solution")


def test_a_guess_is_recorded_and_shown_beside_the_outcome(chapter):
    asked, outcome = (chapter.cell(text).locator(OUTPUT) for text in (GUESS, OUTCOME))
    expect(asked).to_contain_text("Your guess, a number in %: 30 %.")
    expect(outcome).to_contain_text(re.compile(r"You said 30 %; it was [\d.]+ %, off by [\d.]+ %"))


def test_the_slider_of_another_chapter(watched, lab):
    address, notebooks = lab
    other = laboratory.Notebook(watched.page, address, notebooks / OTHER)
    cell = other.cell("decoupled_slider(z_s")
    cell.locator(".cm-content").click()
    other.choose("Run", "Run All Above Selected Cell")
    cell.locator(".cm-content").click()
    other.run(cell)
    for slider in sliders(other):
        check_slider(other, slider)
