"""Sliders on the logits of one sample: the temperature, the two gradients, and DKD's two terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks, losses
from kdnotes.show.interactive.drawing import (
    LEFT,
    WIDTH,
    Scale,
    bars,
    box,
    legend,
    row_names,
    shape,
    text,
    ticks,
)  # fmt: skip
from kdnotes.show.interactive.page import Picture, Slider, show_sliders
from kdnotes.show.interactive.sample import (
    check_names,
    drawn_classes,
    gradient,
    one_pair,
    one_row,
    positions,
)  # fmt: skip
from kdnotes.show.palette import COLORS, GREY

__all__ = ["decoupled_slider", "gradient_slider", "temperature_slider"]

LABELS, TEACHER, BOTH = COLORS[0], COLORS[4], COLORS[2]
AXIS = "← a step raises it · gradient · lowers it →"
TEMPERATURES = (1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20)


def temperature_slider(
    logits: Sequence[float] | Tensor,
    classes: Sequence[str],
    *,
    start: float = 1.0,
    low: float = 0.5,
    high: float = 20.0,
) -> None:
    """Display bars of softmax(z / T) with a slider for T.

    Args:
        logits: z, ``[classes]``: a list or a tensor. Of more than 12, the 12 largest are drawn.
        classes: one name a logit.
        start: the temperature at first, in low … high.
        low, high: ends of the slider, which is logarithmic.

    Raises:
        ValueError: fewer than two logits, one that is not finite, another number of names, or a
            temperature that is not 0 < low ≤ start ≤ high < ∞.
    """
    z = one_row("logits", logits)
    check_names(classes, z)
    if not 0 < low <= start <= high < math.inf:
        order = f"0 < {low} ≤ {start} ≤ {high} < ∞"
        raise ValueError(f"start must lie between low and high, {order} does not hold")
    temperatures, first = positions(start, [float(f"{t:.3g}") for t in np.geomspace(low, high, 40)])
    rows = drawn_classes(z)
    probability, step = Scale(0, 1, LEFT, WIDTH - 60), 20

    def draw(at: int) -> Picture:
        p = losses.soften(z, temperatures[at])[0]
        shown = p[rows].tolist()
        entropy = float(torch.special.entr(p).sum())
        numbers = "".join(
            text(WIDTH, step * row + step / 2 + 3, f"{value:.4f}", anchor="end")
            for row, value in enumerate(shown)
        )
        drawn = shape(bars(probability, shown, 3, step, step - 6), fill=COLORS[0])
        said = f"T = {temperatures[at]:.3g}: entropy {entropy:.3f} of at most "
        return Picture([ground, drawn, numbers], f"{said}{math.log(len(p)):.3f} nats.")

    names = [classes[row] for row in rows]
    ground = row_names(names, 0, step) + shape(
        "".join(box(LEFT, step * row + 3, WIDTH - 60, step * row + step - 3)
                for row in range(len(rows))), fill=f"{GREY}33"
    )  # fmt: skip
    slider = Slider("Temperature T", [f"{t:.3g}" for t in temperatures], first)
    description = "Bars of the probability of each class at a temperature."
    show_sliders(description, step * len(rows), [slider], draw)


def gradient_slider(
    student_logits: Sequence[float] | Tensor,
    teacher_logits: Sequence[float] | Tensor,
    target: int,
    classes: Sequence[str],
    *,
    alpha: float = 0.5,
    temperature: float = 4.0,
) -> None:
    """Display what the label and the teacher each ask of every student logit, with sliders for α
    and T.

    The bars are the gradients with respect to z_s of α·CE, which is α·(p_s − y), of
    (1 − α)·T²·KL(p_t ‖ p_s), which is (1 − α)·T·(p_s − p_t) at temperature T, and of their sum.

    Args:
        student_logits, teacher_logits: z_s and z_t of one sample, ``[classes]``: lists or tensors.
            Of more than 12 classes, the 12 that either network finds likeliest are drawn.
        target: y, the sample's class.
        classes: one name a logit.
        alpha, temperature: where the sliders start.
    """
    z_s, z_t = one_pair(student_logits, teacher_logits, target, classes)
    checks.fraction("alpha", alpha)
    checks.positive("temperature", temperature)
    alphas, first_alpha = positions(alpha, np.linspace(0, 1, 11).round(1))
    temperatures, first = positions(temperature, TEMPERATURES)
    labels = gradient(lambda z: F.cross_entropy(z, torch.tensor([target])), z_s)
    teachers = [gradient(lambda z, t=t: losses.kd_loss(z, z_t, t), z_s) for t in temperatures]
    rows = drawn_classes(z_s, z_t, target)
    largest = max(1e-9, *(float(one.abs().max()) for one in (labels, *teachers)))
    scale, top, step = Scale(-largest, largest, LEFT, WIDTH - 10), 24, 27
    bottom = top + step * len(rows)
    ground = (
        legend([(LABELS, "α·CE (label)"), (TEACHER, "(1−α)·T²·KL (teacher)"), (BOTH, "sum")], 12)
        + row_names([classes[row] for row in rows], top, step, bold=rows.index(target))
        + ticks(scale, top, bottom, AXIS)
        + shape(f"M{scale(0):.1f} {top}V{bottom}", line=GREY)
    )

    def draw(at_alpha: int, at: int) -> Picture:
        a, t = alphas[at_alpha], temperatures[at]
        parts = [a * labels, (1 - a) * teachers[at]]
        drawn = [
            shape(bars(scale, part[rows].tolist(), top + 3 + 7 * place, step, 6), fill=color)
            for place, (part, color) in enumerate(
                zip([*parts, sum(parts)], (LABELS, TEACHER, BOTH), strict=True)
            )
        ]
        label, teacher, both = (float(part.norm()) for part in (*parts, sum(parts)))
        said = (
            f"α = {a:g}, T = {t:g}: length of the label's gradient {label:.3f}, of the teacher's "
            f"{teacher:.3f}, of their sum {both:.3f}{_angle(*parts)}."
        )
        return Picture([ground, *drawn], said)

    sliders = [
        Slider("Weight α", [f"{a:g}" for a in alphas], first_alpha),
        Slider("Temperature T", [f"{t:g}" for t in temperatures], first),
    ]
    description = "Bars of the gradient of each student logit: label's part, teacher's, sum."
    note = "Each row is a logit of the student; bold: the label."
    show_sliders(description, bottom + 34, sliders, draw, note=note)


def decoupled_slider(
    student_logits: Sequence[float] | Tensor,
    teacher_logits: Sequence[float] | Tensor,
    target: int,
    classes: Sequence[str],
    *,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> None:
    """Display the terms of plain distillation and of DKD, weighted, and the gradients of the two
    losses, with sliders for β and T (arXiv 2203.08679).

    Plain distillation is TCKD + (1 − p_t,y)·NCKD; DKD is TCKD + β·NCKD (γ = 1).

    Args:
        student_logits, teacher_logits: z_s and z_t of one sample, ``[classes]``, three classes or
            more: lists or tensors. Of more than 12, the 12 likeliest are drawn.
        target: y, the sample's class.
        classes: one name a logit.
        beta, temperature: where the sliders start.
    """
    z_s, z_t = one_pair(student_logits, teacher_logits, target, classes)
    if len(classes) < 3:
        raise ValueError(f"classes must be 3 or more, not {len(classes)}: NCKD compares the others")
    checks.weight("beta", beta)
    checks.positive("temperature", temperature)
    betas, first_beta = positions(beta, (0, 0.25, 0.5, 1, 2, 3, 4, 6, 8))
    temperatures, first = positions(temperature, TEMPERATURES)
    y, rows = torch.tensor([target]), drawn_classes(z_s, z_t, target)
    names = [classes[row] for row in rows]
    terms = [[float(one) for one in losses.decoupled_terms(z_s, z_t, y, t)] for t in temperatures]
    parts = [
        [gradient(lambda z, t=t, k=k: losses.decoupled_terms(z, z_t, y, t)[k], z_s) for k in (0, 1)]
        for t in temperatures
    ]
    plain = [gradient(lambda z, t=t: losses.kd_loss(z, z_t, t), z_s) for t in temperatures]
    amount = Scale(0, max(max(t, max(betas) * n, 1e-9) for t, n in terms), 0, WIDTH - 60)
    largest = max(
        float((target_part + max(betas) * other).abs().max()) for target_part, other in parts
    )
    scale = Scale(-max(largest, 1e-9), max(largest, 1e-9), LEFT, WIDTH - 10)
    top, step = 150, 20
    bottom = top + step * len(rows)
    ground = (
        legend([(TEACHER, "KD"), (BOTH, "DKD, for each logit of the student")], top - 10)
        + row_names(names, top, step, bold=rows.index(target))
        + ticks(scale, top, bottom, AXIS)
        + shape(f"M{scale(0):.1f} {top}V{bottom}", line=GREY)
    )

    def draw(at_beta: int, at: int) -> Picture:
        b, t = betas[at_beta], temperatures[at]
        tckd, nckd = terms[at]
        rest = 1 - float(losses.soften(z_t, t)[0, target])
        weighted = [
            (GREY, "TCKD, weight 1 in both", tckd),
            (TEACHER, f"NCKD in KD, weight 1 − p_t,y = {rest:.4f}", rest * nckd),
            (BOTH, f"NCKD in DKD, weight β = {b:g}", b * nckd),
        ]
        gradients = [(TEACHER, plain[at]), (BOTH, parts[at][0] + b * parts[at][1])]
        drawn = [
            shape(bars(scale, one[rows].tolist(), top + 2 + 8 * place, step, 7), fill=color)
            for place, (color, one) in enumerate(gradients)
        ]
        said = (
            f"β = {b:g}, T = {t:g}: NCKD is {_share(rest * nckd, tckd)} of KD's loss and "
            f"{_share(b * nckd, tckd)} of DKD's. The teacher gives the label {1 - rest:.4f}, so "
            f"KD weighs what it says of the other classes with {rest:.4f}."
        )
        return Picture([ground, *_term_bars(amount, weighted), *drawn], said)

    sliders = [
        Slider("Weight β", [f"{b:g}" for b in betas], first_beta),
        Slider("Temperature T", [f"{t:g}" for t in temperatures], first),
    ]
    description = "Bars of TCKD and NCKD with their weights in KD and in DKD, and of the gradients."
    note = "Where β = 1 − p_t,y, DKD is plain distillation. Bold: the label."
    show_sliders(description, bottom + 34, sliders, draw, note=note)


def _angle(one: Tensor, other: Tensor) -> str:
    """The angle between two gradients in words; nothing where one of them is 0."""
    lengths = float(one.norm() * other.norm())
    if lengths < 1e-12:
        return ""
    degrees = math.degrees(math.acos(max(-1.0, min(1.0, float(one @ other) / lengths))))
    return f"; the angle between the two is {degrees:.0f}°"


def _share(part: float, rest: float) -> str:
    return f"{100 * part / (part + rest):.1f} %" if part + rest > 0 else "nothing"


def _term_bars(scale: Scale, terms: Sequence[tuple[str, str, float]]) -> list[str]:
    """A line of words, a bar and its number for each term: colour, words, amount."""
    pieces = []
    for row, (color, words, amount) in enumerate(terms):
        y = 14 + 40 * row
        pieces += [
            text(0, y, words),
            shape(box(scale(0), y + 5, scale(amount), y + 17), fill=color),
            text(WIDTH, y + 16, f"{amount:.3f}", anchor="end"),
        ]
    return pieces
