"""The process in which a submission's code runs: ``python -m kdnotes.course.grading.student``.

It reads requests from its input and writes replies to what was its output (``link`` holds the other
ends); what the submission prints goes nowhere. A request is a pickle, as it comes from our side; a
reply is ``wire``'s data: ["ok", value] or ["error", name of the exception, message].
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import inspect
import os
import pickle
import random
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, BinaryIO

from kdnotes.course.grading import fence

__all__ = ["SIZE", "main", "prepare", "received", "serve"]

SIZE = struct.Struct(">Q")
# Modules that hold what is asked for; they lie on the disk all the same.
WITHHELD = ("kdnotes.course.exercises", "kdnotes.course.verdicts", "kdnotes.course.check")
# What torch imports at the first gradient and at an optimiser's first step, if it has them: 2 to
# 10 s on the processor, which are not the answer's.
LATE = (
    "torch.nested._internal.nested_tensor",
    "torch.fx.experimental.symbolic_shapes",
    "torch._dynamo",
)


def received(stream: BinaryIO, most: int | None = None) -> bytes | None:
    """The next message of a stream, ``None`` at its end or if it is longer than ``most``."""
    head = stream.read(SIZE.size)
    if len(head) < SIZE.size or (most is not None and SIZE.unpack(head)[0] > most):
        return None
    size = SIZE.unpack(head)[0]
    message = stream.read(size)
    return message if len(message) == size else None


class _Withheld(MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if any(name == one or name.startswith(f"{one}.") for one in WITHHELD):
            raise ModuleNotFoundError(f"{name} is not there while grading", name=name)


class Session:
    """What the requests of one submission have in common.

    Args:
        cells: the submission's code in its order, as (whether it is ours, its source); where a
            cell is not the student's own to write, its source is that of our chapter.
    """

    def __init__(self, cells: list[tuple[bool, str]]) -> None:
        from kdnotes.course.grading import slices

        self.slices = slices
        self.cells = [self._parsed(*one) for one in cells]
        self.function: Any = None
        self.outputs: list[Any] = []
        self.leaves: list[Any] = []

    def _parsed(self, is_ours: bool, source: str) -> list[Any]:
        try:
            return self.slices.statements(source, is_ours)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []  # said of an answer by ``begin``; another cell defines nothing then

    def begin(
        self, place: int, source: str, kind: str, number: str, name: str | None, imports_only: bool
    ) -> Any:
        """Evaluate the answer of a cell: its value, or of a function ["function", parameters].

        Args:
            place: of the cell among the cells.
            name: of the function, for a cell that does not hand it to the check.
            imports_only: take nothing from our chapter but its imports.
        """
        self.slices.statements(source)  # a SyntaxError is the verdict
        found = self.slices.what_is_checked(source, kind, number)
        if found is None and name is None:
            return ["missing"]
        answer = found or ast.Name(name, ast.Load())
        names = self.slices.names_in(ast.unparse(answer))
        if kind == "design":
            return ["value", self._design(answer, names, place)]
        space = self._space(self._chosen(names, place, imports_only))
        value = _evaluated(answer, space)
        if kind == "exercise":
            if not callable(value):
                raise TypeError(f"answer must be a function, not {type(value).__name__}")
            self.function = value
            return ["function", _parameters(value)]
        return ["value", value]

    def _design(self, answer: ast.expr, names: frozenset[str], place: int) -> Any:
        from kdnotes.course.grading import designs

        ways: dict[Any, list[Any]] = {}
        kept = []  # what is no longer there would lend its identity to something else

        def found(space: dict[str, Any], one: Any) -> None:
            """Before a later statement gives a name of ours another value."""
            ours = {name: space[name] for name in one.defines if name in space}
            kept.append(ours)
            for identity in [key for key, way in ways.items() if way[0] in ours]:
                del ways[identity]
            ways.update(designs.ways(ours))

        space = self._space(self._chosen(names, place, imports_only=False), found)
        value = _evaluated(answer, space)
        return None if value is None or value is ... else designs.encoded(value, ways)

    def _chosen(self, names: frozenset[str], place: int, imports_only: bool) -> list[Any]:
        """The statements that define these names for the cell at a place."""
        parts = self.cells[: place + 1], self.cells[place + 1 :]
        before, after = ([one for cell in part for one in cell] for part in parts)
        if imports_only:
            before, after = (
                [one for one in part if one.is_import or not one.is_ours]
                for part in (before, after)
            )
        later: list[Any] = []  # what is defined below the answer alone
        while True:
            wanted = names.union(*(one.uses for one in later))
            chosen = self.slices.needed(wanted, before) + later
            known = set(vars(builtins)).union(*(one.defines for one in chosen))
            unknown = wanted.union(*(one.uses for one in chosen)) - known
            found = [one for one in after if one in later or one.defines & unknown]
            if found == later:
                return chosen
            later = found

    def _space(
        self, chosen: list[Any], found: Callable[[dict[str, Any], Any], None] | None = None
    ) -> dict[str, Any]:
        """The names that these statements define; ``found`` is told after each that is ours."""
        import numpy as np
        import torch

        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        space: dict[str, Any] = {"__name__": "__main__"}
        for one in chosen:
            code = ast.fix_missing_locations(ast.Module([one.code], []))
            try:
                exec(compile(code, "cell", "exec"), space)
            except Exception:
                if not (one.is_ours or one.is_import):  # then what needs it says what is missing
                    raise
            if one.is_ours and found:
                found(space, one)
        return space

    def call(self, case: tuple) -> Any:
        """The function's value for a case, and the state of the networks among its arguments."""
        from torch import nn

        self.leaves, self.outputs = list(_leaves(case)), []
        value = self.function(*case)
        states = [_state(one) for one in case if isinstance(one, nn.Module)]
        return [value, states]

    def gradient(self, number: int, weights: Any) -> Any:
        """Of the weighted sum of a tensor of the last value, for each leaf of its arguments."""
        import torch

        return list(
            torch.autograd.grad(
                self.outputs[number], self.leaves, weights, retain_graph=True, allow_unused=True
            )
        )

    def keep(self, tensor: Any) -> int:
        self.outputs.append(tensor)
        return len(self.outputs) - 1


def _evaluated(expression: ast.expr, space: dict[str, Any]) -> Any:
    code = ast.fix_missing_locations(ast.Expression(expression))
    return eval(compile(code, "answer", "eval"), space)


def _parameters(function: Any) -> list[list[Any]]:
    """Names and kinds of a function's parameters, [] if it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
        return [[one.name, one.kind.name] for one in parameters]
    except (TypeError, ValueError):
        return []


def _leaves(case: Any) -> Iterator[Any]:
    """The tensors among arguments whose gradients are asked for."""
    for one in case:
        if isinstance(one, (tuple, list)):
            yield from _leaves(one)
        elif getattr(one, "requires_grad", False) is True:
            yield one


def _state(network: Any) -> list[Any]:
    gradients = [name for name, one in network.named_parameters() if one.grad is not None]
    return [dict(network.state_dict()), gradients]


def prepare() -> None:
    """Import what every submission needs; the guard would refuse some of what that does."""
    import torch

    from kdnotes import losses  # noqa: F401
    from kdnotes.course.grading import wire  # noqa: F401

    for name in LATE:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    torch.set_num_threads(1)


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer the requests of one submission until they end; nothing leads back from its limits."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    job = pickle.loads(received(source))
    folder = Path(job["folder"])
    os.chdir(folder)
    os.environ.update(job["variables"])
    tempfile.tempdir = None  # it was found with other variables
    fence.end_with_parent()
    fence.keep_files(folder)
    sys.meta_path.insert(0, _Withheld())
    fence.limit(job["memory"], job["seconds"])
    fence.guard(folder, [Path(one) for one in job["private"]])
    _answer(Session(job["cells"]), source, target)


def _answer(session: Session, source: BinaryIO, target: BinaryIO) -> None:
    from kdnotes.course.grading import wire

    _send(target, wire.pack(["ok", None]))
    while (message := received(source)) is not None:
        name, *arguments = pickle.loads(message)
        try:
            value = getattr(session, name)(*arguments)
            reply = wire.pack(["ok", value], session.keep if name == "call" else None)
        except BaseException as error:  # whatever an answer raises, SystemExit too
            reply = wire.pack(["error", type(error).__name__, _message(error)])
        _send(target, reply)


def main() -> None:
    """Be the process of one submission."""
    source, target = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    prepare()
    serve(source, target)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except Exception:
        return ""


def _send(target: BinaryIO, message: bytes) -> None:
    target.write(SIZE.pack(len(message)) + message)
    target.flush()


if __name__ == "__main__":
    main()
