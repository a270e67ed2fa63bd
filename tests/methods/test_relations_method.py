"""RKD, SP, DIST and CRD: terms by hand, what weights reach, CRD's memory, and wrong calls."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CONFIG,
    METHODS,
    PAIRS,
    STUDENT,
    Outputs,
    batch_of,
    equal_states,
    own_cache,  # noqa: F401
    tiny_data,
    tiny_teacher,
    train,
)
from method_helpers import (
    CPU,
    ONE_STEP,
    assert_equal_runs,
    assert_kd_terms,
    caught,
    close,
    feature_batch,
    given_logits,
    outputs,
    prepared,
)

from kdnotes import losses, training
from kdnotes.methods import CRD, DIST, KD, RKD, SP, CrossEntropy
from kdnotes.models import forward_features
from kdnotes.training import Config, build

pytestmark = pytest.mark.usefixtures("own_cache")
UNEQUAL = (("block1", "block2"), ("block3", "block4"))  # of unequal channels and places
OF_FEATURES = (RKD, SP, CRD)


class LiveRKD(RKD):
    STORE_AT_MOST = 0


class LiveSP(SP):
    STORE_AT_MOST = 0


@pytest.mark.parametrize("kind", [RKD, LiveRKD])
@pytest.mark.parametrize("view", [0, 1])
def test_terms_of_rkd_by_hand(kind, view):
    teacher, batch = tiny_teacher(), feature_batch(view)
    method = prepared(kind(teacher, 2.0, 0.3, UNEQUAL, 7.0, 9.0), batch.student)
    assert method.live == (kind is LiveRKD)
    stages = forward_features(teacher.model, batch.images)[1]
    distances = angles = 0
    for ours, theirs in UNEQUAL:
        pair = [one.flatten(2).sum(2) for one in (batch.features[ours], stages[theirs])]
        distances = distances + losses.relational_distance_loss(*pair)  # blind to the scale
        angles = angles + losses.relational_angle_loss(*pair)
    terms = method.terms(batch)
    assert list(terms) == ["hard", "soft", "distances", "angles"]
    close(terms["distances"], 7.0 * distances)
    close(terms["angles"], 9.0 * angles)
    assert_kd_terms(terms, batch, teacher, 2.0, 0.3)
    assert method.parameters() == [] and method.keep() == {}


@pytest.mark.parametrize("kind", [SP, LiveSP])
@pytest.mark.parametrize("view", [0, 1])
def test_terms_of_sp_by_hand(kind, view):
    teacher, batch = tiny_teacher(), feature_batch(view)
    method = prepared(kind(teacher, 2.0, 0.3, UNEQUAL, 70.0), batch.student)
    assert method.live == (kind is LiveSP)
    stages = forward_features(teacher.model, batch.images)[1]
    expected = 0
    for ours, theirs in UNEQUAL:
        rows = []
        for one in (batch.features[ours], stages[theirs]):
            products = torch.einsum("ichw,jchw->ij", one, one)
            rows.append(products / products.square().sum(dim=1, keepdim=True).sqrt())
        expected = expected + (rows[0] - rows[1]).square().sum() / 6**2
    terms = method.terms(batch)
    assert list(terms) == ["hard", "soft", "similarities"]
    close(terms["similarities"], 70.0 * expected)
    assert_kd_terms(terms, batch, teacher, 2.0, 0.3)
    assert method.parameters() == [] and method.keep() == {}


@pytest.mark.parametrize("view", [0, 1])
def test_terms_of_dist_by_hand(view):
    (teacher,), batch = outputs(), batch_of(view)
    method = prepared(DIST(teacher, 3.0, 2.0, 5.0))
    terms = method.terms(batch)
    assert list(terms) == ["hard", "inter-class", "intra-class"]
    logits = batch.student_logits, given_logits(method, batch)[0]
    p_s, p_t = (F.softmax(z / 3, dim=1) for z in logits)
    rows = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p_s, p_t, strict=True)]
    columns = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p_s.T, p_t.T, strict=True)]
    close(terms["hard"], F.cross_entropy(batch.student_logits, batch.targets))
    close(terms["inter-class"], 2.0 * 9 * (1 - sum(rows) / len(rows)))
    close(terms["intra-class"], 5.0 * 9 * (1 - sum(columns) / len(columns)))


def test_the_settings_are_those_of_the_authors_code():
    teacher = tiny_teacher()
    rkd, sp, crd = (kind(teacher, pairs=PAIRS) for kind in OF_FEATURES)
    dist = DIST(teacher)
    assert (rkd.weight, rkd.angle_weight) == (25.0, 50.0)
    assert sp.weight == 3000.0
    assert (dist.temperature, dist.beta, dist.gamma) == (1.0, 1.0, 1.0)
    assert (crd.weight, crd.negatives, crd.contrast_temperature) == (0.8, 16384, 0.07)
    assert (crd.size, crd.momentum) == (128, 0.5)


def none_of(kind, teacher, alpha):
    """The method with its own terms at weight 0."""
    return kind(teacher, 2.0, alpha, PAIRS, 0.0, *([0.0] if kind is RKD else []))


@pytest.mark.parametrize("kind", OF_FEATURES)
def test_without_weights_it_is_kd_and_without_the_teachers_logits_cross_entropy_bit_for_bit(kind):
    teacher = tiny_teacher()
    for alpha, plain in ((0.5, KD(teacher, 2.0, 0.5)), (1.0, CrossEntropy())):
        run, expected = train(none_of(kind, teacher, alpha)), train(plain)
        assert_equal_runs(run, expected)
        assert (run.start, run.order) == (expected.start, expected.order)


def test_dist_without_weights_is_cross_entropy_bit_for_bit():
    assert_equal_runs(train(DIST(tiny_teacher(), 2.0, 0.0, 0.0)), train(CrossEntropy()))


@pytest.mark.parametrize(
    ("kind", "names"), [(RKD, ("distances", "angles")), (DIST, ("inter-class", "intra-class"))]
)
def test_each_weight_reaches_its_term_alone(kind, names):
    batch, teacher = feature_batch(0), tiny_teacher()
    for weights in ((0.0, 1.0), (1.0, 0.0)):
        given = (2.0, 0.5, PAIRS, *weights) if kind is RKD else (2.0, *weights)
        terms = prepared(kind(teacher, *given), batch.student).terms(batch)
        assert tuple(terms[name].item() > 0 for name in names) == tuple(map(bool, weights))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("RKD", "distances"), ("RKD", "angles"), ("SP", "similarities"), ("CRD", "contrast")],
)
def test_a_term_reaches_no_stage_beyond_its_own(kind, name):
    batch = feature_batch(1)
    prepared(METHODS[kind]([tiny_teacher()]), batch.student).terms(batch)[name].backward()
    for stage, child in batch.student.stages.named_children():
        reached = {parameter.grad is not None for parameter in child.parameters()}
        assert reached == {stage in ("stem", "block1")}
    assert all(parameter.grad is None for parameter in batch.student.head.parameters())


LAST = (("block3", "block4"),)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda t: RKD(t, 4.0, 1.0, LAST), ("distances", "angles")),
        (lambda t: SP(t, 4.0, 1.0, LAST), ("similarities",)),
        (lambda t: DIST(t), ("inter-class", "intra-class")),
        (lambda t: CRD(t, 4.0, 1.0, LAST, size=16), ("contrast",)),
    ],
    ids=["RKD", "SP", "DIST", "CRD"],
)
def test_the_student_comes_to_have_the_teachers_relations(make, names):
    config = Config(epochs=80, batch_size=20, learning_rate=5e-3)
    history = train(make(tiny_teacher()), config).history
    for name in names:
        assert history[name].iloc[-1] < 0.8 * history[name].iloc[0]


@pytest.mark.parametrize("name", ["RKD", "SP", "DIST", "CRD"])
def test_a_last_batch_of_two_samples_trains_on(name):
    """60 images in batches of 29: of two there are no angles, and no intra-class correlation."""
    history = train(METHODS[name]([tiny_teacher()]), Config(epochs=1, batch_size=29)).history
    assert math.isfinite(history["loss"].iloc[0])


# CRD


def crd(**changes):
    settings = {"temperature": 2.0, "alpha": 0.3, "pairs": UNEQUAL, "weight": 0.7}
    return CRD(tiny_teacher(), **(settings | {"negatives": 4, "size": 3} | changes))


def test_the_contrast_of_crd_by_hand():
    batch, method = feature_batch(1), crd(contrast_temperature=0.5)
    prepared(method, batch.student)
    stages = forward_features(method.teacher.model, batch.images)[1]
    memories = [one.memory.clone() for one in method.contrasts]
    torch.manual_seed(5)
    candidates = method.candidates(batch)
    torch.manual_seed(5)
    terms = method.terms(batch)
    expected = 0
    for (ours, theirs), contrast, memory in zip(UNEQUAL, method.contrasts, memories, strict=True):
        pooled = batch.features[ours].flatten(2).mean(2), stages[theirs].flatten(2).mean(2)
        sides = (contrast.student, pooled[0], memory[1]), (contrast.teacher, pooled[1], memory[0])
        for layer, embedding, remembered in sides:
            anchor = embedding @ layer.weight.T + layer.bias
            anchor = anchor / anchor.norm(dim=1, keepdim=True)
            exponents = torch.einsum("bd,bmd->bm", anchor, remembered[candidates]) / 0.5
            odds = exponents.exp() / (4 * exponents.exp().mean())
            expected = expected - (odds[:, 0] / (1 + odds[:, 0])).log().mean()
            expected = expected + (1 + odds[:, 1:]).log().sum(dim=1).mean()
    assert list(terms) == ["hard", "soft", "contrast"]
    close(terms["contrast"], 0.7 * expected)
    assert_kd_terms(terms, batch, method.teacher, 2.0, 0.3)


def test_the_memory_moves_towards_what_an_image_gives_now_and_only_its_own_entry():
    batch, method = feature_batch(0), crd(pairs=LAST, momentum=0.25)
    prepared(method, batch.student)
    contrast, rows = method.contrasts[0], batch.positions
    before = contrast.memory.clone()
    torch.testing.assert_close(before.norm(dim=2), torch.ones(2, 60))
    levels = []
    for _ in range(2):
        method.terms(batch)
        levels.append(contrast.levels)
    assert levels[0] is levels[1] and len(levels[0]) == 2  # of the first batch, and kept
    expected = before[:, rows]
    for _ in range(2):
        for side, (layer, embedding) in enumerate(
            zip((contrast.student, contrast.teacher), method.embeddings(batch)[0], strict=True)
        ):
            now = F.normalize(layer(embedding), dim=1)
            expected[side] = F.normalize(0.25 * expected[side] + 0.75 * now, dim=1)
    close(contrast.memory[:, rows], expected)
    others = [i for i in range(60) if i not in rows]
    assert torch.equal(contrast.memory[:, others], before[:, others])
    assert not contrast.memory.requires_grad


@pytest.mark.parametrize(("asked", "drawn"), [(4, 4), (45, 45), (46, 45), (16384, 45)])
def test_candidates_are_the_image_and_different_images_of_other_classes(asked, drawn):
    """Of 60 images of 4 classes each has 45 of other classes."""
    batch, method = feature_batch(0), crd(negatives=asked)
    candidates = prepared(method, batch.student).candidates(batch)
    assert candidates.shape == (6, 1 + drawn)
    assert torch.equal(candidates[:, 0], batch.positions)
    labels = tiny_data().train.targets
    assert (labels[candidates[:, 1:]] != batch.targets[:, None]).all()
    assert all(len(set(row)) == 1 + drawn for row in candidates.tolist())


def test_negatives_are_drawn_anew_in_each_step_from_arm_and_seed_alone(monkeypatch):
    drawn = []
    honest = CRD.candidates
    monkeypatch.setattr(
        CRD, "candidates", lambda self, batch: drawn.append(honest(self, batch)) or drawn[-1]
    )
    method = METHODS["CRD"]([tiny_teacher()])
    for seed in (0, 0, 1):
        train(method, dataclasses.replace(CONFIG, seed=seed))
    first, again, other = (drawn[8 * i : 8 * (i + 1)] for i in range(3))
    assert all(map(torch.equal, first, again))
    assert not any(torch.equal(*pair) for pair in zip(first[:3], other[:3], strict=True))
    assert not torch.equal(first[0][:, 1:], first[1][:, 1:])


def test_stacked_seeds_have_memories_and_projections_of_their_own(monkeypatch):
    method = METHODS["CRD"]([tiny_teacher()])
    found = caught(monkeypatch, method)
    configs = [dataclasses.replace(CONFIG, seed=seed) for seed in (0, 1)]
    students = [build(STUDENT, seed) for seed in (0, 1)]
    together = training.fit_together(students, [method, method], tiny_data(), configs)
    assert not hasattr(method, "contrasts")
    memories = [one.contrasts[0].memory for one in found]
    assert not torch.equal(*memories)
    for config, run in zip(configs, together, strict=True):
        alone = train(method, config)
        for name, kept in run.kept.items():
            close(kept, alone.kept[name])


def test_the_memory_costs_what_is_said():
    method = crd()
    prepared(method, build(STUDENT, 0))
    actual = sum(one.memory.numel() * one.memory.element_size() for one in method.contrasts)
    assert actual == method.memory_bytes(60) == 2 * 2 * 60 * 3 * 4
    # One pair, CIFAR's 50,000 images, 128 numbers: 51.2 MB.
    assert CRD(tiny_teacher(), pairs=LAST).memory_bytes(50_000) == 51_200_000


def test_projections_are_kept_by_name():
    kept = train(METHODS["CRD"]([tiny_teacher()]), ONE_STEP).kept
    names = [f"{pair}.{side}.{part}" for pair in (0, 1) for side in ("student", "teacher")
             for part in ("weight", "bias")]  # fmt: skip
    assert list(kept) == names
    assert kept["0.student.weight"].shape == (5, 4) and kept["1.teacher.weight"].shape == (5, 4)


def test_whatever_is_drawn_for_crd_shifts_neither_weights_nor_dropout(monkeypatch):
    expected = train(KD(tiny_teacher(), 2.0, 0.5))
    prepare = CRD.prepare

    def draw_and_prepare(self, *given):
        torch.randn(1000)
        prepare(self, *given)

    runs = [train(none_of(CRD, tiny_teacher(), 0.5))]
    monkeypatch.setattr(CRD, "prepare", draw_and_prepare)
    runs.append(train(none_of(CRD, tiny_teacher(), 0.5)))
    for run in runs:
        assert equal_states(run.state, expected.state)
    assert not torch.equal(*(run.kept["0.student.weight"] for run in runs))


def test_images_of_one_class_have_no_negatives():
    train_split = dataclasses.replace(tiny_data().train, targets=torch.zeros(60, dtype=torch.int64))
    message = "data.train must hold images of 2 classes or more for CRD, not 1"
    with pytest.raises(ValueError, match=message):
        crd().prepare(build(STUDENT, 0), train_split, CONFIG.views, CPU)


# Wrong settings

WRONG = {
    "weight must be a finite number, 0 or more, not -1": {"weight": -1},
    "pairs must hold at least one (student's stage, teacher's stage), not ()": {"pairs": ()},
    "pairs must be a tuple of (student's stage, teacher's stage)": {"pairs": ("stem", "block1")},
    "alpha must lie in [0, 1], not 2": {"alpha": 2},
    "temperature must be a finite number above 0, not 0": {"temperature": 0},
    "teacher must be a kdnotes.teachers.Teacher, not Outputs": {"teacher": Outputs(torch.zeros(1))},
}
OF_ONE = {
    "angle_weight must be a finite number, 0 or more, not nan": (RKD, {"angle_weight": math.nan}),
    "angle_weight must be a number, not str": (RKD, {"angle_weight": "50"}),
    "contrast_temperature must be a finite number above 0": (CRD, {"contrast_temperature": 0}),
    "negatives must be at least 1, not 0": (CRD, {"negatives": 0}),
    "size must be an integer, not float": (CRD, {"size": 8.0}),
    "momentum must lie in [0, 1], not 1.5": (CRD, {"momentum": 1.5}),
}
OF_DIST = {
    "beta must be a finite number, 0 or more, not -1": {"beta": -1},
    "gamma must be a finite number, 0 or more, not inf": {"gamma": math.inf},
    "temperature must be a finite number above 0, not 0": {"temperature": 0},
    "teacher must be a kdnotes.teachers.Teacher, not NoneType": {"teacher": None},
}
CALLS = [(kind, message, given) for kind in OF_FEATURES for message, given in WRONG.items()]
CALLS += [(kind, message, given) for message, (kind, given) in OF_ONE.items()]
CALLS += [(DIST, message, given) for message, given in OF_DIST.items()]


@pytest.mark.parametrize(("kind", "message", "given"), CALLS)
def test_wrong_settings_are_refused(kind, message, given):
    pairs = {} if kind is DIST else {"pairs": PAIRS}
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        kind(**({"teacher": tiny_teacher()} | pairs | given))


@pytest.mark.parametrize("kind", OF_FEATURES)
def test_a_stage_that_is_not_there_is_refused_before_the_first_step(kind):
    with pytest.raises(ValueError, match=r"pairs must name stages of the student, \['stem',"):
        train(kind(tiny_teacher(), pairs=(("block9", "block1"),)))
