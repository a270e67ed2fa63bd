"""Terms of the glossary in a page: each is linked once, where a reader first meets it in a text."""

from __future__ import annotations

from bs4 import BeautifulSoup

from kdnotes.show.terms import link

TERMS = {
    "confidence": ("g.html#term-confidence", "The highest probability."),
    "confidence interval": ("g.html#term-confidence-interval", 'A range "of values".'),
    "NLL": ("g.html#term-nll", "The negative logarithm."),
    "view": ("g.html#term-view", "An image, shifted."),
}


def linked(body: str) -> list[tuple[str, str]]:
    """(text, address) of every link to a term."""
    soup = BeautifulSoup(link(body, TERMS), "html.parser")
    return [(one.get_text(), one["href"]) for one in soup.select("a.term")]


def test_the_first_use_is_linked_and_no_other():
    body = "<p>Eight views an image. A view more.</p><p>And Views.</p>"
    assert linked(body) == [("views", TERMS["view"][0])]


def test_the_longer_of_two_terms_is_linked():
    found = linked("<ul><li>A confidence interval and a confidence.</li></ul>")
    assert [text for text, _ in found] == ["confidence interval", "confidence"]


def test_abbreviations_keep_their_capitals_and_words_may_begin_a_sentence():
    assert linked("<p>A nll. Confidence counts.</p>") == [("Confidence", TERMS["confidence"][0])]


def test_parts_of_words_are_no_terms():
    assert linked("<p>A review, a view-point, an overview of viewers.</p>") == []


def test_headings_code_links_and_printed_output_are_left_alone():
    body = (
        '<h2>The view</h2><p><code>view</code> <a href="x">view</a></p><pre>NLL</pre>'
        '<div class="output"><p>NLL</p></div><p>At last the <em>NLL</em>.</p>'
    )
    assert linked(body) == [("NLL", TERMS["NLL"][0])]


def test_nothing_but_the_links_changes():
    body = "<p>1 &lt; 2 &amp; a view, <b>bold</b>.</p><p>The end</p>"
    soup = BeautifulSoup(link(body, TERMS), "html.parser")
    for one in soup.select("a.term"):
        one.unwrap()
    assert str(soup) == body
    assert link(body, {}) == body
