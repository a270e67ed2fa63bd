"""The methods: terms by hand, own parameters, frozen teachers, equal starts, and what each remembers."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    COHORT,
    CONFIG,
    METHODS,
    MULTI_EXIT,
    PAIRS,
    STUDENT,
    LiveFitNets,
    Outputs,
    batch_of,
    equal_states,
    hint_written_as_a_function,
    own_cache,  # noqa: F401
    student_of,
    tiny_data,
    tiny_teacher,
)

from kdnotes import losses, methods, store, training
from kdnotes.methods import (
    AT,
    BYOT,
    CAMKD,
    CTKD,
    DKD,
    DML,
    ESKD,
    KD,
    PSKD,
    AnnealedKD,
    CrossEntropy,
    FitNets,
    GatedKD,
    MultiTeacherKD,
    OwnLoss,
    StandardizedKD,
    UncertaintyKD,
)
from kdnotes.models import Cohort, ResidualStudent, forward_features
from kdnotes.teachers import Teacher
from kdnotes.training import build, fit, loop

pytestmark = pytest.mark.usefixtures("own_cache")
EVERY = pytest.mark.parametrize("name", list(METHODS))
ONE_STEP = dataclasses.replace(CONFIG, epochs=1, batch_size=60)
CPU = torch.device("cpu")


class Shared(Teacher):
    """A teacher that ``fit`` does not copy with the method: what happens to it there is seen here."""

    def __deepcopy__(self, memo):
        return self


def three_teachers():
    return [Shared(tiny_teacher(seed).model, {}) for seed in range(3)]


def make(name):
    return METHODS[name](three_teachers())


def train(method, config=CONFIG, student=None):
    return fit(build(student or student_of(method), config.seed), method, tiny_data(), config)


def caught(monkeypatch, method, each_step=lambda method, batch, terms: None):
    """Watch the copy of ``method`` that ``fit`` trains: a list that will hold it, and a call after each terms."""
    kind, found = type(method), []
    prepare, terms = kind.prepare, kind.terms

    def prepared(self, *arguments):
        prepare(self, *arguments)
        found.append(self)

    def watched(self, batch):
        given = terms(self, batch)
        each_step(self, batch, given)
        return given

    monkeypatch.setattr(kind, "prepare", prepared)
    monkeypatch.setattr(kind, "terms", watched)
    return found


def prepared(method, student=None):
    method.prepare(student or torch.nn.Identity(), tiny_data().train, CONFIG.views, CPU)
    return method


def outputs(count=1, classes=CLASSES, images=60, views=2, scale=2.0):
    """Made-up teachers: random logits for every view of every image."""
    generator = torch.Generator().manual_seed(7)
    return tuple(Outputs(scale * torch.randn(views, images, classes, generator=generator)) for _ in range(count))


def given_logits(method, batch):
    """What the teachers of ``outputs`` say about a batch, ``[K, B, classes]``."""
    teachers = method.teachers if isinstance(method, MultiTeacherKD) else (method.teacher,)
    return torch.stack([teacher.logits[batch.view, batch.positions] for teacher in teachers])


# Every method


def test_the_list_of_methods_is_complete():
    kinds = {name for name in methods.__all__ if inspect.isclass(getattr(methods, name))}
    kinds -= {"Batch", "Given", "Method", "TeacherFeatures", "TeacherOutputs"}  # what a method sees, and the base class
    assert {name.partition(",")[0] for name in METHODS} == kinds


@EVERY
def test_a_method_starts_from_the_weights_and_sees_the_batches_of_cross_entropy(name):
    method = make(name)
    run, plain = train(method), train(CrossEntropy(), student=student_of(method))
    assert (run.start, run.order) == (plain.start, plain.order)
    assert run.start == training.state_key(build(student_of(method), 0))
    assert name == "CrossEntropy" or not equal_states(run.state, plain.state)


def test_a_student_with_exits_starts_from_the_weights_of_the_student_without():
    for seed in (0, 1):
        plain, exits = build(STUDENT, seed).state_dict(), build(MULTI_EXIT, seed).state_dict()
        assert equal_states(plain, {name: exits[name] for name in plain})
        assert {name.split(".")[0] for name in exits.keys() - plain.keys()} == {"exits"}


def test_the_first_peer_starts_from_the_weights_of_the_student_alone_and_the_second_from_others():
    for seed in (0, 1):
        first, second = (peer.state_dict() for peer in build(COHORT, seed).peers)
        assert equal_states(build(STUDENT, seed).state_dict(), first) and not equal_states(first, second)


@EVERY
def test_same_seed_twice_is_bit_equal(name):
    first, second = (train(make(name)) for _ in range(2))
    assert equal_states(first.state, second.state) and torch.equal(first.test_logits, second.test_logits)
    assert equal_states(first.kept, second.kept)
    assert first.history.drop(columns="seconds").equals(second.history.drop(columns="seconds"))


@EVERY
def test_a_whole_fit_leaves_the_teachers_as_they_were(name, monkeypatch):
    teachers = three_teachers()
    models = [teacher.model for teacher in teachers]
    before = [copy.deepcopy(model.state_dict()) for model in models]
    method, steps = METHODS[name](teachers), []

    def look(method, batch, terms):
        steps.append(batch.progress)
        assert not any(module.training for model in models for module in model.modules())
        assert all(p.grad is None and not p.requires_grad for model in models for p in model.parameters())
        stored = [value for value in vars(method).values() if isinstance(value, torch.Tensor)]
        stored.extend(getattr(method, "stored_features", {}).values())
        assert not any(tensor.requires_grad for tensor in stored if not isinstance(tensor, torch.nn.Parameter))

    caught(monkeypatch, method, look)
    train(method)
    assert len(steps) == 8
    for model, state in zip(models, before, strict=True):
        assert equal_states(model.state_dict(), state)  # parameters and batch-norm buffers


def owned(method):
    """Every ``nn.Parameter`` that the method holds, outside its teachers."""
    found, teacher = {}, getattr(method, "teacher", None)
    for value in vars(method).values():
        if teacher is not None and value is getattr(teacher, "model", None):
            continue
        if isinstance(value, torch.nn.Parameter):
            found[id(value)] = value
        elif isinstance(value, torch.nn.Module):
            found |= {id(parameter): parameter for parameter in value.parameters()}
    return found


@EVERY
def test_a_methods_own_parameters_are_in_the_optimiser_get_gradients_and_change(name, monkeypatch):
    method, starts, moved = make(name), [], set()

    def look(method, batch, terms):
        parameters = list(method.parameters())
        if not starts:
            starts.extend(parameter.detach().clone() for parameter in parameters)
        moved.update(id(p) for p in parameters if p.grad is not None and (p.grad != 0).any())  # of the step before

    found = caught(monkeypatch, method, look)
    train(method)
    parameters = list(found[0].parameters())
    assert {id(parameter) for parameter in parameters} == owned(found[0]).keys() == moved
    assert bool(parameters) == name.startswith(("CTKD", "GatedKD", "FitNets", "OwnLoss, with"))
    assert not any(torch.equal(*pair) for pair in zip(parameters, starts, strict=True))


@pytest.mark.parametrize("method", ["labels", "imitation", "adversarial", "with the student", "exits", "hints", "own"])
def test_own_parameters_get_gradients_and_change_in_one_step(method, monkeypatch):
    teachers = three_teachers()
    method = {
        "labels": GatedKD(tuple(teachers)),
        "imitation": GatedKD(tuple(teachers), train_gate_by="imitation"),
        # λ is 0 in the first step of a ramp, so that T rests there (see below); without a ramp it is 1 from the start
        "adversarial": CTKD(teachers[0], ramp=0.0),
        "with the student": CTKD(teachers[0], adversarial=False),
        "exits": BYOT(),
        "hints": METHODS["FitNets"](teachers),
        "own": METHODS["OwnLoss, with a teacher and a module"](teachers),
    }[method]
    own, starts = [], []

    def look(method, batch, terms):
        exits = batch.student.exits.parameters() if hasattr(batch.student, "exits") else []
        own.extend([*method.parameters(), *exits])
        starts.extend(parameter.detach().clone() for parameter in own)

    caught(monkeypatch, method, look)
    train(method, ONE_STEP)
    assert own
    for parameter, start in zip(own, starts, strict=True):
        assert parameter.grad is not None and (parameter.grad != 0).any()
        assert not torch.equal(parameter, start)


@EVERY
def test_own_parameters_do_not_decay(name):
    method = make(name)
    student = build(COHORT if isinstance(method, DML) else MULTI_EXIT, 0)
    method.prepare(student, tiny_data().train, CONFIG.views, CPU)
    optimizer, _ = loop._optimizer(student, method, dataclasses.replace(CONFIG, weight_decay=0.3), 20)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert all(decay[id(parameter)] == 0.0 for parameter in owned(method).values())
    assert all(decay[id(p)] == (0.3 if p.ndim > 1 else 0.0) for p in student.parameters())


def test_a_gate_is_the_same_for_any_weight_decay():
    """Trained by labels it does not depend on the student."""
    gates = [
        train(make("GatedKD"), dataclasses.replace(CONFIG, weight_decay=decay)).kept["weight"] for decay in (0.0, 0.9)
    ]
    assert torch.equal(*gates) and (gates[0] != 0).any()


@EVERY
def test_what_is_kept_is_detached_and_on_the_cpu(name):
    kept = train(make(name), ONE_STEP).kept
    assert all(not tensor.requires_grad and tensor.device.type == "cpu" for tensor in kept.values())
    assert bool(kept) == name.startswith(("UncertaintyKD", "GatedKD", "FitNets", "DML"))


# Decoupled


@pytest.mark.parametrize(
    ("warmup", "progress", "ramp"), [(0.5, 0.0, 0), (0.5, 0.125, 0.25), (0.5, 0.8, 1), (0.0, 0.0, 1)]
)
def test_decoupled_terms_of_the_method(warmup, progress, ramp):
    method = prepared(DKD(*outputs(), 3.0, alpha=0.7, beta=5.0, warmup=warmup))
    batch = batch_of(view=1, progress=progress)
    target_class, others = losses.decoupled_terms(
        batch.student_logits, given_logits(method, batch)[0], batch.targets, 3.0
    )
    terms = method.terms(batch)
    torch.testing.assert_close(terms["hard"], F.cross_entropy(batch.student_logits, batch.targets))
    torch.testing.assert_close(terms["target class"], ramp * 0.7 * target_class)
    torch.testing.assert_close(terms["non-target class"], ramp * 5.0 * others)
    assert len(terms) == 3


# Weighted by uncertainty


def entropies(batch):
    found = []
    for row in torch.softmax(batch.student_logits.detach().double(), 1).tolist():
        found.append(-sum(p * math.log(p) for p in row))
    return torch.tensor(found)


def test_uncertainty_weights_are_entropies_with_mean_1_and_carry_no_gradient():
    method = prepared(UncertaintyKD(*outputs(), 2.0, 0.0))
    batch = batch_of(view=1, epoch=0)
    weights = method.weights(batch.student_logits)
    torch.testing.assert_close(weights, entropies(batch) / entropies(batch).mean())
    assert weights.mean().item() == pytest.approx(1) and not weights.requires_grad
    each = losses.kd_loss(batch.student_logits, given_logits(method, batch)[0], 2.0, reduction="none")
    soft, expected = method.terms(batch)["soft"], (weights * each).mean()
    torch.testing.assert_close(soft, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, batch.student_logits)[0] for loss in (soft, expected)))


@pytest.mark.parametrize(("share", "chosen"), [(0.5, 3), (0.01, 1), (0.99, 6), (0.34, 2)])
def test_a_share_selects_the_most_uncertain_with_equal_weights(share, chosen):
    method = UncertaintyKD(*outputs(), keep_share=share)
    batch = batch_of()
    expected = torch.zeros(6)
    expected[entropies(batch).argsort(descending=True)[:chosen]] = 6 / chosen
    torch.testing.assert_close(method.weights(batch.student_logits), expected)


def test_a_batch_without_uncertainty_weighs_equally():
    certain = 1e4 * F.one_hot(torch.arange(5) % CLASSES, CLASSES).float()
    for share in (1.0, 0.5):
        weights = UncertaintyKD(*outputs(), keep_share=share).weights(certain)
        assert torch.isfinite(weights).all() and weights.mean() == 1
    assert torch.equal(UncertaintyKD(*outputs()).weights(certain), torch.ones(5))


def test_kept_weights_are_by_epoch_and_image_and_nan_where_an_image_was_not_seen(monkeypatch):
    method, seen = UncertaintyKD(three_teachers()[0]), {}

    def look(method, batch, terms):
        seen[batch.epoch, tuple(batch.positions.tolist())] = method.weights(batch.student_logits)

    caught(monkeypatch, method, look)
    kept = train(method, dataclasses.replace(CONFIG, batch_size=59)).kept["weights"]  # drops the last image
    assert kept.shape == (2, 60) and kept.isnan().sum(1).tolist() == [1, 1]
    for (epoch, positions), weights in seen.items():
        assert torch.equal(kept[epoch, list(positions)], weights)


# Annealed, standardised


def test_annealed_temperature_and_alpha_move_linearly():
    method = prepared(AnnealedKD(*outputs(), temperature=(5.0, 1.0), alpha=(0.2, 0.6)))
    for progress in (0.0, 0.25, 1.0):
        temperature, alpha = 5 - 4 * progress, 0.2 + 0.4 * progress
        assert method.at(progress) == pytest.approx((temperature, alpha))
        batch = batch_of(view=1, progress=progress)
        terms = method.terms(batch)
        soft = losses.kd_loss(batch.student_logits, given_logits(method, batch)[0], temperature)
        torch.testing.assert_close(terms["soft"], (1 - alpha) * soft)
        torch.testing.assert_close(terms["hard"], alpha * F.cross_entropy(batch.student_logits, batch.targets))
        assert method.observe() == pytest.approx({"temperature": temperature, "alpha": alpha})


def test_history_tells_the_annealed_values():
    history = train(AnnealedKD(three_teachers()[0], (8.0, 0.5), (0.0, 0.8))).history
    last = [3 / 8, 7 / 8]  # progress at the last of the four steps of each of two epochs
    assert history["temperature"].tolist() == pytest.approx([8 - 7.5 * done for done in last])
    assert history["alpha"].tolist() == pytest.approx([0.8 * done for done in last])


def test_standardised_soft_term_is_blind_to_the_students_scale_and_the_hard_term_is_not():
    method = prepared(StandardizedKD(*outputs(), 2.0, 0.3))
    batch = batch_of(view=1)
    z_s, z_t = batch.student_logits, given_logits(method, batch)[0]
    by_hand = [(z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True) for z in (z_s, z_t)]
    terms, scaled = method.terms(batch), method.terms(dataclasses.replace(batch, student_logits=5 * z_s + 3))
    torch.testing.assert_close(terms["soft"], 0.7 * losses.kd_loss(*by_hand, 2.0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(terms["hard"], 0.3 * F.cross_entropy(z_s, batch.targets))
    torch.testing.assert_close(scaled["soft"], terms["soft"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaled["hard"], 0.3 * F.cross_entropy(5 * z_s, batch.targets))


# Curriculum temperature


def curriculum(**changes):
    return prepared(CTKD(*outputs(), **({"temperature": 4.0, "alpha": 0.2} | changes)))


def test_a_learned_temperature_starts_where_it_should_and_the_loss_is_that_of_kd():
    method, batch = curriculum(lowest=2.0, highest=12.0), batch_of(view=1)
    assert method.learned().item() == pytest.approx(4.0, rel=1e-6)
    kd = prepared(KD(*outputs(), 4.0, 0.2))
    terms, expected = method.terms(batch), kd.terms(batch)
    for name in expected:
        torch.testing.assert_close(terms[name], expected[name])
    gradients = [torch.autograd.grad(sum(t.values()), batch.student_logits)[0] for t in (terms, expected)]
    torch.testing.assert_close(*gradients)  # the student's gradient is not reversed
    with torch.no_grad():
        for theta, bound in ((-50.0, 2.0), (50.0, 12.0)):
            method.theta.fill_(theta)
            assert method.learned().item() == pytest.approx(bound)
    assert method.observe() == {"temperature": pytest.approx(12.0)}


def slope(method, batch):
    return torch.autograd.grad(sum(method.terms(batch).values()), method.theta)[0].item()


@pytest.mark.parametrize(
    ("progress", "strength"),
    [(0.0, 0.0), (0.1, 0.5 - 0.5 * math.cos(math.pi * 0.25)), (0.2, 0.5), (0.4, 1.0), (1, 1.0)],
)
def test_the_gradient_of_the_temperature_is_reversed_and_grows_along_a_cosine(progress, strength):
    batch = batch_of(view=1, progress=progress)
    free = slope(curriculum(adversarial=False, ramp=0.4), batch)
    assert slope(curriculum(ramp=0.4), batch) == pytest.approx(-strength * free, rel=1e-5, abs=1e-12)
    assert slope(curriculum(ramp=0.0), batch) == pytest.approx(-free, rel=1e-5)
    step = 1e-3
    losses_beside = []
    for theta in (step, -step):
        method = curriculum(adversarial=False)
        with torch.no_grad():
            method.theta += theta
        losses_beside.append(sum(method.terms(batch).values()).item())
    assert free == pytest.approx((losses_beside[0] - losses_beside[1]) / (2 * step), rel=2e-2)


@pytest.mark.parametrize("adversarial", [True, False])
def test_a_step_of_the_temperature_raises_the_loss_if_adversarial_and_lowers_it_if_not(adversarial):
    method, batch = curriculum(temperature=2.0, adversarial=adversarial), batch_of(view=1, progress=1.0)
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.01, weight_decay=0.0)
    seen = []
    for _ in range(4):  # the student rests
        loss = sum(method.terms(batch).values())
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert seen == sorted(seen, reverse=not adversarial) and len(set(seen)) == 4


def test_in_a_fit_the_two_temperatures_part():
    teacher = three_teachers()[0]
    against, along = (
        train(CTKD(teacher, 4.0, ramp=0.0, adversarial=adversarial), ONE_STEP).history["temperature"].item()
        for adversarial in (True, False)
    )
    assert (against - 4) * (along - 4) < 0


def test_the_temperature_rests_in_the_first_step_of_a_ramp(monkeypatch):
    method, temperatures = CTKD(three_teachers()[0], 4.0), []
    caught(monkeypatch, method, lambda method, batch, terms: temperatures.append(method.learned().item()))
    run = train(method)
    assert temperatures[0] == temperatures[1] == pytest.approx(4.0) and len(set(temperatures[1:])) == 7
    assert run.history["temperature"].iloc[0] == temperatures[4]


# Self-distillation from the previous epoch


def test_targets_follow_the_image_whatever_the_order_of_the_batch():
    method = prepared(PSKD(alpha=0.6))
    torch.manual_seed(1)
    probabilities, logits = torch.softmax(torch.randn(60, CLASSES), 1), torch.randn(6, CLASSES)
    method.remember(batch_of(positions=torch.arange(60)), probabilities)
    positions = torch.tensor([40, 3, 17, 0, 59, 8])
    targets = tiny_data().train.targets
    for order in (torch.arange(6), torch.tensor([5, 2, 0, 3, 1, 4])):
        batch = batch_of(
            positions=positions[order],
            targets=targets[positions[order]],
            student_logits=logits[order],
            epoch=2,
            epochs=4,
        )
        recalled = method.recall(batch)
        assert torch.equal(recalled, probabilities[positions][order])
        expected = 0.55 * F.one_hot(batch.targets, CLASSES) + 0.45 * recalled  # α·3/4 = 0.45
        loss = copy.deepcopy(method).terms(batch)["soft"]
        torch.testing.assert_close(loss, losses.soft_cross_entropy(batch.student_logits, expected))


def test_in_a_fit_each_image_is_taught_by_its_own_prediction_an_epoch_ago(monkeypatch):
    method, predicted, orders = PSKD(alpha=0.8), {}, []
    recall, onehot = PSKD.recall, F.one_hot(tiny_data().train.targets, CLASSES).float()
    recalled = {}
    monkeypatch.setattr(PSKD, "recall", lambda self, batch: recalled.setdefault(batch.progress, recall(self, batch)))

    def look(method, batch, terms):
        orders.append(tuple(batch.positions.tolist()))
        old = recalled[batch.progress]
        for row, position in enumerate(batch.positions.tolist()):
            expected = predicted[batch.epoch - 1, position] if batch.epoch else onehot[position]
            assert torch.equal(old[row], expected)
            predicted[batch.epoch, position] = torch.softmax(batch.student_logits[row].detach(), 0)
        alpha = 0.8 * (batch.epoch + 1) / 3
        targets = (1 - alpha) * F.one_hot(batch.targets, CLASSES) + alpha * old
        torch.testing.assert_close(terms["soft"], losses.soft_cross_entropy(batch.student_logits, targets))
        if batch.epoch == 0:
            torch.testing.assert_close(terms["soft"], F.cross_entropy(batch.student_logits, batch.targets))

    found = caught(monkeypatch, method, look)
    train(method, dataclasses.replace(CONFIG, epochs=3))
    assert len(predicted) == 3 * 60 and orders[0] != orders[4]
    # one buffer, whatever the number of epochs
    buffers = [value for value in vars(found[0]).values() if isinstance(value, torch.Tensor)]
    assert [tuple(buffer.shape) for buffer in buffers] == [(60, CLASSES)] and not buffers[0].requires_grad


def test_the_targets_carry_no_gradient():
    method, batch = prepared(PSKD(alpha=1.0)), batch_of(epoch=0, epochs=2)
    method.terms(batch)
    later = batch_of(epoch=1, student_logits=torch.randn(6, CLASSES, requires_grad=True))
    both = [later.student_logits, batch.student_logits]
    gradient, none = torch.autograd.grad(method.terms(later)["soft"], both, allow_unused=True)
    assert none is None
    expected = (torch.softmax(later.student_logits, 1) - torch.softmax(batch.student_logits, 1)) / 6
    torch.testing.assert_close(gradient, expected.detach())


def test_without_a_number_of_classes_the_labels_tell_it():
    assert prepared(PSKD(), torch.nn.Identity()).previous.shape == (60, CLASSES)
    student = build(STUDENT, 0)
    student.num_classes = 7  # such as a class that the training images lack
    assert prepared(PSKD(), student).previous.shape == (60, 7)


# Be your own teacher


def own_teacher_batch(seed=0):
    student = build(MULTI_EXIT, seed).eval()
    images, targets = tiny_data().train.images[:8], tiny_data().train.targets[:8]
    student_logits, features = forward_features(student, images)
    return batch_of(images=images, targets=targets, student=student, student_logits=student_logits, features=features)


def test_terms_of_the_exits_by_hand():
    batch = own_teacher_batch()
    y, exits = batch.targets, batch.student.forward_exits(batch.images)
    *shallow, deepest = exits.values()
    hard = F.cross_entropy(deepest, y) + 0.6 * sum(F.cross_entropy(logits, y) for logits in shallow)
    soft = 0.4 * sum(losses.kd_loss(logits, deepest, 2.0) for logits in shallow)
    last = list(batch.features.values())[-1]
    hint = 0.1 * sum(
        F.mse_loss(exit.bottleneck(batch.features[name]), last) for name, exit in batch.student.exits.items()
    )
    terms = BYOT(temperature=2.0, alpha=0.4, hint=0.1).terms(batch)
    assert list(exits) == ["block1", "block2", "block3"] and set(terms) == {"hard", "soft", "hint"}
    for name, expected in (("hard", hard), ("soft", soft), ("hint", hint)):
        torch.testing.assert_close(terms[name], expected)


@pytest.mark.parametrize("term", ["soft", "hint"])
def test_the_deepest_exit_teaches_and_does_not_learn_from_the_shallow_ones(term):
    batch = own_teacher_batch()
    student = batch.student
    BYOT(hint=0.1).terms(batch)[term].backward()
    for part in (student.stages.block3, student.head):
        assert all(parameter.grad is None for parameter in part.parameters())
    for exit in student.exits.values():
        assert all((parameter.grad != 0).any() for parameter in exit.bottleneck.parameters() if parameter.ndim > 1)
    assert (student.stages.stem[0].weight.grad != 0).any()


def test_deep_supervision_is_the_control():
    terms = BYOT(alpha=0.0, hint=0.0).terms(own_teacher_batch())
    assert terms["soft"] == 0 and terms["hint"] == 0


def test_a_student_without_exits_is_refused():
    with pytest.raises(TypeError, match=r"student must be a models\.MultiExitStudent, which has exits, not StudentNet"):
        train(BYOT(), student=STUDENT)


# Many teachers


def test_equal_weights_are_the_mean_over_teachers():
    teachers, batch = outputs(3), batch_of(view=1)
    terms = prepared(MultiTeacherKD(teachers, 2.0, 0.3)).terms(batch)
    each = [prepared(KD(teacher, 2.0, 0.3)).terms(batch) for teacher in teachers]
    torch.testing.assert_close(terms["soft"], sum(one["soft"] for one in each) / 3)
    torch.testing.assert_close(terms["hard"], each[0]["hard"])


def test_confidence_weights_are_by_sample():
    method, batch = prepared(CAMKD(outputs(3), 2.0, 0.3)), batch_of(view=1)
    teachers = given_logits(method, batch)
    total = 0
    for i, y in enumerate(batch.targets.tolist()):
        errors = torch.stack([F.cross_entropy(z[i : i + 1], torch.tensor([y])) for z in teachers])
        weights = (1 - torch.softmax(errors, 0)) / 2
        for k in range(3):
            total = total + weights[k] * losses.kd_loss(batch.student_logits[i : i + 1], teachers[k, i : i + 1], 2.0)
    torch.testing.assert_close(method.terms(batch)["soft"], 0.7 * total / 6)


@pytest.mark.parametrize(("classes", "count"), [(2, 1), (2, 3), (4, 2), (7, 5)])
@pytest.mark.parametrize("by", ["labels", "imitation"])
def test_a_gate_takes_any_number_of_classes_and_teachers(classes, count, by):
    method = prepared(GatedKD(outputs(count, classes), 2.0, 0.3, train_gate_by=by))
    batch = batch_of(
        view=1, student_logits=torch.randn(6, classes, requires_grad=True), targets=torch.arange(6) % classes
    )
    teachers = given_logits(method, batch)
    inputs = method.inputs(teachers)
    assert inputs.shape == (6, count * classes) and [tuple(p.shape) for p in method.parameters()] == [
        (count, count * classes),
        (count,),
    ]
    for k in range(count):  # teacher by teacher, class by class
        torch.testing.assert_close(inputs[:, k * classes : (k + 1) * classes], torch.log_softmax(teachers[k], 1))
    terms = method.terms(batch)  # it starts at equal weights
    equal = prepared(MultiTeacherKD(outputs(count, classes), 2.0, 0.3)).terms(batch)
    torch.testing.assert_close(terms["soft"], equal["soft"])
    gradients = torch.autograd.grad(sum(terms.values()), method.parameters())
    assert all((gradient != 0).any() == (count > 1) for gradient in gradients)


def moved_gate(by):
    method = prepared(GatedKD(outputs(3), 2.0, 0.3, train_gate_by=by))
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.normal_(0, 0.3)
    return method, batch_of(view=1)


def gate_weights(method, batch):
    log_p = torch.log_softmax(given_logits(method, batch), 2)
    inputs = torch.cat([log_p[k] for k in range(3)], dim=1)
    return torch.softmax(inputs @ method.gate.weight.T + method.gate.bias, 1), log_p


def test_gate_trained_by_labels_by_hand_and_apart_from_the_students_loss():
    method, batch = moved_gate("labels")
    weights, log_p = gate_weights(method, batch)
    terms = method.terms(batch)
    right = log_p[:, torch.arange(6), batch.targets].exp()  # [K, B]
    torch.testing.assert_close(terms["gate"], -(weights.T * right).sum(0).log().mean())
    soft = losses.multi_teacher_kd_loss(batch.student_logits, given_logits(method, batch), weights.detach(), 2.0)
    torch.testing.assert_close(terms["soft"], 0.7 * soft)
    assert set(terms) == {"hard", "soft", "gate"} and (weights.std(0) > 1e-3).all()  # by sample
    for name, other in (("soft", method.gate.weight), ("soft", method.gate.bias), ("gate", batch.student_logits)):
        assert torch.autograd.grad(terms[name], other, retain_graph=True, allow_unused=True)[0] is None
    assert (torch.autograd.grad(terms["gate"], method.gate.weight)[0] != 0).any()


def test_gate_trained_by_imitation_learns_from_the_students_loss():
    method, batch = moved_gate("imitation")
    weights, _ = gate_weights(method, batch)
    terms = method.terms(batch)
    soft = 0.7 * losses.multi_teacher_kd_loss(batch.student_logits, given_logits(method, batch), weights, 2.0)
    torch.testing.assert_close(terms["soft"], soft)
    assert set(terms) == {"hard", "soft"}
    gradients = (torch.autograd.grad(loss, list(method.parameters()))[0] for loss in (terms["soft"], soft))
    torch.testing.assert_close(*gradients)


def test_a_gate_trained_by_labels_comes_to_trust_the_teacher_that_is_right():
    targets = tiny_data().train.targets
    useless, useful = outputs(2)
    useful = Outputs(useful.logits / 4 + 4 * F.one_hot(targets, CLASSES))
    run = train(GatedKD((useless, useful)), dataclasses.replace(CONFIG, epochs=10))
    inputs = GatedKD.inputs(torch.stack([useless.logits[0], useful.logits[0]]))
    weights = torch.softmax(inputs @ run.kept["weight"].T + run.kept["bias"], 1)
    assert weights[:, 1].mean() > 0.8 and run.history["gate"].iloc[-1] < run.history["gate"].iloc[0]


# Stopped early


def assert_equal_runs(first, second):
    assert equal_states(first.state, second.state) and torch.equal(first.test_logits, second.test_logits)


def test_kd_stopped_at_the_end_is_kd_and_at_the_start_cross_entropy():
    teacher = three_teachers()[0]
    assert_equal_runs(train(ESKD(teacher, 2.0, 0.5, until=1.0)), train(KD(teacher, 2.0, 0.5)))
    assert_equal_runs(train(ESKD(teacher, 2.0, 0.5, until=0.0)), train(CrossEntropy()))


@pytest.mark.parametrize(("progress", "taught"), [(0.0, True), (0.29, True), (0.3, False), (0.9, False)])
def test_kd_stops_when_its_share_of_the_training_is_over(progress, taught):
    batch = batch_of(view=1, progress=progress)
    terms = prepared(ESKD(*outputs(), 2.0, 0.4, until=0.3)).terms(batch)
    expected = prepared(KD(*outputs(), 2.0, 0.4)).terms(batch)
    assert terms == (expected if taught else {"hard": F.cross_entropy(batch.student_logits, batch.targets)})
    assert ESKD(*outputs()).until == 0.5


# Features


def feature_batch(view=1, student=STUDENT, **changes):
    """Six images as view ``view`` shows them, with what a student in eval mode makes of them."""
    student, positions = build(student, 3).eval(), torch.tensor([40, 3, 17, 0, 59, 8])
    images = CONFIG.views.take(tiny_data().train, positions, view)
    student_logits, features = forward_features(student, images)
    given = {"images": images, "targets": tiny_data().train.targets[positions], "positions": positions, "view": view}
    return batch_of(**(given | {"student": student, "student_logits": student_logits, "features": features} | changes))


# A regressor from 4 channels to 4, and one that also needs pooling: the teacher's block4 has half the size.
UNEQUAL = (("block1", "block2"), ("block3", "block4"))


def close(given, expected):
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def assert_kd_terms(terms, batch, teacher, temperature, alpha):
    """The terms of KD are there as well, from a forward of the very images."""
    soft = losses.kd_loss(batch.student_logits, teacher.model(batch.images), temperature)
    close(terms["soft"], (1 - alpha) * soft)
    close(terms["hard"], alpha * F.cross_entropy(batch.student_logits, batch.targets))


@pytest.mark.parametrize("kind", [FitNets, LiveFitNets])
@pytest.mark.parametrize("view", [0, 1])
def test_terms_of_hints_by_hand(kind, view):
    teacher, batch = three_teachers()[0], feature_batch(view)
    method = prepared(kind(teacher, 2.0, 0.3, UNEQUAL, 0.7), batch.student)
    assert [tuple(p.shape) for p in method.parameters()] == [(4, 4, 1, 1), (4,), (16, 16, 1, 1), (16,)]
    theirs, hint = forward_features(teacher.model, batch.images)[1], 0
    for (ours, stage), weight, bias in zip(UNEQUAL, *(method.parameters()[i::2] for i in (0, 1)), strict=True):
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
    assert all(kept is own for kept, own in zip(method.keep().values(), method.parameters(), strict=True))


def test_two_stages_of_hints_by_hand():
    teacher = three_teachers()[0]
    for progress, names in ((0.0, ["hint"]), (0.39, ["hint"]), (0.4, ["hard", "soft"]), (0.9, ["hard", "soft"])):
        batch = feature_batch(progress=progress)
        method = prepared(FitNets(teacher, 2.0, 0.3, PAIRS[1:], 0.7, alone=0.4), batch.student)
        terms = method.terms(batch)
        assert list(terms) == names
        if names == ["hint"]:
            theirs = forward_features(teacher.model, batch.images)[1]["block2"]
            close(terms["hint"], 0.7 * F.mse_loss(method.regressors[0](batch.features["block1"]), theirs))
        else:
            assert_kd_terms(terms, batch, teacher, 2.0, 0.3)


def test_the_hint_alone_trains_the_student_up_to_its_stage_and_then_kd_alone_the_whole(monkeypatch):
    steps = []

    def look(method, batch, terms):
        student, own = dict(batch.student.named_parameters()), dict(enumerate(method.parameters()))
        groups = {"below": {}, "above": {}, "regressor": own}
        for name, parameter in student.items():
            groups["below" if name.startswith(("stages.stem", "stages.block1")) else "above"][name] = parameter
        now = {group: [p.detach().clone() for p in parameters.values()] for group, parameters in groups.items()}
        grads = {group: {p.grad is not None for p in parameters.values()} for group, parameters in groups.items()}
        steps.append((now, grads))

    method = METHODS["FitNets, alone at first"](three_teachers())
    caught(monkeypatch, method, look)
    config = dataclasses.replace(CONFIG, weight_decay=0.3)  # what has no gradient does not decay either
    run = train(method, config)
    for number in range(1, len(steps)):
        (before, _), (now, grads) = steps[number - 1 : number + 1]
        hint = number <= 4  # the gradients that are seen here are those of the step before
        assert grads == {"below": {True}, "above": {not hint}, "regressor": {hint}}
        changed = {group: not all(map(torch.equal, before[group], now[group])) for group in now}
        assert changed == {"below": True, "above": not hint, "regressor": hint}
    assert len(steps) == 8
    assert run.history["hint"].isna().tolist() == [False, True] and run.history["soft"].isna().tolist() == [True, False]


@pytest.mark.parametrize("kind", [FitNets, AT])
def test_a_feature_term_of_weight_0_leaves_kd_bit_for_bit_whatever_is_drawn_for_it(kind, monkeypatch):
    """Regressors, and any further draw in ``prepare``, shift neither the student's weights nor dropout."""
    teacher = three_teachers()[0]
    expected = train(KD(teacher, 2.0, 0.5))
    run = train(kind(teacher, 2.0, 0.5, PAIRS, 0.0))
    prepare = kind.prepare
    monkeypatch.setattr(kind, "prepare", lambda self, *given: torch.randn(1000).sum() and prepare(self, *given))
    drawn = train(kind(teacher, 2.0, 0.5, PAIRS, 0.0))
    for other in (run, drawn):
        assert_equal_runs(other, expected)
        assert (other.start, other.order) == (expected.start, expected.order)
    if kind is FitNets:
        assert not torch.equal(run.kept["0.weight"], drawn.kept["0.weight"])


@pytest.mark.parametrize("name", ["FitNets", "AT"])
def test_live_features_equal_stored_ones(name, own_cache):  # noqa: F811
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
        for (ours, theirs), (same, other) in zip(stored.matched(batch), live.matched(batch), strict=True):
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


# Peers

RESIDUAL = functools.partial(ResidualStudent, num_classes=CLASSES, in_channels=1, width=2)  # without dropout


@pytest.mark.parametrize("taught", [False, True])
def test_peers_of_weight_0_learn_as_they_would_alone(taught):
    cohort, teacher = functools.partial(Cohort, (STUDENT, RESIDUAL, RESIDUAL)), tiny_teacher()
    with_teacher = {"teacher": teacher, "teacher_temperature": 2.0, "alpha": 0.3} if taught else {}
    by_itself = KD(teacher, 2.0, 0.3) if taught else CrossEntropy()
    together = train(DML(weight=0.0, **with_teacher), student=cohort)
    apart = [build(STUDENT, 0), *build(cohort, 0).peers[1:]]
    for number, student in enumerate(apart):
        alone = fit(student, by_itself, tiny_data(), CONFIG)
        prefix = f"stages.peers.networks.{number}."
        own = {name.removeprefix(prefix): t for name, t in together.state.items() if name.startswith(prefix)}
        assert equal_states(own, alone.state)
        assert torch.equal(together.kept["peers.test"][:, number], alone.test_logits)
        assert torch.equal(together.kept["peers.validation"][:, number], alone.validation_logits)
    assert (together.history["peers"] == 0).all()
    assert_equal_runs_of_first(together, train(by_itself))


def assert_equal_runs_of_first(cohort, alone):
    assert torch.equal(cohort.test_logits, alone.test_logits) and cohort.metrics == alone.metrics
    assert cohort.order == alone.order


def test_a_cohort_trained_by_cross_entropy_trains_its_first_peer():
    config = dataclasses.replace(CONFIG, weight_decay=0.0)  # the other ones have a gradient of 0, and would decay
    run = train(CrossEntropy(), config, COHORT)
    assert_equal_runs_of_first(run, train(CrossEntropy(), config))
    second = build(COHORT, 0).peers[1]
    prefix = "stages.peers.networks.1."
    assert all(torch.equal(run.state[prefix + name], parameter) for name, parameter in second.named_parameters())


def test_peers_change_what_each_learns():
    plain, together = train(CrossEntropy()), train(DML())
    assert not torch.equal(plain.test_logits, together.test_logits) and (together.history["peers"] > 0).all()


def peer_batch(count=3, **changes):
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(6, count, CLASSES, generator=generator)
    logits.requires_grad_()
    return batch_of(view=1, features={"peers": logits}, student_logits=logits[:, 0], **changes), logits


def prepared_peers(method, count=3):
    return prepared(method, build(functools.partial(Cohort, (STUDENT,) * count), 0))


def kl_by_hand(z_from, z_to, temperature):
    p, q = (torch.softmax(z / temperature, 1) for z in (z_from, z_to))
    return temperature**2 * (p * (p.log() - q.log())).sum(1).mean()


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("taught", [False, True])
def test_terms_of_peers_by_hand(count, taught):
    teacher = outputs()[0] if taught else None
    method = prepared_peers(DML(0.6, 1.7, teacher, 3.0, 0.3), count)
    batch, logits = peer_batch(count)
    z = logits.unbind(1)
    alpha = 0.3 if taught else 1.0
    hard = alpha * sum(F.cross_entropy(own, batch.targets) for own in z)
    peers = 0.6 * sum(
        kl_by_hand(z[j].detach(), z[i], 1.7) / (count - 1) for i in range(count) for j in range(count) if j != i
    )
    terms = method.terms(batch)
    assert list(terms) == (["hard", "soft", "peers"] if taught else ["hard", "peers"])
    close(terms["hard"], hard)
    close(terms["peers"], peers)
    if taught:
        z_t = teacher.logits[batch.view, batch.positions]
        close(terms["soft"], 0.7 * sum(kl_by_hand(z_t, own, 3.0) for own in z))
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (terms["peers"], peers)]
    close(*gradients)  # with the detaching of both
    for i in range(count):  # T/(K − 1)·Σ_j (p_i − p_j)/B: from peer i's own term alone
        p = [torch.softmax(own / 1.7, 1) for own in z]
        expected = 0.6 * 1.7 / (count - 1) * sum(p[i] - p[j] for j in range(count) if j != i) / 6
        close(gradients[0][:, i], expected.detach())


def test_what_is_learned_among_peers_can_be_replaced():
    """Such as by the form without detaching, which chapter 13 compares."""

    class Other(DML):
        def among_peers(self, logits):
            return torch.stack(logits).square().mean()

    batch, logits = peer_batch()
    close(prepared_peers(Other(0.5)).terms(batch)["peers"], 0.5 * logits.square().mean())


def test_predictions_of_all_peers_are_kept_and_come_back_from_the_cache():
    cohort = functools.partial(Cohort, (STUDENT, RESIDUAL, STUDENT))
    arguments = (cohort, DML(), tiny_data(), CONFIG)
    run, again = store.cached_run(*arguments), store.cached_run(*arguments)
    assert not run.cached and again.cached
    assert set(run.kept) == {"peers.validation", "peers.test"}
    assert run.kept["peers.validation"].shape == (20, 3, CLASSES) and run.kept["peers.test"].shape == (40, 3, CLASSES)
    assert torch.equal(run.test_logits, run.kept["peers.test"][:, 0])
    assert torch.equal(run.validation_logits, run.kept["peers.validation"][:, 0])
    assert_equal_runs(run, again)
    assert equal_states(run.kept, again.kept) and run.metrics == again.metrics and run.start == again.start
    model = build(cohort, 5)
    model.load_state_dict(again.state)
    for number, peer in enumerate(model.peers):  # in eval mode, with the weights of the end
        logits = training.predict(peer, tiny_data().test.images)
        torch.testing.assert_close(logits, run.kept["peers.test"][:, number], rtol=1e-4, atol=1e-5)
    assert len({tuple(run.kept["peers.test"][:, number].flatten().tolist()) for number in range(3)}) == 3


def test_peers_are_kept_beside_what_the_method_keeps_and_not_of_one_network():
    method = UncertaintyKD(three_teachers()[0])
    assert set(train(method, ONE_STEP, COHORT).kept) == {"weights", "peers.validation", "peers.test"}
    assert set(train(method, ONE_STEP).kept) == {"weights"} and train(CrossEntropy(), ONE_STEP).kept == {}


# A loss of one's own


def kd_written_as_a_function(batch, given, alpha=0.5):
    assert given.features == {} and given.module is None
    soft = losses.kd_loss(batch.student_logits, given.logits, 2.0)
    return {"hard": alpha * F.cross_entropy(batch.student_logits, batch.targets), "soft": (1 - alpha) * soft}


def kd_written_as_a_scalar(batch, given):
    return sum(kd_written_as_a_function(batch, given).values())


def test_kd_written_as_a_function_is_kd_bit_for_bit():
    teacher = three_teachers()[0]
    run, expected = train(OwnLoss(kd_written_as_a_function, teacher)), train(KD(teacher, 2.0, 0.5))
    assert_equal_runs(run, expected)
    assert run.history.drop(columns="seconds").equals(expected.history.drop(columns="seconds"))
    scalar = train(OwnLoss(kd_written_as_a_scalar, teacher))
    assert_equal_runs(scalar, expected)
    assert scalar.history["loss"].tolist() == pytest.approx(expected.history["loss"].tolist(), rel=1e-6)
    assert "soft" not in scalar.history
    weighted = train(OwnLoss(functools.partial(kd_written_as_a_function, alpha=0.2), teacher))
    assert_equal_runs(weighted, train(KD(teacher, 2.0, 0.2)))


def test_hints_written_as_a_function_are_hints_bit_for_bit(monkeypatch):
    """With a module that is drawn as the method's regressor is, and trained as it is."""
    teacher = three_teachers()[0]
    own = OwnLoss(hint_written_as_a_function, teacher, ("block2",), functools.partial(torch.nn.Conv2d, 4, 4, 1))
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


def test_a_function_is_given_live_features_where_they_would_fill_the_memory(own_cache):  # noqa: F811
    teacher = three_teachers()[0]
    stored, live = (
        METHODS[name]([teacher])
        for name in ("OwnLoss, with a teacher and a module", "OwnLoss, with a teacher and a module, live")
    )
    prepared(live)
    assert live.live and len(list((own_cache / "banks").glob("*.safetensors"))) == 1  # the logits alone
    assert not prepared(stored).live
    for view in (0, 1):
        batch = feature_batch(view)
        features = live.teacher_features(batch)
        assert list(features) == ["block2"] and not features["block2"].requires_grad
        close(features["block2"], stored.teacher_features(batch)["block2"])
    torch.testing.assert_close(train(live).test_logits, train(stored).test_logits, rtol=1e-2, atol=1e-3)


def test_a_stage_that_was_not_asked_for_is_named():
    own = prepared(OwnLoss(lambda batch, given: given.features["block1"].mean(), three_teachers()[0], ("block2",)))
    with pytest.raises(KeyError, match=r"'block1' is not among the stages that were asked for, \['block2'\]"):
        own.terms(feature_batch())
    with pytest.raises(KeyError, match=r"'block1' is not among the stages that were asked for, \[\]"):
        prepared(OwnLoss(own.loss)).terms(feature_batch())


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
        key(kd_written_as_a_function, teacher, (), functools.partial(torch.nn.Conv2d, 4, 4, 1)),
    ]
    assert len(set(keys)) == 6 and keys[0] == key(kd_written_as_a_function, teacher)
