"""Five switches between two programs that call their loss "distillation"."""

from __future__ import annotations

from itertools import pairwise

import torch

from kdnotes import losses
from kdnotes.course.diagrams.canvas import FORMULA, Canvas

# One image of three classes, the label first; T and α of the example.
TEACHER, STUDENT, T, ALPHA = [4.0, 2.0, 0.0], [0.0, 0.0, 0.0], 2.0, 0.1


def flipped() -> list[tuple[float, float]]:
    """Of each switch the loss of the example before it and after it, in the order of the page."""
    z_t, z_s = torch.tensor([TEACHER]), torch.tensor([STUDENT])
    ours = float(losses.kd_loss(z_s, z_t, T))
    raw_t, raw_s = ((z / T).clamp(1e-7, 1.0) for z in (z_t, z_s))
    raw = float((raw_t * (raw_t / raw_s).log()).sum())
    hard = float(losses.soft_cross_entropy(z_s, torch.tensor([[1.0, 0.0, 0.0]])))
    totals = [alpha * hard + (1 - alpha) * ours for alpha in (ALPHA, 1 - ALPHA)]
    others = raw, float(losses.kd_loss(z_t, z_s, T)), ours / len(TEACHER), ours / T**2
    return [*((ours, other) for other in others), (totals[0], totals[1])]


def switches() -> None:
    """The way from logits to a loss, with what other programs do at each of its steps."""
    page = Canvas(3.75)
    columns = (
        ("1 input", ("softmax($z/T$)",), ("the logits,", "bfloat16")),
        ("2 direction", (r"$\mathrm{KL}(p_t\|p_s)$",), (r"$\mathrm{KL}(p_s\|p_t)$",)),
        ("3 mean over", ("images",), ("images", "and classes")),
        ("4 factor", ("$T^2$",), ("none",)),
        ("5 α weighs", ("the labels",), ("the teacher,", "or only one")),
    )
    lefts = [1.02 + 1.2 * number for number in range(5)]
    page.text(0.12, 3.08, "ours", align="left", bold=True)
    page.text(0.12, 2.03, "else-", "where", align="left", bold=True)
    page.text(0.12, 1.03, "one image,", "three", "classes", align="left")
    kept, other = [], []
    for x, (name, own, theirs), (before, after) in zip(lefts, columns, flipped(), strict=True):
        page.text(x + 0.5, 3.56, name, bold=True)
        kept.append(page.box(x, 2.78, 1.0, 0.6, *own, look="loss", size=size(own)))
        other.append(page.box(x, 1.73, 1.0, 0.6, *theirs, size=size(theirs)))
        page.line((x + 0.5, 2.76), (x + 0.5, 2.35), dashed=True)
        page.text(x + 0.5, 1.14, f"{before:#.3g}")
        page.arrow((x + 0.5, 1.04), (x + 0.5, 0.84))
        page.text(x + 0.5, 0.72, f"{after:#.3g}")
    for start, end in pairwise(kept):
        page.arrow(start.right(), end.left())
    page.line((1.0, 1.45), (6.9, 1.45), color="0.6")
    below = "its loss before and after one switch is turned; 5: the sum of both terms, α = 0.1"
    page.text(1.02, 0.3, below, align="left")
    page.show(
        "The way from logits to a loss in five steps, each a switch with our position above and "
        "what is found elsewhere below: softmax of logits over T, or the logits themselves or half "
        "precision; KL from teacher to student, or reversed; the mean over images, or over classes "
        "too; the factor T squared, or none; α on the labels, or on the teacher. Below stands the "
        "loss of one image of three classes before and after each switch alone is turned."
    )


def size(lines: tuple[str, ...]) -> float:
    """Of the letters: a formula needs larger ones for its indices."""
    return FORMULA if "_" in "".join(lines) else 9.0
