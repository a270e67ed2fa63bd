"""A chapter's HTML in order: anchors, contents, boxes, links, the folded appendix."""

from __future__ import annotations

from bs4 import BeautifulSoup

from kdnotes.show.arrange import Heading, arrange

BODY = """<h1>5. Splitting</h1>
<p>See <a class="x" href="06_next.ipynb#The-run" title="t">there</a>,
<a href="glossary.ipynb">it</a> and <a href="https://example.org/a.ipynb">elsewhere</a>.</p>
<h2>The <em>β</em> sweep</h2><table><tr><td>1</td></tr></table>
<h3>The run</h3><p>a</p>
<div class="cell"><h3>In an output</h3></div>
<h2>For the curious</h2><p>proof</p><h3>The run</h3><div class="cell">code</div>
<h2>References</h2><p>b</p>
"""


def arranged() -> tuple[BeautifulSoup, list[Heading]]:
    body, contents = arrange(BODY)
    return BeautifulSoup(body, "html.parser"), contents


def test_the_contents_are_the_headings_of_the_text_with_their_anchors():
    soup, contents = arranged()
    assert [(heading.level, heading.html) for heading in contents] == [
        ("h2", "The <em>β</em> sweep"),
        ("h3", "The run"),
        ("h2", "For the curious"),
        ("h3", "The run"),
        ("h2", "References"),
    ]
    for heading in contents:
        assert soup.find(id=heading.anchor).name == heading.level


def test_anchors_are_called_as_in_jupyterlab_and_are_unique():
    soup, _ = arranged()
    anchors = [heading["id"] for heading in soup.find_all(["h1", "h2", "h3"])]
    assert anchors[:3] == ["5.-Splitting", "The-%CE%B2-sweep", "The-run"]
    assert len(set(anchors)) == len(anchors) == 7 and "The-run-2" in anchors
    for heading in soup.find_all(["h1", "h2", "h3"]):
        if heading.parent.name == "summary":  # a button, which may hold no link
            assert not heading.find("a")
        else:
            assert heading.find("a", class_="anchor-link")["href"] == f"#{heading['id']}"


def test_the_appendix_is_folded_up_to_the_next_section():
    soup, _ = arranged()
    (details,) = soup.find_all("details")
    assert details.summary.h2["id"] == "For-the-curious"
    assert "proof" in details.text and details.find(class_="cell").text == "code"
    assert soup.find("h2", id="References").parent is soup
    assert not soup.find("p", string="b").find_parent("details")


def test_a_chapter_without_an_appendix_folds_nothing():
    assert "<details" not in arrange("<h2>Curious</h2><p>a</p>")[0]


def test_every_table_scrolls_in_a_box_of_its_own():
    soup, _ = arranged()
    assert all(table.parent["class"] == ["scroll"] for table in soup.find_all("table"))


def test_links_to_notebooks_lead_to_pages():
    links = arranged()[0].p.find_all("a")
    assert links[0].attrs == {
        "class": ["x"], "title": "t", "data-page": "06_next#The-run",
        "href": "06_next.html#The-run",
    }  # fmt: skip
    assert links[1]["data-page"] == "glossary"
    assert links[2].attrs == {"href": "https://example.org/a.ipynb"}
