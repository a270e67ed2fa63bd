"""Inner features: hints, energy maps, and how the images of a batch lie to each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from kdnotes import losses
from kdnotes.course.diagrams.canvas import INK, SMALL, Canvas

PLACES = 4  # height and width of the feature maps drawn


def feature(*bumps: tuple[float, float, float]) -> np.ndarray:
    """One channel for each (row, column, size) of a bump, ``[channels, 4, 4]``."""
    rows, columns = np.mgrid[:PLACES, :PLACES]
    return np.stack(
        [
            size * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2)
            for row, column, size in bumps
        ]
    )


# In the teacher more channels than in the student, both large at the lower left: the boot's heel.
TEACHER = feature((2, 1, 0.9), (3, 0, 0.8), (1, 1, 0.6), (2, 2, 0.5), (3, 1, 0.9))
STUDENT = feature((2, 1, 0.7), (3, 2, 0.6), (1, 0, 0.5))


def hint() -> None:
    """A regressor brings the student's feature to the teacher's channels."""
    page = Canvas(3.75)
    image = page.picture(0.15, 1.75, 0.6)
    teacher = page.box(1.2, 2.6, 1.1, 0.55, "Teacher's", "first stages", look="teacher")
    student = page.box(1.2, 0.95, 1.1, 0.55, "Student's", "first stages", look="student")
    page.arrow(image.right(0.6), (0.98, 2.11), (0.98, 2.875), teacher.left())
    page.arrow(image.right(0.4), (0.98, 1.99), (0.98, 1.225), student.left())
    page.sheets(2.75, 0.85, 0.14, STUDENT, "student")
    page.sheets(4.75, 2.4, 0.14, TEACHER, "teacher")
    page.sheets(4.75, 0.8, 0.14, 0.9 * TEACHER, "student")
    page.box(3.85, 0.95, 0.55, 0.55, "1×1", "conv $r$", look="student", size=SMALL)
    loss = page.box(5.55, 1.82, 1.38, 0.6, "hint: mean of", r"$(r(F_s)-F_t)^2$", look="loss")
    page.text(3.1, 0.68, "$F_s$: $C_s$ channels")
    page.text(5.3, 0.62, "$r(F_s)$: $C_t$ channels")
    page.text(5.2, 3.5, "$F_t$: $C_t$ channels")

    page.arrow(teacher.right(), (4.7, 2.875))
    page.arrow((5.72, 2.875), (6.24, 2.875), loss.top(), stop=True)
    page.arrow((5.72, 1.3), (6.15, 1.3), loss.bottom(0.6 / 1.38))
    page.arrow(loss.bottom(0.9 / 1.38), (6.45, 1.1), (5.72, 1.1), gradient=True)
    for start, end in ((2.3, 2.7), (3.54, 3.85), (4.4, 4.7)):
        page.arrow((start, 1.3), (end, 1.3))
        page.arrow((end, 1.1), (start, 1.1), gradient=True)
    page.outline(1.1, 0.5, 3.42, 1.2)
    page.text(1.2, 1.85, "in the optimiser: student and regressor", align="left", size=SMALL)
    page.legend("teacher", "student", "data", "loss", "values", "gradient", "stop")
    total = r"$\alpha\,\mathrm{CE}+(1-\alpha)\,T^2\,\mathrm{KL}+w\cdot\mathrm{hint}$"
    page.text(0.15, 3.5, "loss:", align="left", bold=True)
    page.text(0.6, 3.5, total, align="left")
    page.show(
        "Teacher and student see the same image, and an inner feature is taken from each. The "
        "student's has fewer channels, so a regressor, a 1 by 1 convolution, brings it to the "
        "teacher's number of channels; the hint is the mean of squared differences there. Its "
        "gradient goes through the regressor into the student's first stages, and both are in the "
        "optimiser; none goes into the teacher."
    )


def energy_maps() -> None:
    """Attention maps, energy over channels at each place, made comparable."""
    page = Canvas(3.5)
    for x, words in (
        (0.95, ("features,", "$C$ channels")),
        (3.05, ("energy of", "each place")),
        (4.75, ("as a vector", "of length 1")),
    ):
        page.text(x, 3.2, *words, bold=True)
    rows = (("Teacher", "teacher", TEACHER, 1.95, "t"), ("Student", "student", STUDENT, 0.6, "s"))
    for name, look, channels, y, index in rows:
        page.box(0.1, y + 0.3, 0.72, 0.32, name, look=look)
        sheets = page.sheets(0.95, y, 0.14, channels, look)
        energy = (channels**2).sum(axis=0)
        summed = page.grid(2.75, y + 0.15, 0.15, energy / energy.max(), outline=look)
        page.arrow((sheets.right()[0] + 0.05, y + 0.45), (2.7, y + 0.45))
        page.text(2.3, y + 0.68, r"$\sum_c F_c^2$")
        vector = losses.attention_map(torch.from_numpy(channels)[None])
        page.grid(3.85, y + 0.4, 0.11, vector.numpy() / vector.max().item(), outline=look)
        page.arrow((summed.right()[0] + 0.05, y + 0.45), (3.8, y + 0.45))
        if look == "student":
            page.arrow((3.8, y + 0.3), (summed.right()[0] + 0.05, y + 0.3), gradient=True)
            page.arrow((2.7, y + 0.3), (sheets.right()[0] + 0.05, y + 0.3), gradient=True)
        page.text(4.75, y + 0.7, f"$Q_{index}$")
    loss = page.box(5.75, 1.3, 1.15, 0.56, r"$\beta\,\cdot$ mean of", "$(Q_s-Q_t)^2$", look="loss")
    page.arrow((5.65, 2.4), (6.325, 2.4), loss.top(), stop=True)
    page.arrow((5.65, 1.1), (6.2, 1.1), loss.bottom(0.45 / 1.15))
    page.arrow(loss.bottom(0.75 / 1.15), (6.5, 0.98), (5.65, 0.98), gradient=True)
    page.legend("teacher", "student", "loss", "values", "gradient", "stop")
    page.show(
        "Teacher and student give features of the same places but with different numbers of "
        "channels. At each place the squares are summed over the channels, which leaves one map of "
        "where a network's energy is; the map is written as a vector and divided by its length. "
        "These vectors are compared, whatever the channels, and the gradient goes to the student."
    )


def relations() -> None:
    """What relational losses compare, pairs, triples, all pairs, rows and columns."""
    page = Canvas(4.3)
    columns = (
        ("RKD, distances", "of pairs", ("each divided by", "their mean;", "Huber loss")),
        ("RKD, angles", "of triples", ("the cosine", "of each angle;", "Huber loss")),
        ("SP", "all pairs of a batch", (r"$G=FF^{\top}$,", "rows of length 1;", "mean of squares")),
        ("DIST", "rows and columns", ("1 − correlation", "of each row and", "of each column")),
    )
    middles = [1.72 + 1.52 * number for number in range(4)]
    for x, (name, what, how) in zip(middles, columns, strict=True):
        page.text(x, 4.13, name, bold=True)
        page.text(x, 3.92, what)
        page.text(x, 0.63, *how)
    networks = (("Teacher", "teacher", 2.45, 1.0, 0.0), ("Student", "student", 1.05, 0.6, 0.9))
    for name, look, y, scale, turn in networks:
        page.box(0.08, y + 0.45, 0.78, 0.35, name, look=look)
        for x in middles:
            page.frame(x - 0.68, y, 1.36, 1.25)
        triangle(page, (middles[0], y + 0.62), scale, turn, look, angle=False)
        triangle(page, (middles[1], y + 0.62), scale, turn, look, angle=True)
        similar, p = batch(noise=1.0 if look == "student" else 0.0)
        page.grid(middles[2] - 0.44, y + 0.18, 0.22, similar, outline=look)
        corner = (middles[3] - 0.5, y + 0.2)
        page.grid(*corner, 0.2, p / p.max(), outline=look)
        page.outline(corner[0], corner[1] + 0.4, 1.0, 0.2)
        page.outline(corner[0] + 0.6, corner[1], 0.2, 0.8)
    page.legend("teacher", "student")
    page.text(2.4, 0.17, "smaller and turned is the same to RKD: its loss here is 0", align="left")
    page.show(
        "Four ways to compare how the images of a batch lie to each other, the teacher's above and "
        "the student's below. RKD compares distances of pairs, divided by their mean, and angles "
        "of triples: the student's triangle is smaller and turned, and the loss is 0. SP compares "
        "the matrices of similarities of all pairs of the batch, rows scaled to length 1; DIST "
        "correlates the probabilities of teacher and student along each row, an image, and each "
        "column, a class."
    )


def batch(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """SP's matrix of a batch of 4 images and their probabilities of 5 classes, more or less alike.

    Without noise it is the teacher's.
    """
    generator = np.random.default_rng(3)
    embedding, logits = generator.random((4, 3)) ** 3, 2 * generator.normal(size=(4, 5))
    embedding = abs(embedding + 0.05 * noise * generator.normal(size=(4, 3)))
    logits += 0.5 * noise * generator.normal(size=(4, 5))
    similar = embedding @ embedding.T
    similar /= np.linalg.norm(similar, axis=1, keepdims=True)
    return similar, losses.soften(torch.from_numpy(logits), 2.0).numpy()


def triangle(
    page: Canvas, middle: tuple[float, float], scale: float, turn: float, look: str, *, angle: bool
) -> None:
    """Three images as points, turned and scaled, with the three pairs or with one angle."""
    corners = scale * np.array([(-0.45, -0.35), (0.45, -0.2), (-0.05, 0.4)])
    turned = corners @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] + middle
    first, second, third = turned
    pairs = ((first, second), (first, third)) if angle else pairwise((*turned, first))
    for ends in pairs:
        page.line(*ends, color=INK, width=1.4)
    if angle:
        low, high = (np.arctan2(*(end - first)[::-1]) for end in (second, third))
        turns = np.linspace(low, high, 20)[:, None]
        page.line(*(first + 0.28 * scale * np.hstack([np.cos(turns), np.sin(turns)])), width=2.2)
    for x, y in turned:
        page.dot(x, y, look=look, size=8)
