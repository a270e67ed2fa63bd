"""The loop and the methods: isolation, determinism, paired streams, optimiser, history, errors."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    COHORT,
    CONFIG,
    PAIRS,
    STUDENT,
    Drawing,
    Scaled,
    batch_of,
    equal_states,
    own_cache,  # noqa: F401
    tiny_data,
    tiny_teacher,
)

from kdnotes import losses, machine, teachers, training
from kdnotes.data import Views
from kdnotes.methods import DML, KD, CrossEntropy, FitNets, LabelSmoothing, Method
from kdnotes.models import Cohort, MultiExitStudent, ResidualStudent, StridedPointwise, StudentNet, TeacherNet
from kdnotes.training import Config, build, fit, loop, predict

pytestmark = pytest.mark.usefixtures("own_cache")


def train(method=None, config=CONFIG, student=STUDENT, data=None):
    return fit(build(student, config.seed), method or CrossEntropy(), data or tiny_data(), config)


# Methods


def test_cross_entropy_and_label_smoothing_terms():
    batch = batch_of()
    onehot = F.one_hot(batch.targets, CLASSES)
    hard = losses.soft_cross_entropy(batch.student_logits, onehot.float())
    torch.testing.assert_close(CrossEntropy().terms(batch)["hard"], hard)
    smooth = losses.soft_cross_entropy(batch.student_logits, 0.7 * onehot + 0.3 / CLASSES)
    torch.testing.assert_close(LabelSmoothing(0.3).terms(batch)["hard"], smooth)
    assert LabelSmoothing(0.0).terms(batch)["hard"] == CrossEntropy().terms(batch)["hard"]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_kd_terms_use_the_teachers_logits_of_the_same_view_and_images(alpha):
    teacher, data, views = tiny_teacher(), tiny_data(), Views(3)
    method = KD(teacher, temperature=2.0, alpha=alpha)
    method.prepare(torch.nn.Identity(), data.train, views, torch.device("cpu"))
    batch = batch_of(view=2)
    seen = views.take(data.train, batch.positions, 2)
    soft = losses.kd_loss(batch.student_logits, teacher.model(seen), 2.0)
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    total = sum(method.terms(batch).values())
    torch.testing.assert_close(total, alpha * hard + (1 - alpha) * soft, rtol=1e-4, atol=1e-6)
    assert set(method.terms(batch)) == ({"soft"} if alpha == 0 else {"hard", "soft"})


# Isolation


def test_fit_leaves_student_method_data_and_generators_as_they_were():
    student, method, data = build(STUDENT, 0), KD(tiny_teacher(), 2.0, 0.5), tiny_data()
    student.stages.stem[1].eval()  # an unusual mode must survive too
    before = copy.deepcopy(student.state_dict())
    modes = [module.training for module in student.modules()]
    settings, key = dict(vars(method)), data.key
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate(), torch.get_num_threads()
    run = fit(student, method, data, CONFIG)
    assert equal_states(student.state_dict(), before) and not equal_states(run.state, before)
    assert [module.training for module in student.modules()] == modes
    assert all(parameter.grad is None for parameter in student.parameters())
    assert vars(method) == settings
    assert dataclasses.replace(data).key == key
    assert torch.equal(torch.get_rng_state(), states[0]) and np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2] and torch.get_num_threads() == states[3]


def test_fit_leaves_a_methods_parameters_made_at_construction_as_they_were():
    method = Scaled()
    method.prepare(None, None, None, torch.device("cpu"))  # as if its constructor had made them
    method.prepare = lambda *_: None
    fit(build(STUDENT, 0), method, tiny_data(), CONFIG)
    assert method.scale.item() == 1.0 and method.scale.grad is None


def test_teacher_is_not_changed_by_distillation():
    teacher = tiny_teacher()
    before = copy.deepcopy(teacher.model.state_dict())
    train(KD(teacher, 2.0, 0.5))
    assert equal_states(teacher.model.state_dict(), before)  # parameters and batch-norm buffers
    assert not any(module.training for module in teacher.model.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.model.parameters())


def test_the_garbage_collector_is_as_before_after_a_training_also_one_that_fails():
    train()
    assert gc.isenabled() and gc.get_freeze_count() == 0
    with pytest.raises(ValueError, match="logits became"):
        train(config=dataclasses.replace(CONFIG, learning_rate=1e30))
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_predict_is_in_eval_mode_without_gradients_and_restores_the_mode():
    model, images = build(STUDENT, 0).train(), tiny_data().test.images
    first, second = (predict(model, images, batch_size=size) for size in (7, 500))
    torch.testing.assert_close(first, second)
    assert model.training and not first.requires_grad and not first.is_inference()
    model.eval()
    torch.testing.assert_close(first, model(images).detach())
    predict(model, images)
    assert not model.training


# Determinism and paired streams


def test_same_seed_twice_is_bit_equal_and_another_seed_is_not():
    first, second, other = train(), train(), train(config=dataclasses.replace(CONFIG, seed=1))
    assert equal_states(first.state, second.state) and torch.equal(first.test_logits, second.test_logits)
    assert first.metrics == second.metrics and (first.start, first.order) == (second.start, second.order)
    assert first.history.drop(columns="seconds").equals(second.history.drop(columns="seconds"))
    assert not equal_states(first.state, other.state)
    assert first.start != other.start and first.order != other.order


def test_thread_settings_of_the_caller_change_nothing():
    threads, runs = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            runs.append(train())
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert equal_states(runs[0].state, runs[1].state) and equal_states(runs[0].state, runs[2].state)


def test_the_callers_generator_state_changes_nothing():
    torch.manual_seed(1)
    first = train()
    torch.manual_seed(2)
    assert equal_states(train().state, first.state)


def test_a_method_that_draws_shifts_neither_batches_nor_views_nor_dropout():
    plain, drawing = train(CrossEntropy()), train(Drawing())
    assert equal_states(plain.state, drawing.state) and plain.order == drawing.order


def test_dropout_is_on_while_training_and_differs_between_steps_and_seeds():
    masks = []

    class Spy(StudentNet):
        def forward(self, images):
            if self.training:
                masks.append(F.dropout(torch.ones(64), 0.5).bool().tolist())
            return super().forward(images)

    factory = functools.partial(Spy, num_classes=CLASSES, in_channels=1, width=2)
    for seed in (0, 0, 1):
        train(student=factory, config=dataclasses.replace(CONFIG, seed=seed))
    steps = len(masks) // 3
    assert masks[:steps] == masks[steps : 2 * steps]
    assert len({tuple(mask) for mask in masks}) == 2 * steps


def test_batch_order_depends_on_seed_and_epoch_and_holds_every_image_once():
    def order(seed, epoch, **changes):
        return list(loop._batches(50, dataclasses.replace(CONFIG, seed=seed, **changes), epoch))

    first = order(0, 0)
    assert [len(part) for part in first] == [16, 16, 16, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(50))
    orders = {tuple(torch.cat(order(seed, epoch)).tolist()) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4
    assert torch.equal(torch.cat(order(0, 0)), torch.cat(first))
    assert [len(part) for part in order(0, 0, batch_size=7)] == [7] * 7  # one image left over cannot be normalised


def test_epoch_e_sees_view_e_mod_count_and_the_images_are_those_of_the_view():
    seen, data, config = [], tiny_data(), dataclasses.replace(CONFIG, epochs=3)

    class Spy(CrossEntropy):
        def terms(self, batch):
            assert torch.equal(batch.images, config.views.take(data.train, batch.positions, batch.view))
            assert torch.equal(batch.targets, data.train.targets[batch.positions])
            seen.append((batch.view, batch.progress))
            return super().terms(batch)

    train(Spy(), config)
    assert [view for view, _ in seen] == [0] * 4 + [1] * 4 + [0] * 4
    assert [progress for _, progress in seen] == pytest.approx([step / 12 for step in range(12)])


def test_epoch_numbers_and_features_are_given_to_the_method():
    seen = []

    class Spy(CrossEntropy):
        needs_features = True

        def terms(self, batch):
            seen.append((batch.epoch, batch.epochs))
            stages = dict(batch.student.stages.named_children())
            assert list(batch.features) == list(stages)
            names = list(stages)
            with torch.no_grad():
                norms = [m for m in batch.student.modules() if isinstance(m, torch.nn.BatchNorm2d)]
                before = [norm.momentum for norm in norms]
                for norm in norms:  # look at the stages again without a trace
                    norm.momentum = 0.0
                x = batch.images
                for name in names:
                    x = stages[name](x)
                    torch.testing.assert_close(batch.features[name], x)
                for norm, momentum in zip(norms, before, strict=True):
                    norm.momentum = momentum
            assert all(feature.requires_grad for feature in batch.features.values())
            return super().terms(batch)

    spied = train(Spy(), dataclasses.replace(CONFIG, epochs=3))
    assert seen == [(epoch, 3) for epoch in (0, 1, 2) for _ in range(4)]
    plain = train(config=dataclasses.replace(CONFIG, epochs=3))
    assert spied.order == plain.order and torch.equal(spied.state["head.3.weight"], plain.state["head.3.weight"])


def test_features_are_computed_only_for_a_method_that_needs_them():
    class Spy(CrossEntropy):
        def terms(self, batch):
            assert batch.features == {}
            return super().terms(batch)

    train(Spy())


# One training at a time in a process


class Meeting(CrossEntropy):
    """Lets another thread act in the middle of a training."""

    def __init__(self, act):
        self.act = act

    def __deepcopy__(self, memo):
        return self

    def terms(self, batch):
        if batch.progress == 0.25:
            thread = threading.Thread(target=self.act)
            thread.start()
            thread.join()
        return super().terms(batch)


@pytest.mark.parametrize("what", ["fit", "build"])
def test_another_thread_is_refused_while_one_trains_and_disturbs_nothing(what):
    alone, said = train(), []

    def intrude():
        with pytest.raises(RuntimeError, match=r"one training at a time in a process: .*processes.*\(workers=1\)") as e:
            train() if what == "fit" else build(STUDENT, 3)
        said.append(e)

    beside = train(Meeting(intrude))
    assert len(said) == 1 and equal_states(beside.state, alone.state)
    assert equal_states(train().state, alone.state)  # what was refused left no lock behind


def test_a_training_inside_a_training_of_the_same_thread_is_none_of_the_others(monkeypatch):
    inner = []

    class Nesting(CrossEntropy):
        def prepare(self, student, *rest):
            inner.append(teachers.train_or_load(STUDENT, tiny_data(), dataclasses.replace(CONFIG, seed=4)).key)

    outer = train(Nesting())
    assert len(inner) == 1 and equal_states(outer.state, train().state)


def test_a_failed_training_lets_the_next_thread_train():
    with pytest.raises(TypeError, match="terms of Nothing"):
        train(Nothing())
    runs = []
    thread = threading.Thread(target=lambda: runs.append(train()))
    thread.start()
    thread.join()
    assert equal_states(runs[0].state, train().state)


def test_predicting_in_a_second_thread_changes_no_training():
    seen = []

    def look():
        seen.append((predict(build_before, tiny_data().test.images), torch.get_num_threads()))

    build_before, alone = build(STUDENT, 1), train()
    assert equal_states(train(Meeting(look)).state, alone.state) and len(seen) == 1


# Devices other than the CPU, without having one


@pytest.mark.parametrize(
    ("kind", "seeder"), [("cuda", "manual_seed_all"), ("xpu", "manual_seed_all"), ("mps", "manual_seed")]
)
def test_dropout_is_seeded_on_every_kind_of_device(kind, seeder, monkeypatch):
    """On "cuda:1", too, which ``manual_seed`` alone would leave as it is."""
    given = []
    monkeypatch.setattr(getattr(torch, kind), seeder, given.append)
    with training.isolated():
        for step in (0, 1, 0):
            machine.seed_generators(torch.device(kind, 0), 5, f"dropout {step}")
            assert torch.initial_seed() == given[-1]
    assert given[0] == given[2] != given[1]


def test_the_generator_of_another_kind_of_device_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: "before")
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: restored.append(state))
    restored = []
    with pytest.raises(KeyError), training.isolated(torch.device("mps")):
        raise KeyError
    assert restored == ["before"]


# Optimiser


def test_parameters_of_a_method_get_gradients_and_change_in_one_step():
    kept = []

    class Kept(Scaled):
        def prepare(self, *arguments):
            super().prepare(*arguments)
            kept.append(self.scale)

    train(Kept(), dataclasses.replace(CONFIG, epochs=1, batch_size=60))  # one step
    assert kept[0].grad is not None and kept[0].grad != 0 and kept[0].item() != 1.0


def test_channels_come_last_unless_that_would_corrupt_memory():
    def own(kind):
        head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, CLASSES)]
        return torch.nn.Sequential(kind(1, 2, 1, stride=2), torch.nn.Conv2d(2, 3, 3), *head)

    networks = [TeacherNet(CLASSES, 1, 2), StudentNet(CLASSES, 1, 2), ResidualStudent(CLASSES, 1, 2)]
    networks.append(Cohort((functools.partial(ResidualStudent, CLASSES, 1, 2),) * 2))
    for network in (*networks, MultiExitStudent(functools.partial(ResidualStudent, CLASSES, 1, 2))):
        assert loop._layout(network) is torch.channels_last
    assert loop._layout(own(StridedPointwise)) is torch.channels_last
    plain = own(torch.nn.Conv2d)
    assert loop._layout(plain) is torch.contiguous_format
    for network, kept in ((plain, True), (own(StridedPointwise), False)):
        layouts = []
        network[1].register_forward_hook(lambda module, given, output, to=layouts: to.append(output.is_contiguous()))
        fit(network, CrossEntropy(), tiny_data(), dataclasses.replace(CONFIG, epochs=1))
        assert len(layouts) > 4 and set(layouts[:4]) == {kept}  # 4 steps, then the evaluation


def test_every_weight_of_the_student_changes():
    start, run = build(STUDENT, 0).state_dict(), train()
    assert not [name for name in start if torch.equal(start[name], run.state[name])]
    assert run.state["stages.stem.1.num_batches_tracked"] == 8


def test_only_matrices_and_kernels_decay():
    model, method = build(STUDENT, 0), Scaled()
    method.prepare(model, None, None, torch.device("cpu"))
    optimizer, scheduler = loop._optimizer(model, method, dataclasses.replace(CONFIG, weight_decay=0.3), 20)
    groups = {
        id(parameter): (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        assert groups[id(parameter)][0] == (0.3 if parameter.ndim > 1 else 0.0), name
    assert groups[id(method.scale)][0] == 0.0 and len(groups) == len(list(model.parameters())) + 1
    rates = []
    for _ in range(20):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(CONFIG.learning_rate, rel=0.02) and rates[0] < rates[3] > rates[-1]


def test_training_learns_what_can_be_learned():
    factory = functools.partial(STUDENT, width=4)
    config = dataclasses.replace(CONFIG, epochs=12, views=Views(2, flip=False))  # a mirrored quadrant is another class
    run = train(config=config, student=factory)
    assert run.metrics["test_accuracy"] > 0.9
    assert run.history["loss"].iloc[-1] < 0.6 * run.history["loss"].iloc[0]


# What a run reports


def test_history_and_run_hold_what_they_should():
    run = train(KD(tiny_teacher(), 2.0, 0.3), dataclasses.replace(CONFIG, epochs=3, validate_every=2))
    columns = ["epoch", "learning_rate", "loss", "hard", "soft", "seconds", "validation_accuracy"]
    assert sorted(run.history.columns) == sorted(columns)
    assert run.history["epoch"].tolist() == [0, 1, 2]
    assert run.history["validation_accuracy"].notna().tolist() == [False, True, False]
    assert np.allclose(run.history["loss"], run.history["hard"] + run.history["soft"])
    assert set(run.metrics) == {
        f"{part}_{name}" for part in ("validation", "test") for name in ("accuracy", "nll", "ece")
    }
    assert run.validation_logits.shape == (20, CLASSES) and run.test_logits.shape == (40, CLASSES)
    assert run.seconds > 0 and not run.cached and run.created.endswith("Z")
    model = build(STUDENT, 5)
    model.load_state_dict(run.state)
    torch.testing.assert_close(predict(model, tiny_data().test.images), run.test_logits, rtol=1e-4, atol=1e-5)
    assert run.start == training.state_key(build(STUDENT, 0))


def test_history_has_no_validation_column_unless_asked_for():
    assert "validation_accuracy" not in train().history


class Telling(CrossEntropy):
    """Tells and keeps what it is asked for."""

    def prepare(self, student, train, views, device):
        self.steps = torch.zeros(3, requires_grad=True)

    def terms(self, batch):
        self.steps = self.steps + 1
        return super().terms(batch)

    def observe(self):
        return {"steps": self.steps[0].item(), "third": 1 / 3}

    def keep(self):
        return {"steps": self.steps, "view": torch.arange(6.0).view(2, 3).T}


def test_what_a_method_observes_is_a_column_and_what_it_keeps_comes_with_the_run():
    run = train(Telling())
    assert run.history["steps"].tolist() == [4.0, 8.0] and run.history["third"].tolist() == [1 / 3, 1 / 3]
    assert np.array_equal(run.history["loss"], run.history["hard"])  # observed numbers are no terms
    assert torch.equal(run.kept["steps"], torch.full((3,), 8.0)) and not run.kept["steps"].requires_grad
    assert torch.equal(run.kept["view"], torch.arange(6.0).view(2, 3).T) and run.kept["view"].is_contiguous()
    plain = train()
    assert plain.kept == {} and equal_states(plain.state, run.state)


# Errors


class Diverging(CrossEntropy):
    def terms(self, batch):
        return {"hard": super().terms(batch)["hard"] * (float("nan") if batch.progress > 0.5 else 1)}


class Detached(CrossEntropy):
    def terms(self, batch):
        return {"hard": super().terms(batch)["hard"].detach()}


class Broken(CrossEntropy):
    """Its derivative is NaN where its value is not: that of √x at 0."""

    def terms(self, batch):
        return {"hard": super().terms(batch)["hard"] + (0 * batch.student_logits).sum().sqrt()}


class Unlucky(Scaled):
    """Its own parameter is NaN after the first step."""

    def terms(self, batch):
        if batch.progress:
            self.scale.data.fill_(float("nan"))
        return super().terms(batch)


class Vector(CrossEntropy):
    def terms(self, batch):
        return {"hard": F.cross_entropy(batch.student_logits, batch.targets, reduction="none")}


class Nothing(Method):
    def terms(self, batch):
        return {}


class Bare(Method):
    def terms(self, batch):
        return F.cross_entropy(batch.student_logits, batch.targets)


@pytest.mark.parametrize(
    ("method", "fragment"),
    [
        (Diverging(), r"the term 'hard' of Diverging became nan in epoch 1 \(step 6 of 8\): look at what it is comput"),
        (Detached(), "terms of Detached must depend on the student's weights, but none has a gradient"),
        (
            Broken(),
            r"finite in epoch 0 \(step 2 of 8\) through the gradient of the step before, .* Broken has no finite d",
        ),
        (Unlucky(), r"parameters of Unlucky itself became NaN or infinite in epoch 0 \(step 2 of 8\): lower learning"),
        (Vector(), r"terms of Vector must be scalar tensors, but 'hard' has shape \[16\]"),
        (Nothing(), "terms of Nothing must be"),
        (Bare(), "terms of Bare must be"),
    ],
)
def test_methods_that_cannot_be_minimised_are_named(method, fragment):
    states = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises((TypeError, ValueError), match=fragment):
        train(method)
    assert torch.equal(torch.get_rng_state(), states[0]) and torch.get_num_threads() == states[1]


def test_config_is_a_value():
    assert Config() == Config() and hash(Config()) == hash(Config()) and Config(seed=1) != Config()


@pytest.mark.parametrize("method", ["CE", "KD", "hints", "peers"])
def test_a_student_that_diverges_is_told_to_learn_more_slowly(method):
    made = {
        "CE": CrossEntropy,
        "KD": lambda: KD(tiny_teacher(), 2.0, 0.5),
        "hints": lambda: FitNets(tiny_teacher(), pairs=PAIRS),
        "peers": DML,
    }[method]()
    student = COHORT if method == "peers" else STUDENT
    with pytest.raises(ValueError, match=r"in epoch 0 \(step [23] of 8\): .*lower learning_rate \(1e\+30\)"):
        train(made, dataclasses.replace(CONFIG, learning_rate=1e30), student)


def test_images_that_are_not_finite_are_not_blamed_on_the_learning_rate():
    data = tiny_data()
    images = data.train.images.clone()
    images[30] = float("nan")
    train_part = dataclasses.replace(data.train, images=images)
    with pytest.raises(ValueError, match=r"images of data\.train are NaN or infinite, seen in epoch 0"):
        train(data=dataclasses.replace(data, train=train_part))
    test_part = dataclasses.replace(data.test, images=data.test.images * float("inf"))
    with pytest.raises(ValueError, match=r"logits on data\.test became NaN or infinite: as its images are"):
        train(data=dataclasses.replace(data, test=test_part))


def test_the_check_before_a_training_leaves_no_trace():
    """The student is asked in training mode, too: on a copy, so that no running statistic moves."""
    student = build(STUDENT, 0)
    run = fit(student, CrossEntropy(), tiny_data(), CONFIG)
    assert run.start == training.state_key(student)
    assert run.state["stages.stem.1.num_batches_tracked"] == 8
