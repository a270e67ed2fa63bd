"""The traps: each costs what the chapter says, and its arithmetic is the library's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kdnotes import libraries
from kdnotes.libraries import example, formulas, traps, vision


def test_keras_default_falls_and_the_student_does_not_learn():
    table = traps.learning({"R": formulas.R, "clipped": formulas.CLIPPED_LOGITS})
    ours, keras = (table[table["loss"] == name].set_index("step") for name in ("R", "clipped"))
    assert keras["value"].iloc[-1] < 0.1 * keras["value"].iloc[0]
    assert ours["agreement"].iloc[-1] > 0.99 and ours["R"].iloc[-1] < 0.001 * ours["R"].iloc[0]
    assert keras["agreement"].iloc[-1] < 0.8 and keras["R"].iloc[-1] > 0.05 * keras["R"].iloc[0]
    assert ours["R"].iloc[0] == pytest.approx(keras["R"].iloc[0])  # equal starts
    assert list(ours.index) == list(traps.SEEN)


def test_learning_depends_on_the_seed_alone():
    given = {"losses": {"R": formulas.R}, "steps": (0, 2)}
    first, again, other = (traps.learning(**given, seed=seed) for seed in (3, 3, 4))
    assert first.equals(again) and not first.equals(other)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"losses": {"x": abs}}, TypeError, r"losses\['x'\] must be a Formula"),
        ({"losses": {}, "temperature": 0}, ValueError, "temperature must be"),
        ({"losses": {}, "seed": -1}, ValueError, "seed must be at least 0"),
        ({"losses": {}, "steps": (-1,)}, ValueError, "steps must be at least 0"),
    ],
)
def test_learning_refuses(given, kind, message):
    with pytest.raises(kind, match=message):
        traps.learning(**given)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: traps.by_classes((10, 1)), ValueError, "classes must be at least 2, not 1"),
        (lambda: traps.by_classes(10), TypeError, "classes must be a sequence of numbers"),
        (lambda: traps.by_alpha((0.5, 2)), ValueError, r"alphas must lie in \[0, 1\], not 2"),
        (lambda: traps.by_alpha(0.5), TypeError, "alphas must be a sequence of numbers"),
        (lambda: traps.unused_temperature((1, 0)), ValueError, "temperatures must be"),
        (lambda: traps.near_the_teacher(distance=0), ValueError, "distance must be"),
        (lambda: traps.learning([formulas.R]), TypeError, "losses must be a mapping of names"),
        (lambda: traps.learning({}, steps=3), TypeError, "steps must be a sequence of numbers"),
    ],
)
def test_a_trap_refuses(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_mean_over_classes_is_wrong_by_their_number():
    table = traps.by_classes((10, 1000))
    assert table["loss / R"].tolist() == pytest.approx([0.1, 0.001], rel=1e-4)
    assert table["gradient / R"].tolist() == pytest.approx([0.1, 0.001], rel=1e-4)


def test_alpha_of_nothing_loses_t_squared():
    table = traps.by_alpha((0, 1e-9, 0.5), temperature=4).set_index("alpha").round(5)
    assert table["distillation"].tolist() == [0.0625, 1, 0.5]
    assert table["labels"].tolist() == [0, 0, 0.5]


@pytest.mark.parametrize("alpha", [0, 0.3])
def test_the_rule_is_torchdistills(alpha):
    pytest.importorskip("torchdistill", reason="torchdistill is not installed")
    given = (*example(), 4.0, alpha)
    found = traps.weighed_as_torchdistill(*given)
    assert float(found) == pytest.approx(float(vision.torchdistill_loss(*given)), rel=1e-5)


def test_bfloat16_near_the_teacher_is_noise_and_float32_is_not():
    table = traps.near_the_teacher().set_index("way")
    assert abs(table.loc["in bfloat16", "loss / R"] - 1) > 1
    assert table.loc["in bfloat16", "cosine"] < 0.7
    assert table.loc["cast to float32 first", "loss / R"] == pytest.approx(1, abs=0.01)
    assert table.loc["cast to float32 first", "cosine"] > 0.999


def test_the_rule_is_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    _, teacher, targets = example(batch=500)
    probabilities = F.softmax(teacher, 1)
    outside = probabilities.clone()
    outside[0, 0] = 1.0000002
    for values in (teacher, probabilities, outside, teacher.sigmoid()):
        read = traps.normalised_as_torchmetrics(values)
        given = {"num_classes": 10, "n_bins": 15}
        theirs = functional.multiclass_calibration_error(values, targets, **given)
        again = functional.multiclass_calibration_error(read, targets, **given)
        assert float(theirs) == pytest.approx(float(again), abs=1e-6)


def test_one_entry_outside_changes_the_calibration_error():
    table = traps.calibration_error()
    logits, probabilities, outside, moved = table["ECE"]
    assert logits == pytest.approx(probabilities, abs=1e-6)
    assert abs(outside - probabilities) > 0.1 and abs(moved - logits) > 0.1
    assert table["read as"].tolist() == ["logits", "probabilities", "logits", "probabilities"]


def test_torchmetrics_finds_these_errors():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    _, teacher, targets = example(batch=2000)
    probabilities = F.softmax(teacher, 1)
    outside = probabilities.clone()
    outside[0, probabilities[0].argmax()] = 1.0000002
    given = {"num_classes": 10, "n_bins": 15}
    theirs = [
        float(functional.multiclass_calibration_error(values, targets, **given))
        for values in (teacher, probabilities, outside)
    ]
    assert traps.calibration_error()["ECE"].tolist()[:3] == pytest.approx(theirs, abs=1e-4)


def test_a_temperature_that_moves_nothing():
    table = traps.unused_temperature((1, 2, 4))
    assert table["loss"].nunique() == 1 and table["at T"].is_monotonic_decreasing
    assert table.loc[0, "loss"] == table.loc[0, "at T"]


def test_trl_does_not_move_with_its_temperature():
    pytest.importorskip("trl", reason="trl is not installed")
    trainer = libraries.get("trl-gkd-trainer").default.loss
    found = {float(trainer(*example(), temperature)) for temperature in (1.0, 2.0, 8.0)}
    assert len(found) == 1


def test_traps_change_no_generator():
    state = torch.get_rng_state()
    traps.learning({"R": formulas.R}, steps=(1,))
    traps.near_the_teacher(classes=10)
    assert torch.equal(state, torch.get_rng_state())
