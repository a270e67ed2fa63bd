"""FitNets and AT: their terms by hand, stored and live features."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from helpers import CONFIG, METHODS, PAIRS, STUDENT, LiveFitNets, train
from method_helpers import (
    assert_equal_runs,
    assert_kd_terms,
    caught,
    close,
    feature_batch,
    prepared,
    three_teachers,
)

from kdnotes.methods import AT, KD, FitNets
from kdnotes.models import forward_features
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")

# A regressor from 4 channels to 4, and one that also pools: the teacher's block4 has half the size.
UNEQUAL = (("block1", "block2"), ("block3", "block4"))


# FitNets


@pytest.mark.parametrize("kind", [FitNets, LiveFitNets])
@pytest.mark.parametrize("view", [0, 1])
def test_terms_of_hints_by_hand(kind, view):
    teacher, batch = three_teachers()[0], feature_batch(view)
    method = prepared(kind(teacher, 2.0, 0.3, UNEQUAL, 0.7), batch.student)
    shapes = [tuple(parameter.shape) for parameter in method.parameters()]
    assert shapes == [(4, 8, 1, 1), (4,), (16, 32, 1, 1), (16,)]
    theirs, hint = forward_features(teacher.model, batch.images)[1], 0
    weights, biases = (method.parameters()[i::2] for i in (0, 1))
    for (ours, stage), weight, bias in zip(UNEQUAL, weights, biases, strict=True):
        feature = batch.features[ours]
        if stage == "block4":
            feature = (feature[..., ::2] + feature[..., 1::2]) / 2
            feature = (feature[:, :, ::2] + feature[:, :, 1::2]) / 2
        regressed = torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], feature) + bias[:, None, None]
        hint = hint + (regressed - theirs[stage]).square().mean()
    terms = method.terms(batch)
    assert list(terms) == ["hard", "soft", "hint"]
    close(terms["hint"], 0.7 * hint)
    assert_kd_terms(terms, batch, teacher, 2.0, 0.3)
    assert list(method.keep()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert list(map(id, method.keep().values())) == list(map(id, method.parameters()))


def test_two_stages_of_hints_by_hand():
    teacher = three_teachers()[0]
    hint, kd = ["hint"], ["hard", "soft"]
    for progress, names in ((0.0, hint), (0.39, hint), (0.4, kd), (0.9, kd)):
        batch = feature_batch(progress=progress)
        method = prepared(FitNets(teacher, 2.0, 0.3, PAIRS[1:], 0.7, alone=0.4), batch.student)
        terms = method.terms(batch)
        assert list(terms) == names
        if names == hint:
            theirs = forward_features(teacher.model, batch.images)[1]["block2"]
            regressed = method.regressors[0](batch.features["block1"])
            close(terms["hint"], 0.7 * F.mse_loss(regressed, theirs))
        else:
            assert_kd_terms(terms, batch, teacher, 2.0, 0.3)


def test_the_hint_alone_trains_the_student_up_to_its_stage_and_then_kd_alone_the_whole(monkeypatch):
    steps = []

    def look(method, batch, terms):
        groups = {"below": [], "above": [], "regressor": list(method.parameters())}
        for name, parameter in batch.student.named_parameters():
            below = name.startswith(("stages.stem", "stages.block1"))
            groups["below" if below else "above"].append(parameter)
        now = {group: [p.detach().clone() for p in members] for group, members in groups.items()}
        steps.append((now, {p.grad is not None for p in groups["regressor"]}))

    method = METHODS["FitNets, alone at first"](three_teachers())
    caught(monkeypatch, method, look)
    # What has no gradient does not decay either.
    run = train(method, dataclasses.replace(CONFIG, weight_decay=0.3))
    for number in range(1, len(steps)):
        (before, _), (now, grads) = steps[number - 1 : number + 1]
        hint = number <= 4  # the gradients that are seen here are those of the step before
        assert grads == {hint}
        changed = {group: not all(map(torch.equal, before[group], now[group])) for group in now}
        assert changed == {"below": True, "above": not hint, "regressor": hint}
    assert len(steps) == 8
    assert run.history["hint"].isna().tolist() == [False, True]
    assert run.history["soft"].isna().tolist() == [True, False]


# AT


@pytest.mark.parametrize(("form", "alpha"), [("code", 0.3), ("paper", 1.0)])
@pytest.mark.parametrize("view", [0, 1])
def test_terms_of_attention_by_hand(form, alpha, view):
    teacher, batch = three_teachers()[0], feature_batch(view)
    method = prepared(AT(teacher, 2.0, alpha, UNEQUAL, 70.0, form=form), batch.student)
    theirs, distance = forward_features(teacher.model, batch.images)[1], 0
    for ours, stage in UNEQUAL:
        feature = batch.features[ours]
        if stage == "block4":
            feature = feature.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean(dim=(3, 5))
        maps = [one.square().sum(1).flatten(1) for one in (feature, theirs[stage])]
        q_s, q_t = (one / one.norm(dim=1, keepdim=True) for one in maps)
        each = (q_s - q_t).square().sum(1)
        distance = distance + (each / q_s.shape[1] if form == "code" else each.sqrt()).mean()
    terms = method.terms(batch)
    assert list(terms) == ["hard", "soft", "attention"]
    close(terms["attention"], 70.0 * distance)
    assert_kd_terms(terms, batch, teacher, 2.0, alpha)
    assert (AT(teacher, pairs=PAIRS).weight, AT(teacher, pairs=PAIRS).form) == (1000.0, "code")


# Both


@pytest.mark.parametrize("kind", [FitNets, AT])
def test_a_feature_term_of_weight_0_leaves_kd_bit_for_bit_whatever_is_drawn_for_it(
    kind, monkeypatch
):
    """Regressors, and any draw in ``prepare``, shift neither the student's weights nor dropout."""
    teacher = three_teachers()[0]
    expected = train(KD(teacher, 2.0, 0.5))
    run = train(kind(teacher, 2.0, 0.5, PAIRS, 0.0))
    prepare = kind.prepare

    def draw_and_prepare(self, *given):
        torch.randn(1000)
        prepare(self, *given)

    monkeypatch.setattr(kind, "prepare", draw_and_prepare)
    drawn = train(kind(teacher, 2.0, 0.5, PAIRS, 0.0))
    for other in (run, drawn):
        assert_equal_runs(other, expected)
        assert (other.start, other.order) == (expected.start, expected.order)
    if kind is FitNets:
        assert not torch.equal(run.kept["0.weight"], drawn.kept["0.weight"])


@pytest.mark.parametrize("name", ["FitNets", "AT"])
def test_live_features_equal_stored_ones(name, own_cache):
    teachers = three_teachers()
    stored = METHODS[name](teachers)
    live = type(f"Live{name}", (type(stored),), {"STORE_AT_MOST": 0})(*vars(stored).values())
    student = build(STUDENT, 3)
    prepared(live, student)
    assert live.live and live.stored_features == {}
    assert len(list((own_cache / "banks").glob("*.safetensors"))) == 1  # the logits
    prepared(stored, student)
    assert not stored.live and set(stored.stored_features) == {"block1", "block2"}
    assert len(list((own_cache / "banks").glob("*.safetensors"))) == 3
    for view in (0, 1):
        batch = feature_batch(view)
        pairs = zip(stored.matched(batch), live.matched(batch), strict=True)
        for (ours, theirs), (same, other) in pairs:
            assert torch.equal(ours, same) and not other.requires_grad and not theirs.requires_grad
            torch.testing.assert_close(other, theirs, rtol=1e-4, atol=1e-5)
    first, second = train(stored), train(live)
    torch.testing.assert_close(first.test_logits, second.test_logits, rtol=1e-2, atol=1e-3)


def test_features_are_stored_up_to_the_limit():
    method = METHODS["FitNets"](three_teachers())
    size = 2 * 16 * 16 * 4 * 2 * 60  # block1: channels, places, bytes, views, images
    for limit, live in ((size, False), (size - 1, True)):
        limited = type("Limited", (FitNets,), {"STORE_AT_MOST": limit})(*vars(method).values())
        assert prepared(limited, build(STUDENT, 0)).live == live
    assert FitNets.STORE_AT_MOST == AT.STORE_AT_MOST == 2**28


@pytest.mark.parametrize("name", ["FitNets", "AT"])
def test_a_feature_term_reaches_no_stage_beyond_its_own(name):
    batch = feature_batch()
    method = prepared(METHODS[name](three_teachers()), batch.student)
    term = list(method.terms(batch).values())[-1]
    term.backward()
    for stage, child in batch.student.stages.named_children():
        reached = [parameter.grad is not None for parameter in child.parameters()]
        assert set(reached) == {stage in ("stem", "block1")}
    assert all(parameter.grad is None for parameter in batch.student.head.parameters())
