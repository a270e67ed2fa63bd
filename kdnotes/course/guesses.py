"""A reader's guess before an experiment, and what came out: remembered as long as the kernel lives.

``predict("05", question, guess)`` stands before the experiment, ``outcome("05", value)`` after it.
Neither cell needs the other one to have run, and both may run again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kdnotes import checks
from kdnotes.intervals import Interval

__all__ = ["outcome", "predict"]

PERCENT = ("points", "%")  # units of fractions, which are shown a hundred times as large


# What may be guessed. Each kind says what is ``allowed`` and checks a guess (``read``); ``told`` is
# the guess in words, ``shown`` the outcome, ``judged`` how far the guess was off.


@dataclass(frozen=True)
class Number:
    unit: str

    @property
    def allowed(self) -> str:
        return f"a number in {self.unit}" if self.unit else "a number"

    @property
    def scale(self) -> float:
        return 100.0 if self.unit in PERCENT else 1.0

    def read(self, guess: Any) -> float:
        return _accepted(checks.number, _plain(guess), f"{self.allowed}, such as 1.5, or None")

    def told(self, guess: float) -> str:
        return self._with_unit(f"{guess:{'+' if self.unit == 'points' else ''}g}")

    def shown(self, value: float | Interval) -> str:
        self._check(value)
        sign = "+" if self.unit == "points" else ""
        if not isinstance(value, Interval):
            form = ".2f" if self.unit in PERCENT else ".4g"
            return self._with_unit(f"{self.scale * value:{sign}{form}}")
        if self.unit in PERCENT:
            return self._with_unit(value.points(signed=bool(sign)))
        return self._with_unit(f"{value.mean:.4g} ± {value.half_width:.2g}".replace("inf", "∞"))

    def judged(self, guess: float, value: float | Interval) -> str:
        mean = self.scale * (value.mean if isinstance(value, Interval) else value)
        if not math.isfinite(mean):
            return ", which is no number: this run cannot tell"
        off = f", off by {self._with_unit(f'{abs(guess - mean):.3g}')}"
        if not isinstance(value, Interval):
            return off
        if not value.has_spread:
            return f"{off} (one seed, or no spread between seeds: no interval to judge it by)"
        inside = value.low <= guess / self.scale <= value.high
        return f"{off}, {'inside' if inside else 'outside'} the interval"

    def _with_unit(self, text: str) -> str:
        return f"{text} {self.unit}".strip().replace("-", "−")

    def _check(self, value: Any) -> None:
        checks.instance(float, int, Interval, said="a number or an Interval")("value", value)
        mean = value.mean if isinstance(value, Interval) else value
        if self.unit in PERCENT and abs(mean) > 1:
            wanted = f"a fraction where the unit is {self.unit!r}, such as 0.012"
            raise ValueError(f"value must be {wanted}, not {mean!r}")


@dataclass(frozen=True)
class Choice:
    choices: tuple[Any, ...]

    @property
    def allowed(self) -> str:
        return f"one of {_listed(self.choices)}"

    def read(self, guess: Any) -> Any:
        return _one_of(self.choices, guess, "guess", f"{self.allowed}, or None")

    def told(self, guess: Any) -> str:
        return _word(guess)

    def shown(self, value: Any) -> str:
        return _word(_one_of(self.choices, value, "value", self.allowed))

    def judged(self, guess: Any, value: Any) -> str:
        is_right = guess == _one_of(self.choices, value, "value", self.allowed)
        return ", as you said" if is_right else ", not what you said"


@dataclass(frozen=True)
class Order:
    names: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"all of {_listed(self.names)}, the first in your order first"

    def read(self, guess: Any) -> tuple[str, ...]:
        wanted = f"a list of {self.allowed}; or None"
        if not isinstance(guess, (list, tuple)):
            raise TypeError(f"guess must be {wanted}; not {guess!r}")
        names = tuple(_one_of(self.names, one, "guess", wanted) for one in guess)
        if sorted(names) != sorted(self.names):
            raise ValueError(f"guess must be {wanted}; not {guess!r}")
        return names

    def told(self, guess: Sequence[Any]) -> str:
        return " > ".join(" = ".join(_tied(one)) for one in guess)

    def shown(self, value: Sequence[Any]) -> str:
        self._places(value)
        return self.told(value)

    def judged(self, guess: tuple[str, ...], value: Sequence[Any]) -> str:
        places = self._places(value)
        pairs = [(a, b) for a, b in itertools.combinations(guess, 2) if places[a] != places[b]]
        right = sum(places[a] < places[b] for a, b in pairs)
        return f", {right} of {len(pairs)} pairs in your order"

    def _places(self, value: Sequence[Any]) -> dict[str, int]:
        """The place of each name; names of one group share theirs."""
        checks.instance(list, tuple, said="a list of names, best first")("value", value)
        named = [(name, place) for place, one in enumerate(value) for name in _tied(one)]
        if sorted(name for name, _ in named) != sorted(self.names):
            raise ValueError(f"value must hold each of {_listed(self.names)} once, not {value!r}")
        return dict(named)


@dataclass
class Asked:
    question: str
    kind: Number | Choice | Order
    guess: Any
    is_late: bool  # the guess came, or was changed, when the outcome had been shown


# By key, for the life of the kernel. Of an outcome is kept only that it was shown.
_asked: dict[str, Asked] = {}
_shown: set[str] = set()


def predict(
    key: str,
    question: str,
    guess: Any = None,
    *,
    unit: str = "",
    choices: Sequence[Any] | None = None,
    order: Sequence[str] | None = None,
) -> None:
    """Note the reader's guess, and print the question with it.

    Args:
        key: the chapter, such as "05"; a second question of a chapter needs another, "05 NLL".
        question: one sentence.
        guess: ``None`` (no guess yet), or what is asked for: a number, in ``unit``; one of
            ``choices``; or the names of ``order``, in the order that is expected.
        unit: of a number. In "points" and "%" the reader guesses 1.5 where the package has 0.015.
        choices: the possible answers.
        order: the names to be ordered, such as arms.

    Raises:
        ValueError, TypeError: the guess is not what is asked for; an earlier one is kept.
    """
    for name, text in {"key": key, "question": question}.items():
        checks.instance(str, said="a string")(name, text)
    if choices is not None and order is not None:
        raise TypeError("a question has choices or an order, not both")
    kind = Number(unit) if order is None else Order(tuple(order))
    kind = kind if choices is None else Choice(tuple(choices))
    guess = None if guess is None or guess is ... else kind.read(guess)
    before = _asked.get(key)
    is_new = before is None or guess != before.guess
    is_late = key in _shown if is_new else before.is_late
    _asked[key] = Asked(question, kind, guess, is_late)
    told = "none yet" if guess is None else kind.told(guess)
    print(f"Prediction {key}: {question}\nYour guess, {kind.allowed}: {told}.")


def outcome(key: str, value: Any) -> None:
    """Print what was guessed and what it was.

    Args:
        key: that of ``predict``.
        value: a number or an ``Interval`` (in the package's unit: fractions where the unit is
            "points" or "%"); one of the choices; or the names in their order, of which a tuple
            groups those that are tied or not resolved.

    Raises:
        ValueError, TypeError: the value is not of the question's kind.
    """
    asked, value = _asked.get(key), _plain(value)
    if asked is None:
        said = f"{value:.4g}" if isinstance(value, float) else value
        print(f"Prediction {key}: not asked in this kernel (run its cell first); it was {said}.")
        return
    was = f"it was {asked.kind.shown(value)}"
    _shown.add(key)
    print(f"Prediction {key}: {asked.question}")
    if asked.guess is None:
        print(f"You made no guess; {was}.")
        return
    late = " (after the outcome had been shown)" if asked.is_late else ""
    told = asked.kind.told(asked.guess)
    print(f"You said {told}{late}; {was}{asked.kind.judged(asked.guess, value)}.")


def _plain(value: Any) -> Any:
    """A number of numpy or torch as Python's."""
    return value.item() if hasattr(value, "item") else value


def _accepted(check: Callable[[str, Any], None], guess: Any, wanted: str) -> Any:
    """The guess, if the check does; its error names what is allowed."""
    try:
        check("guess", guess)
    except (TypeError, ValueError) as error:
        raise type(error)(f"guess must be {wanted}, not {guess!r}") from None
    return guess


def _one_of(choices: tuple[Any, ...], given: Any, name: str, wanted: str) -> Any:
    """The choice that is given; capitals and blanks around it do not count."""
    for choice in choices:
        if type(choice) is type(given) is str:
            if choice.strip().casefold() == given.strip().casefold():
                return choice
        elif choice == given and (type(choice) is bool) == (type(given) is bool):
            return choice
    raise ValueError(f"{name} must be {wanted}, not {given!r}")


def _tied(item: Any) -> tuple[str, ...]:
    return item if isinstance(item, tuple) else (item,)


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(repr, items))


def _word(item: Any) -> str:
    return item if isinstance(item, str) else repr(item)
