"""Automatic checks of exercises that name the mistake they recognise.

An exercise has a reference, cases to try it on, and traps: the wrong answers of real code, each with the sentence that
helps. ``exercise("01.2", my_function)`` prints *todo*, *correct*, the trap, or the first case that differs. What is a
loss is compared with its gradients, and the mistakes that all losses share (a term that is detached or reversed, a
logarithm that fails for large logits) are recognised here.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kdnotes.course import answers
from kdnotes.course.answers import Graded

__all__ = ["Exercise", "Graded", "Trap", "exercise"]

LONGEST_ARGUMENTS = 60

NOT_FINITE = (
    "right for ordinary logits, but NaN or infinite, in value or gradient, where they reach ±10⁴; logarithms of "
    "probabilities come from log_softmax and logsumexp, never from a softmax"
)
CUT_OFF = (
    "right for ordinary logits, but wrong, in value or gradient, at the extremes (logits of ±10⁴, probabilities near 0 "
    "and 1); an ε or a clamp inside a logarithm cuts off what lies below it: log_softmax and logsumexp need none"
)
CHANGED = "changed what it was given"
# Of a part of a loss: its factor in the value, its factor in the gradient, and what to say.
PART_FACTORS = (
    (1, 0, "the value is right, but {part} sends no gradient to {name}: it is detached"),
    (1, -1, "the value is right, but the gradient of {part} is reversed"),
    (0, 0, "{part} is missing"),
    (2, 2, "{part} is counted twice"),
    (-1, -1, "{part} has the wrong sign"),
)


@dataclass(frozen=True)
class Trap:
    """A known wrong answer: what a learner's function returns who fell into it, and what to tell them."""

    wrong: Callable[..., Any]
    message: str


@dataclass(frozen=True)
class Exercise:
    """A reference answer, the argument tuples to compare on, and the traps, tried in order.

    Args:
        tolerance: relative; ``absolute`` holds near zero.
        observe: turns what a function returned (with ``gradient_of``: its ``Graded``) into what is compared.
        extremes: further argument tuples, with logits of ±10⁴: an answer that fails there alone is told so.
        gradient_of: places of the arguments, tensors or lists of them, whose gradients are compared too.
        parts: (name, function) of terms that add up to a loss; one that is detached, reversed, missing, doubled or
            negated is named.
        kept: of an argument tuple, what a call must not change; an outcome says so if it did.
    """

    reference: Callable[..., Any]
    cases: Callable[[], Sequence[tuple]]
    traps: tuple[Trap, ...] = ()
    tolerance: float = 1e-4
    observe: Callable[[Any], Any] = lambda value: value
    extremes: Callable[[], Sequence[tuple]] = tuple
    absolute: float = 1e-6
    gradient_of: tuple[int, ...] = ()
    parts: tuple[tuple[str, Callable[..., Any]], ...] = ()
    kept: Callable[..., Any] = lambda *case: ()


def exercise(number: str, answer: Callable[..., Any]) -> bool:
    """Check a learner's function, print the verdict, and return whether it is correct.

    Args:
        number: chapter and exercise, such as "05.2".
        answer: the learner's function; while it returns ``None`` or ``...`` the exercise is still to do.

    Raises:
        ValueError: there is no such exercise.
    """
    spec = _find(number)
    if not callable(answer):
        raise TypeError(f"answer must be a function, not {type(answer).__name__}")
    verdict, correct = _judge(spec, answer)
    print(f"Exercise {number}: {verdict}")
    return correct


def _find(number: str) -> Exercise:
    try:
        module = importlib.import_module(f"kdnotes.course.exercises.chapter{int(number.split('.')[0]):02d}")
        return module.EXERCISES[number]
    except (ModuleNotFoundError, KeyError, ValueError, AttributeError):
        raise ValueError(f"number must be that of an exercise, such as '01.1', not {number!r}") from None


def _judge(spec: Exercise, answer: Callable[..., Any]) -> tuple[str, bool]:
    expected = list(_outcomes(spec, spec.reference))
    try:
        given = list(_outcomes(spec, answer, expected))
    except NotImplementedError:
        return "todo", False
    except Exception as error:  # the learner's code may fail in any way; the check reports it and goes on
        return (
            f"your function stopped with {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            False,
        )
    if all(value is None or value is ... for value in given):
        return "todo", False
    if _equal(spec, given, expected):
        return "correct", True
    trap = next((t.message for t in spec.traps if _equal(spec, given, _outcomes(spec, t.wrong, expected))), None)
    named = trap or _shared_mistake(spec, answer, given, expected)
    return f"not yet: {named or _first_difference(spec, answer, given, expected)}", False


def _cases(spec: Exercise) -> list[tuple]:
    """Made anew for every function, which may change what it is given."""
    return [*spec.cases(), *spec.extremes()]


def _outcomes(spec: Exercise, function: Callable[..., Any], expected: list[Any] | None = None) -> Iterator[Any]:
    """What is compared of a function, case by case; ``expected`` is the reference's, whose form it takes if it can."""
    for number, case in enumerate(_cases(spec)):
        case = [answers.leaf(one) if place in spec.gradient_of else one for place, one in enumerate(case)]
        before = copy.deepcopy(spec.kept(*case))
        value = function(*case)
        if value is None or value is ...:
            yield value
            continue
        if spec.gradient_of:
            form = expected[number].value if expected and isinstance(expected[number], Graded) else None
            value = answers.graded(value, [case[place] for place in spec.gradient_of], form)
        value = spec.observe(value)
        is_kept = answers.same(spec.kept(*case), before, answers.Tolerance(0.0, 0.0))
        yield value if is_kept else (value, CHANGED)


def _same(spec: Exercise, value: Any, expected: Any) -> bool:
    return answers.same(value, expected, answers.Tolerance(spec.tolerance, spec.absolute))


def _equal(spec: Exercise, given: Iterable[Any], expected: Iterable[Any]) -> bool:
    return all(_same(spec, a, b) for a, b in zip(given, expected, strict=True))


# The mistakes that exercises share


def _shared_mistake(spec: Exercise, answer: Callable[..., Any], given: list[Any], expected: list[Any]) -> str | None:
    """The name of a mistake at the extremes, with a part of a loss, or with a gradient."""
    ordinary = len(spec.cases())
    if ordinary < len(expected) and _equal(spec, given[:ordinary], expected[:ordinary]):
        return CUT_OFF if all(map(answers.finite, given[ordinary:])) else NOT_FINITE
    if not all(isinstance(one, Graded) for one in (*given, *expected)):
        return None
    names = [_name(answer, place) for place in spec.gradient_of]
    for part, function in spec.parts:
        terms = list(_outcomes(spec, function, expected))
        for value, gradient, message in PART_FACTORS:
            changed = (_with_part(*pair, value - 1, gradient - 1) for pair in zip(expected, terms, strict=True))
            if _equal(spec, given, changed):
                reached = itertools.compress(names, _reached(terms, len(names)))
                return message.format(part=part, name=" and ".join(reached))
    if all(_same(spec, a.value, b.value) for a, b in zip(given, expected, strict=True)):
        return _gradient_mistake(spec, names, given, expected)
    return None


def _with_part(one: Graded, part: Graded, value: float, gradient: float) -> Graded:
    """The outcome plus ``value`` times the part's value and ``gradient`` times its gradients."""
    return Graded(answers.plus(one.value, part.value, value), answers.plus(one.gradients, part.gradients, gradient))


def _gradient_mistake(spec: Exercise, names: list[str], given: list[Graded], expected: list[Graded]) -> str | None:
    """What is wrong with the gradients, where the values are right."""
    arrives, wanted = (_reached(outcomes, len(names)) for outcomes in (given, expected))
    if any(wanted) and not any(arrives):
        return (
            f"the value is right, but no gradient reaches {' or '.join(names)}: do not detach, and return the tensor "
            "itself, not a number made of it"
        )
    for name, is_there, needed in zip(names, arrives, wanted, strict=True):
        if needed and not is_there:
            return f"the value is right, but no gradient reaches {name}: do not detach it"
        if is_there and not needed:
            return f"the value is right, but a gradient reaches {name}: detach it, here it is a constant"
    if _equal(spec, given, [_with_part(one, one, 0, -2) for one in expected]):
        return "the value is right, but its gradient is reversed: training would make the loss larger"
    return None


def _reached(outcomes: list[Graded], arguments: int) -> list[bool]:
    """For each differentiated argument, whether any gradient arrives there."""
    return [
        any(bool((one != 0).any()) for outcome in outcomes for groups in outcome.gradients for one in groups[place])
        for place in range(arguments)
    ]


# The first difference


def _first_difference(spec: Exercise, answer: Callable[..., Any], given: list[Any], expected: list[Any]) -> str:
    case = next(i for i, (a, b) in enumerate(zip(given, expected, strict=True)) if not _same(spec, a, b))
    wanted, got = expected[case], given[case]
    what = ""
    if isinstance(wanted, Graded) and isinstance(got, Graded):
        if _same(spec, got.value, wanted.value) and len(got.gradients) == len(wanted.gradients):
            name, wanted, got = _worst_gradient(spec, answer, wanted, got)
            what = f"the value is right, but not its gradient with respect to {name}: "
        else:
            wanted, got = wanted.value, got.value
    if isinstance(got, (tuple, list)) and len(got) == 1 and _same(spec, got[0], wanted):
        return f"the value is right, but return {answers.kind(wanted)}, not {answers.kind(got)}"
    at, wanted, got = answers.difference(got, wanted, answers.Tolerance(spec.tolerance, spec.absolute))
    return f"{what}for case {case + 1}{_inputs(_cases(spec)[case])}{at} expected {wanted}, got {got}"


def _worst_gradient(
    spec: Exercise, answer: Callable[..., Any], wanted: Graded, got: Graded
) -> tuple[str, Tensor, Tensor]:
    """The argument whose gradient differs most, and both gradients."""
    found = [
        (float((theirs - ours).abs().max()), argument, theirs, ours)
        for one, other in zip(wanted.gradients, got.gradients, strict=True)
        for argument, groups in enumerate(zip(one, other, strict=True))
        for theirs, ours in zip(*groups, strict=True)
    ]
    _, argument, theirs, ours = max(found, key=lambda item: item[0])
    return _name(answer, spec.gradient_of[argument]), theirs, ours


def _name(answer: Callable[..., Any], place: int) -> str:
    """What the learner calls the argument."""
    try:
        parameters = list(inspect.signature(answer).parameters.values())[: place + 1]
    except (TypeError, ValueError):
        parameters = []
    named = len(parameters) > place and all(one.kind is not one.VAR_POSITIONAL for one in parameters)
    return parameters[place].name if named else f"argument {place + 1}"


def _inputs(case: tuple) -> str:
    """The arguments of a case, where they are short enough to be read."""
    text = answers.brief(case)
    shown = len(text) <= LONGEST_ARGUMENTS and not any(isinstance(item, Tensor) for item in case)
    return f", called with {text}," if shown else ""
