"""Comparisons as data: a design is taken apart in a submission's process, and made anew in ours.

What a design holds of our chapter's set-up (networks, images, teachers, the students' builders) is
sent as the way to it, such as ["ours", ["shared", "data"]]; a method, an arm or a schedule as its
class and fields. What is made by a function of the submission's own cannot be sent.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from torch import nn

from kdnotes import edge, language, losses, methods, models, study, training
from kdnotes.data import Corpus, Splits, Views
from kdnotes.lab import Design, StringDesign
from kdnotes.lab.sides import Sides
from kdnotes.teachers import Teacher

__all__ = ["NotSent", "decoded", "encoded", "names_of_ours", "ways"]

DEEPEST, STEPS = 12, 3
LONGEST, LARGEST = 1000, 1024  # items of a sequence; a number that a network is built of
METHODS_OF_STRINGS = [
    one
    for one in (getattr(language, name) for name in language.__all__)
    if isinstance(one, type) and issubclass(one, language.StringMethod)
]
CLASSES = {
    one.__name__: one
    for one in (
        Design, Views, training.Config, study.Arm, study.PerSeed, edge.Start,
        *(getattr(methods, name) for name in methods.__all__),
        StringDesign, language.Schedule, language.StringArm, *METHODS_OF_STRINGS,
    )
    if isinstance(one, type)
}  # fmt: skip
NAMED = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (models, losses)
    for name in module.__all__
}


class NotSent(ValueError):
    """A design holds something that cannot be sent."""


# In the submission's process


def encoded(design: Any, known: dict[Any, list[Any]]) -> Any:
    """A design as lists, strings and numbers.

    Args:
        known: ``ways`` of what our set-up has defined.

    Raises:
        TypeError: it is no design.
        NotSent: it holds something of the submission's own.
    """
    if not isinstance(design, Sides):
        raise TypeError(f"an experiment.Design, or None, is asked for, not {type(design).__name__}")
    return _encoded(design, known, 0)


def ways(ours: Mapping[str, Any]) -> dict[Any, list[Any]]:
    """Identity → way of all that can be reached from the set-up's names."""
    found: dict[Any, list[Any]] = {}
    level = [([name], value) for name, value in ours.items()]
    for _ in range(STEPS):
        for way, value in level:
            found.setdefault(_identity(value), way)
        level = [([*way, step], one) for way, value in level for step, one in _parts(value)]
    return found


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return [(key, one) for key, one in value.items() if isinstance(key, str)]
    if isinstance(value, (tuple, list)):
        return list(enumerate(value))[:LONGEST]
    return []


def _identity(value: Any) -> Any:
    """What two names of one thing have in common: of a teacher the key of its weights."""
    return value.key if isinstance(value, (Teacher, language.LanguageTeacher)) else id(value)


def _encoded(value: Any, known: dict[Any, list[Any]], depth: int) -> Any:
    def inner(one: Any) -> Any:
        return _encoded(one, known, depth + 1)

    if depth > DEEPEST:
        raise NotSent("a design with lists too deep in lists")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)) and type(value).__name__ in ("tuple", "list"):
        return [type(value).__name__, [inner(one) for one in value]]
    if isinstance(value, range):
        return ["range", value.start, value.stop, value.step]
    if isinstance(value, Mapping):
        return ["dict", [[inner(key), inner(one)] for key, one in value.items()]]
    if _identity(value) in known:
        return ["ours", known[_identity(value)]]
    if isinstance(value, functools.partial):
        return ["partial", *map(inner, (value.func, list(value.args), dict(value.keywords)))]
    for name, one in NAMED.items():
        if one is value:
            return ["named", name]
    if CLASSES.get(type(value).__name__) is type(value):
        fields = [one.name for one in dataclasses.fields(value) if one.init]
        return [
            "made",
            type(value).__name__,
            {name: inner(getattr(value, name)) for name in fields},
        ]
    kind = "a function" if isinstance(value, FunctionType) else f"a {type(value).__name__}"
    raise NotSent(f"the design holds {kind} of the submission's own")


# Here


def names_of_ours(tree: Any) -> set[str]:
    """The names of our set-up that an encoded design refers to."""
    if not isinstance(tree, (list, tuple, Mapping)):
        return set()
    if isinstance(tree, list) and len(tree) == 2 and tree[0] == "ours":
        return {one for one in tree[1][:1] if isinstance(one, str)}
    items = tree.values() if isinstance(tree, Mapping) else tree
    return set().union(*map(names_of_ours, items))


def decoded(tree: Any, ours: Mapping[str, Any], in_network: bool = False) -> Any:
    """What ``encoded`` took apart.

    Args:
        ours: what our set-up defines here.
        in_network: whether it is an argument of what builds a network.

    Raises:
        NotSent: it holds what may not be made here.
        ValueError, TypeError: it cannot be made.
    """
    inner: Callable[[Any], Any] = functools.partial(decoded, ours=ours, in_network=in_network)
    if not isinstance(tree, list):
        if in_network and isinstance(tree, (int, float)) and not abs(tree) <= LARGEST:
            raise NotSent(f"a network of {tree} is too large to be built here")
        return tree
    kind, *rest = tree
    if kind in ("list", "tuple"):
        _few(len(rest[0]))
        items = [inner(one) for one in rest[0]]
        return items if kind == "list" else tuple(items)
    if kind == "range":
        _few(len(range(*rest)))
        return range(*rest)
    if kind == "dict":
        return {inner(key): inner(one) for key, one in rest[0]}
    if kind == "ours":
        return _reached(rest[0], ours)
    if kind == "named":
        return NAMED[rest[0]]
    if kind == "partial":
        return _partial(rest, ours)
    if kind == "made":
        return _made(rest[0], {name: inner(one) for name, one in rest[1].items()})
    raise NotSent("the design holds something unknown")


def _few(count: int) -> None:
    if count > LONGEST:
        raise NotSent(f"the design has a list of {count}, at most {LONGEST} are looked at")


def _reached(way: list[Any], ours: Mapping[str, Any]) -> Any:
    if str(way[0]).startswith("_"):  # Python's own names, its functions among them
        raise NotSent("the design holds something unknown")
    value: Any = ours
    for step in way:
        value = value[step]
    return value


def _partial(parts: list[Any], ours: Mapping[str, Any]) -> Any:
    function = decoded(parts[0], ours)
    built = isinstance(function, type) and issubclass(function, nn.Module)
    if not built and not isinstance(function, FunctionType):
        raise NotSent("the design holds a function that is not called here")
    arguments, keywords = (decoded(one, ours, in_network=built) for one in parts[1:])
    return functools.partial(function, *arguments, **keywords)


def _made(name: str, fields: dict[str, Any]) -> Any:
    if issubclass(CLASSES[name], Sides):
        for which in ("seeds", "choose_seeds"):
            if isinstance(fields.get(which), int):
                _few(fields[which])
    if not isinstance(fields.get("data"), (Splits, type(None))):
        raise NotSent("the design's data is not of the chapter")
    if not isinstance(fields.get("corpus"), (Corpus, type(None))):
        raise NotSent("the design's corpus is not of the chapter")
    return CLASSES[name](**fields)
