"""OwnLoss: a method written as one function."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from helpers import CONFIG, METHODS, PAIRS, STUDENT, hint_written_as_a_function, tiny_data, train
from method_helpers import assert_equal_runs, caught, close, feature_batch, prepared, three_teachers

from kdnotes import losses, store
from kdnotes.methods import KD, FitNets, OwnLoss
from kdnotes.models import forward_features

pytestmark = pytest.mark.usefixtures("own_cache")


def kd_written_as_a_function(batch, given, alpha=0.5):
    assert given.features == {} and given.module is None
    soft = losses.kd_loss(batch.student_logits, given.logits, 2.0)
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    return {"hard": alpha * hard, "soft": (1 - alpha) * soft}


def kd_written_as_a_scalar(batch, given):
    return sum(kd_written_as_a_function(batch, given).values())


def test_kd_written_as_a_function_is_kd_bit_for_bit():
    teacher = three_teachers()[0]
    run, expected = train(OwnLoss(kd_written_as_a_function, teacher)), train(KD(teacher, 2.0, 0.5))
    assert_equal_runs(run, expected)
    assert run.history.drop(columns="seconds").equals(expected.history.drop(columns="seconds"))
    scalar = train(OwnLoss(kd_written_as_a_scalar, teacher))
    assert_equal_runs(scalar, expected)
    assert scalar.history["loss"].tolist() == pytest.approx(
        expected.history["loss"].tolist(), rel=1e-6
    )
    assert "soft" not in scalar.history
    weighted = train(OwnLoss(functools.partial(kd_written_as_a_function, alpha=0.2), teacher))
    assert_equal_runs(weighted, train(KD(teacher, 2.0, 0.2)))


def test_hints_written_as_a_function_are_hints_bit_for_bit(monkeypatch):
    """With a module that is drawn as the method's regressor is, and trained as it is."""
    teacher = three_teachers()[0]
    regressor = functools.partial(torch.nn.Conv2d, 8, 4, 1)
    own = OwnLoss(hint_written_as_a_function, teacher, ("block2",), regressor)
    found = caught(monkeypatch, own)
    run, expected = train(own), train(FitNets(teacher, 2.0, 0.5, PAIRS[1:], 0.3))
    assert_equal_runs(run, expected)
    assert torch.equal(found[0].built.weight, expected.kept["0.weight"])
    assert torch.equal(found[0].built.bias, expected.kept["0.bias"]) and run.kept == {}


def test_a_function_is_given_what_was_asked_for():
    teacher, batch, seen = three_teachers()[0], feature_batch(), []

    def look(batch, given):
        seen.append(given)
        return batch.student_logits.mean()

    terms = prepared(OwnLoss(look)).terms(batch)
    assert list(terms) == ["loss"] and terms["loss"] == batch.student_logits.mean()
    prepared(OwnLoss(look, teacher)).terms(batch)
    prepared(OwnLoss(look, teacher, ("block3", "block1"))).terms(batch)
    nothing, logits, features = seen
    assert (nothing.logits, nothing.features, nothing.module) == (None, {}, None)
    close(logits.logits, teacher.model(batch.images))
    assert list(features.features) == ["block3", "block1"]
    for stage, feature in features.features.items():
        close(feature, forward_features(teacher.model, batch.images)[1][stage])


def test_a_function_is_given_live_features_where_they_would_fill_the_memory(own_cache):
    teacher = three_teachers()[0]
    name = "OwnLoss, with a teacher and a module"
    stored, live = METHODS[name]([teacher]), METHODS[f"{name}, live"]([teacher])
    prepared(live)
    # The logits alone are stored.
    assert live.live and len(list((own_cache / "banks").glob("*.safetensors"))) == 1
    assert not prepared(stored).live
    for view in (0, 1):
        batch = feature_batch(view)
        features = live.teacher_features(batch)
        assert list(features) == ["block2"] and not features["block2"].requires_grad
        close(features["block2"], stored.teacher_features(batch)["block2"])
    torch.testing.assert_close(
        train(live).test_logits, train(stored).test_logits, rtol=1e-2, atol=1e-3
    )


def test_a_stage_that_was_not_asked_for_is_named():
    def loss(batch, given):
        return given.features["block1"].mean()

    said = "'block1' is not among the stages that were asked for"
    with pytest.raises(KeyError, match=rf"{said}, \['block2'\]"):
        prepared(OwnLoss(loss, three_teachers()[0], ("block2",))).terms(feature_batch())
    with pytest.raises(KeyError, match=rf"{said}, \[\]"):
        prepared(OwnLoss(loss)).terms(feature_batch())


def test_functions_enter_the_key_of_a_run():
    def key(*given):
        return store.run_key(STUDENT, OwnLoss(*given), tiny_data(), CONFIG)

    teacher, other = three_teachers()[:2]
    keys = [
        key(kd_written_as_a_function, teacher),
        key(kd_written_as_a_function, other),
        key(kd_written_as_a_scalar, teacher),
        key(functools.partial(kd_written_as_a_function, alpha=0.2), teacher),
        key(kd_written_as_a_function, teacher, ("block1",)),
        key(kd_written_as_a_function, teacher, (), functools.partial(torch.nn.Conv2d, 8, 4, 1)),
    ]
    assert len(set(keys)) == 6 and keys[0] == key(kd_written_as_a_function, teacher)
