"""What gives an answer away beside the solution: its code, or its number, in another cell."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import leaks
import nbformat
import pytest

from kdnotes.course import order
from kdnotes.course.editions import cells

ROOT = Path(__file__).parents[3]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)

MOST = 1 / 3
# (exercise, cell) → why as much of the solution may stand there.
CODE = {
    ("05.2", "c05-012"): "both factors are on the page, in the identity and in the exercise's text;"
    " asked is which product it is, and the mean of it",
    ("05.2", "c05-015"): "how a label's probability is picked; that is no part of the question",
    ("06.4", "c06-068"): "T of θ, which the exercise states; asked is the step",
}
# (exercise, cell) → why its number stands there.
NUMBERS = {
    ("15.3", "c15-018"): "another quantity, a power, of the same two digits",
    ("15.3", "c15-067"): "another quantity, a share, of the same two digits",
}


@each
def test_no_cell_holds_much_of_a_solution(path):
    found = {
        (number, cell): round(share, 2)
        for number, cell, share in leaks.shares(nbformat.read(path, 4))
        if share > MOST
    }
    allowed = {pair for pair in CODE if pair[0][:2] == path.stem[:2]}
    assert found.keys() == allowed, found


@each
def test_no_text_tells_a_number_that_is_to_be_computed_by_hand(path):
    """Nor an output that is the same in every run; what is measured is near it by chance."""
    exercises = importlib.import_module(f"kdnotes.course.exercises.{path.stem[3:]}")
    found = set()
    for cell in nbformat.read(path, 4).cells:
        texts = [cell.source] if cell.cell_type == "markdown" else []
        if "# NBVAL_CHECK_OUTPUT" in cell.source:
            texts += [output.get("text", "") for output in cell.outputs]
        said = [value for text in texts for value in leaks.numbers(text)]
        for place, question in getattr(exercises, "BY_HAND", {}).items():
            if any(question.judge(value, ()) == "correct" for value in said):
                found.add((f"{path.stem[:2]}.{place}", cell.id))
    assert found == {pair for pair in NUMBERS if pair[0][:2] == path.stem[:2]}


class Renamed(ast.NodeTransformer):
    """The same code with other names of variables."""

    def __init__(self, kept: set[str]) -> None:
        self.kept = kept

    def visit_Name(self, node):
        return node if node.id in self.kept else ast.Name(f"other_{node.id}", node.ctx)

    def visit_arg(self, node):
        return ast.arg(f"other_{node.arg}")


@each
def test_a_solution_under_other_names_is_found_in_another_cell(path):
    notebook = nbformat.read(path, 4)
    kept, found = leaks.imported(notebook), []
    for cell in filter(cells.is_solution, notebook.cells):
        (asked,) = cells.asked(cell.source)
        parts = [leaks.outline(part, kept) for part in leaks.answer(cell.source)]
        if asked.kind == "exercise" and max(part.size for part in parts) >= leaks.LEAST:
            body = [Renamed(kept).visit(part) for part in leaks.answer(cell.source)]
            code = "\n".join(["def f():", *(indented(ast.unparse(part)) for part in body)])
            found.append(leaks.share(parts, leaks.pieces(ast.parse(code), kept)))
    assert found and min(found) > MOST


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def shared(code: str, other: str) -> float:
    kept = leaks.imported(nbformat.v4.new_notebook())
    parts = [leaks.outline(ast.parse(code), kept)]
    return leaks.share(parts, leaks.pieces(ast.parse(other), kept))


@pytest.mark.parametrize(
    "other, least, most",
    [("print(b.square().mean() + 3 * (b - a).abs().sum())", 0.9, 1),
     ("c = (b - a).abs().mean()", 0.1, 0.5),
     ("b.square().sum() + 3 * (b - a).abs().mean()", 0, 0.7),
     ("b.square().mean() + 3 * (a - b).abs().sum()", 0, 0.9),  # another sign
     ("b + 3 * (b - a)", 0, 0.4),
     ("a - b", 0, 0)],
)  # fmt: skip
def test_how_much_of_a_piece_of_code_is_shared(other, least, most):
    assert least <= shared("z.square().mean() + 3 * (z - y).abs().sum()", other) <= most


@pytest.mark.parametrize(
    "text, there",
    [("it is $0.731$", True), ("about 73.1 %", True), ("73.1\\%", True), ("7.31", False),
     ("−0.731", False), ("in 2 of 3", False), ("x0.731", False)],
)  # fmt: skip
def test_a_number_in_a_text_is_seen(text, there):
    question = importlib.import_module("kdnotes.course.exercises.soft_targets").BY_HAND[5]
    found = any(question.judge(value, ()) == "correct" for value in leaks.numbers(text))
    assert found == there


def test_the_chapters_are_all_there():
    assert [path.stem for path in PATHS] == [order.stem(name) for name in order.CHAPTERS]
