"""Arms and settings in words that hold on every machine, and the source of a loss."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["describe", "loss_sources", "unwrap"]


def describe(value: Any, without: tuple[str, ...] = ()) -> str:
    """Classes with their fields, but for those ``without``; functions by name; no addresses."""
    if isinstance(value, functools.partial):
        named = [f"{key}={describe(item)}" for key, item in value.keywords.items()]
        return f"{describe(value.func)}({', '.join([*map(describe, value.args), *named])})"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(describe, value))})"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(key := getattr(value, "key", None), str) and hasattr(value, "model"):
        return f"{type(value.model).__name__} {key[:12]}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.repr]
        given = {name: getattr(value, name) for name in names if name not in without}
        pairs = [f"{name}={describe(item)}" for name, item in given.items() if item is not None]
        return f"{type(value).__name__}({', '.join(pairs)})"
    return getattr(value, "__name__", type(value).__name__)


def loss_sources(arms: Mapping[str, Any]) -> dict[str, str]:
    """The source of each function that an arm uses as its loss, by name."""
    losses = [unwrap(getattr(getattr(arm, "method", arm), "loss", None)) for arm in arms.values()]
    functions = [loss for loss in losses if inspect.isfunction(loss)]
    return {one.__name__: textwrap.dedent(inspect.getsource(one)).rstrip() for one in functions}


def unwrap(function: Any) -> Any:
    """The function inside any number of ``functools.partial``."""
    while isinstance(function, functools.partial):
        function = function.func
    return function
