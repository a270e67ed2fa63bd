"""What a library's distillation loss is, measured on logits that are always the same."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.libraries.formulas import Loss, reference
from kdnotes.libraries.library import Call, installed
from kdnotes.libraries.shelf import get
from kdnotes.machine import isolated

TEMPERATURE, BATCH, CLASSES = 4.0, 64, 10
OTHER_SIZE = (2.0, 16, 7)  # a formula must also hold there


class Example(NamedTuple):
    """Logits ``[batch, classes]`` of a student and its teacher, and the labels ``[batch]``."""

    student: Tensor
    teacher: Tensor
    targets: Tensor


def example(batch: int = BATCH, classes: int = CLASSES) -> Example:
    """The logits on which everything is measured: a teacher that mostly knows the label, and a
    student that mostly follows it.

    The draws are numpy's ``RandomState``, whose stream is the same in every version.
    """
    checks.at_least(1)("batch", batch)
    checks.at_least(2)("classes", classes)
    draw = np.random.RandomState(0)
    targets = torch.from_numpy(draw.randint(classes, size=batch)).long()
    noise = torch.from_numpy(draw.standard_normal((2, batch, classes))).float()
    teacher = 2 * noise[0] + 4 * F.one_hot(targets, classes)
    return Example(teacher / 2 + noise[1], teacher, targets)


@dataclass(frozen=True)
class Ratios:
    """A library's loss against R = T²·KL(p_t‖p_s), on ``example()`` at T = 4.

    Args:
        loss: loss / R.
        gradient: length of its gradient in the student's logits, over that of R's.
        cosine: between the two gradients: 1 where they point the same way.
        formula_error: largest relative distance from the formula that is said to be its own, in
            loss and gradient, at two sizes and temperatures.
    """

    loss: float
    gradient: float
    cosine: float
    formula_error: float


@dataclass(frozen=True)
class Shares:
    """A whole loss as a sum: its gradient is labels·∇CE + distillation·∇R + a rest.

    Args:
        labels, distillation: the two weights.
        rest: length of what the sum leaves, over that of the whole gradient.
    """

    labels: float
    distillation: float
    rest: float


@dataclass(frozen=True)
class Measured:
    """What was found of a library that is installed here.

    Args:
        version: of its package.
        default, cured: of its two calls.
        weights: setting of its weight → what labels and teacher weigh then.
    """

    version: str
    default: Ratios
    cured: Ratios
    weights: dict[str, Shares]


def measure(name: str) -> Measured:
    """Run a library's calls. It is imported, and what it prints and warns of is left out.

    Raises:
        ValueError: there is no library of that name.
        ModuleNotFoundError: it is not installed.
        Exception: whatever the library itself raises.
    """
    library = get(name)
    with _quiet(), isolated(torch.device("cpu")):
        default, cured = ratios(library.default), ratios(library.cured)
        weights = {one.setting: shares(one.loss) for one in library.weights}
    return Measured(installed(library.package), default, cured, weights)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def gradient(loss: Loss, given: Example, temperature: float) -> tuple[Tensor, Tensor]:
    """A loss and its gradient in the student's logits, both detached."""
    student = given.student.clone().requires_grad_()
    value = loss(student, given.teacher.clone(), given.targets.clone(), temperature)
    return value.detach(), torch.autograd.grad(value, student)[0]


def ratios(call: Call) -> Ratios:
    """A call against R, and against its own formula."""
    given = example()
    value, slope = gradient(call.loss, given, TEMPERATURE)
    expected, direction = gradient(reference, given, TEMPERATURE)
    return Ratios(
        loss=float(value / expected),
        gradient=float(slope.norm() / direction.norm()),
        cosine=float(F.cosine_similarity(slope.flatten(), direction.flatten(), dim=0)),
        formula_error=_formula_error(call),
    )


def _formula_error(call: Call) -> float:
    errors = []
    for temperature, batch, classes in ((TEMPERATURE, BATCH, CLASSES), OTHER_SIZE):
        found, said = (
            gradient(loss, example(batch, classes), temperature)
            for loss in (call.loss, call.formula.value)
        )
        errors += [(one - two).norm() / two.norm() for one, two in zip(found, said, strict=True)]
    return float(max(errors))


def shares(loss: Loss, temperature: float = TEMPERATURE) -> Shares:
    """What labels and teacher weigh in a loss of both, by least squares of its gradient."""
    given = example()
    whole, *parts = (
        gradient(one, given, temperature)[1].flatten().double()
        for one in (loss, _labels, reference)
    )
    matrix = torch.stack(parts, dim=1)
    found = torch.linalg.lstsq(matrix, whole[:, None]).solution
    rest = (whole - (matrix @ found)[:, 0]).norm() / whole.norm()
    return Shares(*(float(one) for one in found[:, 0]), float(rest))


def _labels(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    return F.cross_entropy(student, targets)
