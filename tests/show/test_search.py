"""The search: what it looks through, and what a browser shows for a query, without a server."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from browser import dom, needs_browser
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdnotes.show import pages, search

TEXT = "# 1. Soft targets\n\nA promise.\n\n## The gradient\n\nIt is $q - p$, says Buciluă.\n"
CURIOUS = "## For the curious\n\nA proof of the *limit*.\n\n### A lemma\n\nIt holds."


def notebook():
    printed = new_output("stream", name="stdout", text="the verdict: resolved\n")
    solution = new_code_cell("answer = 'spoiler'", metadata={"tags": ["solution"]})
    folded = {"tags": ["hide-input"]}
    code = new_code_cell("loss = kd_loss(z_s, z_t)\nkd_loss", outputs=[printed], metadata=folded)
    cells = [new_markdown_cell(TEXT), code, solution, new_markdown_cell(CURIOUS)]
    return new_notebook(cells=[*cells, new_markdown_cell("## References\n\n<b>Last</b> & least.")])


def row(name: str, page: str) -> dict:
    about = {"name": name, "number": int(name[:2]), "title": f"{int(name[:2])}. Title of {name}"}
    ran = {"status": "passed", "seconds": 1.0, "profile": "smoke", "error": "", "promise": "p"}
    return about | ran | {"page": page, "notebook": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two chapters, one of them with an appendix, and their index."""
    folder = tmp_path_factory.mktemp("a folder")
    names = {"01_soft": "01_soft.html", "02_next": "02_next.failed.html"}
    other = new_notebook(cells=[new_markdown_cell("# 2. Next\n\n## The Limit\n\nNothing here.")])
    for notes, (name, page) in zip((notebook(), other), names.items(), strict=True):
        (folder / page).write_text(pages.notebook_page(notes, name), encoding="utf-8")
    rows = [row(name, page) for name, page in names.items()]
    (folder / "index.html").write_text(pages.index_page(rows, ""), encoding="utf-8")
    search.write(folder, {row["page"]: row["title"] for row in rows})
    return folder


def stored(folder) -> list[dict]:
    text = (folder / search.FILE).read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"const kdnotesSections = (.*);\n", text, re.DOTALL)[1])


def test_sections_hold_the_text_between_headings_and_each_name_of_the_code_once():
    found = search.sections(pages.notebook_page(notebook(), "x"))
    titles = [section["title"] for section in found]
    assert titles == ["", "The gradient", "For the curious", "A lemma", "References"]
    assert found[0]["text"] == "A promise." and found[3]["text"] == "It holds."
    assert found[1]["text"] == "It is q−p, says Buciluă. the verdict: resolved"
    assert found[1]["code"].split() == ["loss", "kd_loss", "z_s", "z_t"]
    assert found[4]["text"] == "Last & least."


def test_solutions_are_not_searched():
    assert "spoiler" not in json.dumps(search.sections(pages.notebook_page(notebook(), "x")))


def test_every_result_leads_to_an_anchor_of_its_page(folder):
    for entry in stored(folder):
        soup = BeautifulSoup((folder / entry["page"]).read_text(encoding="utf-8"), "html.parser")
        assert entry["sections"]
        assert all(soup.find(id=section["anchor"]) for section in entry["sections"])


def test_a_page_is_read_again_only_if_it_is_new_or_the_file_is_lost(folder):
    before = (folder / search.FILE).read_bytes()
    titles = {entry["page"]: entry["title"] for entry in stored(folder)}
    page = folder / "02_next.failed.html"
    kept = page.read_text(encoding="utf-8")
    page.write_text(kept.replace("Nothing", "Something"), encoding="utf-8")
    search.write(folder, titles)
    assert (folder / search.FILE).read_bytes() == before
    search.write(folder, titles, changed=page.name)
    assert "Something here." in json.dumps(stored(folder))
    page.write_text(kept, encoding="utf-8")
    (folder / search.FILE).write_text("const x = 1;")
    search.write(folder, titles)
    assert (folder / search.FILE).read_bytes() == before
    search.write(folder, {"01_soft.html": titles["01_soft.html"]})
    assert [entry["page"] for entry in stored(folder)] == ["01_soft.html"]
    search.write(folder, titles)


def results(folder, query: str, script: str = "") -> BeautifulSoup:
    """What the index shows for a query that a chapter's page sends."""
    index = (folder / "index.html").read_text(encoding="utf-8")
    copy = folder / "copy.html"
    copy.write_text(index.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return BeautifulSoup(dom(f"{copy.as_uri()}?q={quote(query)}"), "html.parser")


@needs_browser
def test_a_query_lists_sections_with_context_titles_first(folder):
    form = results(folder, "LIMIT").find("form")
    assert "hidden" not in form.attrs
    assert form.find(role="status").text == "2 sections"
    links = [(link["href"], link.text) for link in form.select("li a")]
    assert links == [
        ("02_next.failed.html#The-Limit", "2. Title of 02_next › The Limit"),
        ("01_soft.html#For-the-curious", "1. Title of 01_soft › For the curious"),
    ]
    assert form.select("li p")[1].decode_contents() == "A proof of the <mark>limit</mark>."


@needs_browser
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("kd_loss verdict", "It is q−p, says Buciluă. the <mark>verdict</mark>: resolved"),
        ("kd_", "In the code: <mark>kd_</mark>loss"),
        ("bucilua", "It is q−p, says Buciluă. the verdict: resolved"),
        ("<b>", None), ("last & least", "<mark>Last</mark> <mark>&amp;</mark> <mark>least</mark>."),
        ("limit verdict", None), ("(", None), ("spoiler", None),
    ],
)  # fmt: skip
def test_all_words_must_be_in_a_section(folder, query, shown):
    form = results(folder, query).find("form")
    found = [line.decode_contents() for line in form.select("li p")]
    assert found == ([] if shown is None else [shown])
    assert form.find(role="status").text == ("No sections" if shown is None else "1 section")


@needs_browser
def test_results_are_reached_by_keys(folder):
    press = """
addEventListener("load", () => setTimeout(() => {
  const key = name => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true}));
  const said = [], at = () => said.push(document.activeElement.getAttribute("href") ?? "box");
  document.querySelector("input").focus();
  for (const way of ["Down", "Down", "Down", "Up", "Up"]) { key("Arrow" + way); at(); }
  document.querySelector("form").requestSubmit(); at();
  document.title = said.join(" ");
}))"""
    first, second = "02_next.failed.html#The-Limit", "01_soft.html#For-the-curious"
    title = results(folder, "limit", press).title.text
    assert title.split() == [first, second, second, first, "box", first]


@needs_browser
def test_without_the_sections_there_is_no_box(folder, tmp_path):
    (tmp_path / "index.html").write_bytes((folder / "index.html").read_bytes())
    assert (
        "hidden" in BeautifulSoup(dom((tmp_path / "index.html").as_uri()), "html.parser").form.attrs
    )
