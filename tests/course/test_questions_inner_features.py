"""The readings and designs of the chapters on feature hints and attention transfer: what is
accepted, what is not.
"""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from helpers import CONFIG, PAIRS, STUDENT, tiny_data, tiny_teacher

from kdnotes.course import check, order
from kdnotes.intervals import Interval
from kdnotes.lab import Design
from kdnotes.methods import AT, KD, CrossEntropy, FitNets, LabelSmoothing

HINTS, ATTENTION = (f"{order.number(name):02d}" for name in ("feature_hints", "attention_transfer"))
TABLE = pd.DataFrame(
    [[0.9, 0.8, 0.1], [0.5, 0.7, 0.6], [0.4, 0.3, 0.2]],
    index=["stem", "stage1", "stage2"], columns=["block1", "block2", "block3"],
)  # fmt: skip


def told(capsys, function, *given):
    function(*given)
    return capsys.readouterr().out.split(": ", 1)[1].strip()


def test_each_row_of_the_likenesses_has_one_winner(capsys):
    number = f"{HINTS}.5"
    assert told(capsys, check.read, number, ["block2", "block1"], TABLE) == "correct"
    for wrong in (["block1"], ["block1", "block2", "block3"], ["block3"], []):
        assert "not yet" in told(capsys, check.read, number, wrong, TABLE)


def test_an_excess_grew_if_its_whole_interval_lies_above_0(capsys):
    number = f"{ATTENTION}.5"
    excess = {
        "CE": Interval(-0.2, -0.3, -0.1, 5),
        "KD + AT": Interval(0.2, 0.1, 0.3, 5),
        "other images": Interval(0.1, -0.1, 0.3, 5),
    }
    assert told(capsys, check.read, number, ["KD + AT"], excess) == "correct"
    for wrong in ([], ["CE", "KD + AT"], ["other images"], list(excess)):
        assert "not yet" in told(capsys, check.read, number, wrong, excess)
    assert told(capsys, check.read, number, [], {"CE": excess["CE"]}) == "correct"


def planned(treatment, baseline, seeds=5, **changes):
    shared = {"student": STUDENT, "data": tiny_data(), "config": CONFIG} | changes
    sides = {"treatment": treatment, "baseline": baseline}
    return Design(sides, "treatment", "baseline", seeds=seeds, **shared)


def hint(**changes):
    return dataclasses.replace(FitNets(tiny_teacher(), 2.0, 0.1, PAIRS, 10.0), **changes)


def at(**changes):
    return dataclasses.replace(AT(tiny_teacher(), 2.0, 1.0, PAIRS, 10.0), **changes)


WEIGHTS = (1.0, 10.0)
CHOICE = {"choose_by": "validation_accuracy", "choose_seeds": [90, 91]}


def forms(treatment, baseline, weights=(WEIGHTS, WEIGHTS), **options):
    """The two-phase and the joint form of a hint, at several weights each."""
    arms = {f"t{w}": hint(**{"weight": w} | treatment) for w in weights[0]}
    other = KD(tiny_teacher(), 2.0, 0.1)
    arms |= {f"b{w}": other if baseline is KD else hint(weight=w, **baseline) for w in weights[1]}
    sides = [tuple(f"{side}{w}" for w in own) for side, own in zip("tb", weights, strict=True)]
    given = {"student": STUDENT, "data": tiny_data(), "config": CONFIG, "seeds": 5} | CHOICE
    return Design(arms, *sides, **given | options)


@pytest.mark.parametrize("alone", [0.1, 1 / 3, 0.9])
@pytest.mark.parametrize("changes", [{}, {"alpha": 1.0}])
@pytest.mark.parametrize("weights", [WEIGHTS, (100.0, 3.0, 0.1)])
def test_two_phases_against_one_with_the_same_weights_to_choose_from(
    alone, changes, weights, capsys
):
    design = forms({"alone": alone} | changes, changes, (weights, weights[::-1]))
    assert told(capsys, check.design, f"{HINTS}.6", design) == "correct"


@pytest.mark.parametrize(
    ("treatment", "baseline", "options", "said"),
    [
        ({}, {}, {}, "the treatment must be the two-phase form"),
        ({"alone": 0.5}, {"alone": 0.3}, {}, "the baseline must be the joint form"),
        ({"alone": 0.5}, KD, {}, "both sides must be FitNets"),
        ({"alone": 0.5}, {}, {"weights": ((0.0, 1.0),) * 2}, "with w = 0 there is no hint"),
        ({"alone": 0.5}, {}, {"weights": ((10.0,),) * 2}, "one w does not treat both forms alike"),
        ({"alone": 0.5}, {}, {"weights": ((10.0,), WEIGHTS)}, "tune both or neither"),
        ({"alone": 0.5}, {}, {"weights": ((1.0, 3.0), WEIGHTS)}, "must try the same w"),
        ({"alone": 0.5}, {"pairs": PAIRS[:1]}, {}, "not only the alone differs but pairs too"),
        ({"alone": 0.5}, {}, {"choose_by": None}, "nothing that chooses among them"),
        ({"alone": 0.5}, {}, {"seeds": 1}, "there is one seed"),
        ({"alone": 0.5}, {}, {"seeds": 3}, "3 seeds give a wide interval"),
    ],
)
def test_a_design_of_two_forms_that_is_confounded_is_told_so(
    treatment, baseline, options, said, capsys
):
    line = told(capsys, check.design, f"{HINTS}.6", forms(treatment, baseline, **options))
    assert line.startswith("not yet: ") and said in line


@pytest.mark.parametrize(
    "baseline",
    [CrossEntropy(), KD(tiny_teacher(), 2.0, 1.0), at(weight=0.0)],
    ids=["CE", "KD, α = 1", "AT, β = 0"],
)
@pytest.mark.parametrize("changes", [{}, {"form": "paper"}, {"pairs": PAIRS[:1]}])
def test_maps_beside_labels_alone_in_any_form(baseline, changes, capsys):
    if changes and type(baseline) is AT:
        baseline = dataclasses.replace(baseline, **changes)
    design = planned(at(**changes), baseline)
    assert told(capsys, check.design, f"{ATTENTION}.6", design) == "correct"


@pytest.mark.parametrize(
    ("treatment", "baseline", "said"),
    [
        (at(alpha=0.1), CrossEntropy(), "the treatment has soft targets beside the maps"),
        (at(alpha=0.1), KD(tiny_teacher(), 2.0, 0.1), "the treatment has soft targets"),
        (at(weight=0.0), CrossEntropy(), "with β = 0 no map is compared"),
        (at(), KD(tiny_teacher(), 2.0, 0.1), "the baseline must be trained on the labels alone"),
        (at(), LabelSmoothing(0.1), "the baseline must be trained on the labels alone"),
        (at(), at(weight=1.0), "the baseline must be trained on the labels alone"),
        (CrossEntropy(), at(), "the treatment must be AT"),
        (hint(alpha=1.0), CrossEntropy(), "the treatment must be AT"),
    ],
)
def test_a_design_with_soft_targets_or_without_maps_is_told_so(treatment, baseline, said, capsys):
    line = told(capsys, check.design, f"{ATTENTION}.6", planned(treatment, baseline))
    assert line.startswith("not yet: ") and said in line
