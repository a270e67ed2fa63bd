"""Pages: formulas, solutions, and nothing that needs a network."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

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
    solution = new_code_cell(
        "answer = 42", metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}}
    )
    code = new_code_cell("price = '$5 and $6'")
    code.outputs = [
        nbformat.v4.new_output(
            "display_data", {"text/latex": r"$\frac{1}{2}$", "text/plain": "half"}
        )
    ]
    widget = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
        "text/plain": "a slider",
    }
    code.outputs.append(nbformat.v4.new_output("display_data", widget))
    return pages.notebook_page(
        new_notebook(cells=[new_markdown_cell(FORMULAS), code, solution]), "1. <Formulas>"
    )


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
    assert (
        len(re.findall(r"<details><summary>Solution</summary>.*?</details>", page, re.DOTALL)) == 1
    )
    assert (
        "answer" in page[page.index("<details>") :]
        and "answer" not in page[: page.index("<details>")]
    )


def test_a_formula_that_cannot_be_converted_is_shown_as_source():
    text = pages.notebook_page(new_notebook(cells=[new_markdown_cell(r"$\left( a$")]), "x")
    assert '<code class="math-source">\\left( a</code>' in text
