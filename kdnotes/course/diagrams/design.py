"""How the course experiments: stored views, who may see what, paired and fresh seeds, one look."""

from __future__ import annotations

import itertools

import numpy as np

from kdnotes.course.diagrams.canvas import SMALL, Canvas


def view_bank() -> None:
    """Fixed views of each image, and the teacher's outputs for them stored."""
    page = Canvas(3.75)
    page.text(0.15, 3.55, "Once: the teacher sees every view", align="left", bold=True)
    page.text(0.15, 1.62, "Each epoch: the student sees one", align="left", bold=True)
    image = page.picture(0.15, 2.45, 0.56)
    page.text(0.43, 3.13, "image")
    changes = {0: (0.1, 0.08, False), 1: (0, -0.1, True), 2: (-0.12, 0, False), 3: (0.1, 0, True)}
    views = []
    for view, (right, up, flip) in changes.items():
        x = 1.2 + 0.66 * view
        views.append(page.picture(x, 2.45, 0.56, shift=(right, up), flip=flip))
        page.text(x + 0.28, 3.13, f"view {view}")
    page.text(1.2, 2.2, "$V$ fixed views,", "shifted and mirrored", align="left")
    page.arrow(image.right(), views[0].left())
    teacher = page.box(4.15, 2.5, 0.95, 0.46, "Teacher", look="teacher")
    page.arrow(views[-1].right(), teacher.left())

    stored = np.zeros((5, 4))
    stored[1, 2] = 0.6
    bank = page.grid(5.55, 2.25, 0.19, stored)
    page.text(5.93, 3.38, "stored $z_t$")
    page.arrow(teacher.right(), (5.5, 2.73))
    page.text(6.38, 2.73, "a row", "an image,", "a column", "a view", align="left", size=SMALL)

    student = page.box(2.3, 0.75, 1.1, 0.5, "Student", look="student")
    loss = page.box(4.3, 0.75, 1.1, 0.5, "loss", look="loss")
    page.arrow(views[2].bottom(), (views[2].bottom()[0], 1.25))
    page.arrow(student.right(0.7), loss.left(0.7))
    page.text(3.85, 1.28, "$z_s$")
    page.arrow(loss.left(0.25), student.right(0.25), gradient=True)
    page.arrow(bank.bottom(), (5.93, 1.0), loss.right())
    page.text(0.15, 1.0, "epoch $e$ shows", "view $e$ mod $V$,", "here view 2", align="left")
    page.text(6.0, 1.6, "read", align="left")
    page.legend("teacher", "student", "data", "loss", "values", "gradient")
    page.show(
        "Each training image has a fixed number of views, shifted and mirrored. The frozen teacher "
        "sees every view once, and its logits are stored in a table with a row for each image and "
        "a column for each view. In every epoch the student sees one view of each image, and its "
        "loss reads from the table what the teacher gave for that very view."
    )


def who_sees_what() -> None:
    """Which images the teacher, the student, the choice and the report see."""
    page = Canvas(3.3)
    columns = {"training": 2.05, "validation": 3.7, "test": 5.35}
    for name, x in columns.items():
        page.picture(x + 0.05, 2.7, 0.42)
        page.text(x + 0.55, 2.91, name, "images", align="left", bold=True)
    rows = (
        ("Teacher", "teacher", ("learned from all", "", "")),
        ("Student", "student", ("learns from a part", "", "")),
        ("Choice of T, α, …", "data", ("", "compares settings", "")),
        ("Report", "data", ("", "", "measures, once")),
    )
    previous = None
    for number, (name, look, cells) in enumerate(rows):
        y = 2.1 - 0.55 * number
        actor = page.box(0.15, y, 1.5, 0.4, name, look=look)
        if previous:
            page.arrow(previous.bottom(), actor.top())
        previous = actor
        for x, cell in zip(columns.values(), cells, strict=True):
            if cell:
                page.box(x, y, 1.5, 0.4, cell)
            else:
                page.frame(x, y, 1.5, 0.4)
                page.text(x + 0.75, y + 0.2, "never", color="0.4")
    page.legend("teacher", "student", "data", "values")
    page.show(
        "A table of who may see which images. Teacher and student learn from training images only; "
        "temperature, alpha and all other settings are chosen by comparing students on validation "
        "images; the test images are used once, by the report. Down the table flow the teacher's "
        "outputs, the trained students, and the one setting that was chosen."
    )


def paired_seeds() -> None:
    """Arms × seeds, where all arms of a seed start and go on alike."""
    page = Canvas(3.4)
    page.text(0.15, 2.2, "arm CE", align="left", bold=True)
    page.text(0.15, 1.55, "arm KD", align="left", bold=True)
    page.text(0.15, 0.72, "KD − CE", align="left", bold=True)
    for seed in range(5):
        x = 1.05 + 0.86 * seed
        column = page.frame(x, 1.2, 0.74, 1.65)
        page.text(x + 0.37, 2.65, f"seed {seed}")
        for y in (2.02, 1.37):
            page.box(x + 0.1, y, 0.54, 0.36, f"run {seed}", look="student", size=SMALL)
        difference = page.box(x + 0.1, 0.54, 0.54, 0.36, f"$d_{seed}$")
        page.arrow(column.bottom(), difference.top())
    page.text(3.1, 3.15, "One column: the same start weights, batches, views and dropout")
    page.text(6.15, 2.2, "labels alone")
    page.text(6.15, 1.55, "labels", "and teacher")
    loss = page.box(5.5, 0.5, 1.4, 0.44, "mean of all $d$,", "95 % interval")
    page.arrow(difference.right(), loss.left())
    page.legend("student", "data", "values")
    page.show(
        "A grid with one row for each method and one column for each seed. The two students of a "
        "column have the same start weights, the same batches, augmented views and dropout, so "
        "that only the method differs between them. Their difference is taken column by column, "
        "and the result is the mean of these differences with its 95 percent interval."
    )


def fresh_seeds() -> None:
    """A setting is chosen on some seeds, and reported on others."""
    page = Canvas(3.5)
    page.text(0.15, 3.3, "1. Choose, on validation images", align="left", bold=True)
    page.text(3.95, 3.3, "2. Report, on test images", align="left", bold=True)
    left = page.frame(0.1, 1.05, 3.1, 2.05)
    page.text(1.62, 2.9, "students of the choice seeds", size=SMALL)
    runs(page, 0.75, (2.35, 1.85, 1.35), ("$T=1$", "$T=2$", "$T=4$"), 5, 0.3)
    for y, mean in ((2.35, 0.45), (1.85, 0.62), (1.35, 0.3)):
        page.bars(2.6, y, 0.2, 0.42, data=[mean])
    page.text(2.7, 1.17, "mean", size=SMALL)
    page.outline(0.15, 1.78, 2.98, 0.48)

    page.frame(3.9, 1.05, 3.0, 2.05)
    page.text(5.4, 2.9, "new students, of fresh seeds", size=SMALL)
    runs(page, 4.75, (2.2, 1.55), ("CE", "$T=2$"), 8, 0.25)
    page.arrow((left.x + left.width, 2.0), (3.85, 2.0))
    page.text(3.55, 2.3, "one", "setting", size=SMALL)
    page.text(1.65, 0.8, "the best mean is flattered by luck:")
    page.text(1.65, 0.6, "it is not reported")
    result = page.box(4.2, 0.45, 2.4, 0.35, "mean difference, 95 % interval")
    page.arrow((5.4, 1.05), result.top())
    page.legend("student", "data", "values")
    page.show(
        "On the left, students of several settings are trained with a few choice seeds, and the "
        "setting with the best mean on validation images is chosen. Only that setting goes to the "
        "right, where it and the baseline are trained anew with fresh seeds and measured on the "
        "test images. The score that won the choice is flattered by luck and is never reported."
    )


def one_look() -> None:
    """An experiment in its order: what is written down before the runs, and the one look after."""
    page = Canvas(2.75)
    page.text(0.15, 2.55, "Before anything runs", align="left", bold=True)
    page.text(3.25, 2.55, "Then, once", align="left", bold=True)
    page.frame(0.1, 1.25, 2.9, 1.1)
    page.frame(3.2, 1.25, 3.7, 1.1)
    plan = page.box(
        0.2, 1.42, 1.45, 0.76, "plan: hypothesis,", "control, metric,", r"$\delta$, rule"
    )
    loss = page.box(1.9, 1.55, 1.0, 0.5, "loss,", "checked", look="loss")
    choice = page.box(3.35, 1.5, 1.0, 0.6, "choose on", "validation", look="student")
    fresh = page.box(4.65, 1.5, 0.95, 0.6, "report on", "fresh seeds", look="student")
    verdict = page.box(5.9, 1.5, 0.85, 0.6, "verdict")
    steps = (plan, loss, choice, fresh, verdict)
    for one, other in itertools.pairwise(steps):
        page.arrow(one.right(), other.left())
    (x, y), (end, top) = verdict.bottom(), plan.bottom()
    page.arrow((x, y), (x, 0.85), (end, 0.85), (end, top))
    page.text(
        3.6, 0.66, "whoever changes the plan now starts a new experiment: new seeds or images"
    )
    page.legend("student", "data", "loss", "values")
    page.show(
        "An experiment in five steps. Before anything runs, the plan is written down (hypothesis, "
        "control, metric, the smallest difference of interest and the rule), and the loss is "
        "checked. Then, once, a setting is chosen on validation images, the students of fresh "
        "seeds are reported, and the rule gives the verdict. An arrow leads from the verdict back "
        "to the plan: whoever changes the plan now starts a new experiment."
    )


def runs(
    page: Canvas,
    x: float,
    heights: tuple[float, ...],
    names: tuple[str, ...],
    seeds: int,
    step: float,
) -> None:
    """Rows of small students, one for each seed, with the name of each row."""
    for y, name in zip(heights, names, strict=True):
        page.text(x - 0.08, y + 0.13, name, align="right")
        for seed in range(seeds):
            page.box(x + step * seed, y + 0.03, 0.2, 0.2, look="student")
