"""From float to 8-bit integers and back; and the way of a student into a runtime."""

from __future__ import annotations

from itertools import pairwise

from kdnotes.course.diagrams.canvas import FORMULA, SMALL, Canvas


def integers() -> None:
    """Scale and zero point, and rounding that is simulated in training."""
    page = Canvas(4.25)
    page.text(0.15, 4.07, "From floats to a few whole numbers", align="left", bold=True)
    low, high, top = -1.0, 3.0, 7  # 3 bits, to be drawn
    scale = (high - low) / top
    zero = round(-low / scale)
    example = 1.4
    whole = round(example / scale) + zero
    back = scale * (whole - zero)
    floats, wholes = 3.45, 2.75
    page.text(0.15, floats, "float $x$", align="left")
    page.text(0.15, wholes, "whole $q$", align="left")
    page.line((0.9, floats), (5.3, floats), width=1.2)
    for tick in (-1, 0, 1, 2, 3):
        page.line((2.1 + tick, floats - 0.05), (2.1 + tick, floats + 0.05), width=1.2)
        page.text(2.1 + tick, floats + 0.18, f"{tick}")
    for level in range(top + 1):
        x = 2.1 + scale * (level - zero)
        page.box(x - 0.16, wholes - 0.13, 0.32, 0.26, f"{level}")
        if level not in (zero, whole):
            page.line((x, wholes + 0.13), (x, floats), color="0.6", dashed=True)
    page.dot(2.1 + example, floats, look="loss", size=5)
    page.text(2.1 + example, floats + 0.18, f"{example}")
    for x, level in ((0, zero), (example, whole)):
        page.arrow((2.1 + x, floats - 0.08), (2.1 + scale * (level - zero), wholes + 0.13))
    page.text(5.5, 2.3, f"{example} becomes {back:.2f}", align="left")
    page.text(5.5, 3.45, rf"scale $\Delta = 4/7 = {scale:.2f}$", align="left")
    page.text(5.5, 3.15, f"zero point $q_0 = {zero}$", align="left")
    page.text(5.5, 2.87, "(for weights: 0)", align="left")
    page.text(
        0.15,
        2.3,
        rf"$q=\mathrm{{round}}(x/\Delta)+q_0$, cut to 0 … {top} (3 bits; int8: 8)",
        align="left",
    )
    page.text(4.1, 2.3, r"$x\approx\Delta\,(q-q_0)$", align="left")

    page.text(0.15, 1.85, "Rounding simulated in training", align="left", bold=True)
    weights = page.box(0.15, 1.05, 1.15, 0.5, "float weights", look="student")
    rounded = page.box(1.95, 1.05, 1.25, 0.5, "on the grid,", "still floats")
    logits = page.box(3.85, 1.05, 0.6, 0.5, "$z_s$")
    formula = (r"$\alpha\,\mathrm{CE}+$", r"$(1-\alpha)\,T^2\,\mathrm{KL}$")
    loss = page.box(5.1, 1.05, 1.75, 0.5, *formula, look="loss", size=FORMULA)
    teacher = page.box(5.4, 0.4, 1.15, 0.34, "Teacher", look="teacher")
    page.arrow(teacher.top(), loss.bottom(), stop=True)
    for start, end in pairwise((weights, rounded, logits, loss)):
        page.arrow(start.right(0.7), end.left(0.7))
        page.arrow(end.left(0.3), start.right(0.3), gradient=True)
    page.text(0.15, 0.7, "the gradient passes the rounding unchanged", align="left")
    page.legend("teacher", "student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "Above, a line of floats from minus 1 to 3 and below it the 8 whole numbers that stand for "
        "it in 3 bits: a float is divided by the scale, rounded, and shifted by the zero point, so "
        "that 0 is one of the levels exactly. Below, training with simulated rounding: the float "
        "weights are rounded to the grid in each step, the loss with the teacher's soft targets is "
        "computed through the rounded ones, and its gradient passes the rounding unchanged back to "
        "the float weights."
    )


def same_student() -> None:
    """What lies between a student and its answers on a device, and how the two are compared."""
    page = Canvas(3.5)
    page.text(0.15, 3.32, "One student, two ways to its logits", align="left", bold=True)
    images = page.box(0.15, 1.55, 0.9, 0.5, "test", "images")
    student = page.box(1.6, 2.45, 1.2, 0.5, "student", "in PyTorch", look="student")
    ours = page.box(5.15, 2.5, 0.6, 0.4, "$z_s$")
    file = page.box(1.6, 0.95, 0.8, 0.5, "file")
    inside = page.box(2.95, 0.95, 1.5, 0.5, "operators of", "the runtime")
    theirs = page.box(5.15, 1.0, 0.6, 0.4, "$z_r$")
    page.arrow(images.right(0.8), (1.3, 1.95), (1.3, 2.7), student.left())
    page.arrow(images.right(0.2), (1.3, 1.65), (1.3, 1.2), file.left())
    page.arrow(student.right(), ours.left())
    page.arrow((2.0, 2.45), (2.0, 1.45))
    page.text(2.1, 2.1, "export", align="left", size=SMALL)
    page.text(2.1, 1.85, "gradients on? half precision?", align="left", size=SMALL)
    page.arrow(file.right(), inside.left())
    page.arrow(inside.right(), theirs.left())
    page.text(2.0, 0.62, "ranges: which images,", "in which order?", size=SMALL)
    page.text(3.7, 0.62, "which in integers, which", "fell back to float?", size=SMALL)
    page.text(5.45, 0.72, "rounded, cut off", size=SMALL)
    page.line((5.45, 2.5), (5.45, 1.4), dashed=True)
    page.text(5.9, 2.2, "differences,", "flips,", "accuracy", align="left")
    page.legend("student", "data", "values")
    page.show(
        "The same test images take two ways. Above, through the student in PyTorch to its logits. "
        "Below, through the file that was exported from it and the operators that the runtime made "
        "of the file, to the runtime's logits. Between the two logits: differences, flips and "
        "accuracy. At each step something may change: gradients and half precision at the export, "
        "ranges by the images of the calibration and their order in the file, operators that fall "
        "back to float in the runtime, numbers that are rounded or cut off in the logits."
    )
