"""From patches to the answers of two tokens; and who teaches which token in the arms compared."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kdnotes.course.diagrams.canvas import FORMULA, Canvas

VECTORS = np.array([[0.2, 0.5, 0.3, 0.1], [0.6, 0.9, 0.4, 0.2], [0.5, 1.0, 0.8, 0.3],
                    [0.3, 0.7, 0.9, 0.6]])  # fmt: skip


# Of each arm, from whom each of its tokens learns.
ARMS = {
    "CE": (("label",),),
    "hard": (("label", "Teacher"),),
    "two class tokens": (("label",), ("label",)),
    "token": (("label",), ("Teacher",)),
}


def tokens() -> None:
    """The way of an image through a vision transformer with two tokens, and who teaches them."""
    page = Canvas(4.3)
    image = page.picture(0.15, 1.95, 0.7)
    for share in (0.25, 0.5, 0.75):
        cut = 0.7 * share
        page.line((0.15 + cut, 1.95), (0.15 + cut, 2.65), color="0.6")
        page.line((0.15, 1.95 + cut), (0.85, 1.95 + cut), color="0.6")
    page.text(0.5, 2.95, "image $x$,", "in patches")
    projection = page.box(1.15, 2.03, 0.8, 0.54, "project,", "+ position", look="student")
    vectors = page.grid(2.2, 2.0, 0.15, VECTORS, outline="student")
    page.text(2.5, 1.78, "a map")
    blocks = page.box(3.0, 2.03, 0.7, 0.54, "blocks", look="student")
    joint = page.box(4.0, 1.35, 0.75, 1.9, "blocks", "of both", look="student")
    mean = page.box(6.05, 1.9, 0.85, 0.8, "mean of", "softmaxes:", "prediction")
    path = (image, projection, vectors, blocks)
    for start, end in pairwise(path):
        page.arrow(start.right(), end.left())
    page.arrow(blocks.right(), (4.0, 2.3))
    heads = []
    for number, y in ((1, 3.0), (2, 1.6)):
        token = page.box(3.0, y - 0.16, 0.7, 0.32, f"token {number}", look="student")
        head = page.box(5.0, y - 0.18, 0.8, 0.36, f"classifier {number}", look="student")
        page.arrow(token.right(), (joint.x, y))
        page.arrow((joint.x + joint.width, y), head.left())
        page.arrow(head.right(), (6.47, y), mean.top() if number == 1 else mean.bottom())
        heads.append(head)

    label = page.box(3.0, 3.76, 0.75, 0.34, "label $y$")
    hard = page.box(4.62, 3.72, 1.55, 0.42, r"$\alpha\,\mathrm{CE}(y,\,p_{s,1})$", look="loss")
    teacher = page.box(1.15, 0.58, 0.9, 0.36, "Teacher", look="teacher")
    answer = page.box(2.45, 0.55, 1.2, 0.42, r"its class $\hat{y}_t$", size=FORMULA)
    formula = r"$(1-\alpha)\,\mathrm{CE}(\hat{y}_t,\,p_{s,2})$"
    taught = page.box(4.42, 0.55, 1.95, 0.42, formula, look="loss")
    page.arrow(label.right(), hard.left())
    page.arrow(image.bottom(), (0.5, 0.76), teacher.left())
    page.arrow(teacher.right(), answer.left())
    page.arrow(answer.right(), taught.left(), stop=True)
    for x, back in ((5.25, False), (5.55, True)):
        ways = ((heads[0].top()[1], hard.y), (heads[1].y, taught.y + taught.height))
        for start, end in ways:
            points = ((x, start), (x, end))
            page.arrow(*(points[::-1] if back else points), gradient=back)
    page.legend("teacher", "student", "data", "loss", "values", "gradient", "stop")
    page.show(
        "An image is cut into patches; each becomes a vector with a learned position, so that a "
        "map remains, and passes through blocks of patches alone. Two learned tokens join for the "
        "last blocks, and a classifier reads each. The first learns the label, by cross-entropy "
        "weighted alpha. The second learns the class that a frozen convolutional teacher gives to "
        "the same image, weighted 1 minus alpha; no gradient reaches the teacher. The prediction "
        "is the mean of the two softmaxes."
    )


def token_arms() -> None:
    """Four arms: how many tokens each has, and whether it hears a teacher, and through which."""
    page = Canvas(3.0)
    page.text(0.1, 2.21, "learns", "from", align="left")
    page.text(0.1, 1.51, "token", align="left")
    for column, (name, tokens_of_arm) in enumerate(ARMS.items()):
        middle = 1.48 + 1.58 * column
        page.text(middle, 2.78, name, bold=True)
        network = page.box(middle - 0.68, 0.55, 1.36, 0.4, "the same blocks", look="student")
        sources = iter(spots(middle, sum(map(len, tokens_of_arm))))
        places = spots(middle, len(tokens_of_arm))
        for number, (x, heard) in enumerate(zip(places, tokens_of_arm, strict=True), 1):
            token = page.box(x - 0.2, 1.35, 0.4, 0.32, f"{number}", look="student")
            page.arrow((x, network.y + network.height), token.bottom())
            for order, who in enumerate(heard):
                look = "teacher" if who == "Teacher" else "data"
                source = page.box(next(sources) - 0.32, 2.02, 0.64, 0.38, who, look=look)
                page.arrow(source.bottom(), token.top((order + 0.5) / len(heard)))
    page.legend("teacher", "student", "data", "values")
    page.show(
        "Four arms with the same blocks. CE has one token, which learns the label. Hard has one "
        "token, which learns the label and the teacher's class. Two class tokens has two, and both "
        "learn the label. Token has two: the first learns the label, the second the teacher's "
        "class alone."
    )


def spots(middle: float, count: int) -> list[float]:
    """Where one thing stands in a column, or two side by side."""
    return [middle] if count == 1 else [middle - 0.38, middle + 0.38]
