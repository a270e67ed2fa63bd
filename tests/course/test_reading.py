"""What is counted of a chapter, on notebooks of a few cells."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kdnotes.course import reading
from kdnotes.course.reading import SECONDS, WORDS_A_MINUTE, Section, count, over_limits


def text(source):
    return new_markdown_cell(source)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def printed(words):
    return new_output("stream", name="stdout", text=words)


def shown(**data):
    kinds = {"plain": "text/plain", "html": "text/html", "markdown": "text/markdown"}
    kinds |= {"png": "image/png", "svg": "image/svg+xml"}
    return new_output("display_data", data={kinds[name]: value for name, value in data.items()})


def counted(*cells):
    return count(new_notebook(cells=list(cells)))


def total(*cells):
    return counted(*cells).total


@pytest.mark.parametrize(
    ("source", "words", "formulas"),
    [
        ("Two words", 2, 0),
        ("", 0, 0),
        ("a – b … * — !", 2, 0),
        ("it's non-target, e.g. 3.5 %", 4, 0),
        ("**bold** and `code(x)` and *slanted*", 5, 0),
        ("a [link of words](https://example.org/a/b c) here", 5, 0),
        ("![alternative text](picture.png)", 2, 0),
        ('a <b class="x y">bold</b> word <!-- not this -->', 3, 0),
        ("if T < 1 and K > 2 then", 7, 0),
        ("so $a + b = c$ holds", 3, 0),
        ("costs \\$5 and \\$6", 4, 0),
        ("so\n\n$$a + b\n= c$$\n\nholds", 2, 1),
        ("| symbol | meaning |\n|---|---|\n| $T$ | temperature |", 4, 0),
        ("before\n```python\nx = 1  # not prose\n```\nafter", 2, 0),
        ("before\n~~~\n# not a heading\n~~~\nafter", 2, 0),
    ],
)
def test_words_and_formulas(source, words, formulas):
    section = total(text(source))
    assert (section.words, section.formulas) == (words, formulas)


def test_sections_begin_at_headings_of_the_first_two_levels():
    first = text("# Title of it\n\nPromise.\n\n## Set-up\none\n### Not a section\ntwo")
    sections = counted(first, code("x = 1"), text("three\n## End"), code("y = 2\nz = 3")).sections
    assert [(one.title, one.words, one.lines) for one in sections] == [
        ("Title of it", 4, 0),
        ("Set-up", 7, 1),
        ("End", 1, 2),
    ]


def test_text_before_the_first_heading_is_counted():
    assert [(one.title, one.words) for one in counted(text("a\n## B")).sections] == [
        ("", 1),
        ("B", 1),
    ]


def test_lines_of_code_without_blank_ones_bookkeeping_parameters_and_solutions():
    section = total(
        code("# NBVAL_CHECK_OUTPUT\nx = 1\n\n  \n# a comment\ny = 2"),
        code("profile = None", tags=["parameters"]),
        code("def solution():\n    return 1", tags=["solution", "hide-cell"]),
        code("draw()\nmore()", tags=["hide-input"]),
    )
    assert (section.lines, section.folded, section.cells, section.longest_cell) == (3, 2, 2, 3)


def test_the_longest_line_is_of_any_code():
    section = total(code("x = 1"), code("y" * 91, tags=["solution"]), text("z" * 200))
    assert section.longest_line == 91


@pytest.mark.parametrize(
    ("output", "words", "figures"),
    [
        (printed("three words here\n"), 3, 0),
        (printed("T = 1   0.5\n------\n"), 3, 0),
        (shown(plain="'a b'"), 2, 0),
        (shown(plain="<Figure size 1x1>", png="iVBOR"), 0, 1),
        (shown(plain="<x>", html='<img alt="a b" src="data:">', png="iVBOR"), 0, 1),
        (shown(plain="<x>", svg="<svg></svg>"), 0, 1),
        (shown(plain="   a  b\n0  1  2", html="<table><tr><td>1</td></tr></table>"), 5, 0),
        (shown(plain="<x.Styler>", html="<style>a b</style><td>1</td> <td>2 &lt; 3</td>"), 3, 0),
        (shown(plain="<x>", html='<input type="range"><script>a b c</script> words'), 0, 1),
        (shown(plain="<x.Markdown>", markdown="- **so** it is"), 3, 0),
    ],
)
def test_printed_words_and_figures(output, words, figures):
    section = total(code("x", output))
    assert (section.output, section.figures) == (words, figures)


def test_errors_count_as_nothing():
    failed = new_output("error", ename="ValueError", evalue="a b", traceback=["a b c"])
    assert total(code("x", failed)).output == 0


def test_exercises_by_kind_and_not_their_solutions():
    section = total(
        code('check.predict("05", "?", None)\nx = 1'),
        code('solved = check.exercise("05.1", f)'),
        code('assert check.exercise("05.1", g)', tags=["solution"]),
        code('check.by_hand("05.2", None)\ncheck.read("05.3", None, study)'),
        code('check.design("05.4", None)'),
        code('check.quiz("05", {1: None})'),
        code('check.outcome("05", 1.0)\ncheck.glossary("NLL")\nrecheck.read("x")'),
    )
    kinds = ("guess", "write", "predict", "read", "design", "quiz")
    assert section.exercises == dict.fromkeys(kinds, 1)


def test_diagrams_are_counted():
    assert total(code("plots.show(*diagrams.teacher_student())\ndiagrams")).diagrams == 1


def test_minutes_follow_the_rule():
    section = Section("", words=WORDS_A_MINUTE, output=2 * WORDS_A_MINUTE, lines=15, figures=2)
    section.formulas = 3
    section.exercises.update(["write", "quiz"])
    seconds = 3 * 60 + 15 * SECONDS["lines"] + 2 * SECONDS["figures"] + 3 * SECONDS["formulas"]
    assert section.minutes == pytest.approx((seconds + SECONDS["write"] + SECONDS["quiz"]) / 60)
    section.folded = section.diagrams = section.cells = 100  # these take no time of their own
    assert section.minutes == pytest.approx((seconds + SECONDS["write"] + SECONDS["quiz"]) / 60)


def test_every_kind_of_exercise_has_its_time():
    assert set(reading.KINDS.values()) <= set(SECONDS)


def test_what_is_for_the_curious_is_neither_in_the_total_nor_in_the_limits():
    long = "word " * 3000
    chapter = counted(text("## One\n" + "word " * 10), text(f"## For the curious\n{long}"))
    assert [one.words for one in chapter.sections] == [11, 3003]
    assert chapter.total.words == 11
    assert over_limits(chapter) == []


def lines(number):
    return "\n".join(f"x{i} = {i}" for i in range(number))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([text("word " * 1900)], "words of prose: 1,901 of at most 1,900"),
        ([code("x", printed("word " * 701))], "words of output: 701 of at most 700"),
        ([code(lines(16))], "lines of a cell: 16 of at most 15"),
        ([code("x" * 89)], "characters of a line: 89 of at most 88"),
        ([code("x") for _ in range(16)], "cells of a section: 16 of at most 15 (A)"),
        (
            [one for i in range(23) for one in (text(f"## {i}"), code(lines(15)))],
            "lines of code: 345 of at most 330",
        ),
    ],
)
def test_each_limit_is_named_when_it_is_broken_and_only_then(cells, said):
    chapter = counted(text("## A"), *cells)
    assert over_limits(chapter) == [said]


def test_the_largest_allowed_breaks_nothing():
    body = [one for i in range(22) for one in (text(f"## {i}"), code(lines(15)))]
    body[1].outputs = [printed("word " * 700)]
    body[3].source = "x" * 88
    words = 1900 - 22
    assert over_limits(counted(text("word " * words), *body)) == []


def test_the_report_of_chapters_and_of_one():
    one = counted(text("## A\nb c"), code('check.quiz("01", {})', printed("d")))
    other = counted(text("## E"), code("f" * 90))
    lines_ = reading.report({"01_one": one, "02_other": other}).splitlines()
    assert [line.split()[0] for line in lines_[1:]] == ["01_one", "02_other", "total"]
    head, first, second, both = (line.split() for line in lines_)
    assert head[0] == "words" and head[-1] == "minutes" and first[1:3] == ["3", "0"]
    at = head.index("longest") + 1
    assert (first[at], second[at], both[at]) == ("20", "90", "90")
    alone = reading.report({"02_other": other})
    assert alone.splitlines()[1].startswith("E ")
    assert "\nlimits broken: characters of a line: 90 of at most 88\nmissing: exercises: 0" in alone
    assert "\nlimits broken: nothing\nmissing: exercises: 0 of" in reading.report({"01_one": one})


CALLS = {
    "write": 'check.exercise("01.1", f)', "predict": 'check.by_hand("01.2", None)',
    "read": 'check.read("01.3", None)', "design": 'check.design("01.4", None)',
    "quiz": 'check.quiz("01", {})', "guess": 'check.predict("01", "?")',
    "diagram": "diagrams.one()",
}  # fmt: skip


def missing(*calls):
    return reading.missing(counted(*(code(CALLS[call]) for call in calls)))


def test_a_chapter_that_has_everything_lacks_nothing():
    others = ("quiz", "guess", "diagram")
    assert missing("write", "predict", "read", "design", *others) == []
    assert missing("write", "write", "read", "design", *others) == []


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        (("write", "predict", "read"), ["exercises: 3 of at least 4"]),
        (("write", "write", "read", "read"), ["kinds of exercises: 2 of at least 3"]),
        (("guess", "quiz", "quiz", "write", "read", "design"), ["exercises: 3 of at least 4"]),
    ],
)
def test_too_few_exercises_or_kinds_are_named(calls, said):
    assert missing(*calls, "quiz", "guess", "diagram") == said


@pytest.mark.parametrize(
    ("without", "said"), [("quiz", "quizzes"), ("guess", "guesses"), ("diagram", "diagrams")]
)
def test_a_quiz_a_guess_and_a_diagram_are_missed(without, said):
    assert missing(*(call for call in CALLS if call != without)) == [f"{said}: 0 of at least 1"]
