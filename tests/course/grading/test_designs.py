"""Designs as data: what may not be made here is refused, however it was sent."""

from __future__ import annotations

import functools

import pytest
from helpers import CONFIG, STUDENT, tiny_data
from language.language_helpers import SCHEDULE, corpus, teacher
from language.language_helpers import STUDENT as SMALL

from kdnotes import language, methods, models
from kdnotes.course.grading import designs
from kdnotes.lab import Design, StringDesign
from kdnotes.study import Arm

SPLITS = tiny_data()
OURS = {"shared": {"student": STUDENT, "data": SPLITS, "config": CONFIG}}


def there_and_back(design: Design) -> Design:
    return designs.decoded(designs.encoded(design, designs.ways(OURS)), OURS)


def made(**options) -> Design:
    arms = {"a": methods.LabelSmoothing(0.1), "b": methods.CrossEntropy()}
    return Design(arms, "a", "b", **OURS["shared"] | options)


def test_a_design_comes_back():
    wider = functools.partial(models.StudentNet, num_classes=4, in_channels=1, width=8)
    design = made(seeds=range(3, 8), student=wider)
    found = there_and_back(design)
    assert found.data is SPLITS and found.config == CONFIG and found.report_seeds == (3, 4, 5, 6, 7)
    assert repr(found.arms) == repr(design.arms) and found.student.keywords == wider.keywords
    assert designs.names_of_ours(designs.encoded(design, designs.ways(OURS))) == {"shared"}


def test_arms_come_back():
    arms = {"a": Arm(methods.CrossEntropy(), config=CONFIG), "b": methods.CrossEntropy()}
    found = there_and_back(Design(arms, ("a",), ["b"], **OURS["shared"]))
    assert repr(found.arms) == repr(arms) and found.treatments == ("a",)


@pytest.mark.parametrize(
    "options",
    [
        {"student": lambda: STUDENT()},
        {"arms": {"a": methods.OwnLoss(lambda batch, given: 0.0), "b": methods.CrossEntropy()}},
    ],
)
def test_a_function_of_ones_own_is_not_sent(options):
    design = Design(**{"arms": made().arms, "treatment": "a"} | OURS["shared"] | options)
    with pytest.raises(designs.NotSent, match="of the submission's own"):
        designs.encoded(design, designs.ways(OURS))


def test_what_is_no_design():
    with pytest.raises(TypeError, match="not dict"):
        designs.encoded({}, {})


NETWORK = ["named", "kdnotes.models.StudentNet"]


@pytest.mark.parametrize(
    "tree",
    [
        ["ours", ["__builtins__", "exit"]],
        ["partial", NETWORK, ["list", []], ["dict", [["width", 10**6]]]],
        ["partial", ["named", "kdnotes.models.count_parameters"], ["list", []], 3],
        ["partial", 3, ["list", []], ["dict", []]],
        ["named", "os.system"],
        ["made", "Popen", {}],
        ["made", "Design", {"seeds": 10**9}],
        ["made", "StringDesign", {"seeds": 10**9}],
        ["made", "StringArm", {"method": None, "corpus": ["list", []]}],
        ["range", 0, 10**9, 1],
        ["list", [0] * 2000],
        ["ours", []],
        ["ours", ["shared", "nothing"]],
        ["shell", "true"],
        [],
        [None],
    ],
)
def test_what_is_forged_is_refused(tree):
    with pytest.raises((designs.NotSent, LookupError, ValueError, TypeError)):
        designs.decoded(tree, OURS)


def test_a_design_of_strings_comes_back():
    ours = {"shared": {"student": SMALL, "corpus": corpus(), "schedule": SCHEDULE}, "t": teacher()}
    arms = {
        "on-policy": language.OnPolicy(language.TokenKD(teacher(), 2.0), 0.5),
        "KD": language.StringArm(language.TokenKD(teacher(), 2.0), schedule=language.Schedule(9)),
    }
    options = {"equal": "seconds", "seconds_a_step": {"on-policy": 0.3, "KD": 0.1}}
    design = StringDesign(arms, "on-policy", ["KD"], **ours["shared"], **options)
    found = designs.decoded(designs.encoded(design, designs.ways(ours)), ours)
    assert type(found) is StringDesign and found.corpus is corpus()
    assert repr(found.arms) == repr(design.arms) and found.seconds_a_step == design.seconds_a_step
    assert found.faults("writer") == design.faults("writer")


def test_a_corpus_of_ones_own_is_not_sent():
    ours = {"shared": {"student": SMALL, "schedule": SCHEDULE}, "t": teacher()}
    arms = {"KD": language.TokenKD(teacher())}
    design = StringDesign(arms, "KD", corpus=corpus(), **ours["shared"])
    with pytest.raises(designs.NotSent, match="of the submission's own"):
        designs.encoded(design, designs.ways(ours))
