"""Pages of executed notebooks, and the index: formulas, folded parts, ways, no network."""

from __future__ import annotations

import re

import pytest
from browser import measured, needs_browser
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdnotes.show import pages

FORMULAS = r"""# 1. Formulas

Inline $T^2\,\mathrm{KL}(p_t \,\|\, p_s)$, a price of \$5 and `"$a$ and $b$"`.

$$L = \frac{1}{K} \sum_{k=1}^{K} p_{t,k} \log\frac{p_{t,k}}{p_{s,k}}$$

$$
\begin{aligned}
a &= b < c \\
d &\approx e
\end{aligned}
$$

\begin{align}
u &= v \\ w &= x
\end{align}

## A section on $\alpha$

[before](02_b.ipynb#More), [here](#A-section-on-α)

## For the curious

Further.
"""


@pytest.fixture(scope="module")
def page():
    hidden = {"tags": ["solution", "hide-cell"], "jupyter": {"source_hidden": True}}
    formula = {"text/latex": r"$\frac{1}{2}$", "text/plain": "half"}
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a slider"}
    outputs = [new_output("display_data", data) for data in (formula, widget)]
    code = new_code_cell("price = '$5 and $6'", outputs=outputs)
    drawn = new_output("stream", name="stdout", text="drawn\n")
    drawing = new_code_cell("axes.plot()", outputs=[drawn], metadata={"tags": ["hide-input"]})
    answer = new_code_cell("answer = 42", metadata=hidden)
    cells = [new_markdown_cell(FORMULAS), code, answer, drawing]
    return pages.notebook_page(
        new_notebook(cells=cells), "1. <Formulas>", ("00_a", "0. <A>"), ("02_b", "2. B")
    )


@pytest.fixture(scope="module")
def soup(page):
    return BeautifulSoup(page, "html.parser")


def test_formulas_become_mathml(soup, page):
    text = str(soup.main)
    assert text.count("<math") == 6 and "math-source" not in page
    assert text.count("<mtr>") == 4 and "<mfrac>" in text and "(1)" not in text
    assert "begin{" not in page and "\\frac" not in page
    assert "<mi>&amp;</mi>" not in page, "an alignment mark was taken for a sign"


def test_dollars_in_code_are_no_formulas(page):
    assert "$5 and $6" in re.sub(r"<[^>]+>", "", page) and '<code>"$a$ and $b$"</code>' in page


def test_the_page_needs_no_network_and_no_other_file(page):
    assert not re.search(r"<script[^>]|<link|@import|<iframe|url\(|src=[\"']http|fetch\(", page)
    assert "<title>1. &lt;Formulas&gt;</title>" in page and "a slider" in page


def test_a_solution_is_folded_away(soup):
    (folded,) = soup.select("details.solution")
    assert folded.summary.text == "Solution" and "open" not in folded.attrs
    assert folded.text.count("answer") == soup.text.count("answer") == 1


def test_code_that_draws_is_folded_and_what_it_draws_is_not(soup):
    (folded,) = [one for one in soup.find_all("details") if "draws" in one.summary.text]
    assert "axes.plot()" in folded.text and "drawn" not in folded.text and "drawn" in soup.text


def test_what_follows_the_heading_of_the_appendix_is_folded(soup):
    assert "Further." in soup.select_one("details.appendix").text


def test_the_contents_lead_to_the_headings(soup):
    links = soup.select(".contents a")
    assert len(links) == 2 and links[0].find("math")
    assert all(soup.main.find(id=link["href"][1:]) for link in links)
    assert soup.find("a", string="here")["href"] == "#A-section-on-%CE%B1"


def test_chapters_before_and_after_are_linked_above_and_below(soup):
    ways = soup.find_all("nav", class_="chapters")
    assert [way.parent.name for way in ways] == ["header", "footer"]
    for way in ways:
        shown = [(link["href"], link.text.strip()) for link in way.find_all("a")]
        assert shown == [
            ("00_a.html", "← 0. <A>"),
            ("index.html", "All chapters"),
            ("02_b.html", "2. B →"),
        ]


def test_links_lead_to_what_there_is(page):
    links = re.findall(
        r'data-page="[^"]+" href="([^"]+)"', pages.relink(page, {"02_b": "02_b.html"})
    )
    first, last = "index.html#00_a", "02_b.html"
    assert links == [first, last, "02_b.html#More", first, last]
    again = pages.relink(pages.relink(page, {"02_b": "02_b.html"}), {"02_b": "02_b.failed.html"})
    assert '"02_b.failed.html#More"' in again and "02_b.html" not in again


def test_the_first_and_the_last_chapter_have_one_neighbour():
    page = pages.notebook_page(new_notebook(cells=[new_markdown_cell("# A")]), "A", None, None)
    assert "data-page" not in page and "contents" not in BeautifulSoup(page, "html.parser").text
    assert not BeautifulSoup(page, "html.parser").select(".contents")


def test_a_formula_that_cannot_be_converted_is_shown_as_source():
    text = pages.notebook_page(new_notebook(cells=[new_markdown_cell(r"$\left( a$")]), "x")
    assert '<code class="math-source">\\left( a</code>' in text


def test_the_index_escapes_what_it_shows_and_links_what_there_is():
    run = {"name": "01_a", "number": 1, "title": "1. A & <b>", "promise": "p", "status": "failed",
           "seconds": 2.5, "profile": "smoke", "error": "<x>", "page": "a.html",
           "notebook": "a.ipynb"}  # fmt: skip
    empty = dict.fromkeys(("status", "seconds", "error", "page", "notebook"), "")
    other = run | empty | {"name": "02_b", "number": 2, "title": "2. B"}
    page = pages.index_page([run, other], "data set <d>")
    assert '<a href="a.html">1. A &amp; &lt;b&gt;</a>' in page and "<pre>&lt;x&gt;</pre>" in page
    soup = BeautifulSoup(page, "html.parser")
    first, second = (" ".join(soup.find(id=name).text.split()) for name in ("01_a", "02_b"))
    assert first == "1. A & <b> p failed in 2.5 s; notebook <x>"
    assert second == "2. B p not run: kdnotes run 2" and not soup.find(id="02_b").find("a")
    assert "data set &lt;d&gt;" in page and "1 of 2 chapters have run, 0 passed, in 2 s." in " ".join(soup.text.split())  # noqa: E501  # fmt: skip


def test_the_index_tells_profiles_apart_sums_reading_times_and_takes_further_pages():
    ran = {"promise": "p", "status": "passed", "seconds": 90.0, "error": "", "page": "x.html",
           "notebook": ""}  # fmt: skip
    rows = [
        ran | {"name": f"0{n}_x", "number": n, "title": "T", "profile": profile, "minutes": 60}
        for n, profile in ((1, "smoke"), (2, "lesson"))
    ]
    beside = {"name": "words", "number": "", "title": "Glossary", "status": "", "page": "g.html"}
    soup = BeautifulSoup(pages.index_page([*rows, ran | beside], ""), "html.parser")
    text = " ".join(soup.text.split())
    assert "about 60 minutes to read; passed in 90 s, profile smoke" in text
    assert "about 2 hours" in text and "2 of 2 chapters have run, 2 passed, in 3 minutes." in text
    assert soup.find(id="words").find("a")["href"] == "g.html" and "not run" not in text


WIDE = rf"""# 1. A-title-that-is-one-word-{"x" * 80}

A name `{"a_name_" * 20}` and $a = {"+ b " * 60}$ and https://example.org/{"x" * 100}.

$$a = {"+ b " * 60}$$

- an item with $a = {"+ b " * 60}$

| {" | ".join(f"column {n}" for n in range(20))} |
|{"---|" * 20}
| {" | ".join("1.234" for _ in range(20))} |

> {"long" * 40}

## For the curious

| {" | ".join(f"column {n}" for n in range(20))} |
|{"---|" * 20}
| {" | ".join("1.234" for _ in range(20))} |
"""
TABLE = "<table><tr>" + "<td>1.234</td>" * 40 + "</tr></table>"


@needs_browser
@pytest.mark.parametrize("width", [360, 400, 1280])
def test_nothing_makes_the_page_scroll_sideways(width, tmp_path):
    outputs = [
        new_output("stream", name="stdout", text="word " * 100),
        new_output("display_data", {"text/html": TABLE}),
        new_output("display_data", {"text/html": '<svg width="900" height="10"></svg>'}),
    ]
    code = new_code_cell("x = " + "1 + " * 60 + "1", outputs=outputs)
    cells = [new_markdown_cell(WIDE), code]
    page = pages.notebook_page(
        new_notebook(cells=cells), "x", ("00_a", "0. " + "A " * 60), ("02_b", "2. " + "B " * 60)
    )
    ((content, window, unfolded),) = measured([page], tmp_path, width)
    assert width - 20 <= window <= width  # without the scroll bar
    assert content <= window
    assert unfolded == (width >= 1100)
