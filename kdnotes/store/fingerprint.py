"""What names a stored result: a hash of its arguments, and of the code that they reach.

A function is known by its instructions: comments, docstrings, layout and names of files do not
count, and a notebook's code, whose source a worker process does not have, is known like a module's.
From each function of this package, of the notebook or of the reader's own modules the hash goes on
to what it refers to: default arguments, closures, globals, and attributes of modules. So a changed
loss renames exactly the runs that use it. Installed packages are known by name alone; torch's
version is part of every key of a run. Another version of Python has other instructions, so its runs
have other names.

Libraries do half of it. ``dask.base.tokenize`` and ``joblib.hash`` know an importable function by
its name, so that a change of its code goes unnoticed; ``cloudpickle`` writes a notebook's function
with its line numbers and file, so that a comment above it changes the bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import functools
import hashlib
import importlib.util
import inspect
import json
import sysconfig
import types
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from kdnotes.store.tensorfile import checksum

NO_EFFECT = "kdnotes.checks"  # what can refuse an argument, but not change a result
_GLOBAL, _ATTRIBUTE = ("LOAD_GLOBAL", "LOAD_NAME"), ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")


def fingerprint(value: Any) -> str:
    """A hash of what ``value`` means: settings by value, data and teachers by content, code as
    above.

    Raises:
        TypeError: the value, or something that a notebook's code uses, has no stable meaning (an
            open file, say).
    """
    graph = _Graph()
    described = [graph.describe(value), graph.records]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


class _Graph:
    """Functions and classes, each described once, in the order in which they are reached."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.alive: list[Any] = []  # no number of an object is given twice

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value.hex()
        if isinstance(value, (list, tuple)):
            return [self.describe(item) for item in value]
        if isinstance(value, dict):
            pairs = [[self.describe(key), self.describe(item)] for key, item in value.items()]
            return {"dict": pairs}
        if isinstance(value, Tensor):
            return {"tensor": checksum({"": value})}
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return {"partial": [self.describe(part) for part in parts]}
        if isinstance(value, types.MethodType):
            return {"method": [self.refer(value.__func__), self.describe(value.__self__)]}
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return self.refer(value)
        if isinstance(value, functools._lru_cache_wrapper):
            return self.refer(value.__wrapped__)
        if isinstance(key := getattr(value, "key", None), str):
            return {"key": key}
        if dataclasses.is_dataclass(value):  # with the attributes that are not fields
            return {"class": self.refer(type(value)), "settings": self.describe(vars(value))}
        raise TypeError(
            f"a {type(value).__name__} cannot be part of a cached run: use numbers, strings, "
            "tensors, dataclasses, functions or functools.partial"
        )

    def refer(self, part: Any) -> Any:
        """The number of a function or class of one's own; of others the name."""
        name = f"{part.__module__}.{part.__qualname__}"
        if not _is_own(part.__module__):
            return {"name": name}
        if id(part) not in self.numbers:
            self.numbers[id(part)] = len(self.records)
            self.alive.append(part)
            self.records.append(None)
            content = self._class(part) if isinstance(part, type) else self._function(part)
            self.records[self.numbers[id(part)]] = [name, content]
        return {"code": self.numbers[id(part)]}

    def _class(self, part: type) -> Any:
        bases = [base for base in part.__mro__[1:] if _is_own(base.__module__)]
        return [[self.refer(base) for base in bases], dict(self._attributes(part))]

    def _attributes(self, part: type) -> Iterator[tuple[str, Any]]:
        # A copy: while one thread of joblib computes a key, another pickles, which adds an entry.
        for name, item in sorted(vars(part).copy().items()):
            if inside := _function_in(item):
                written = inspect.unwrap(inside).__code__
                generated = written.co_filename == "<string>"  # by dataclass
                if not generated and not name.startswith("__annotate"):
                    yield name, self.refer(inside)
            elif not name.startswith("__"):
                with contextlib.suppress(TypeError):
                    yield name, self.describe(item)

    def _function(self, part: types.FunctionType) -> Any:
        strict = part.__module__ == "__main__"
        closed = zip(part.__code__.co_freevars, part.__closure__ or (), strict=True)
        outside = {f"closure {name}": _content(cell) for name, cell in closed}
        outside |= {"defaults": part.__defaults__, "keywords": part.__kwdefaults__}
        digest, names, attributes, modules = _instructions(part.__code__)
        known = {name: part.__globals__[name] for name in names if name in part.__globals__}
        for name in filter(_is_own, modules):
            with contextlib.suppress(ImportError):  # of what is optional
                known[f"import {name}"] = importlib.import_module(name)
        take = self.describe if strict else self._lenient
        described = {name: take(item) for name, item in sorted(outside.items())}
        for name, item in sorted(known.items()):
            described[name] = (
                self._module(item, attributes) if isinstance(item, types.ModuleType) else take(item)
            )
        return [digest, described]

    def _module(self, module: types.ModuleType, attributes: tuple[str, ...]) -> Any:
        """Of a module of one's own what the function takes from it."""
        if not _is_own(module.__name__):
            return {"name": module.__name__}
        taken = {name: getattr(module, name) for name in attributes if hasattr(module, name)}
        return {
            name: self._module(item, attributes)
            if isinstance(item, types.ModuleType)
            else self._lenient(item)
            for name, item in sorted(taken.items())
        }

    def _lenient(self, value: Any) -> Any:
        """A module may hold what has no stable meaning, such as a lock: then its class counts."""
        try:
            return self.describe(value)
        except TypeError:
            return {"a": type(value).__qualname__}


def _function_in(item: Any) -> types.FunctionType | None:
    """The function of an attribute of a class, whatever it was decorated with."""
    if isinstance(item, (classmethod, staticmethod)):
        item = item.__func__
    elif isinstance(item, property):
        item = item.fget
    elif isinstance(item, functools.cached_property):
        item = item.func
    return item if isinstance(item, types.FunctionType) else None


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a function that is not yet defined, such as a class's own name
        return None


@functools.lru_cache(maxsize=4096)
def _instructions(
    code: types.CodeType,
) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Hash of a function's instructions; the globals, attributes and modules that they load."""
    listed, found = [], {"global": set(), "attribute": set(), "module": set()}
    for one in dis.get_instructions(code):
        value = one.argval
        if isinstance(value, types.CodeType):
            value, *inner = _instructions(value)
            for kind, names in zip(found, inner, strict=True):
                found[kind].update(names)
        elif one.opname in _GLOBAL:
            found["global"].add(value)
        elif one.opname in _ATTRIBUTE:
            found["attribute"].add(value)
        elif one.opname == "IMPORT_NAME":
            found["module"].add(value)
        shown = sorted(map(repr, value)) if isinstance(value, frozenset) else value
        listed.append(f"{one.opname} {shown!r}")
    text = "\n".join(listed).encode() + code.co_exceptiontable
    return hashlib.sha256(text).hexdigest(), *(tuple(sorted(names)) for names in found.values())


@functools.lru_cache(maxsize=1024)
def _is_own(module: str | None) -> bool:
    """Whether code of this module is followed: this package's, a notebook's, or the reader's."""
    root = (module or "builtins").partition(".")[0]
    if root in ("kdnotes", "__main__"):
        return not module.startswith(NO_EFFECT)
    try:
        spec = importlib.util.find_spec(root)
    except ValueError:  # of a module that was made by hand
        return True
    return bool(spec and spec.has_location and not spec.origin.startswith(_installed()))


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
