"""Language models: who writes what is learned from, who grades it, and which places count."""

from __future__ import annotations

from kdnotes.course.diagrams.canvas import SMALL, Box, Canvas

CELL = 0.34
# A KL at each place of two names, what padding has last; None: no such place.
NAMES = {"ANNA": (0.2, 0.4, 0.1, 0.2, 0.1), "LI": (0.8, 0.4, 0.6, 0.9, 0.9)}
BEGIN, END = "⊢", "⊣"


def means() -> tuple[float, float, float]:
    """Of the numbers in the drawing: over places, over strings of each one's mean, with padding."""
    counted = [values[: len(name) + 1] for name, values in NAMES.items()]
    everything = [value for values in NAMES.values() for value in values]
    places = sum(map(sum, counted)) / sum(map(len, counted))
    strings = sum(sum(values) / len(values) for values in counted) / len(counted)
    return places, strings, sum(everything) / len(everything)


def who_writes() -> None:
    """Three ways to distil a language model, told apart by who writes and who grades."""
    page = Canvas(4.6)
    _row(page, 3.18, "the data write, the teacher grades", ("Data", "data"), "ANN")
    page.line((0.1, 3.14), (6.9, 3.14), color="0.8")
    _row(
        page, 1.79, "the teacher writes, its strings are the targets", ("Teacher", "teacher"), "LEE"
    )
    page.line((0.1, 1.75), (6.9, 1.75), color="0.8")
    _row(page, 0.4, "the student writes, the teacher grades", ("Student", "student"), "ANQ")
    page.legend("teacher", "student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "Three ways to distil a language model. Token level: a string of the data is read by "
        "teacher and student, and at every token the divergence KL from teacher to student is the "
        "loss. Sequence level: the teacher writes the string, the student learns its tokens by "
        "cross-entropy, and nobody grades. On-policy: the student writes the string, through which "
        "no gradient flows, and the teacher grades each of its tokens, as at token level."
    )


def _row(page: Canvas, y: float, said: str, writer: tuple[str, str], text: str) -> None:
    """A writer, its string, who reads it, and the loss; the lower left corner is at height y."""
    name, look = writer
    kind = {"data": "token level", "teacher": "sequence level", "student": "on-policy"}[look]
    page.text(0.12, y + 1.17, kind, align="left", bold=True)
    page.text(1.42, y + 1.17, said, align="left")
    author = page.box(0.12, y + 0.3, 1.0, 0.4, name, look=look)
    _string(page, 1.75, y + 0.33, [*text, END])
    page.arrow(author.right(), (1.75, author.right()[1]), stop=look == "student")
    page.text(1.43, y + 0.7, "writes", size=SMALL)
    student = page.box(3.75, y + 0.08, 1.05, 0.36, "Student", look="student")
    middle, end = y + 0.5, 1.75 + 4 * CELL
    page.arrow((end, middle), (3.43, middle), (3.43, student.left()[1]), student.left())
    lines = ("CE with each", "next token")
    if look != "teacher":
        lines = (r"$\mathrm{KL}(p_t\,\|\,p_s)$", "at every token")
    loss = page.box(5.45, y + 0.22, 1.4, 0.54, *lines, look="loss")
    page.arrow((4.8, y + 0.38), (5.45, y + 0.38))
    page.arrow((5.45, y + 0.28), (4.8, y + 0.28), gradient=True)
    if look == "teacher":
        page.arrow((2.43, y + 0.67), (2.43, y + 0.93), (6.15, y + 0.93), loss.top())
        return
    grader = page.box(3.75, y + 0.58, 1.05, 0.36, "Teacher", look="teacher")
    page.arrow((end, middle), (3.43, middle), (3.43, grader.left()[1]), grader.left())
    page.arrow((4.8, y + 0.66), (5.45, y + 0.66), stop=True)


def _string(page: Canvas, x: float, y: float, letters: list[str]) -> list[Box]:
    return [page.box(x + CELL * i, y, CELL, CELL, one) for i, one in enumerate(letters)]


def which_places() -> None:
    """What a model reads and what follows, one place further; padding, which does not count."""
    page = Canvas(3.55)
    for number, (name, values) in enumerate(NAMES.items()):
        _places(page, 1.05 + 3.05 * number, name, values)
    for y, said in ((2.75, "reads"), (2.2, "follows"), (1.55, "KL")):
        page.text(0.12, y + CELL / 2, said, align="left")
    places, strings, padded = means()
    lines = (
        (f"mean over the 8 places that count: {places:.2f}", True),
        (
            f"each name's mean, then their mean: {strings:.2f} (a short name's tokens weigh more)",
            False,
        ),
        (f"with the padding: {padded:.2f} (what it has there means nothing)", False),
    )
    for number, (line, bold) in enumerate(lines):
        page.text(1.05, 1.15 - 0.24 * number, line, align="left", bold=bold)
    page.legend("loss", "data")
    page.show(
        "Two names, of four letters and of two, in a batch of five places each. At each place the "
        "model has read one token more, the first is the sign of the beginning, and is asked for "
        "the one that follows, last the end. The shorter name is padded with two places that do "
        f"not count. Numbers at each place give {places:.2f} as mean over the places that count, "
        f"{strings:.2f} as mean of each name's mean, and {padded:.2f} with the padding."
    )


def _places(page: Canvas, x: float, name: str, values: tuple[float, ...]) -> None:
    """A name as tokens, and a number at each place: those that count are those of the loss."""
    count = len(name) + 1
    padding = [""] * (len(values) - count)
    page.text(x + CELL * 2.5 * 1.5, 3.35, f"“{name}”", bold=True)
    for y, letters in ((2.75, [BEGIN, *name, *padding]), (2.2, [*name, END, *padding])):
        for i, one in enumerate(letters):
            page.box(x + 1.5 * CELL * i, y, 1.4 * CELL, CELL, *([one] if one else []))
    for i, value in enumerate(values):
        place = (x + 1.5 * CELL * i, 1.55, 1.4 * CELL, CELL)
        page.box(*place, f"{value:g}", look="loss" if i < count else "data", size=SMALL)
        if i >= count:
            page.line((place[0], 1.55), (place[0] + 1.4 * CELL, 1.55 + CELL), color="0.75")
