"""What is wrong with an answer: a trap of the exercise, or a mistake that many exercises share.

A shared mistake exists once. It is a sentence and a *change* (``changes``), which is tried on the
whole answer and on each of its parts while the others stay right; what an exercise says of its
arguments decides which are tried. None of this decides whether an answer is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from kdnotes.course import answers, slips
from kdnotes.course.attempt import Attempt, Function, sentence
from kdnotes.course.changes import Change, Mistake, exchange, first_made, on_arguments, on_result

__all__ = ["CUT_OFF", "NOT_FINITE", "named"]

NOT_FINITE = (
    "right for ordinary logits, but NaN or infinite, in value or gradient, where they reach ±10⁴; "
    "logarithms of probabilities come from log_softmax and logsumexp, never from a softmax"
)
CUT_OFF = (
    "right for ordinary logits, but wrong, in value or gradient, at the extremes (logits of ±10⁴, "
    "probabilities near 0 and 1); an ε or a clamp inside a logarithm cuts off what lies below it: "
    "log_softmax and logsumexp need none"
)
# Of a part of a loss: its factor in the value, its factor in the gradient, and what to say.
PART_FACTORS = (
    (1, 0, "the value is right, but {part} sends no gradient to {name}: it is detached"),
    (1, -1, "the value is right, but the gradient of {part} is reversed"),
    (0, 0, "{part} is missing"),
    (2, 2, "{part} is counted twice"),
    (-1, -1, "{part} has the wrong sign"),
)
REVERSED = "the value is right, but its gradient is reversed: training would make the loss larger"
# {what} is the result, or one of its parts.
DIRECTION = (
    "in {what} the student's and the teacher's logits are exchanged: the KL is the wrong way "
    "round; the teacher's distribution comes first, KL(p_t ‖ p_s)"
)
# Of some logits: a power of T that they are multiplied by, and what to say.
SOFTENINGS = {
    1: "in {{what}} {names} should be divided by T before the softmax",
    2: "in {{what}} {names} should be divided by T, not multiplied",
    -1: "in {{what}} {names} should not be divided by T, or once less",
}
TEMPERATURE_POWERS = {
    -2: "{what} is too small by T²: with T² it does not fade as the temperature grows",
    -1: "{what} is too small by T: count its factors, T² of a loss and 1/T of a derivative",
    1: "{what} is too large by T: count its factors, T² of a loss and 1/T of a derivative",
    2: "{what} is too large by T²: count its factors",
}
# Of the axes of the first logits, the batch and the classes, and a power of their size.
SIZE_POWERS = {
    (0, 1): "{what} is too large by the batch size: take the mean over the samples, not the sum",
    (0, -1): "{what} is too small by the batch size: take the mean over the samples once",
    (1, 1): "{what} is too large by the number of classes",
    (1, -1): "{what} is too small by the number of classes: sum over them, and take the mean over "
    "the samples alone (F.kl_div's reduction 'batchmean' does that, 'mean' divides by both)",
}
FACTORS = {
    -1: "{what} has the wrong sign",
    2: "{what} is twice as large as it should be",
    0.5: "{what} is half as large as it should be",
    100: "{what} is in per cent: return a fraction",
}


def named(attempt: Attempt) -> str | None:
    """What to say of the first trap or shared mistake that a wrong answer is, if any."""
    trap = next((trap for trap in attempt.spec.traps if attempt.makes(trap)), None)
    if trap:
        return sentence(trap)
    of_losses = (_at_extremes, _of_parts, _of_gradients, _of_size)
    of_all = (slips.in_form, slips.in_arguments, slips.unused, slips.in_precision)
    return next(filter(None, (find(attempt) for find in (*of_losses, *of_all))), None)


# Pieces of an answer


def _weigh(value: int, gradient: int) -> Change:
    """The value times one factor, its gradient times another."""
    return on_result(lambda one, case: gradient * one + (value - gradient) * one.detach())


def _pieces(attempt: Attempt) -> list[tuple[str, Callable[[Change], Function]]]:
    """The result and each part: its name, and what makes a wrong answer of a change of it."""
    reference = attempt.spec.reference

    def in_part(part: Function) -> Callable[[Change], Function]:
        def others(*case: Any) -> Any:
            return answers.plus(reference(*case), part(*case), -1)

        return lambda change: lambda *case: answers.plus(others(*case), change(part)(*case), 1)

    parts = [(name, in_part(part)) for name, part in attempt.spec.parts().items()]
    return [("the result", lambda change: change(reference)), *parts]


# Extremes, parts and gradients


def _at_extremes(attempt: Attempt) -> str | None:
    if not attempt.spec.logits or not attempt.right_on_ordinary_cases:
        return None
    return CUT_OFF if all(map(answers.finite, attempt.given)) else NOT_FINITE


def _of_parts(attempt: Attempt) -> str | None:
    """A part that is detached, reversed, missing, doubled or negated."""
    for (name, put), part in zip(_pieces(attempt)[1:], attempt.spec.parts().values(), strict=True):
        for value, gradient, text in PART_FACTORS:
            if attempt.makes(put(_weigh(value, gradient))):
                reached = _reached(attempt, list(attempt.outcomes(part)))
                names = " and ".join(itertools.compress(_names(attempt), reached))
                return text.format(part=name, name=names)
    return None


def _of_gradients(attempt: Attempt) -> str | None:
    """What is wrong with the gradients, where the values are right."""
    pairs = list(zip(attempt.given, attempt.expected, strict=True))
    if not attempt.is_graded or not all(attempt.same(a.value, b.value) for a, b in pairs):
        return None
    names = _names(attempt)
    arrives, wanted = _reached(attempt, attempt.given), _reached(attempt, attempt.expected)
    if any(wanted) and not any(arrives):
        needing = " or ".join(itertools.compress(names, wanted))
        return (
            f"the value is right, but no gradient reaches {needing}: do not detach, and "
            "return the tensor itself, not a number made of it"
        )
    for name, is_there, needed in zip(names, arrives, wanted, strict=True):
        if needed and not is_there:
            return f"the value is right, but no gradient reaches {name}: do not detach it"
        if is_there and not needed:
            return f"the value is right, but a gradient reaches {name}: detach it, a constant here"
    return first_made(attempt, [(REVERSED, _weigh(1, -1))])


def _names(attempt: Attempt) -> list[str]:
    return [attempt.name(place) for place in attempt.spec.gradient_of]


def _reached(attempt: Attempt, outcomes: list[Any]) -> list[bool]:
    """For each differentiated argument, whether any gradient arrives there."""
    return [
        any(
            bool((one != 0).any())
            for outcome in outcomes
            for groups in outcome.gradients
            for one in groups[place]
        )
        for place in range(len(attempt.spec.gradient_of))
    ]


# Sizes, temperature and direction, of the result and of its parts


def _of_size(attempt: Attempt) -> str | None:
    mistakes = [*_factors(attempt), *_directions(attempt), *_softenings(attempt)]
    made = (
        text.format(what=what)
        for what, put in _pieces(attempt)
        for text, change in mistakes
        if attempt.makes(put(change))
    )
    return next(made, None)


def _factors(attempt: Attempt) -> Iterator[Mistake]:
    logits, temperature = attempt.spec.logits, attempt.spec.temperature
    if temperature is not None:
        for power, text in TEMPERATURE_POWERS.items():
            yield text, on_result(lambda one, case, p=power: one * case[temperature] ** p)
    if logits:
        for (axis, power), text in SIZE_POWERS.items():
            size = _size_of(logits[0], axis)
            yield text, on_result(lambda one, case, size=size, p=power: one * size(case) ** p)
    for factor, text in FACTORS.items():
        yield text, on_result(lambda one, case, factor=factor: one * factor)


def _size_of(place: int, axis: int) -> Callable[[tuple], float]:
    """The size of an axis of the logits ``[batch, classes]`` at a place, or of a list of them; of
    ``[batch, length, classes]`` that of the classes, as a mean is over places, not over the batch.
    """

    def size(case: tuple) -> float:
        logits = case[place][0] if isinstance(case[place], list) else case[place]
        is_known = logits.ndim == 2 or (axis == 1 and logits.ndim == 3)
        return float(logits.shape[-1 if axis else 0]) if is_known else 1.0

    return size


def _directions(attempt: Attempt) -> Iterator[Mistake]:
    pair = attempt.spec.logits[:2]
    if len(pair) == 2:
        yield DIRECTION, exchange(*pair)


def _softenings(attempt: Attempt) -> Iterator[Mistake]:
    logits, temperature = attempt.spec.logits, attempt.spec.temperature
    if temperature is None:
        return
    chosen = [places for size in (1, 2) for places in itertools.combinations(logits, size)]
    for (power, text), places in itertools.product(SOFTENINGS.items(), chosen):
        names = " and ".join(attempt.name(place) for place in places)
        change = on_arguments(places, lambda one, case, p=power: one * case[temperature] ** p)
        yield text.format(names=names), change
