"""Families of wrong and right answers, made for every exercise from its reference.

Most of a family's answers are the reference with something done to its arguments, to its result or
to the torch functions that it calls; what needs the inside of an answer is in ``sweep_answers``. An
answer that is meant to be wrong but equals the reference, in value and gradient, on all probes is
no wrong answer there: probes are the exercise's own cases and these with logits of ±10⁴.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from sweep_answers import BOUNDARIES, FORMS, PARTS, WRONG
from torch import Tensor

from kdnotes.course import answers, check, mistakes, order
from kdnotes.course.attempt import Exercise

Answer = Callable[..., Any]
# By the name of the class, which an exercise keeps when its chapter moves.
ALL: dict[str, Exercise] = {}
NUMBERS: dict[str, str] = {}
for chapter in sorted(order.CHAPTERS):
    module = importlib.import_module(f"kdnotes.course.exercises.{chapter}")
    for place, spec in module.EXERCISES.items():
        ALL[type(spec).__name__] = spec
        NUMBERS[type(spec).__name__] = f"{order.number(chapter):02d}.{place}"
LARGE = 1e4
DISTANCE = (
    3  # tolerances of the checker: an answer that is nearer to the reference is not called wrong
)
LOG_SOFTMAX, LOGSUMEXP, SOFTMAX = F.log_softmax, torch.logsumexp, F.softmax


def checked(name: str, answer: Answer) -> bool:
    """The checker's verdict on an answer to the exercise of this name."""
    return check.exercise(NUMBERS[name], answer)


# The tools of the families


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The value with something done to each of its floating-point tensors and floats."""
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(one, change) for one in value)
    if isinstance(value, Tensor):
        return change(value) if value.is_floating_point() else value
    return change(torch.tensor(value, dtype=torch.double)).item() if type(value) is float else value


def changed_result(change: Callable[[Tensor], Any]) -> Callable[[str], Iterator[Answer]]:
    def family(name: str) -> Iterator[Answer]:
        yield lambda *case: mapped(ALL[name].reference(*case), change)

    return family


def patched(**functions: Callable) -> Callable[[str], Iterator[Answer]]:
    """The reference with other arithmetic for log_softmax, logsumexp or softmax."""

    def family(name: str) -> Iterator[Answer]:
        def answer(*case):
            with contextlib.ExitStack() as stack:
                for attribute, function in functions.items():
                    for place in (F, torch, Tensor):
                        if hasattr(place, attribute):
                            stack.enter_context(mock.patch.object(place, attribute, function))
                if "log_softmax" in functions:
                    stack.enter_context(mock.patch.object(F, "cross_entropy", _cross_entropy))
                return ALL[name].reference(*case)

        yield answer

    return family


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return F.nll_loss(F.log_softmax(logits, dim=1), targets, reduction=reduction)


def guarded(guard: Callable[[Tensor], Tensor]) -> Callable[[str], Iterator[Answer]]:
    """log(softmax) with ``guard`` before the logarithm, for log_softmax and for logsumexp."""
    return patched(
        log_softmax=lambda z, dim=1: guard(SOFTMAX(z, dim=dim)).log(),
        logsumexp=lambda z, dim=1, keepdim=False: (
            guard((z - z.detach().amax(dim, keepdim=True)).exp().sum(dim, keepdim=keepdim)).log()
            + z.detach().amax(dim, keepdim=keepdim)
        ),
    )


# Wrong answers


def reversed_gradient(name: str) -> Iterator[Answer]:
    yield lambda *case: mapped(ALL[name].reference(*case), lambda one: 2 * one.detach() - one)


def as_numbers(name: str) -> Iterator[Answer]:
    """The values of a loss as Python numbers."""
    if name in PARTS:
        yield lambda *case: mapped(ALL[name].reference(*case), Tensor.tolist)


def parts(change: Callable[[Tensor], Tensor]) -> Callable[[str], Iterator[Answer]]:
    """Each part of a loss, in turn, changed, and the others as they are."""

    def family(name: str) -> Iterator[Answer]:
        for place in range(len(PARTS.get(name, ()))):
            yield lambda *case, place=place: _total(
                [
                    mapped(part(*case), change) if i == place else part(*case)
                    for i, part in enumerate(PARTS[name])
                ]
            )

    return family


def scaled_parts(name: str) -> Iterator[Answer]:
    """Each part by T², 1/T², T, 1/T, B, 1/B, K, 1/K: slips of mean and temperature in one term."""
    for place, factor in itertools.product(range(len(PARTS.get(name, ()))), _FACTORS):
        yield lambda *case, place=place, factor=factor: _total(
            [
                mapped(part(*case), lambda one: one * factor(name, case))
                if i == place
                else part(*case)
                for i, part in enumerate(PARTS[name])
            ]
        )


def _total(terms: list[Any]) -> Any:
    if isinstance(terms[0], (tuple, list)):
        return [sum(items) for items in zip(*terms, strict=True)]
    return sum(terms)


def _temperature(name: str, case: tuple) -> float:
    place = ALL[name].temperature
    return 1.0 if place is None else case[place]


def _size(name: str, case: tuple, axis: int) -> int:
    places = ALL[name].logits
    first = case[places[0]] if places else None
    first = first[0] if isinstance(first, list) else first
    return first.shape[axis] if isinstance(first, Tensor) else 1


_FACTORS = (
    lambda name, case: _temperature(name, case) ** 2,
    lambda name, case: _temperature(name, case) ** -2,
    lambda name, case: _temperature(name, case),
    lambda name, case: 1 / _temperature(name, case),
    lambda name, case: _size(name, case, 0),
    lambda name, case: 1 / _size(name, case, 0),
    lambda name, case: _size(name, case, -1),
    lambda name, case: 1 / _size(name, case, -1),
)


def scaled(name: str) -> Iterator[Answer]:
    """The whole result by T, B and K, and by 2, 1/2 and −1."""
    for factor in (*_FACTORS, *(lambda name, case, k=k: k for k in (2.0, 0.5, -1.0))):
        yield lambda *case, factor=factor: mapped(
            ALL[name].reference(*case), lambda one: one * factor(name, case)
        )


def half_precision(name: str) -> Iterator[Answer]:
    """Logits and what is made of them in float16, and a result of eight bits, as of bfloat16."""

    def answer(*case):
        halves = [
            mapped(one, Tensor.half) if i in ALL[name].logits else one for i, one in enumerate(case)
        ]
        return mapped(ALL[name].reference(*halves), lambda one: one.bfloat16().float())

    yield answer


def nan_at_extremes(name: str) -> Iterator[Answer]:
    def answer(*case):
        logits = [one for place in ALL[name].logits for one in _tensors(case[place])]
        large = any(float(one.detach().abs().max()) > LARGE / 10 for one in logits)
        return mapped(
            ALL[name].reference(*case), lambda one: one * (float("nan") if large else 1.0)
        )

    yield answer


def one_off(name: str) -> Iterator[Answer]:
    """Each whole number among the arguments, and each of the result, one more or one less."""
    for place, step in itertools.product(range(len(ALL[name].cases()[0])), (-1, 1)):
        if type(ALL[name].cases()[0][place]) is int:
            yield lambda *case, place=place, step=step: ALL[name].reference(
                *(one + step if i == place else one for i, one in enumerate(case))
            )
    for step in (-1, 1):
        yield lambda *case, step=step: _moved(ALL[name].reference(*case), step)


def _moved(value: Any, step: int) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_moved(one, step) for one in value)
    whole = (isinstance(value, Tensor) and not value.is_floating_point()) or type(value) is int
    return value + step if whole else value


def ignored_argument(name: str) -> Iterator[Answer]:
    """Each number among the arguments as in the first case; and only where it is not 0."""
    first = ALL[name].cases()[0]
    for place, frozen in enumerate(first):
        if type(frozen) in (int, float, str):
            for always in (True, False):
                yield lambda *case, place=place, frozen=frozen, always=always: ALL[name].reference(
                    *(
                        frozen if i == place and (always or one) else one
                        for i, one in enumerate(case)
                    )
                )


def exchanged_arguments(name: str) -> Iterator[Answer]:
    """Two arguments of one kind and shape exchanged."""
    first = ALL[name].cases()[0]
    for i, j in itertools.combinations(range(len(first)), 2):
        if _sort(first[i]) == _sort(first[j]):
            yield lambda *case, i=i, j=j: ALL[name].reference(
                *(case[j] if k == i else case[i] if k == j else one for k, one in enumerate(case))
            )


def _sort(value: Any) -> tuple:
    if isinstance(value, Tensor):
        return Tensor, value.dtype, value.shape
    return (list, len(value)) if isinstance(value, list) else (type(value),)


def nearly(name: str) -> Iterator[Answer]:
    """Half a per cent too much or too little; rounded to two digits after the point."""
    for change in (
        lambda one: 1.005 * one,
        lambda one: 0.995 * one,
        lambda one: (one * 100).round() / 100,
    ):
        yield lambda *case, change=change: mapped(ALL[name].reference(*case), change)


def first_case(name: str) -> Iterator[Answer]:
    """The right result of the first case, whatever the case."""
    spec = ALL[name]
    yield lambda *case: spec.reference(*spec.cases()[0])


def alike(name: str) -> list[int]:
    """Places of the arguments of which one value besides 0, or one shape, would always do."""
    return [
        place
        for place, values in enumerate(zip(*ALL[name].cases(), strict=True))
        if _one_form(values)
    ]


def _one_form(values: tuple) -> bool:
    values = [one for one in values if type(one) not in (int, float) or one]
    return (
        len({str(tuple(one.shape)) if isinstance(one, Tensor) else repr(one) for one in values})
        == 1
    )


def listed(table: dict[str, tuple[Answer, ...]]) -> Callable[[str], Iterator[Answer]]:
    return lambda name: iter(table.get(name, ()))


# Right answers in other forms


def in_doubles(name: str) -> Iterator[Answer]:
    """Computed in double precision from the first line on."""
    if ALL[name].logits:
        yield lambda *case: ALL[name].reference(*(_doubled(one) for one in case))


def _doubled(item: Any) -> Any:
    return item if type(item) is float else mapped(item, Tensor.double)


def other_precision(name: str) -> Iterator[Answer]:
    yield lambda *case: mapped(ALL[name].reference(*case), lambda one: one.double())
    yield lambda *case: mapped(ALL[name].reference(*case), lambda one: one.float())


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or (isinstance(value, Tensor) and value.ndim == 0)


def other_numbers(name: str) -> Iterator[Answer]:
    """A number as a NumPy scalar or array, or a tensor of no or one axis; whole ones as floats."""
    value = ALL[name].reference(*ALL[name].cases()[0])
    if type(value) not in (int, float):
        return
    forms = (
        float,
        np.float64,
        np.array,
        torch.tensor,
        lambda n: np.array([n]),
        lambda n: torch.tensor([n]),
    )
    for form in (*forms, *((np.int64, np.int32) if type(value) is int else ())):
        yield lambda *case, form=form: form(ALL[name].reference(*case))


def one_axis_more(name: str) -> Iterator[Answer]:
    """A scalar tensor of shape [1]."""
    if isinstance(ALL[name].reference(*ALL[name].cases()[0]), Tensor):
        yield lambda *case: _with_axis(ALL[name].reference(*case))


def _with_axis(value: Tensor) -> Tensor:
    return value.reshape(1) if value.ndim == 0 else value


def other_sequences(name: str) -> Iterator[Answer]:
    """A tuple as a list, an array or a tensor and back; tensors without gradient likewise."""
    spec = ALL[name]
    value = spec.reference(*spec.cases()[0])
    if isinstance(value, (tuple, list)):
        yield lambda *case: list(spec.reference(*case))
        yield lambda *case: tuple(spec.reference(*case))
        if all(isinstance(one, Tensor) and one.shape == value[0].shape for one in value):
            yield lambda *case: torch.stack(list(spec.reference(*case)))
        if all(type(one) in (int, float) for one in value):
            yield lambda *case: np.array(spec.reference(*case))
            yield lambda *case: torch.tensor(spec.reference(*case), dtype=torch.double)
            yield lambda *case: [float(one) for one in spec.reference(*case)]
            yield lambda *case: [torch.tensor([one]) for one in spec.reference(*case)]
    elif isinstance(value, Tensor) and value.ndim and name not in NEEDS_TENSOR:
        yield lambda *case: spec.reference(*case).detach().numpy()
        yield lambda *case: spec.reference(*case).detach().tolist()
        yield lambda *case: tuple(spec.reference(*case).detach().tolist())


# A student's targets; tensors whose gradient is asked for.
NEEDS_TENSOR = (
    "TeacherOutputs", "Standardised", "AttentionMap", "RelativeDistances", "SimilarityRows",
    "JointAnswer",
)  # fmt: skip
BY_CONSTRUCTION = ("boundaries", "of its own")  # wrong, whatever the cases show

WRONG_FAMILIES: dict[str, Callable[[str], Iterator[Answer]]] = {
    "detached": changed_result(lambda one: one.detach()),
    "reversed gradient": reversed_gradient,
    "numbers without gradient": as_numbers,
    "a part detached": parts(lambda one: one.detach()),
    "a part reversed": parts(lambda one: 2 * one.detach() - one),
    "a part missing": parts(lambda one: 0 * one),
    "a part counted twice": parts(lambda one: 2 * one),
    "a part scaled by T, B, K": scaled_parts,
    "scaled by T, B, K, 2": scaled,
    "log of a softmax": guarded(lambda p: p),
    "softmax of exp": patched(softmax=lambda z, dim=1: z.exp() / z.exp().sum(dim, keepdim=True)),
    "ε = 1e-5 in the log": guarded(lambda p: p + 1e-5),
    "ε = 1e-8 in the log": guarded(lambda p: p + 1e-8),
    "ε = 1e-12 in the log": guarded(lambda p: p + 1e-12),
    "clamp in the log": guarded(lambda p: p.clamp(min=1e-7)),
    "half precision": half_precision,
    "NaN at the extremes": nan_at_extremes,
    "off by one": one_off,
    "an argument ignored": ignored_argument,
    "arguments exchanged": exchanged_arguments,
    "nearly right": nearly,
    "first case for all": first_case,
    "boundaries": listed(BOUNDARIES),
    "of its own": listed(WRONG),
}
RIGHT_FAMILIES: dict[str, Callable[[str], Iterator[Answer]]] = {
    "in doubles": in_doubles,
    "other precision": other_precision,
    "other numbers": other_numbers,
    "shape [1]": one_axis_more,
    "other sequences": other_sequences,
    "other ways": listed(FORMS),
}


# The verdicts


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (tuple, list)):
        return [one for item in value for one in _tensors(item)]
    return [value] if isinstance(value, Tensor) and value.is_floating_point() else []


def probes(name: str) -> list[tuple]:
    """The exercise's cases, its extremes, and its cases with the logits stretched to ±10⁴."""
    spec = ALL[name]
    own = [*spec.cases(), *spec.extremes()]
    if not ALL[name].logits:
        return own
    return own + [
        tuple(
            _stretched(one) if place in ALL[name].logits else one for place, one in enumerate(case)
        )
        for case in spec.cases()
    ]


def _stretched(logits: Any) -> Any:
    largest = max(float(one.detach().abs().max()) for one in _tensors([logits]))
    return mapped(logits, lambda one: one.detach() * (LARGE / largest))


def differs(name: str, answer: Answer) -> bool:
    """Whether the answer differs from the reference, in value or gradient, on any probe."""
    spec = ALL[name]
    tolerance = answers.Tolerance(DISTANCE * spec.tolerance, DISTANCE * spec.absolute)
    for case, expected in zip(probes(name), _expected(name), strict=True):
        try:
            given = _outcome(spec, answer, case)
        except Exception:
            return True  # an answer that stops is not right
        if not answers.same(given, expected, tolerance):
            return True
    return False


@functools.cache
def _expected(name: str) -> list[Any]:
    return [_outcome(ALL[name], ALL[name].reference, case) for case in probes(name)]


def _outcome(spec: Exercise, function: Answer, case: tuple) -> Any:
    case = tuple(
        answers.leaf(one) if place in spec.gradient_of else one for place, one in enumerate(case)
    )
    value = function(*case)
    if spec.gradient_of:
        value = answers.graded(value, [case[place] for place in spec.gradient_of])
    return spec.observe(value)


def judged(exercise: Callable[[str, Answer], bool], name: str, answer: Answer) -> bool:
    """The checker's verdict, without the search for what is wrong, and without what it prints."""
    unnamed = mock.patch.object(mistakes, "named", return_value=None)
    with unnamed, contextlib.redirect_stdout(io.StringIO()):
        return exercise(name, answer)


def cell(exercise: Callable[[str, Answer], bool], name: str, family: str) -> str:
    """What a family gets: "-" no such answer, "=" all equal the reference, "3" all judged rightly.

    If some are not, "2 accepted of 3" or "2 refused of 3".
    """
    wrong = family in WRONG_FAMILIES
    made = list((WRONG_FAMILIES if wrong else RIGHT_FAMILIES)[family](name))
    if not made:
        return "-"
    tried = [one for one in made if not wrong or family in BY_CONSTRUCTION or differs(name, one)]
    if not tried:
        return "="
    misjudged = sum(judged(exercise, name, answer) == wrong for answer in tried)
    return (
        f"{misjudged} {'accepted' if wrong else 'refused'} of {len(tried)}"
        if misjudged
        else str(len(tried))
    )
