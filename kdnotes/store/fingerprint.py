"""What names a stored result: a hash of its arguments, and of the code that they reach.

A function is known by its arguments and instructions: comments, docstrings, layout and names of
files do not count, and a notebook's code, whose source a worker process does not have, is known
like a module's. From each function of this package, of the notebook or of the reader's own modules
the hash goes on to what it refers to: default arguments, closures, globals, and attributes of
modules. So a changed loss renames exactly the runs that use it. Installed packages are known by
name alone; torch's version is part of every key of a run. Another version of Python has other
instructions, so its runs have other names.

Libraries do half of it. ``dask.base.tokenize`` and ``joblib.hash`` know an importable function by
its name, so that a change of its code goes unnoticed; ``cloudpickle`` writes a notebook's function
with its line numbers and file, so that a comment above it changes the bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import json
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from kdnotes.store.code import Code, is_own, read_code, writes_itself
from kdnotes.store.tensorfile import checksum
from kdnotes.store.values import describe_value


def fingerprint(value: Any) -> str:
    """A hash of what ``value`` means: settings by value, data by content, code as above.

    Raises:
        TypeError: the value, or something that a notebook's code uses, has no stable meaning (an
            open file, say).
    """
    graph = _Graph()
    try:
        described = [graph.describe(value), graph.records]
    except RecursionError:
        raise TypeError("what is nested so deeply cannot be part of a cached run") from None
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


class _Graph:
    """Functions and classes, each described once, in the order in which they are reached."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.alive: list[Any] = []  # no number of an object is given twice
        self.open: set[int] = set()  # containers that are being described

    def describe(self, value: Any, strict: bool = True) -> Any:
        """The meaning of a value; one that has none is refused, or else its class counts."""
        if (simple := describe_value(value)) is not None:
            return simple
        if isinstance(value, (type, types.FunctionType)):
            return self.refer(value)
        if type(value) is OrderedDict:  # of a state_dict: a dict by any other name
            value = dict(value)
        if isinstance(value, nn.Module):  # from anywhere, with attributes of any kind
            strict = False
        if id(value) in self.open:
            return {"again": type(value).__qualname__}
        self.open.add(id(value))
        try:
            parts = self._parts(value)
            if parts is None:
                return _refuse(value, strict)
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            return {kind: [self.describe(part, strict) for part in parts]}
        finally:
            self.open.discard(id(value))

    def _parts(self, value: Any) -> list[Any] | None:
        """What a value is made of; ``None`` if nothing is known of it."""
        if isinstance(value, (list, tuple)):
            return [*value, *_own_class(value)]
        if isinstance(value, dict):
            return [*map(list, value.items()), *_own_class(value)]
        if isinstance(value, (set, frozenset)):
            return sorted((json.dumps(self.describe(item)) for item in value), key=str)
        if isinstance(value, Tensor):
            return [checksum({"": value})]
        if isinstance(value, functools.partial):
            return [value.func, list(value.args), value.keywords]
        if isinstance(value, types.MethodType):
            return [value.__func__, value.__self__]
        if isinstance(value, types.BuiltinFunctionType):  # a method of an object in C
            return [value.__name__, value.__self__]
        if isinstance(value, functools._lru_cache_wrapper):
            return [value.__wrapped__]
        if isinstance(key := getattr(value, "key", None), str):
            trusted = type(value).__module__.startswith("kdnotes.")
            return [key] if trusted else [key, type(value), _settings(value)]
        if isinstance(value, nn.Module):
            return [type(value), *_network(value)]
        if dataclasses.is_dataclass(value):  # with the attributes that are not fields
            return [type(value), _settings(value)]
        if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "__dict__"):
            return [vars(value)]  # such as no_grad, whose instance a decorated function holds
        return None

    def refer(self, part: Any) -> Any:
        """The number of a function or class of one's own; of others the name."""
        name = f"{part.__module__}.{part.__qualname__}"
        if not is_own(part.__module__):
            return {"name": name}
        if id(part) not in self.numbers:
            self.numbers[id(part)] = len(self.records)
            self.alive.append(part)
            self.records.append(None)
            content = self._class(part) if isinstance(part, type) else self._function(part)
            self.records[self.numbers[id(part)]] = [name, content]
        return {"code": self.numbers[id(part)]}

    def _class(self, part: type) -> Any:
        strict = part.__module__ == "__main__"
        bases = [self.refer(base) for base in (*part.__mro__[1:], type(part))]
        attributes = {name: self._attribute(item, strict) for name, item in _attributes(part)}
        fields = [
            [one.name, self.describe(one.default_factory, False)]
            for one in (dataclasses.fields(part) if dataclasses.is_dataclass(part) else ())
        ]
        return [bases, attributes, fields]

    def _attribute(self, item: Any, strict: bool) -> Any:
        """A method, whatever it was decorated with, or a value."""
        kind = type(item).__name__
        if isinstance(item, (classmethod, staticmethod)):
            return {kind: self.describe(item.__func__, strict)}
        if isinstance(item, property):
            accessors = (item.fget, item.fset, item.fdel)
            return {kind: [self.describe(one, strict) for one in accessors]}
        if isinstance(item, functools.cached_property):
            return {kind: self.describe(item.func, strict)}
        if isinstance(item, functools.partialmethod):
            return {kind: self.describe([item.func, list(item.args), item.keywords], strict)}
        return self.describe(item, strict)

    def _function(self, part: types.FunctionType) -> Any:
        strict = part.__module__ == "__main__"
        code = read_code(part.__code__)
        closed = zip(part.__code__.co_freevars, part.__closure__ or (), strict=True)
        outside = {f"closure {name}": _content(cell) for name, cell in closed}
        outside |= {"defaults": part.__defaults__, "keywords": part.__kwdefaults__}
        outside["attributes"] = {k: v for k, v in vars(part).items() if k != "__wrapped__"}
        outside |= {k: part.__globals__[k] for k in code.globals if k in part.__globals__}
        outside |= dict(_imported(part, code))
        described = {}
        for name, item in sorted(outside.items()):
            if isinstance(item, types.ModuleType):
                described[name] = self._module(item, code)
            else:
                described[name] = self.describe(item, strict)
        return [code.digest, described]

    def _module(self, module: types.ModuleType, code: Code) -> Any:
        """Of a module of one's own what the function takes from it."""
        if not is_own(module.__name__):
            return {"name": module.__name__}
        names = [name for name in code.attributes if hasattr(module, name)]
        taken = {name: getattr(module, name) for name in names}
        return {
            name: self._module(item, code)
            if isinstance(item, types.ModuleType)
            else self.describe(item, False)
            for name, item in taken.items()
        }


def _refuse(value: Any, strict: bool) -> Any:
    if strict:
        raise TypeError(
            f"a {type(value).__name__} cannot be part of a cached run: use numbers, strings, "
            "tensors, dataclasses, functions or functools.partial"
        )
    return {"a": f"{type(value).__module__}.{type(value).__qualname__}"}


def _own_class(value: Any) -> list[type]:
    """The class of a container, unless it is one of Python's."""
    return [] if type(value).__module__ == "builtins" else [type(value)]


def _settings(value: Any) -> dict[str, Any]:
    """Attributes, but for what a cached_property keeps."""
    if not hasattr(value, "__dict__"):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    kept = (getattr(type(value), name, None) for name in vars(value))
    pairs = zip(vars(value).items(), kept, strict=True)
    return {name: x for (name, x), own in pairs if not isinstance(own, functools.cached_property)}


def _network(module: nn.Module) -> list[Any]:
    """Plain attributes, weights, all buffers and parts of a network."""
    items = vars(module).items()
    plain = {name: x for name, x in items if name[0] != "_" and name != "training"}
    tensors = dict(module._parameters) | dict(module._buffers)
    return [plain, tensors, dict(module._modules)]


def _attributes(part: type) -> Iterator[tuple[str, Any]]:
    # A copy: while one thread of joblib computes a key, another pickles, which adds an entry.
    for name, item in sorted(vars(part).copy().items()):
        special = name.startswith("__") and name.endswith("__")
        method = isinstance(item, (types.FunctionType, types.BuiltinFunctionType))
        if (method or not special) and not writes_itself(part, name, item):
            yield name, item


def _imported(part: types.FunctionType, code: Code) -> Iterator[tuple[str, types.ModuleType]]:
    """Modules that a function imports when it is called."""
    for name in code.imports:
        with contextlib.suppress(ImportError):  # of what is optional, or of a package that is none
            full = importlib.util.resolve_name(name, part.__globals__.get("__package__") or None)
            if is_own(full):
                yield f"import {name}", importlib.import_module(full)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a function that is not yet defined, such as a class's own name
        return None
