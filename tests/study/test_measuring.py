"""Further numbers of finished runs, and what shifted images do to a network."""

from __future__ import annotations

import pytest
import torch
from helpers import STUDENT, study, tiny_data, tiny_teacher
from torch import nn

from kdnotes import metrics
from kdnotes.data import shift
from kdnotes.methods import KD, CrossEntropy
from kdnotes.study import measured, under_shifts
from kdnotes.training import build, predict, trained

pytestmark = pytest.mark.usefixtures("own_cache")


class BrightestColumn(nn.Module):
    """Its class is the place of the one bright column: it sees every shift."""

    def forward(self, images):
        return images.mean(dim=(1, 2))


class Brightness(nn.Module):
    """Whatever moves inside the images, its answer stays."""

    def forward(self, images):
        return images.mean(dim=(1, 2, 3))[:, None] * torch.arange(32.0)


def bright_columns():
    images = torch.zeros(4, 1, 32, 32)
    targets = torch.tensor([8, 12, 16, 20])
    for image, column in zip(images, targets.tolist(), strict=True):
        image[:, :, column] = 1.0
    return tiny_data().test.__class__(images, targets, torch.arange(4))


def test_what_sees_every_shift_and_what_sees_none():
    split = bright_columns()
    found = under_shifts(BrightestColumn(), split, (0, 1, 3))
    assert found["shift 0 accuracy"] == found["shift 0 agreement"] == 1.0
    # Up and down, the columns stay; left and right, they do not.
    for size in (1, 3):
        assert found[f"shift {size} accuracy"] == found[f"shift {size} agreement"] == 0.5
    blind = under_shifts(Brightness(), split, range(5))
    assert {blind[f"shift {size} agreement"] for size in range(5)} == {1.0}


def test_it_is_the_mean_over_four_directions():
    network, split = build(STUDENT, 0), tiny_data().test
    still = predict(network, split.images)
    moved = [
        predict(network, shift(split.images, *way)) for way in ((2, 0), (-2, 0), (0, 2), (0, -2))
    ]
    found = under_shifts(network, split, [2])
    accuracies = [metrics.accuracy(one, split.targets) for one in moved]
    agreements = [metrics.agreement(one, still) for one in moved]
    assert found == {
        "shift 2 accuracy": pytest.approx(sum(accuracies) / 4),
        "shift 2 agreement": pytest.approx(sum(agreements) / 4),
    }


def test_measured_numbers_are_paired_by_seed_like_all_others():
    teacher = tiny_teacher()
    result = study({"CE": CrossEntropy(), "KD": KD(teacher, 2.0, 0.1)}, 3)
    answers = teacher.logits(tiny_data().test)

    def agreement(arm, run):
        network = trained(STUDENT, run)
        assert torch.equal(predict(network, tiny_data().test.images), run.test_logits)
        return {"agreement": metrics.agreement(run.test_logits, answers)}

    known = measured(result, agreement)
    for arm in ("CE", "KD"):
        by_hand = [
            metrics.agreement(result.runs[arm, seed].test_logits, answers) for seed in range(3)
        ]
        assert known.values(arm, "agreement").tolist() == by_hand
    mean = known.difference("KD", "CE", "agreement").mean
    assert mean == pytest.approx(
        (known.values("KD", "agreement") - known.values("CE", "agreement")).mean()
    )
    assert "agreement" not in result.frame


def test_wrong_measures_are_named():
    result = study({"CE": CrossEntropy()}, 2)
    with pytest.raises(ValueError, match="measure must give the same names for every run"):
        measured(result, lambda arm, run: {run.start: 1.0})
    with pytest.raises(ValueError, match=r"new names, not \['test_accuracy'\]"):
        measured(result, lambda arm, run: {"test_accuracy": 1.0})
    with pytest.raises(TypeError, match=r"study must be a kdnotes\.study\.Study, not dict"):
        measured({}, lambda arm, run: {})
    split = tiny_data().test
    for wrong in ((1, 1), (-1,), (1.0,), ()):
        with pytest.raises(ValueError, match="pixels must be"):
            under_shifts(build(STUDENT, 0), split, wrong)
    with pytest.raises(TypeError, match=r"pixels must be a sequence of shifts, such as range\(5\)"):
        under_shifts(build(STUDENT, 0), split, 3)
    with pytest.raises(TypeError, match=r"network must be a torch\.nn\.Module, not function"):
        under_shifts(lambda images: images, split)
    with pytest.raises(TypeError, match=r"split must be a kdnotes\.data\.Split"):
        under_shifts(build(STUDENT, 0), split.images)
    with pytest.raises(ValueError, match="rows must be a whole number from -31 to 31, not 40"):
        under_shifts(build(STUDENT, 0), split, (40,))
