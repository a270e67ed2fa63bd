"""What goes wrong with the libraries' losses, without the libraries.

The arithmetic is that of ``formulas``, which the tests hold against each library; all is measured
on ``example()``, or on logits like it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks, metrics
from kdnotes.libraries import formulas
from kdnotes.libraries.formulas import Formula, Loss, reference
from kdnotes.libraries.measuring import CLASSES, TEMPERATURE, Example, example, gradient, shares
from kdnotes.losses import kd_loss

SEEN = (0, 10, 30, 100, 300)  # steps at which a student is looked at
SAMPLES, FEATURES, STEP_SIZE = 256, 8, 0.05  # of the smallest student and teacher
_JUST_OUTSIDE = 1.0000002  # the second float32 above 1


def _each(name: str, values: Sequence[float], check: Callable[[str, float], None]) -> None:
    checks.instance(Sequence, said="a sequence of numbers")(name, values)
    for one in values:
        check(name, one)


def learning(
    losses: Mapping[str, Formula],
    temperature: float = TEMPERATURE,
    *,
    steps: Sequence[int] = SEEN,
    seed: int = 0,
) -> pd.DataFrame:
    """Does the student come to its teacher where the loss falls? The smallest student, a linear
    layer, is trained by Adam on a loss alone; its teacher is a linear layer of the same shape.

    Args:
        losses: name → formula, such as ``{"Keras' default": formulas.CLIPPED_LOGITS}``.
        temperature: T > 0.
        steps: after how many it is looked at.
        seed: of the student's first weights.

    Returns:
        One row a loss and number of steps: loss, step, its value, R = T²·KL(p_t‖p_s), and
        agreement, the share of samples where the student answers as its teacher.
    """
    checks.positive("temperature", temperature)
    checks.at_least(0)("seed", seed)
    checks.instance(Mapping, said="a mapping of names to formulas")("losses", losses)
    for name, formula in losses.items():
        checks.instance(Formula, said="a Formula")(f"losses[{name!r}]", formula)
    _each("steps", steps, checks.at_least(0))
    rows = []
    for name, formula in losses.items():
        rows += [{"loss": name, **row} for row in _learn(formula.value, temperature, steps, seed)]
    return pd.DataFrame(rows)


def _learn(loss: Loss, temperature: float, steps: Sequence[int], seed: int) -> list[dict]:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(SAMPLES, FEATURES, generator=draw)
    teacher = 3 * features @ _weights(draw)
    targets, weights = teacher.argmax(1), _weights(torch.Generator().manual_seed(seed + 1))
    optimiser, rows = torch.optim.Adam([weights.requires_grad_()], lr=STEP_SIZE), []
    for step in range(max(steps, default=-1) + 1):
        student = features @ weights
        value = loss(student, teacher, targets, temperature)
        if step in steps:
            now = student.detach()
            seen = {"step": step, "value": float(value.detach())}
            seen["R"] = float(kd_loss(now, teacher, temperature))
            rows.append(seen | {"agreement": metrics.agreement(now, teacher)})
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return rows


def _weights(draw: torch.Generator) -> Tensor:
    return torch.randn(FEATURES, CLASSES, generator=draw) / FEATURES**0.5


def by_classes(
    classes: Sequence[int] = (10, 100, 1000), temperature: float = TEMPERATURE
) -> pd.DataFrame:
    """The mean over samples *and* classes against R, by the number of classes: modelopt's default,
    and ``F.kl_div(..., reduction="mean")`` anywhere.

    Returns:
        One row a number of classes: classes, loss / R, gradient / R.
    """
    checks.positive("temperature", temperature)
    _each("classes", classes, checks.at_least(2))
    rows = []
    for count in classes:
        given = example(classes=count)
        found, expected = (
            gradient(one, given, temperature) for one in (formulas.over_elements, reference)
        )
        ratios = [float(one.norm() / two.norm()) for one, two in zip(found, expected, strict=True)]
        rows.append({"classes": count, "loss / R": ratios[0], "gradient / R": ratios[1]})
    return pd.DataFrame(rows)


def weighed_as_torchdistill(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float, alpha: float
) -> Tensor:
    """α·CE + (1 − α)·T²·KL, but KL alone where α is 0: the rule of torchdistill's ``KDLoss``."""
    divergence = formulas.unscaled(student, teacher, targets, temperature)
    if alpha == 0:
        return divergence
    labels = F.cross_entropy(student, targets)
    return alpha * labels + (1 - alpha) * temperature**2 * divergence


def by_alpha(
    alphas: Sequence[float] = (0.0, 1e-9, 0.1, 0.5), temperature: float = TEMPERATURE
) -> pd.DataFrame:
    """What labels and teacher weigh in torchdistill's ``KDLoss``, by α: it jumps at 0.

    Returns:
        One row an α: alpha, labels, distillation: the loss is labels·CE + distillation·R.
    """
    checks.positive("temperature", temperature)
    _each("alphas", alphas, checks.fraction)
    rows = []
    for alpha in alphas:
        found = shares(functools.partial(weighed_as_torchdistill, alpha=alpha), temperature)
        row = {"labels": found.labels, "distillation": found.distillation}
        rows.append({"alpha": alpha, **row})
    return pd.DataFrame(rows)


def near_the_teacher(
    temperature: float = 20.0, classes: int = 1000, distance: float = 0.05
) -> pd.DataFrame:
    """R of a student whose logits are its teacher's but for a little noise, in three ways of
    computing with logits that are bfloat16 numbers.

    Args:
        temperature: T > 0.
        classes: K.
        distance: standard deviation of the noise.

    Returns:
        One row a way: way; loss / R, R being computed in float64 from the same logits; and cosine,
        between the gradient and R's.
    """
    checks.positive("temperature", temperature)
    checks.at_least(2)("classes", classes)
    checks.positive("distance", distance)
    near = _near(classes, distance)
    expected, direction = _slope(near, temperature, torch.float64)
    rows = []
    for way, dtype, autocast in (
        ("in bfloat16", torch.bfloat16, False),
        ("autocast to bfloat16", torch.bfloat16, True),
        ("cast to float32 first", torch.float32, False),
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value, slope = _slope(near, temperature, dtype)
        cosine = F.cosine_similarity(slope.double().flatten(), direction.flatten(), dim=0)
        ratio = float(value.double() / expected)
        rows.append({"way": way, "loss / R": ratio, "cosine": float(cosine)})
    return pd.DataFrame(rows)


def _near(classes: int, distance: float) -> Example:
    given = example(classes=classes)
    noise = torch.randn(given.teacher.shape, generator=torch.Generator().manual_seed(0))
    student, teacher = (
        logits.bfloat16() for logits in (given.teacher + distance * noise, given.teacher)
    )
    return Example(student, teacher, given.targets)


def _slope(given: Example, temperature: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """R and its gradient, of logits that are changed to a type first."""
    cast = Example(given.student.to(dtype), given.teacher.to(dtype), given.targets)
    return gradient(reference, cast, temperature)


def normalised_as_torchmetrics(values: Tensor) -> Tensor:
    """Softmax of *all* rows ``[N, K]`` if any entry lies outside [0, 1], and nothing otherwise: how
    torchmetrics' calibration error tells logits from probabilities.
    """
    outside = bool(((values < 0) | (values > 1)).any())
    return F.softmax(values, dim=1) if outside else values


def calibration_error() -> pd.DataFrame:
    """The calibration error of one network, given to torchmetrics in four ways.

    Returns:
        One row a way: given; read as, "probabilities" or "logits"; ECE, with 15 bins.
    """
    _, teacher, targets = example(batch=2000)
    probabilities = F.softmax(teacher, dim=1)
    one_outside = probabilities.clone()
    one_outside[0, probabilities[0].argmax()] = _JUST_OUTSIDE
    rows = []
    for given, values in (
        ("logits", teacher),
        ("probabilities", probabilities),
        (f"probabilities, one of them {_JUST_OUTSIDE}", one_outside),
        ("logits moved into [0, 1]", (teacher - teacher.min()) / (teacher.max() - teacher.min())),
    ):
        read = normalised_as_torchmetrics(values)
        as_logits = read is not values
        error = metrics.expected_calibration_error(read.clamp_min(1e-30).log(), targets)
        rows.append(
            {"given": given, "read as": "logits" if as_logits else "probabilities", "ECE": error}
        )
    return pd.DataFrame(rows)


def unused_temperature(temperatures: Sequence[float] = (1.0, 2.0, 4.0, 8.0)) -> pd.DataFrame:
    """The loss of TRL's ``GKDTrainer`` by its ``temperature``, beside that of a loss that has it.

    Returns:
        One row a T: T; loss, which does not move; at T, the same divergence with the temperature.
    """
    _each("temperatures", temperatures, checks.positive)
    given = example()
    rows = []
    for temperature in temperatures:
        fixed, moved = (
            float(one(*given, temperature))
            for one in (formulas.jensen_shannon_at_one, formulas.jensen_shannon)
        )
        rows.append({"T": temperature, "loss": fixed, "at T": moved})
    return pd.DataFrame(rows)
