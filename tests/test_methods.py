"""The methods: terms by hand, own parameters, frozen teachers, equal starts, and what each remembers."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    CONFIG,
    METHODS,
    MULTI_EXIT,
    STUDENT,
    Outputs,
    batch_of,
    equal_states,
    own_cache,  # noqa: F401
    student_of,
    tiny_data,
    tiny_teacher,
)

from kdnotes import losses, methods, training
from kdnotes.methods import (
    KD,
    AnnealedKD,
    BeYourOwnTeacher,
    ConfidenceKD,
    CrossEntropy,
    CurriculumKD,
    DecoupledKD,
    GatedKD,
    MultiTeacherKD,
    SelfKD,
    StandardizedKD,
    UncertaintyKD,
)
from kdnotes.models import forward_features
from kdnotes.teachers import Teacher
from kdnotes.training import build, fit

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
    kinds = {name for name in methods.__all__ if inspect.isclass(getattr(methods, name))} - {"Batch", "Method"}
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
        assert not getattr(method, "stored", torch.zeros(())).requires_grad

    caught(monkeypatch, method, look)
    train(method)
    assert len(steps) == 8
    for model, state in zip(models, before, strict=True):
        assert equal_states(model.state_dict(), state)  # parameters and batch-norm buffers


def owned(method):
    """Every ``nn.Parameter`` that the method holds, outside its teachers."""
    found = {}
    for value in vars(method).values():
        if isinstance(value, torch.nn.Parameter):
            found[id(value)] = value
        elif isinstance(value, torch.nn.Module):
            found |= {id(parameter): parameter for parameter in value.parameters()}
    return found


@EVERY
def test_a_methods_own_parameters_are_in_the_optimiser_get_gradients_and_change(name, monkeypatch):
    method, starts = make(name), []

    def look(method, batch, terms):
        if not starts:
            starts.extend(parameter.detach().clone() for parameter in method.parameters())

    found = caught(monkeypatch, method, look)
    train(method)
    parameters = list(found[0].parameters())
    assert {id(parameter) for parameter in parameters} == owned(found[0]).keys()
    assert bool(parameters) == name.startswith(("CurriculumKD", "GatedKD"))
    for parameter, start in zip(parameters, starts, strict=True):
        assert parameter.grad is not None and (parameter.grad != 0).any()
        assert not torch.equal(parameter, start)


@pytest.mark.parametrize("method", ["labels", "imitation", "adversarial", "with the student", "exits"])
def test_own_parameters_get_gradients_and_change_in_one_step(method, monkeypatch):
    teachers = three_teachers()
    method = {
        "labels": GatedKD(tuple(teachers)),
        "imitation": GatedKD(tuple(teachers), train_gate_by="imitation"),
        # λ is 0 in the first step of a ramp, so that T rests there (see below); without a ramp it is 1 from the start
        "adversarial": CurriculumKD(teachers[0], ramp=0.0),
        "with the student": CurriculumKD(teachers[0], adversarial=False),
        "exits": BeYourOwnTeacher(),
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
    method, student = make(name), build(MULTI_EXIT, 0)
    method.prepare(student, tiny_data().train, CONFIG.views, CPU)
    optimizer, _ = training._optimizer(student, method, dataclasses.replace(CONFIG, weight_decay=0.3), 20)
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
    assert bool(kept) == name.startswith(("UncertaintyKD", "GatedKD"))


# Decoupled


@pytest.mark.parametrize(
    ("warmup", "progress", "ramp"), [(0.5, 0.0, 0), (0.5, 0.125, 0.25), (0.5, 0.8, 1), (0.0, 0.0, 1)]
)
def test_decoupled_terms_of_the_method(warmup, progress, ramp):
    method = prepared(DecoupledKD(*outputs(), 3.0, alpha=0.7, beta=5.0, warmup=warmup))
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
    return prepared(CurriculumKD(*outputs(), **({"temperature": 4.0, "alpha": 0.2} | changes)))


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
        train(CurriculumKD(teacher, 4.0, ramp=0.0, adversarial=adversarial), ONE_STEP).history["temperature"].item()
        for adversarial in (True, False)
    )
    assert (against - 4) * (along - 4) < 0


def test_the_temperature_rests_in_the_first_step_of_a_ramp(monkeypatch):
    method, temperatures = CurriculumKD(three_teachers()[0], 4.0), []
    caught(monkeypatch, method, lambda method, batch, terms: temperatures.append(method.learned().item()))
    run = train(method)
    assert temperatures[0] == temperatures[1] == pytest.approx(4.0) and len(set(temperatures[1:])) == 7
    assert run.history["temperature"].iloc[0] == temperatures[4]


# Self-distillation from the previous epoch


def test_targets_follow_the_image_whatever_the_order_of_the_batch():
    method = prepared(SelfKD(alpha=0.6))
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
    method, predicted, orders = SelfKD(alpha=0.8), {}, []
    recall, onehot = SelfKD.recall, F.one_hot(tiny_data().train.targets, CLASSES).float()
    recalled = {}
    monkeypatch.setattr(SelfKD, "recall", lambda self, batch: recalled.setdefault(batch.progress, recall(self, batch)))

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
    method, batch = prepared(SelfKD(alpha=1.0)), batch_of(epoch=0, epochs=2)
    method.terms(batch)
    later = batch_of(epoch=1, student_logits=torch.randn(6, CLASSES, requires_grad=True))
    both = [later.student_logits, batch.student_logits]
    gradient, none = torch.autograd.grad(method.terms(later)["soft"], both, allow_unused=True)
    assert none is None
    expected = (torch.softmax(later.student_logits, 1) - torch.softmax(batch.student_logits, 1)) / 6
    torch.testing.assert_close(gradient, expected.detach())


def test_without_a_number_of_classes_the_labels_tell_it():
    assert prepared(SelfKD(), torch.nn.Identity()).previous.shape == (60, CLASSES)
    student = build(STUDENT, 0)
    student.num_classes = 7  # such as a class that the training images lack
    assert prepared(SelfKD(), student).previous.shape == (60, 7)


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
    terms = BeYourOwnTeacher(temperature=2.0, alpha=0.4, hint=0.1).terms(batch)
    assert list(exits) == ["block1", "block2", "block3"] and set(terms) == {"hard", "soft", "hint"}
    for name, expected in (("hard", hard), ("soft", soft), ("hint", hint)):
        torch.testing.assert_close(terms[name], expected)


@pytest.mark.parametrize("term", ["soft", "hint"])
def test_the_deepest_exit_teaches_and_does_not_learn_from_the_shallow_ones(term):
    batch = own_teacher_batch()
    student = batch.student
    BeYourOwnTeacher(hint=0.1).terms(batch)[term].backward()
    for part in (student.stages.block3, student.head):
        assert all(parameter.grad is None for parameter in part.parameters())
    for exit in student.exits.values():
        assert all((parameter.grad != 0).any() for parameter in exit.bottleneck.parameters() if parameter.ndim > 1)
    assert (student.stages.stem[0].weight.grad != 0).any()


def test_deep_supervision_is_the_control():
    terms = BeYourOwnTeacher(alpha=0.0, hint=0.0).terms(own_teacher_batch())
    assert terms["soft"] == 0 and terms["hint"] == 0


def test_a_student_without_exits_is_refused():
    with pytest.raises(TypeError, match=r"student must be a models\.MultiExitStudent, which has exits, not StudentNet"):
        train(BeYourOwnTeacher(), student=STUDENT)


# Many teachers


def test_equal_weights_are_the_mean_over_teachers():
    teachers, batch = outputs(3), batch_of(view=1)
    terms = prepared(MultiTeacherKD(teachers, 2.0, 0.3)).terms(batch)
    each = [prepared(KD(teacher, 2.0, 0.3)).terms(batch) for teacher in teachers]
    torch.testing.assert_close(terms["soft"], sum(one["soft"] for one in each) / 3)
    torch.testing.assert_close(terms["hard"], each[0]["hard"])


def test_confidence_weights_are_by_sample():
    method, batch = prepared(ConfidenceKD(outputs(3), 2.0, 0.3)), batch_of(view=1)
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
