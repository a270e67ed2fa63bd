"""Distillation from logits: one teacher, its two questions, what moves, many teachers."""

from __future__ import annotations

import numpy as np
import torch

from kdnotes import losses
from kdnotes.course.diagrams.canvas import FORMULA, INK, PALE, SMALL, Box, Canvas


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    """The probabilities of one image."""
    return losses.soften(torch.tensor([logits]), temperature)[0].tolist()


def soft_targets() -> None:
    """One student between two targets, the label and a teacher's probabilities."""
    page = Canvas(4.15)
    image = page.picture(0.2, 2.5, 0.75)
    page.text(0.575, 3.38, "image $x$")
    label = page.box(0.2, 0.75, 0.75, 0.4, "label $y$")
    teacher = page.box(1.5, 3.25, 1.2, 0.5, "Teacher", look="teacher")
    student = page.box(1.5, 1.55, 1.2, 1.3, "Student", look="student")
    page.arrow(image.right(0.6), (1.22, 2.95), (1.22, 3.5), teacher.left())
    page.arrow(image.right(0.4), (1.22, 2.8), (1.22, 2.2), student.left())

    z_t, z_s = [4.0, 2.6, 1.2, 0.0], [2.4, 2.2, 0.4, 0.0]
    hard_target = page.bars(3.5, 0.75, 1.2, 0.6, data=[1, 0, 0, 0])
    hard = page.bars(3.5, 1.6, 1.2, 0.6, student=softmax(z_s))
    soft = page.bars(3.5, 2.45, 1.2, 0.6, student=softmax(z_s, 2.0))
    soft_target = page.bars(3.5, 3.3, 1.2, 0.6, teacher=softmax(z_t, 2.0))
    page.text(4.2, 1.15, "$e_y$")
    page.text(6.0, 2.17, "loss: the sum of both")
    page.text(4.1, 2.15, r"$p_s = \mathrm{softmax}(z_s)$")
    page.text(4.1, 3.0, r"$p_s^{(T)} = \mathrm{softmax}(z_s/T)$")
    page.text(4.1, 3.87, r"$p_t^{(T)} = \mathrm{softmax}(z_t/T)$")
    page.arrow(label.right(), (hard_target.x - 0.05, 0.95))
    page.arrow(teacher.right(), (soft_target.x - 0.05, 3.5))
    page.text(2.2, 1.1, "hard target")
    page.text(5.85, 3.65, "soft target")

    formula = (r"$(1-\alpha)\,T^2\cdot$", r"$\mathrm{KL}(p_t^{(T)}\,\|\,p_s^{(T)})$")
    soft_loss = page.box(5.2, 2.82, 1.65, 0.54, *formula, look="loss")
    hard_loss = page.box(5.2, 1.12, 1.65, 0.4, r"$\alpha\,\mathrm{CE}(y,\,p_s)$", look="loss")
    page.arrow((4.75, 3.5), (6.0, 3.5), soft_loss.top(0.48), stop=True)
    page.arrow((4.75, 0.95), (6.0, 0.95), hard_loss.bottom(0.48))
    for bars, loss, end in ((soft, soft_loss, "bottom"), (hard, hard_loss, "top")):
        up, down = bars.y + 0.22, bars.y + 0.06
        values, gradient = (getattr(loss, end)(share) for share in (0.48, 0.7))
        page.arrow((2.7, up), (3.45, up))
        page.arrow((4.75, up), (values[0], up), values)
        page.arrow(gradient, (gradient[0], down), (4.75, down), gradient=True)
        page.arrow((3.45, down), (2.7, down), gradient=True)
    page.legend("teacher", "student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "One image goes to a frozen teacher and to the student that is trained. The student's "
        "logits are used twice: at temperature T they are compared with the teacher's softened "
        "probabilities, by T² times the divergence KL from teacher to student, weighted 1 minus α; "
        "at temperature 1 with the label, by cross-entropy, weighted α. The gradients of both "
        "losses flow back into the student alone, none into the teacher."
    )


def two_questions() -> None:
    """KD asks whether it is the target, and if not, which of the other classes."""
    page = Canvas(4.1)
    p = {"teacher": np.array([0.6, 0.24, 0.08, 0.08]), "student": np.array([0.4, 0.24, 0.24, 0.12])}
    target = {name: np.array([one[0], 1 - one[0]]) for name, one in p.items()}
    others = {name: one[1:] / (1 - one[0]) for name, one in p.items()}

    page.text(0.95, 3.2, "all $K$ classes,", "both softened by $T$")
    page.bars(0.2, 2.0, 1.5, 1.3, **p)
    page.text(0.39, 1.87, "$y$")
    page.text(1.14, 1.87, "the others")
    for y in (3.2, 1.65):
        page.arrow((1.8, 2.43), (2.05, 2.43), (2.05, y), (2.4, y))

    page.text(2.45, 3.87, "1. The target or not?", align="left", bold=True)
    page.bars(2.5, 2.85, 0.9, 1.1, **target)
    page.text(2.72, 2.72, "$y$")
    page.text(3.17, 2.72, "not $y$")
    page.text(2.45, 2.32, "2. If not: which of the others?", align="left", bold=True)
    page.bars(2.5, 1.3, 1.05, 1.1, **others)
    page.text(3.02, 1.17, "the others, sum 1")
    for parts, y in ((target, 3.2), (others, 1.65)):
        shares = [f"{name} " + " : ".join(f"{one:.2f}" for one in parts[name]) for name in parts]
        page.text(3.66, y, *shares, align="left", size=SMALL)

    kl = (r"$T^2\,\mathrm{KL}(\pi_t\,\|\,\pi_s)$", r"$T^2\,\mathrm{KL}(\hat{p}_t\,\|\,\hat{p}_s)$")
    for name, formula, y in (("TCKD", kl[0], 2.92), ("NCKD", kl[1], 1.37)):
        loss = page.box(5.45, y, 1.45, 0.56, name, formula, look="loss")
        page.arrow((5.15, loss.left()[1]), loss.left())
    page.text(0.2, 0.8, r"KD $=$ TCKD $+\;(1-p_{t,y})\;$NCKD", align="left")
    page.text(0.2, 0.52, r"DKD $=\;\gamma\;$TCKD $+\;\beta\;$NCKD", align="left", size=FORMULA)
    page.text(3.4, 0.8, "the surer the teacher, the less of question 2", align="left")
    page.text(3.4, 0.52, "the same γ and β for every image", align="left")
    page.legend("teacher", "student", "loss", "values")
    page.show(
        "The softened probabilities of teacher and student are split in two. The first question is "
        "whether the class is the target: two numbers, target against all the rest, whose "
        "divergence is TCKD. The second is which of the other classes it would be: their "
        "probabilities, divided so that they sum to 1, whose divergence is NCKD. Plain KD adds "
        "them with the weight 1 minus the teacher's probability of the target on the second, so "
        "that a sure teacher silences it; DKD gives each a weight that is the same for all images."
    )


def what_moves() -> None:
    """Which of T, α and the weight of an image changes, and what changes it."""
    page = Canvas(3.75)
    for x, name in ((2.3, "$T$"), (3.6, "α"), (4.9, "weight of an image")):
        page.text(x, 3.55, name, bold=True)
    page.text(6.25, 3.55, "moved by", bold=True)
    time = np.linspace(0, 1, 30)
    still, down, up = 0.5 + 0 * time, 0.9 - 0.8 * time, 0.1 + 0.6 * time
    learned = 0.25 + 0.5 * time**0.5 + 0.12 * np.sin(9 * time)
    by_image = np.array([0.35, 0.8, 0.15, 0.55, 0.95, 0.4, 0.65, 0.25])
    rows = (
        ("Fixed KD", still, still, still, ("nothing",)),
        ("Annealed", down, up, still, ("a schedule",)),
        ("Uncertainty", still, still, by_image, ("the student's", "entropy")),
        ("Standardised", by_image, still, still, ("the spread of", "an image's logits")),
        ("Curriculum (CTKD)", learned, still, still, ("a reversed", "gradient")),
    )
    for number, (name, *columns, mover) in enumerate(rows):
        y = 2.88 - 0.59 * number
        page.frame(0.1, y - 0.07, 6.8, 0.52)
        page.text(0.2, y + 0.19, name, align="left", bold=True)
        page.text(6.25, y + 0.19, *mover)
        for x, values in zip((1.75, 3.05, 4.35), columns, strict=True):
            sketch(page, Box(x, y, 1.1, 0.38), values, still)
    page.text(0.2, 0.2, "across: time", align="left", size=SMALL)
    page.line((1.5, 0.2), (1.8, 0.2), color=PALE)
    page.text(1.9, 0.2, "fixed", align="left", size=SMALL)
    page.line((2.7, 0.2), (3.0, 0.2), width=2.2)
    page.text(3.1, 0.2, "changes with time", align="left", size=SMALL)
    for x, y in ((4.6, 0.16), (4.68, 0.24), (4.76, 0.18)):
        page.dot(x, y, look="student", size=4)
    page.text(4.9, 0.2, "differs from image to image", align="left", size=SMALL)
    page.show(
        "A table of five methods and what moves in each. In fixed KD the temperature, alpha and "
        "the weights of the images stay as they are. Annealed KD moves T and alpha along a "
        "schedule; uncertainty gives each image a weight from the student's entropy; standardising "
        "gives each image a temperature of its own, T times the spread of its logits; curriculum "
        "temperature learns T by a reversed gradient, against the student."
    )


def sketch(page: Canvas, place: Box, values: np.ndarray, still: np.ndarray) -> None:
    """A small curve over time, or dots where each value is that of another image."""
    steps = np.linspace(place.x, place.x + place.width, len(values))
    heights = place.y + place.height * values
    if len(values) < len(still):
        for x, y in zip(steps, heights, strict=True):
            page.dot(x, y, look="student", size=4)
    elif values is still:
        page.line(*zip(steps, heights, strict=True), color=PALE)
    else:
        page.line(*zip(steps, heights, strict=True), color=INK, width=2.2)


def many_teachers() -> None:
    """Several teachers, a weight of each for this image, one target for the student."""
    page = Canvas(3.9)
    p = torch.tensor([[0.8, 0.15, 0.05], [0.4, 0.15, 0.45], [0.1, 0.3, 0.6]])
    weights = losses.confidence_weights(p.log()[:, None], torch.tensor([0]))[0]
    page.bars(4.05, 2.1, 0.9, 0.6, teacher=(weights @ p).tolist())
    page.text(4.5, 2.98, "acts as one target", r"$\Sigma_m\,w_m\,p_{t,m}$")
    for number, y in enumerate((3.2, 2.4, 1.6)):
        teacher = page.box(0.15, y, 1.05, 0.45, f"Teacher {number + 1}", look="teacher")
        own = page.bars(1.6, y, 0.75, 0.45, teacher=p[number].tolist())
        weight = page.box(2.75, y + 0.075, 0.55, 0.3, f"× {weights[number]:.2f}")
        page.arrow(teacher.right(), (1.55, y + 0.225))
        page.arrow((own.x + own.width + 0.05, y + 0.225), weight.left())
        page.arrow(weight.right(), (3.65, y + 0.225), (3.65, 2.4), (4.0, 2.4))
    formula = (r"$\Sigma_m\,w_m\,T^2\cdot$", r"$\mathrm{KL}(p_{t,m}\,\|\,p_s)$")
    loss = page.box(5.35, 2.12, 1.5, 0.56, *formula, look="loss")
    student = page.box(5.5, 1.0, 1.2, 0.45, "Student", look="student")
    page.arrow((5.0, 2.4), loss.left(), stop=True)
    page.arrow(student.top(0.35), loss.bottom(0.38))
    page.arrow(loss.bottom(0.62), student.top(0.65), gradient=True)

    page.text(0.15, 1.3, "weights for this image:", align="left", bold=True)
    page.box(0.15, 0.5, 1.1, 0.55, "equal:", "$1/M$")
    sure = ("confidence, as drawn:", "low CE, more weight")
    page.box(1.45, 0.5, 1.6, 0.55, *sure)
    page.box(3.25, 0.5, 1.6, 0.55, "gate, learned from", "teachers' outputs", look="student")
    page.frame(0.05, 0.43, 4.9, 0.7)
    page.arrow((3.02, 1.13), (3.02, 1.67))
    page.legend("teacher", "student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "Three frozen teachers give their probabilities for one image. Each is multiplied by a "
        "weight for this image, and the weighted sum acts as the one target that the student is "
        "distilled on. The weights sum to 1 and come from one of three rules: equal for all "
        "teachers; confidence, where the teacher with the lower cross-entropy with the label "
        "weighs more, as in the numbers drawn; or a gate, which is trained with the student."
    )
