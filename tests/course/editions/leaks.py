"""How much of a solution stands in other cells of its chapter, whatever the names are.

Code is compared as syntax: a piece of a solution counts if another cell holds the same piece with
other names of variables. Names that the chapter imports count as they are, and so do attributes,
keywords and numbers.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdnotes.course.editions import cells

LEAST = 6  # nodes of the smallest piece that tells something, such as logits.softmax(dim=1)
GRAMMAR = (ast.Load, ast.Store, ast.Del)
FENCED = re.compile(r"^(?:```|~~~)(?:python|py)?\n(.*?)^(?:```|~~~)", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
NUMBER = re.compile(r"(?<![\w.^])[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def form(node: ast.AST, kept: set[str]) -> Any:
    """What is the same of two pieces of code that differ in the names of variables alone."""
    numbered: dict[str, int] = {}

    def of(item: Any) -> Any:
        if isinstance(item, ast.Name) and item.id in kept:
            return item.id
        if isinstance(item, (ast.Name, ast.arg)):
            name = item.id if isinstance(item, ast.Name) else item.arg
            return numbered.setdefault(name, len(numbered))
        if isinstance(item, ast.Constant):
            value = item.value
            return repr(float(value) if isinstance(value, int) else value)
        if isinstance(item, ast.AST):
            fields = (value for name, value in ast.iter_fields(item) if name != "ctx")
            return type(item).__name__, *map(of, fields)
        return tuple(map(of, item)) if isinstance(item, list) else repr(item)

    return of(node)


def pieces(tree: ast.AST, kept: set[str]) -> set[Any]:
    """The forms of all expressions and statements that are large enough."""
    found: set[Any] = set()

    def collect(one: Outline) -> None:
        found.add(one.form)
        for part in one.inside:
            collect(part)

    collect(outline(tree, kept))
    return found - {None}


def code_of(cell: Any) -> str:
    """A cell's code; of a text what is set as code and is some."""
    if cell.cell_type == "code":
        return cell.source
    found = FENCED.findall(cell.source) + INLINE.findall(FENCED.sub("", cell.source))
    return "\n".join(one for one in found if is_code(one))


def is_code(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def imported(notebook: Any) -> set[str]:
    """Names that mean the same in all cells: imported ones and Python's own."""
    kept = set(dir(builtins))
    for cell in notebook.cells:
        for node in ast.walk(ast.parse(code_of(cell))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                kept |= {alias.asname or alias.name for alias in node.names}
    return kept


def answer(solution: str) -> list[ast.AST]:
    """What a solution says: bodies of its functions, other statements, and an answer's own code."""
    (asked,) = cells.asked(solution)
    lines = solution.splitlines()
    own = [] if asked.kind == "exercise" else [asked.answer]
    tree = ast.parse("\n".join([*lines[: asked.line], *own]))
    kinds = (ast.Import, ast.ImportFrom)
    said = [one for one in tree.body if not isinstance(one, kinds)]
    return [part for one in said for part in getattr(one, "body", [one])]


@dataclass
class Outline:
    """A piece of a solution, ready to be looked for: its nodes, its form, and what is in it."""

    size: int
    form: Any
    inside: list[Outline]


def outline(node: ast.AST, kept: set[str]) -> Outline:
    inside = [outline(one, kept) for one in ast.iter_child_nodes(node)]
    nodes = sum(one.size for one in inside) + (not isinstance(node, GRAMMAR))
    is_piece = isinstance(node, (ast.expr, ast.stmt)) and nodes >= LEAST
    return Outline(nodes, form(node, kept) if is_piece else None, inside)


def share(parts: list[Outline], there: set[Any]) -> float:
    """Which share of the nodes lies in pieces that are there too."""

    def covered(one: Outline) -> int:
        return one.size if one.form in there else sum(map(covered, one.inside))

    return sum(map(covered, parts)) / sum(one.size for one in parts)


def shares(notebook: Any) -> Iterator[tuple[str, str, float]]:
    """(exercise, another cell's id, share) of all solutions but numbers."""
    kept = imported(notebook)
    others = {
        cell.id: pieces(ast.parse(code_of(cell)), kept)
        for cell in notebook.cells
        if not cells.is_solution(cell)
    }
    for cell in filter(cells.is_solution, notebook.cells):
        (asked,) = cells.asked(cell.source)
        if asked.kind in ("exercise", "read", "design"):
            parts = [outline(part, kept) for part in answer(cell.source)]
            for other, there in others.items():
                yield asked.number, other, share(parts, there)


def numbers(text: str) -> Iterator[float]:
    """The numbers in a text of two digits or more; one digit is too often there by chance."""
    for found in NUMBER.finditer(text):
        value = float(found[0].replace("−", "-"))
        if len(found[0].partition("e")[0].strip("-−0.").replace(".", "")) > 1:
            yield value
            if text[found.end() :].lstrip(" \\").startswith("%"):
                yield value / 100
