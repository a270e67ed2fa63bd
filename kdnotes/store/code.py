"""What a function's code does, and whose code it is."""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import importlib.util
import inspect
import sysconfig
import types
from typing import Any, NamedTuple

NO_EFFECT = "kdnotes.checks"  # what can refuse an argument, but not change a result
_GLOBAL, _ATTRIBUTE = ("LOAD_GLOBAL", "LOAD_NAME"), ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
_BY_DATACLASS = {f"__{name}__" for name in (
    "init", "repr", "eq", "lt", "le", "gt", "ge", "hash", "setattr", "delattr", "replace",
    "getstate", "setstate",
)}  # fmt: skip


class Code(NamedTuple):
    """A hash of arguments and instructions; names of globals, attributes and modules loaded."""

    digest: str
    globals: tuple[str, ...]
    attributes: tuple[str, ...]
    imports: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def read_code(code: types.CodeType) -> Code:
    """Read a function's code, and that of the functions inside it."""
    arguments = code.co_argcount + code.co_kwonlyargcount + (code.co_flags >> 2 & 1)
    arguments += code.co_flags >> 3 & 1
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    listed = [f"{code.co_varnames[:arguments]} {counts} {code.co_flags & 12}"]
    found: tuple[set[str], ...] = (set(), set(), set())
    instructions = list(dis.get_instructions(code))
    for number, one in enumerate(instructions):
        value = one.argval
        if isinstance(value, types.CodeType):
            value, *inner = read_code(value)
            for mine, theirs in zip(found, inner, strict=True):
                mine.update(theirs)
        elif one.opname in _GLOBAL:
            found[0].add(value)
        elif one.opname in _ATTRIBUTE:
            found[1].add(value)
        elif one.opname == "IMPORT_NAME":  # after the constants of level and names
            found[2].add("." * instructions[number - 2].argval + value)
        shown = sorted(map(repr, value)) if isinstance(value, frozenset) else value
        listed.append(f"{one.opname} {shown!r}")
    text = "\n".join(listed).encode() + code.co_exceptiontable
    return Code(hashlib.sha256(text).hexdigest(), *(tuple(sorted(names)) for names in found))


def writes_itself(part: type, name: str, item: Any) -> bool:
    """Whether ``dataclass`` or Python made a method of a class, from what is known otherwise."""
    if name.startswith("__annotate"):
        return True
    if not dataclasses.is_dataclass(part) or name not in _BY_DATACLASS:
        return False
    written = inspect.unwrap(item)
    return isinstance(written, types.FunctionType) and written.__code__.co_filename == "<string>"


@functools.lru_cache(maxsize=1024)
def is_own(module: str | None) -> bool:
    """Whether code of this module is followed: this package's, a notebook's, or the reader's."""
    root = (module or "builtins").partition(".")[0]
    if root in ("kdnotes", "__main__"):
        return not module.startswith(NO_EFFECT)
    try:
        spec = importlib.util.find_spec(root)
    except ValueError:  # of a module that was made by hand
        return True
    if spec is None:
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return bool(places) and not any(place.startswith(_installed()) for place in places)


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    site = importlib.util.find_spec("torch").submodule_search_locations[0].removesuffix("torch")
    return (site, *(paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")))
