"""Each mistake that exercises share is named by its own sentence, on two exercises or more."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings

import pytest
import torch.nn.functional as F
from sweep import ALL

from kdnotes import losses
from kdnotes.course import check, mistakes, slips

R = {number: spec.reference for number, spec in ALL.items()}


def scaled(number, factor):
    """The reference times ``factor(case)``."""
    return lambda *case: R[number](*case) * factor(case)


def exchanged(number, i, j):
    return lambda *case: R[number](
        *(case[j] if k == i else case[i] if k == j else one for k, one in enumerate(case))
    )


def with_soft(number, change):
    """The labels' term and ``change(soft, case)``, where the soft term belongs."""
    one = ALL[number]
    return lambda *case: one.hard(*case) + change(one.soft, case)


def naive(number):
    """The logarithm of a softmax."""

    def answer(*case):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(F, "log_softmax", lambda z, dim=1: F.softmax(z, dim=dim).log())
            return R[number](*case)

    return answer


def guarded(number):
    def answer(*case):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(F, "log_softmax", lambda z, dim=1: (F.softmax(z, dim=dim) + 1e-12).log())
            return R[number](*case)

    return answer


BATCH, CLASSES = (lambda case: float(case[0].shape[0])), (lambda case: float(case[0].shape[1]))

NAMED = {
    mistakes.NOT_FINITE: [("01.1", naive("01.1")), ("08.3", naive("08.3"))],
    mistakes.CUT_OFF: [("01.1", guarded("01.1")), ("04.1", guarded("04.1"))],
    "the value is right, but no gradient reaches z": [
        ("01.1", lambda z, z_t, t: R["01.1"](z, z_t, t).detach()),
        ("13.1", lambda z, y: [one.detach() for one in R["13.1"](z, y)]),
        ("05.2", lambda z, z_t, y, t: R["05.2"](z, z_t, y, t).item()),
    ],
    mistakes.REVERSED: [
        ("01.1", lambda *case: 2 * R["01.1"](*case).detach() - R["01.1"](*case)),
        ("10.1", lambda *case: 2 * R["10.1"](*case).detach() - R["10.1"](*case)),
    ],
    "a gradient reaches teacher: detach it, a constant here": [
        ("10.1", lambda student, teacher, weight, bias: (
            ALL["10.1"].difference(student, teacher, weight, bias).square().mean())),
    ],
    "the soft term is missing": [
        ("04.1", with_soft("04.1", lambda soft, case: 0.0)),
        ("12.2", with_soft("12.2", lambda soft, case: 0.0)),
    ],
    "the soft term sends no gradient to ": [
        ("04.1", with_soft("04.1", lambda soft, case: soft(*case).detach())),
        ("12.2", with_soft("12.2", lambda soft, case: soft(*case).detach())),
    ],
    "is too small by T²: with T²": [
        ("01.1", scaled("01.1", lambda case: case[2] ** -2)),
        ("04.1", with_soft("04.1", lambda soft, case: soft(*case) / case[3] ** 2)),
        ("08.1", scaled("08.1", lambda case: case[3] ** -2)),
    ],
    "is too small by T: count": [
        ("01.1", scaled("01.1", lambda case: 1 / case[2])),
        ("01.2", scaled("01.2", lambda case: 1 / case[2])),
    ],
    "is too large by T: count": [
        ("01.1", scaled("01.1", lambda case: case[2])),
        ("01.2", scaled("01.2", lambda case: case[2])),
    ],
    "is too large by T²: it is there twice": [
        ("05.2", scaled("05.2", lambda case: case[3] ** 2)),
        ("12.2", with_soft("12.2", lambda soft, case: soft(*case) * case[7] ** 2)),
    ],
    "the result is too large by the batch size: take the mean": [
        ("01.1", scaled("01.1", BATCH)),
        ("03.1", scaled("03.1", BATCH)),
        ("01.2", scaled("01.2", BATCH)),
    ],
    "is too small by the batch size": [
        ("01.2", scaled("01.2", lambda case: 1 / BATCH(case))),
        ("06.1", scaled("06.1", lambda case: 1 / BATCH(case))),
    ],
    "the result is too large by the number of classes": [
        ("01.3", scaled("01.3", CLASSES)), ("03.1", scaled("03.1", CLASSES)),
    ],
    "is too small by the number of classes: sum over them": [
        ("01.1", scaled("01.1", lambda case: 1 / CLASSES(case))),
        ("04.1", with_soft("04.1", lambda soft, case: soft(*case) / CLASSES(case))),
    ],
    "the result has the wrong sign": [
        ("01.2", scaled("01.2", lambda case: -1)), ("03.1", scaled("03.1", lambda case: -1)),
    ],
    "the result is twice as large": [
        ("01.3", scaled("01.3", lambda case: 2)),
        ("11.2", scaled("11.2", lambda case: 2)),
    ],
    "the result is half as large": [
        ("10.1", scaled("10.1", lambda case: 0.5)), ("09.1", scaled("09.1", lambda case: 0.5)),
    ],
    "in per cent: return a fraction": [
        ("04.2", scaled("04.2", lambda case: 100)), ("13.3", scaled("13.3", lambda case: 100)),
    ],
    "in the result the student's and the teacher's logits are exchanged": [
        ("01.1", exchanged("01.1", 0, 1)),
        ("05.1", exchanged("05.1", 0, 1)),
        ("05.2", exchanged("05.2", 0, 1)),
    ],
    "in the soft term the student's and the teacher's logits are exchanged": [
        ("04.1", with_soft("04.1", lambda soft, case: soft(case[1], case[0], *case[2:]))),
        ("12.2", with_soft("12.2", lambda soft, case: soft(case[1], case[0], *case[2:]))),
    ],
    "in the result z_s should be divided by T before": [
        ("01.1", lambda z_s, z_t, t: R["01.1"](t * z_s, z_t, t)),
        ("08.1", lambda z_s, z_t, w, t: R["08.1"](t * z_s, z_t, w, t)),
    ],
    "in the result z_s and z_t should be divided by T before": [
        ("01.2", lambda z_s, z_t, t: R["01.2"](t * z_s, t * z_t, t)),
        ("05.1", lambda z_s, z_t, y, t: R["05.1"](t * z_s, t * z_t, y, t)),
    ],
    "should be divided by T, not multiplied": [
        ("03.1", lambda z, t: R["03.1"](t**2 * z, t)),
        ("01.1", lambda z_s, z_t, t: R["01.1"](t**2 * z_s, z_t, t)),
    ],
    "in the labels' term z_s should not be divided by T": [
        ("04.1", lambda z_s, z_t, y, t, alpha: (
            ALL["04.1"].hard(z_s / t, z_t, y, t, alpha) + ALL["04.1"].soft(z_s, z_t, y, t, alpha))),
        ("05.3", lambda z_s, z_t, y, t, *rest: R["05.3"](z_s, z_t, y, t, *rest)
         - F.cross_entropy(z_s, y) + F.cross_entropy(z_s / t, y)),
    ],
    "these are the values of the samples: return their mean": [
        ("01.1", lambda z_s, z_t, t: losses.kd_loss(z_s, z_t, t, reduction="none")),
        ("05.1", lambda *case: losses.decoupled_terms(*case, reduction="none")),
    ],
    "this is the mean over the samples": [
        ("01.3", lambda *case: R["01.3"](*case).mean()),
        ("08.2", lambda *case: R["08.2"](*case).mean(0)),
    ],
    "the axes are exchanged: return the transpose": [
        ("08.2", lambda *case: R["08.2"](*case).T), ("06.3", lambda *case: R["06.3"](*case).T),
    ],
    "the numbers are right, but in another shape": [
        ("06.1", lambda z: R["06.1"](z)[:, None]),
        ("11.1", lambda f: R["11.1"](f).view(len(f), *f.shape[2:])),
    ],
    "right, but return them in the other order": [
        ("05.1", lambda *case: R["05.1"](*case)[::-1]),
        ("07.2", lambda *case: R["07.2"](*case)[::-1]),
    ],
    "the numbers are right, but in another order": [
        ("09.2", lambda p: sorted(R["09.2"](p))), ("01.3", lambda *case: R["01.3"](*case).roll(1)),
    ],
    "computed in half precision": [
        ("01.2", lambda *case: R["01.2"](*case).half()),
        ("08.2", lambda *case: R["08.2"](*case).bfloat16()),
    ],
    "`alpha` and `beta` are exchanged": [
        ("05.3", lambda z_s, z_t, y, t, alpha, beta, epoch, warmup: R["05.3"](
            z_s, z_t, y, t, beta, alpha, epoch, warmup)),
    ],
    "`first` and `last` are exchanged": [
        ("06.2", lambda step, steps, first, last: R["06.2"](step, steps, last, first)),
        ("12.1", lambda e, b, es, bs, first, last: R["12.1"](e, b, es, bs, last, first)),
    ],
    "`alpha` and 1 − `alpha` are exchanged": [
        ("04.1", lambda z_s, z_t, y, t, alpha: R["04.1"](z_s, z_t, y, t, 1 - alpha)),
        ("01.4", lambda alpha, classes: R["01.4"](1 - alpha, classes)),
    ],
    "this is 1 minus the right result": [
        ("09.3", lambda *case: 1 - R["09.3"](*case)), ("13.3", lambda z: 1 - R["13.3"](z)),
        ("03.3", lambda *case: 1 - R["03.3"](*case)),
    ],
    "off by one: the number is too large by 1": [
        ("14.2", lambda *case: R["14.2"](*case) + 1),
        ("07.2", lambda *case: (R["07.2"](*case)[0] + 1, R["07.2"](*case)[1] + 1)),
    ],
    "off by one: the number is too small by 1": [
        ("14.2", lambda *case: R["14.2"](*case) - 1), ("02.1", lambda *case: R["02.1"](*case) - 1),
    ],
    "off by one: this is right for `epoch` + 1": [
        ("12.1", lambda epoch, *rest: R["12.1"](epoch + 1, *rest)),
        ("05.3", lambda z_s, z_t, y, t, alpha, beta, epoch, warmup: R["05.3"](
            z_s, z_t, y, t, alpha, beta, epoch + 1, warmup)),
    ],
    "off by one: this is right for `epoch` − 1": [
        ("12.1", lambda epoch, *rest: R["12.1"](epoch - 1, *rest)),
        ("07.1", lambda previous, positions, y, z, alpha, epoch, epochs: R["07.1"](
            previous, positions, y, z, alpha, epoch - 1, epochs)),
    ],
    "this is rounded: return the number as it is": [
        ("12.3", lambda macs, epochs: float(epochs * sum(macs) // macs[-1])),
        ("04.2", lambda *case: round(R["04.2"](*case), 2)),
    ],
    "your result does not depend on `temperature`": [("03.3", lambda alpha, temperature: alpha)],
    "your result does not depend on `strength`": [
        ("06.4", lambda theta, slope, strength, rate: R["06.4"](theta, slope, 1.0, rate)),
    ],
    "your result does not depend on `batch`": [
        ("12.1", lambda epoch, batch, *rest: R["12.1"](epoch, 0, *rest)),
    ],
    "your result does not depend on `warm_up`": [
        ("15.3", lambda times, warm_up: R["15.3"](times, 0)),
    ],
    "your result does not depend on `y`": [
        ("08.2", lambda z_t, y: R["08.2"](z_t, z_t.argmax(2)[0])),
        ("05.1", lambda z_s, z_t, y, t: R["05.1"](z_s, z_t, z_t.argmax(1), t)),
    ],
}  # fmt: skip


@functools.cache
def line(text, place):
    """What is printed of one of the answers."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), warnings.catch_warnings(action="error"):
        assert not check.exercise(*NAMED[text][place])
    return output.getvalue()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param(text, place, id=f"{number}-{text[:40]}")
        for text, found in NAMED.items()
        for place, (number, _) in enumerate(found)
    ],
)
def test_a_shared_mistake_is_named_by_its_own_sentence(text, place):
    assert text in line(text, place)


OF_TABLES = (
    mistakes.SOFTENINGS,
    mistakes.TEMPERATURE_POWERS,
    mistakes.SIZE_POWERS,
    mistakes.FACTORS,
)
SENTENCES = [text for table in OF_TABLES for text in table.values()] + [
    text for text, *_ in slips.FORMS
]


@pytest.mark.parametrize("sentence", [*SENTENCES, mistakes.DIRECTION, mistakes.REVERSED])
def test_it_is_met_on_two_exercises(sentence):
    pattern = re.sub(r"(\\{)+\w+(\\})+", ".*", re.escape(sentence))
    lines = {line(text, place) for text in NAMED for place in range(len(NAMED[text]))}
    assert len({one[:14] for one in lines if re.search(pattern, one)}) >= 2


def test_what_a_learner_prints_is_printed_once_a_case(capsys):
    def answer(alpha, temperature):
        print("called")
        return 3 * alpha

    check.exercise("03.3", answer)
    assert capsys.readouterr().out.count("called") == len(ALL["03.3"].cases())
