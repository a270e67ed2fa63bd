"""Checks of numbers, words, classes and functions, and of a dataclass's fields."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_checking = ContextVar("checking", default=True)


@contextlib.contextmanager
def trusted() -> Iterator[None]:
    """Inside, in this thread, no check looks at all numbers of a tensor."""
    token = _checking.set(False)
    try:
        yield
    finally:
        _checking.reset(token)


def unless_trusted(check: Callable[..., None]) -> Callable[..., None]:
    """A check that is not made inside ``trusted``."""

    @functools.wraps(check)
    def checked(*arguments: Any, **named: Any) -> None:
        if _checking.get():
            check(*arguments, **named)

    return checked


def bound(check: Callable[[str, Any], None], default: Any = dataclasses.MISSING) -> Any:
    """A field of a dataclass with the check of its value, ``check(name, value)``; ``fields`` makes
    it.
    """
    return dataclasses.field(default=default, metadata={"check": check})


def fields(owner: Any) -> None:
    """Make the checks of a dataclass's fields, in their order: all of most ``__post_init__``."""
    for field in dataclasses.fields(owner):
        if check := field.metadata.get("check"):
            check(field.name, getattr(owner, field.name))


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {kind_of(value)}")


def number(name: str, value: object) -> None:
    """A finite number, such as a logarithm."""
    _number(name, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")


def positive(name: str, value: object) -> None:
    """A finite number above 0, such as a temperature."""
    _number(name, value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}")


def fraction(name: str, value: object) -> None:
    """A number in [0, 1], such as the weight of one of two terms."""
    _number(name, value)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")


def weight(name: str, value: object) -> None:
    """A finite number, 0 or more."""
    _number(name, value)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number, 0 or more, not {value!r}")


def share(name: str, value: object) -> None:
    """A number between 0 and 1, both excluded, such as the level of an interval."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")


def at_least(least: int) -> Callable[[str, object], None]:
    """The check of a whole number, ``least`` or more."""

    def check(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer, not {kind_of(value)}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")

    return check


def count(name: str, value: object, least: int = 1) -> None:
    """How many of something: a whole number, ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def one_of(*allowed: str) -> Callable[[str, object], None]:
    """The check of a word, one of a few."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")

    return check


def instance(*kinds: type, said: str = "") -> Callable[[str, object], None]:
    """The check of an object's class; ``said`` names it in the message, by default module and
    class.
    """

    def check(name: str, value: object) -> None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = said or f"a {kinds[0].__module__}.{kinds[0].__name__}"
            raise TypeError(f"{name} must be {wanted}, not {kind_of(value)}")

    return check


true_or_false = instance(bool, said="True or False")


def builder(name: str, value: object) -> None:
    """A function that builds a network, not the network."""
    if not callable(value) or isinstance(value, torch.nn.Module):
        example = "such as functools.partial(StudentNet, width=16)"
        raise TypeError(
            f"{name} must be a function that builds the network, {example}, not {kind_of(value)}"
        )


def kind_of(value: object) -> str:
    """The class of a value, or the dtype of a tensor, with its article."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if not isinstance(value, Tensor):
        name = type(value).__name__
        return f"numpy.{name}" if isinstance(value, np.generic) else name
    name = str(value.dtype).removeprefix("torch.")
    return f"{'an' if name.startswith('i') else 'a'} {name} tensor"


def whole(name: str, value: object, least: int, most: int) -> None:
    """A whole number from ``least`` to ``most``, such as the bits of an integer."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def existing_file(name: str, path: Path | str, said: str) -> None:
    """A file that is there; ``said`` names its kind, such as "an ONNX file"."""
    if not Path(path).is_file():
        raise ValueError(f"{name} must be {said}, not {str(path)!r}")


def new_file(name: str, path: Path | str) -> None:
    """A file to write, in a folder that is there."""
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"{name} must be a file in an existing folder, not {str(path)!r}")
