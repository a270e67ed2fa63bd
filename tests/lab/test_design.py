"""A comparison on paper: each confounder is named, and a right design passes, whatever its form."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from helpers import CONFIG, MULTI_EXIT, STUDENT, tiny_data, tiny_teacher
from made_up import own_loss

from kdnotes import models
from kdnotes.data import Views
from kdnotes.lab import Design
from kdnotes.methods import (
    BYOT,
    CAMKD,
    DKD,
    DML,
    KD,
    PSKD,
    AnnealedKD,
    CrossEntropy,
    OwnLoss,
    StandardizedKD,
    UncertaintyKD,
)
from kdnotes.study import Arm, PerSeed
from kdnotes.training import build

DATA = tiny_data()
TEACHER, OTHER = tiny_teacher(0), tiny_teacher(1)
SHARED = {"student": STUDENT, "data": DATA, "config": CONFIG}


def faults(treatment, other=None, /, factor=None, **changes):
    """Of two arms, "new" and "old"."""
    arms = {"new": treatment, "old": CrossEntropy() if other is None else other}
    given = SHARED | {"treatment": "new", "baseline": "old"} | changes
    return Design(arms, **given).faults(factor)


def config(**changes):
    return dataclasses.replace(CONFIG, **changes)


def fewer(**parts):
    """The data with other splits."""
    return dataclasses.replace(DATA, **parts)


def smaller(part="train"):
    split = getattr(DATA, part)
    return fewer(**{part: split.take(split.index[:-4])})


KD_2 = KD(TEACHER, 2.0, 0.1)

RIGHT = {
    "a method": (KD_2, None, {}),
    "two that share their settings": (DKD(TEACHER, 2.0), KD_2, {}),
    "a method with a setting of its own": (UncertaintyKD(TEACHER, 2.0, 0.1, 0.5), KD_2, {}),
    "one setting": (KD(TEACHER, 4.0, 0.1), KD_2, {}),
    "another teacher alone": (KD(OTHER, 2.0, 0.1), KD_2, {}),
    "an equal teacher made twice": (DKD(tiny_teacher(0), 2.0), KD_2, {}),
    "epochs, asked for": (Arm(KD_2, config=config(epochs=4)), KD_2, {"factor": "epochs"}),
    "epochs alone": (Arm(KD_2, config=config(epochs=4)), KD_2, {}),
    "a batch size": (Arm(KD_2, config=config(batch_size=8)), KD_2, {"factor": "batch_size"}),
    "images alone": (Arm(KD_2, data=smaller()), KD_2, {}),
    "equal images made twice": (Arm(KD_2, data=fewer()), None, {}),
    "a seed in the schedule": (Arm(KD_2, config=config(seed=3, validate_every=1)), None, {}),
    "a constant of a loss": (
        OwnLoss(functools.partial(own_loss, strength=1.0)),
        OwnLoss(functools.partial(own_loss, strength=0.5)),
        {"factor": "strength"},
    ),
    "α of two methods that mean two things": (PSKD(0.8), DKD(TEACHER, alpha=0.5), {}),
    "a temperature of standardised logits": (StandardizedKD(TEACHER, 1.0, 0.1), KD_2, {}),
    "a schedule of T and its mean": (
        AnnealedKD(TEACHER, (4.0, 1.0), (0.1, 0.1)),
        AnnealedKD(TEACHER, (2.5, 2.5), (0.1, 0.1)),
        {},
    ),
    "exits with and without their teacher": (
        Arm(BYOT(3.0, 0.3, 0.0), student=MULTI_EXIT),
        Arm(BYOT(3.0, 0.0, 0.0), student=MULTI_EXIT),
        {},
    ),
    "a method of each seed": (Arm(lambda seed: KD(tiny_teacher(seed), 2.0, 0.1)), None, {}),
    "a builder of each seed": (Arm(KD_2, student=PerSeed(lambda seed: STUDENT)), None, {}),
    "many seeds": (KD_2, None, {"seeds": range(20, 40)}),
}


@pytest.mark.parametrize(("treatment", "baseline", "options"), RIGHT.values(), ids=RIGHT)
def test_a_right_design_passes(treatment, baseline, options):
    assert faults(treatment, baseline, **options) == []


@dataclasses.dataclass(frozen=True)
class Warm:
    """Builds a student that was trained, or that started with another seed."""

    seed: int

    def __call__(self):
        return build(STUDENT, self.seed + 100)


def trained_once():
    """A student that is always the same one."""
    return build(STUDENT, 7)


WRONG = {
    "epochs": (
        Arm(KD_2, config=config(epochs=6)), None, {},
        "not only the method differs but epochs too (6 against 2): longer training",
    ),
    "batch size": (
        Arm(KD_2, config=config(batch_size=8)), None, {}, "batch size too (8 against 16)",
    ),
    "learning rate": (
        Arm(KD_2, config=config(learning_rate=0.1)), None, {},
        "learning rate too (0.1 against 0.01): its effect would be taken for that of the method",
    ),
    "weight decay": (Arm(KD_2, config=config(weight_decay=0.0)), None, {}, "weight decay too"),
    "views": (Arm(KD_2, config=config(views=Views(4))), None, {}, "but views too"),
    "precision": (Arm(KD_2, config=config(bfloat16=True)), None, {}, "but bfloat16 too"),
    "training images": (
        Arm(KD_2, data=smaller()), None, {}, "training images too: one side learns from images",
    ),
    "test images": (
        Arm(KD_2, data=smaller("test")), None, {}, "test images too: the sides are not measured",
    ),
    "validation images": (
        Arm(KD_2, data=smaller("validation")), None, {}, "validation images too",
    ),
    "images in another order": (
        Arm(KD_2, data=fewer(train=DATA.train.take(DATA.train.index.flip(0)))), None, {},
        "training images too",
    ),
    "another network": (
        Arm(KD_2, student=functools.partial(STUDENT, width=8)), None, {},
        "network too: another network has another score",
    ),
    "another architecture": (
        Arm(KD_2, student=functools.partial(
            models.ResidualStudent, num_classes=4, in_channels=1, width=4)), None, {},
        "network too",
    ),
    "a start with a training behind it": (
        Arm(KD_2, student=PerSeed(Warm)), None, {}, "initial weights too: one side starts",
    ),
    "another start of one seed alone": (
        Arm(KD_2, student=PerSeed(lambda seed: Warm(seed) if seed == 4 else STUDENT)), None, {},
        "initial weights too",
    ),
    "one network for all seeds": (
        KD_2, None, {"student": trained_once}, "seeds start from the same weights",
    ),
    "one network for all seeds of an arm": (
        Arm(KD_2, student=trained_once), None, {}, "seeds start from the same weights",
    ),
    "a setting of both methods": (
        DKD(TEACHER, 4.0), KD_2, {}, "temperature too (4 against 2)",
    ),
    "a setting that is inherited": (
        UncertaintyKD(TEACHER, 2.0, 0.5), KD_2, {}, "alpha too (0.5 against 0.1)",
    ),
    "the labels' weight of unrelated classes": (
        CAMKD((TEACHER, OTHER), 2.0, 0.5), KD_2, {}, "alpha too (0.5 against 0.1)",
    ),
    "the teacher": (DKD(OTHER, 2.0), KD_2, {}, "but teacher too"),
    "two settings at once": (
        KD(TEACHER, 4.0, 0.5), KD_2, {}, "several things change at once, temperature, alpha",
    ),
    "two constants of a loss": (
        OwnLoss(functools.partial(own_loss, strength=1.0), TEACHER),
        OwnLoss(functools.partial(own_loss, strength=0.5), OTHER),
        {}, "several things change at once, strength, teacher",
    ),
    "schedule and setting at once": (
        Arm(KD(TEACHER, 4.0, 0.1), config=config(epochs=6)), KD_2, {},
        "several things change at once, epochs, temperature",
    ),
    "peers, which are several networks": (
        Arm(DML(), student=functools.partial(models.Cohort, (STUDENT, STUDENT))), None, {},
        "network too",
    ),
    "nothing": (KD(TEACHER, 2.0, 0.1), KD_2, {}, "do not differ in anything but their names"),
    "not what is asked": (
        Arm(KD_2, config=config(epochs=6)), KD_2, {"factor": "temperature"},
        "the temperature does not differ: nothing tests it",
    ),
    "one seed": (KD_2, None, {"seeds": 1}, "there is one seed"),
    "one seed by itself": (KD_2, None, {"seeds": [4]}, "there is one seed"),
    "one seed again and again": (KD_2, None, {"seeds": [4, 4, 4]}, "there is one seed"),
    "a seed twice": (KD_2, None, {"seeds": [0, 1, 1]}, "counted more than once"),
    "no baseline": (KD_2, None, {"baseline": None}, "there is no baseline"),
    "itself as baseline": (KD_2, None, {"baseline": "new"}, "'new' is on both sides"),
    "the test set as a judge of one setting": (
        KD_2, None, {"choose_by": "test_accuracy"}, "test_accuracy chooses",
    ),
    "test images that were trained on": (
        KD_2, None, {"data": fewer(test=DATA.train)}, "100% of the test images are training images",
    ),
    "test images in disguise as validation": (
        KD_2, None, {"data": fewer(validation=DATA.test)},
        "100% of the test images are validation images",
    ),
    "validation images that were trained on": (
        KD_2, None, {"data": fewer(validation=DATA.train)},
        "100% of the validation images are training images",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("treatment", "baseline", "options", "said"), WRONG.values(), ids=WRONG)
def test_a_confounder_is_named(treatment, baseline, options, said):
    found = faults(treatment, baseline, **options)
    assert any(said in one for one in found), found


GRID = {
    "KD α=0": KD(TEACHER, 2.0, 0.0),
    "KD α=0.5": KD(TEACHER, 2.0, 0.5),
    "KD, long": Arm(KD(TEACHER, 2.0, 0.5), config=config(epochs=4)),
    "CE": CrossEntropy(),
    "CE, long": Arm(CrossEntropy(), config=config(epochs=4)),
}
CHOSEN = {
    "treatment": ("KD α=0", "KD α=0.5"), "baseline": "CE", "seeds": range(3, 8),
    "choose_by": "validation_accuracy", "choose_seeds": 3,
}  # fmt: skip


def of_grid(**changes):
    return Design(GRID, **(SHARED | CHOSEN | changes)).faults()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"choose_by": "validation_ece", "metric": "test_ece"},
        {"choose_seeds": (8, 9)},
        {"metric": "seconds"},
        {"treatment": ("KD α=0", "KD, long"), "baseline": ("CE", "CE, long")},  # tuned alike
    ],
)
def test_a_setting_may_be_chosen_on_validation_and_seeds_of_its_own(changes):
    assert of_grid(**changes) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"choose_by": "test_accuracy"}, "test_accuracy chooses: a score that chose"),
        ({"choose_by": "test_nll"}, "test_nll chooses"),
        ({"choose_by": "seconds"}, "seconds chooses"),
        ({"choose_by": None}, "nothing that chooses among them"),
        ({"choose_seeds": None}, "no seeds for the choice"),
        ({"choose_seeds": range(3, 8)}, "seeds both choose and report (3, 4, 5, 6, 7)"),
        ({"choose_seeds": [0, 7]}, "seeds both choose and report (7)"),
        ({"metric": "validation_accuracy"}, "the images that chose measure again"),
        ({"treatment": ("KD α=0", "KD, long")}, "epochs too (2, 4 against 2)"),
        ({"baseline": ("CE", "CE, long")}, "epochs too (2 against 2, 4)"),
        ({"treatment": ("KD α=0", "CE")}, "'CE' is on both sides"),
    ],
)
def test_a_choice_that_flatters_is_named(changes, said):
    assert any(said in one for one in of_grid(**changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"treatment": "KD"}, ValueError, "treatment must be of the arms"),
        ({"baseline": ("CE", "LS")}, ValueError, "baseline must be of the arms"),
        ({"treatment": ()}, ValueError, "treatment must name at least one arm"),
        ({"treatment": 1}, TypeError, "treatment must be the name of an arm"),
        ({"metric": "accuracy"}, ValueError, "metric must be 'test_accuracy' or"),
        ({"choose_by": "train_accuracy"}, ValueError, "choose_by must be 'test_accuracy' or"),
        ({"seeds": 0}, ValueError, "seeds must be a whole number of at least 1"),
        ({"seeds": "5"}, ValueError, "seeds must be a whole number of at least 1"),
        ({"seeds": []}, ValueError, "the number of seeds must be"),
        ({"seeds": [0, "1"]}, TypeError, "seeds must be an integer"),
        ({"choose_seeds": [-1]}, ValueError, "choose_seeds must be at least 0"),
        ({"data": None}, TypeError, "data of arm"),
        ({"student": None}, TypeError, "student of arm"),
    ],
)
def test_what_is_no_design_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        of_grid(**changes)


def test_a_fault_is_said_once():
    found = faults(Arm(KD_2, student=trained_once), Arm(CrossEntropy(), student=trained_once))
    assert found == ["seeds start from the same weights: they are no repetitions"]
