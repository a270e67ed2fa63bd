"""Exercises without their answers, as a copy of the package holds them that is handed out.

``editions.package`` writes such a copy. There is nothing in it to compare an answer with: whoever
has the whole package, the lecturer, checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import Any

from kdnotes.course.questions import Item

__all__ = ["CHECKED", "Ungraded", "UngradedItem"]

CHECKED = "checked by your lecturer"


def _stub(): ...


@dataclass(frozen=True)
class Ungraded:
    """An exercise of any kind but a quiz.

    Args:
        asks: what is to be given, and how exactly; "" where the chapter's text says it all.
    """

    asks: str = ""

    def judge(self, answer: Any, results: tuple[Any, ...] = ()) -> str:
        """The verdict: "todo …", of an empty function too, or who checks it."""
        if answer is None or answer is ... or _is_empty(answer):
            return f"todo ({self.asks})" if self.asks else "todo"
        return CHECKED


@dataclass(frozen=True)
class UngradedItem(Item):
    """A question of a quiz; ``choices`` says of none why it is wrong."""

    def judge(self, number: int, answer: Any) -> str:
        """As ``Item``'s, but that no letter is right or wrong."""
        return "todo" if super().judge(number, answer) == "todo" else CHECKED


def _is_empty(answer: Any) -> bool:
    """Whether it is a function that does nothing."""
    if not isinstance(answer, FunctionType):
        return False
    codes = answer.__code__, _stub.__code__
    given, empty = ((one.co_code, one.co_consts) for one in codes)
    return given == empty
