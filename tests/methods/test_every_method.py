"""What every method keeps to: paired starts, determinism, frozen teachers, own parameters."""

from __future__ import annotations

import copy
import dataclasses
import inspect

import pytest
import torch
from helpers import (
    COHORT,
    CONFIG,
    METHODS,
    MULTI_EXIT,
    STUDENT,
    equal_states,
    student_of,
    tiny_data,
    train,
)
from method_helpers import CPU, EVERY, ONE_STEP, assert_equal_runs, caught, make, three_teachers

from kdnotes import methods, training
from kdnotes.methods import (
    AT,
    BYOT,
    CAMKD,
    CTKD,
    DKD,
    DML,
    ESKD,
    PSKD,
    CrossEntropy,
    FitNets,
    GatedKD,
)
from kdnotes.training import build, loop
from kdnotes.training.students import Students

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_list_of_methods_is_complete():
    kinds = {name for name in methods.__all__ if inspect.isclass(getattr(methods, name))}
    # What a method sees, and the base class.
    kinds -= {"Batch", "Given", "Method", "TeacherFeatures", "TeacherOutputs"}
    assert {name.partition(",")[0] for name in METHODS} == kinds


def test_the_names_that_chapters_use_are_the_same_classes():
    earlier = {
        "DecoupledKD": DKD, "CurriculumKD": CTKD, "EarlyStoppedKD": ESKD, "SelfKD": PSKD,
        "BeYourOwnTeacher": BYOT, "ConfidenceKD": CAMKD, "HintKD": FitNets, "AttentionKD": AT,
        "MutualLearning": DML,
    }  # fmt: skip
    assert {name: getattr(methods, name) for name in earlier} == earlier


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
        assert equal_states(build(STUDENT, seed).state_dict(), first)
        assert not equal_states(first, second)


@EVERY
def test_same_seed_twice_is_bit_equal(name):
    first, second = (train(make(name)) for _ in range(2))
    assert_equal_runs(first, second)
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
        for model in models:
            assert not any(module.training for module in model.modules())
            assert all(p.grad is None and not p.requires_grad for p in model.parameters())
        held = [*vars(method).values(), *getattr(method, "stored_features", {}).values()]
        stored = [value for value in held if type(value) is torch.Tensor]
        assert not any(tensor.requires_grad for tensor in stored)

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
        # Gradients of the step before.
        moved.update(id(p) for p in parameters if p.grad is not None and (p.grad != 0).any())

    found = caught(monkeypatch, method, look)
    train(method)
    parameters = list(found[0].parameters())
    assert {id(parameter) for parameter in parameters} == owned(found[0]).keys() == moved
    assert bool(parameters) == name.startswith(
        ("CRD", "CTKD", "GatedKD", "FitNets", "OwnLoss, with")
    )
    assert not any(torch.equal(*pair) for pair in zip(parameters, starts, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda t: GatedKD(tuple(t)),
        lambda t: GatedKD(tuple(t), train_gate_by="imitation"),
        # λ is 0 in the first step of a ramp, so that T rests there; without a ramp it is 1.
        lambda t: CTKD(t[0], ramp=0.0),
        lambda t: CTKD(t[0], adversarial=False),
        lambda t: BYOT(),
        METHODS["FitNets"],
        METHODS["CRD"],
        METHODS["OwnLoss, with a teacher and a module"],
    ],
)
def test_own_parameters_get_gradients_and_change_in_one_step(make, monkeypatch):
    method = make(three_teachers())
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
    needs = student_of(method)
    student = build(MULTI_EXIT if needs is STUDENT else needs, 0)
    method.prepare(student, tiny_data().train, CONFIG.views, CPU)
    config = dataclasses.replace(CONFIG, weight_decay=0.3)
    students = Students([student], [0], torch.device("cpu"), is_stacked=True)
    groups = loop._optimizer(students, [method], config, 20).groups
    decay = {id(p): group.weight_decay for group in groups for p in group.parameters}
    assert all(decay[id(parameter)] == 0.0 for parameter in owned(method).values())
    trained = students.trained
    assert all(decay[id(one.numbers)] == (0.3 if one.is_matrix else 0.0) for one in trained)


@EVERY
def test_what_is_kept_is_detached_and_on_the_cpu(name):
    kept = train(make(name), ONE_STEP).kept
    assert all(not tensor.requires_grad and tensor.device.type == "cpu" for tensor in kept.values())
    assert bool(kept) == name.startswith(("UncertaintyKD", "GatedKD", "FitNets", "CRD", "DML"))
