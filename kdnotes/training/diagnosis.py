"""What a training is refused for before it begins, and what went wrong where a loss is not finite.

A training checks its own arguments before the first step. Its losses look at all numbers of their
arguments in the first step of each epoch; in the other steps, which would take longer for it, at
kinds, shapes and single numbers. Each step's loss must be finite and depend on the student.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable

from torch import Tensor, nn

from kdnotes import checks
from kdnotes.data import Splits
from kdnotes.methods import Batch, Method
from kdnotes.models import StagedNet
from kdnotes.training.config import Config


class NotFiniteError(ValueError):
    """A loss became NaN or infinite."""


def loss_of(
    method: Method,
    batch: Batch,
    config: Config,
    when: str,
    *,
    first: bool,
    gradients: Iterable[Tensor] = (),
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of the method's terms, which is finite and has a gradient, and the terms.

    Args:
        when: the epoch and step, for messages.
        first: whether it is the first step of an epoch, in which losses look at all numbers.
        gradients: the student's, of the step before.

    Raises:
        ValueError: it is not so; the message names what became NaN or infinite first.
    """
    try:
        with contextlib.nullcontext() if first else checks.trusted():
            return _minimised(method, batch)
    except NotFiniteError:
        raise _explain(method, batch, config, when, gradients) from None
    except ValueError as error:  # a loss refuses an argument; the cause may lie before it
        if cause := _cause(method, batch, config, when, gradients):
            raise ValueError(cause) from error
        error.add_note(when)
        raise


def _minimised(method: Method, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """(To look at the loss waits for a GPU, once a step; to copy a batch there does so already.)"""
    terms = _check_terms(method, method.terms(batch))
    loss = sum(terms.values())
    if not math.isfinite(loss.item()):
        raise NotFiniteError
    if not loss.requires_grad:
        raise ValueError(
            f"terms of {type(method).__name__} must depend on the student's weights, but none has "
            "a "
            "gradient: are they computed under no_grad, or from detached logits?"
        )
    return loss, terms


def _explain(
    method: Method, batch: Batch, config: Config, when: str, gradients: Iterable[Tensor]
) -> ValueError:
    """Why the loss is not finite: once more, with the checks of all arguments."""
    if cause := _cause(method, batch, config, when, gradients):
        return ValueError(cause)
    try:
        return ValueError(_find_term(method, batch, config, when))
    except ValueError as error:
        error.add_note(when)
        return error


def _cause(
    method: Method, batch: Batch, config: Config, when: str, gradients: Iterable[Tensor]
) -> str:
    """What was NaN or infinite before the terms were computed; "" if nothing was."""
    lower = f"lower learning_rate ({config.learning_rate})"
    if not is_finite([batch.images]):
        return f"images of data.train are NaN or infinite, seen {when}"
    if not is_finite([batch.student_logits, *batch.features.values()]):
        if not is_finite(gradients):
            return (
                f"the student became NaN or infinite {when} through the gradient of the step "
                f"before, whose loss was finite: a term of {type(method).__name__} has no finite "
                f"derivative there, or {lower}"
            )
        return f"the student's logits became NaN or infinite {when}: {lower}"
    if not is_finite(method.parameters()):
        return (
            f"parameters of {type(method).__name__} itself became NaN or infinite {when}: {lower}"
        )
    return ""


def _find_term(method: Method, batch: Batch, config: Config, when: str) -> str:
    """Which term is NaN or infinite, of a student whose logits are not."""
    terms = method.terms(batch)
    total = sum(terms.values())
    name, term = next(((n, t) for n, t in terms.items() if not is_finite([t])), ("the sum", total))
    largest = float(batch.student_logits.detach().abs().max())
    advice = "look at what it is computed from: the student's logits are finite"
    if largest > 1e4:
        advice = (
            f"the student's logits have grown to {largest:.1e}: lower learning_rate "
            f"({config.learning_rate})"
        )
    return f"the term {name!r} of {type(method).__name__} became {term.item()} {when}: {advice}"


def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number of any tensor is NaN or infinite."""
    return all(bool(tensor.detach().isfinite().all()) for tensor in tensors)


def _check_terms(method: Method, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    if not isinstance(terms, dict) or not terms:
        found = f"{type(terms).__name__} {terms!r}"
        raise TypeError(f"terms of {type(method).__name__} must be a non-empty dict, not {found}")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            tensor = isinstance(term, Tensor)
            found = f"shape {list(term.shape)}" if tensor else type(term).__name__
            raise TypeError(
                f"terms of {type(method).__name__} must be scalar tensors, but {name!r} has {found}"
            )
    return terms


def check_fit(student: nn.Module, method: Method, data: Splits, config: Config) -> None:
    """Refuse, before anything is trained, arguments of ``fit`` that do not belong together."""
    checks.instance(nn.Module, said="a torch.nn.Module, built")("student", student)
    checks.instance(Method, said="a kdnotes.methods.Method")("method", method)
    checks.instance(Splits, said="a kdnotes.data.Splits")("data", data)
    checks.instance(Config, said="a kdnotes.training.Config")("config", config)
    for name in ("num_classes", "in_channels"):
        needs = getattr(data, name)
        has = getattr(student, name, needs)
        if has != needs:
            raise ValueError(
                f"student must have {name}={needs} for the data set {data.name!r}, not {has}"
            )
    if method.needs_features and not isinstance(student, StagedNet):
        wanted = f"a network with named stages for {type(method).__name__}, such as StudentNet"
        raise TypeError(f"student must be {wanted}")
    parameters = list(student.parameters())
    if any(parameter.is_meta for parameter in parameters):
        raise ValueError(
            "student must hold numbers, but it is on the device 'meta': build it without "
            "torch.device('meta')"
        )
    if not any(parameter.requires_grad for parameter in parameters):
        frozen = f"all of its {len(parameters)} are frozen: student.requires_grad_(True) thaws them"
        found = frozen if parameters else "it has none"
        raise ValueError(f"student must have parameters to train, but {found}")
    if len(data.train) < 2:
        raise ValueError(f"data.train must hold at least 2 images, not {len(data.train)}")
