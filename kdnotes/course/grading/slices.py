"""Which statements an answer needs: those that define the names in it, and what these need.

A cell's other statements, such as what it prints, draws or tries, are not run.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["CHECKS", "Statement", "names_in", "needed", "statements", "what_is_checked"]

# The functions of ``check`` that an answer is given to, and the name of their second argument.
CHECKS = {
    "exercise": "answer",
    "by_hand": "answer",
    "read": "answer",
    "design": "comparison",
    "quiz": "answers_given",
}
OWN_SCOPE = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
MAGIC = re.compile(r"^\s*[%!].*$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a cell.

    Attributes:
        defines: the names that it binds or changes; "*" of an import of everything.
        uses: the names that it, or a function that it defines, looks up outside.
        is_ours: whether it comes from our copy of the chapter.
    """

    code: ast.stmt
    defines: frozenset[str]
    uses: frozenset[str]
    is_ours: bool

    @property
    def is_import(self) -> bool:
        return isinstance(self.code, (ast.Import, ast.ImportFrom))


def statements(source: str, is_ours: bool = False) -> list[Statement]:
    """The statements of a cell; an import of several names as one for each.

    Raises:
        SyntaxError: the source is none (lines of IPython's magic are left out).
    """
    found = []
    for one in _parse(source).body:
        for code in _apart(one):
            text = ast.unparse(code)
            found.append(Statement(code, frozenset(_defined(code)), names_in(text), is_ours))
    return found


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(MAGIC.sub("", source))


def _apart(code: ast.stmt) -> list[ast.stmt]:
    if isinstance(code, ast.Import):
        return [ast.Import([alias]) for alias in code.names]
    if isinstance(code, ast.ImportFrom):
        return [ast.ImportFrom(code.module, [alias], code.level) for alias in code.names]
    return [code]


def _defined(node: ast.AST) -> Iterator[str]:
    """Names that are bound outside functions, and those of which something is changed or called."""
    if isinstance(node, DEFINITIONS):
        yield node.name
        return
    if isinstance(node, OWN_SCOPE):
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    changed = node.value.func if called else node
    stored = isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store)
    if (called and isinstance(changed, ast.Attribute)) or stored:
        yield from _base(changed)
    for child in ast.iter_child_nodes(node):
        yield from _defined(child)


def _base(node: ast.AST) -> Iterator[str]:
    """The name at the left of a.b[c].d"""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def names_in(source: str) -> frozenset[str]:
    """The names that a piece of code looks up outside itself."""
    top = symtable.symtable(source, "cell", "exec")
    found = {one.get_name() for one in top.get_symbols() if one.is_referenced()}
    tables = list(top.get_children())
    while tables:
        table = tables.pop()
        found |= {one.get_name() for one in table.get_symbols() if one.is_global()}
        tables += table.get_children()
    return frozenset(found)


def needed(names: Iterable[str], before: list[Statement]) -> list[Statement]:
    """The statements, in their order, that define these names and all that they need."""
    wanted: set[str] = set(names)
    chosen: set[int] = set()
    modules = {name for one in before if one.is_import for name in one.defines}
    # What is called of a module changes nothing of ours.
    binds = [
        one.defines - modules if isinstance(one.code, ast.Expr) else one.defines for one in before
    ]
    # A function may need what is defined behind it.
    while grown := {i for i, bound in enumerate(binds) if "*" in bound or bound & wanted} - chosen:
        chosen |= grown
        wanted = wanted.union(*(before[i].uses for i in grown))
    return [before[i] for i in sorted(chosen)]


def what_is_checked(source: str, kind: str, number: str) -> ast.expr | None:
    """The answer that the last ``check.KIND("NUMBER", answer)`` of a cell is given, if any."""
    calls = [
        one
        for one in ast.walk(_parse(source))
        if isinstance(one, ast.Call) and _is_check(one, kind, number)
    ]
    if not calls:
        return None
    last = max(calls, key=lambda one: (one.lineno, one.col_offset))
    named = [one.value for one in last.keywords if one.arg == CHECKS[kind]]
    return next(iter(last.args[1:2] or named), ast.Constant(None))


def _is_check(call: ast.Call, kind: str, number: str) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", None))
    first = call.args[0] if call.args else None
    return name == kind and isinstance(first, ast.Constant) and first.value == number
