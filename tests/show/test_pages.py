"""Pages of executed notebooks, and the index: formulas, solutions, no script, no network."""

from __future__ import annotations

import re

import pytest
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
"""


@pytest.fixture(scope="module")
def page():
    hidden = {"tags": ["solution"], "jupyter": {"source_hidden": True}}
    formula = {"text/latex": r"$\frac{1}{2}$", "text/plain": "half"}
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a slider"}
    outputs = [new_output("display_data", data) for data in (formula, widget)]
    code = new_code_cell("price = '$5 and $6'", outputs=outputs)
    cells = [new_markdown_cell(FORMULAS), code, new_code_cell("answer = 42", metadata=hidden)]
    return pages.notebook_page(new_notebook(cells=cells), "1. <Formulas>")


def test_formulas_become_mathml(page):
    assert page.count("<math") == 5 and "math-source" not in page
    assert page.count("<mtr>") == 4 and "<mfrac>" in page and "(1)" not in page
    assert "begin{" not in page and "\\frac" not in page
    assert "<mi>&amp;</mi>" not in page, "an alignment mark was taken for a sign"


def test_dollars_in_code_are_no_formulas(page):
    assert "$5 and $6" in re.sub(r"<[^>]+>", "", page) and '<code>"$a$ and $b$"</code>' in page


def test_the_page_needs_no_network_and_no_script(page):
    assert not re.search(r"<script|<link|@import|<iframe|url\(|src=[\"']http", page)
    assert "<title>1. &lt;Formulas&gt;</title>" in page and "a slider" in page


def test_a_solution_is_folded_away(page):
    folded = re.findall(r"<details><summary>Solution</summary>(.*?)</details>", page, re.DOTALL)
    assert len(folded) == 1
    assert folded[0].count("answer") == page.count("answer") == 1


def test_a_formula_that_cannot_be_converted_is_shown_as_source():
    text = pages.notebook_page(new_notebook(cells=[new_markdown_cell(r"$\left( a$")]), "x")
    assert '<code class="math-source">\\left( a</code>' in text


def test_the_index_escapes_what_it_shows_and_links_what_there_is():
    run = {"number": "01", "title": "A & <b>", "promise": "p", "status": "failed", "seconds": 2.5,
           "error": "<x>", "page": "a.html", "notebook": "a.ipynb"}  # fmt: skip
    empty = dict.fromkeys(("status", "seconds", "error", "page", "notebook"), "")
    page = pages.index_page([run, run | empty | {"number": "02"}], "data set <d>")
    assert '<a href="a.html">01. A &amp; &lt;b&gt;</a>' in page and "<pre>&lt;x&gt;</pre>" in page
    assert '<span class="failed">failed</span>, 2.5 s, <a href="a.ipynb">notebook</a>' in page
    assert "data set &lt;d&gt;" in page
    assert page.count("not run") == page.count("<strong>02. A") == 1 and page.count("<pre>") == 1
