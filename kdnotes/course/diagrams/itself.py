"""A student's own past and own exits, peers, and teachers that change or follow one another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kdnotes.course.diagrams.canvas import LOOKS, SMALL, Box, Canvas


def previous_epoch() -> None:
    """PS-KD's table of the student's own predictions, read and written by image."""
    page = Canvas(3.7)
    page.text(0.15, 3.5, "a shuffled batch: images 4, 0, 2", align="left", bold=True)
    for place, (number, flip) in enumerate(((4, False), (0, True), (2, False))):
        page.picture(0.45, 2.72 - 0.5 * place, 0.42, flip=flip)
        page.text(0.28, 2.93 - 0.5 * place, f"{number}")
    student = page.box(1.5, 2.2, 1.1, 0.5, "Student", look="student")
    page.arrow((0.92, 2.45), student.left())
    now = page.box(3.25, 2.2, 0.9, 0.5, "$p_s$")
    loss = page.box(5.1, 2.2, 1.5, 0.5, r"$\mathrm{CE}(q,\,p_s)$", look="loss")
    for start, end in ((student, now), (now, loss)):
        page.arrow(start.right(0.7), end.left(0.7))
        page.arrow(end.left(0.3), start.right(0.3), gradient=True)

    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]] * 2)
    table = page.grid(3.3, 0.5, 0.2, rows)
    for number in range(6):
        middle = 1.6 - 0.2 * number
        page.text(3.2, middle, f"{number}", align="right", size=SMALL, bold=number in (0, 2, 4))
        if number in (0, 2, 4):
            page.outline(3.3, middle - 0.1, 0.6, 0.2)
    page.text(2.95, 1.1, "$p^{(e-1)}$,", "a row for each", "of the $N$ images", align="right")
    target = page.box(
        4.75, 0.8, 2.1, 0.55, "target $q$:", r"$(1-\lambda_e)\,e_y+\lambda_e\,p^{(e-1)}$"
    )
    page.arrow(table.right(0.48), target.left(), stop=True)
    page.arrow((5.85, 1.35), loss.bottom())
    page.arrow(now.bottom(0.4), (3.61, 1.75), stop=True)
    page.text(5.8, 0.6, r"$\lambda_e = \lambda\,e/E$, it grows")
    page.text(4.33, 1.55, "1. read", "rows 4, 0, 2", size=SMALL)
    page.text(3.75, 1.98, "2. then write the new rows", align="left", size=SMALL)
    page.legend("student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "The student's predictions of the previous epoch lie in a table with one row for each "
        "training image, found by the image's number and not by its place in the shuffled batch. "
        "For each image its row is read first and mixed with the label to the target of the "
        "cross-entropy, with a weight lambda that grows from epoch to epoch. Then the new "
        "prediction is written into the same row, and no gradient goes through the table."
    )


def exits() -> None:
    """Be your own teacher, where the deepest exit teaches the shallower ones."""
    page = Canvas(3.9)
    image = page.picture(0.15, 0.575, 0.55)
    places = (1.0, 2.35, 3.9, 5.6)
    names = ("stem", "stage 1", "stage 2", "stage 3")
    stages = [
        page.box(x, 0.6, 0.95, 0.5, name, look="student")
        for x, name in zip(places, names, strict=True)
    ]
    for start, end in pairwise((image, *stages)):
        page.arrow(start.right(), end.left())
    tops = []
    for stage, name, loss_of in zip(
        stages[1:],
        ("exit 1", "exit 2", "exit $M = 3$"),
        ("loss of exit 1", "loss of exit 2", r"$\mathrm{CE}(y,\,p_M)$"),
        strict=True,
    ):
        head = page.box(stage.x, 1.55, 0.95, 0.45, name, look="student")
        loss = page.box(stage.x - 0.15, 2.45, 1.25, 0.4, loss_of, look="loss")
        page.arrow(stage.top(0.35), head.bottom(0.35))
        page.arrow(head.bottom(0.65), stage.top(0.65), gradient=True)
        page.arrow(head.top(0.35), loss.bottom(0.385))
        page.arrow(loss.bottom(0.615), head.top(0.65), gradient=True)
        tops.append(loss.top())
    around = ((5.22, 1.775), (5.22, 3.1))
    page.arrow(head.left(), *around, (tops[0][0], 3.1), tops[0], stop=True)
    page.arrow((tops[1][0], 3.1), tops[1])
    page.text(2.72, 3.1, "$p_M$, $F_M$: constants here", align="right")
    kd = r"$\alpha\,\mathrm{CE}(y,p_m)+(1-\alpha)\,T^2\,\mathrm{KL}(p_M^{(T)}\,\|\,p_m^{(T)})$"
    hint = r"$+\;w\cdot\mathrm{mean}\,(F_m-F_M)^2$"
    page.text(0.15, 3.62, "exit $m$:", align="left", bold=True)
    page.text(0.85, 3.62, kd, align="left")
    page.text(3.75, 3.62, hint, align="left")
    page.legend("student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "One network is a chain of stages, and after each stage but the first an exit gives an "
        "answer of its own. The deepest exit learns from the label alone. Every shallower exit "
        "learns from the label and from the deepest exit's softened probabilities and feature, "
        "which are constants in its loss, so that the deepest exit teaches and is not pulled back."
    )


def schedules() -> None:
    """How the weight of labels and teacher may change during the training."""
    page = Canvas(2.6)
    plans = (
        ("labels fade in", [(0, 0.0), (1, 1.0)], (0.25, 0.7), (0.72, 0.25)),
        ("labels fade out", [(0, 1.0), (1, 0.0)], (0.75, 0.7), (0.28, 0.25)),
        ("early stop at $u$", [(0, 0.1), (0.5, 0.1), (0.5, 1), (1, 1)], (0.25, 0.6), (0.75, 0.5)),
    )
    for number, (name, plan, taught, labelled) in enumerate(plans):
        place = Box(0.55 + 2.2 * number, 0.75, 1.85, 1.4)
        page.text(place.x + place.width / 2, 2.38, name, bold=True)
        page.area([place.left(0), place.right(0), place.right(1), place.left(1)], "teacher")
        points = [(place.x + t * place.width, place.y + a * place.height) for t, a in plan]
        page.area([place.left(0), *points, place.right(0)], "data")
        shares = ((taught, "teacher", "$1-α$", "teacher"), (labelled, "labels", "$α$", "data"))
        for (right, up), whose, weight, look in shares:
            x, y = place.x + right * place.width, place.y + up * place.height
            page.text(x, y, whose, weight, color=LOOKS[look].ink)
        page.text(place.x, 0.6, "start", size=SMALL)
        page.text(place.x + place.width, 0.6, "end", size=SMALL)
    page.text(5.875, 0.6, "$u$")
    page.text(0.42, 0.78, "0", align="right")
    page.text(0.42, 2.12, "1", align="right")
    page.text(3.5, 0.25, "across: training done; up: how the loss is shared out between the two")
    page.show(
        "Three schedules, each a square that is shared between labels and teacher while training "
        "goes on. In the first alpha, the weight of the labels, rises, so that labels fade in; in "
        "the second it falls; in the third the teacher has most of the weight until a fraction u "
        "of the training, and from then on the labels have all of it."
    )


def assistants() -> None:
    """From a large teacher to a small student directly, or through an assistant."""
    page = Canvas(3.1)
    page.text(0.15, 2.9, "Directly: one training, one large step", align="left", bold=True)
    title = "Through an assistant: two trainings, two smaller steps"
    page.text(0.15, 1.78, title, align="left", bold=True)
    teacher = page.box(0.2, 2.1, 1.5, 0.6, "Teacher", look="teacher")
    student = page.box(5.9, 2.25, 0.9, 0.3, "Student", look="student")
    page.arrow(teacher.right(), student.left())
    large = page.box(0.2, 0.75, 1.5, 0.6, "Teacher", look="teacher")
    trained = page.box(2.3, 0.82, 1.15, 0.46, "Assistant", look="student")
    frozen = page.box(3.95, 0.82, 1.15, 0.46, "Assistant", look="teacher")
    small = page.box(5.9, 0.9, 0.9, 0.3, "Student", look="student")
    for start, end in ((large, trained), (trained, frozen), (frozen, small)):
        page.arrow(start.right(), end.left())
    page.text(1.98, 0.58, "step 1: distil")
    page.text(3.7, 0.58, "then freeze")
    page.text(5.5, 0.58, "step 2: distil")
    page.legend("teacher", "student", "values")
    page.show(
        "Two ways from a large teacher to a small student. In the direct way the frozen teacher "
        "trains the student in one step. In the other way the teacher trains an assistant of a "
        "size between the two, which is then frozen and trains the student; that takes two "
        "trainings, so the direct way must be given the same time before the two are compared."
    )


def peers() -> None:
    """Two peers train at once, each a constant target for the other."""
    page = Canvas(3.3)
    image = page.picture(0.15, 1.35, 0.65)
    rows = ((1, 2, 2.3, [0.6, 0.3, 0.1]), (2, 1, 0.6, [0.4, 0.4, 0.2]))
    for own, other, y, probabilities in rows:
        peer = page.box(1.25, y, 1.0, 0.5, f"Peer {own}", look="student")
        page.bars(3.0, y, 0.8, 0.5, student=probabilities)
        kl = rf"$\mathrm{{KL}}(p_{other}\,\|\,p_{own})$"
        ce = rf"$\mathrm{{CE}}(y,\,p_{own})\,+$"
        page.box(5.1, y - 0.05, 1.7, 0.6, ce, kl, look="loss")
        page.arrow(image.right(), (1.0, 1.675), (1.0, y + 0.25), peer.left())
        for left, right in ((2.25, 2.95), (3.85, 5.1)):
            page.arrow((left, y + 0.35), (right, y + 0.35))
            page.arrow((right, y + 0.1), (left, y + 0.1), gradient=True)
    page.text(3.4, 2.98, "$p_1$")
    page.text(3.4, 0.42, "$p_2$")
    page.arrow((3.75, 2.22), (5.6, 1.15), stop=True)
    page.arrow((3.75, 1.18), (5.6, 2.25), stop=True)
    page.text(2.6, 1.7, "across: a constant", "in the other's loss", "(with more, their mean)")
    page.legend("student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "Two untrained peers see the same image and are trained at the same time. The loss of each "
        "is the cross-entropy with the label plus the divergence KL from the other's probabilities "
        "to its own. The other's probabilities are a constant there: each loss sends its gradient "
        "into its own peer only."
    )
