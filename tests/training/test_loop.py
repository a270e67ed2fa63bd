"""The loop: isolation, determinism, paired streams, the optimiser, and what a run reports."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    CONFIG,
    STUDENT,
    Drawing,
    Scaled,
    equal_states,
    tiny_data,
    tiny_teacher,
    train,
)

from kdnotes import training
from kdnotes.data import Views
from kdnotes.methods import KD, CrossEntropy
from kdnotes.models import (
    Cohort,
    MultiExitStudent,
    ResidualStudent,
    StridedPointwise,
    StudentNet,
    TeacherNet,
)
from kdnotes.training import build, fit, loop, predict
from kdnotes.training.students import Students, layout_of

pytestmark = pytest.mark.usefixtures("own_cache")


# Isolation


def test_fit_leaves_student_method_data_and_generators_as_they_were():
    student, method, data = build(STUDENT, 0), KD(tiny_teacher(), 2.0, 0.5), tiny_data()
    student.stages.stem[1].eval()  # an unusual mode must survive too
    before = copy.deepcopy(student.state_dict())
    modes = [module.training for module in student.modules()]
    settings, key = dict(vars(method)), data.key
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    others = random.getstate(), torch.get_num_threads()
    run = fit(student, method, data, CONFIG)
    assert equal_states(student.state_dict(), before) and not equal_states(run.state, before)
    assert [module.training for module in student.modules()] == modes
    assert all(parameter.grad is None for parameter in student.parameters())
    assert vars(method) == settings
    assert dataclasses.replace(data).key == key
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert (random.getstate(), torch.get_num_threads()) == others


def test_fit_leaves_a_methods_parameters_made_at_construction_as_they_were():
    method = Scaled()
    method.prepare(None, None, None, torch.device("cpu"))  # as if its constructor had made them
    method.prepare = lambda *_: None
    fit(build(STUDENT, 0), method, tiny_data(), CONFIG)
    assert method.scale.item() == 1.0 and method.scale.grad is None


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
    assert equal_states(first.state, second.state)
    assert torch.equal(first.test_logits, second.test_logits)
    assert first.metrics == second.metrics
    assert (first.start, first.order) == (second.start, second.order)
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
    # One image left over cannot be normalised.
    assert [len(part) for part in order(0, 0, batch_size=7)] == [7] * 7


def test_epoch_e_sees_view_e_mod_count_and_the_images_are_those_of_the_view():
    seen, data, config = [], tiny_data(), dataclasses.replace(CONFIG, epochs=3)

    class Spy(CrossEntropy):
        def terms(self, batch):
            assert torch.equal(
                batch.images, config.views.take(data.train, batch.positions, batch.view)
            )
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
    assert spied.order == plain.order
    assert torch.equal(spied.state["head.3.weight"], plain.state["head.3.weight"])


def test_features_are_computed_only_for_a_method_that_needs_them():
    class Spy(CrossEntropy):
        def terms(self, batch):
            assert batch.features == {}
            return super().terms(batch)

    train(Spy())


# The optimiser


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

    networks = [
        TeacherNet(CLASSES, 1, 2),
        StudentNet(CLASSES, 1, 2),
        ResidualStudent(CLASSES, 1, 2),
    ]
    networks.append(Cohort((functools.partial(ResidualStudent, CLASSES, 1, 2),) * 2))
    for network in (*networks, MultiExitStudent(functools.partial(ResidualStudent, CLASSES, 1, 2))):
        assert layout_of(network) is torch.channels_last
    assert layout_of(own(StridedPointwise)) is torch.channels_last
    plain = own(torch.nn.Conv2d)
    assert layout_of(plain) is torch.contiguous_format
    for network, kept in ((plain, True), (own(StridedPointwise), False)):
        layouts = []
        network[1].register_forward_hook(
            lambda module, given, output, to=layouts: to.append(output.is_contiguous())
        )
        fit(network, CrossEntropy(), tiny_data(), dataclasses.replace(CONFIG, epochs=1))
        assert len(layouts) > 4 and set(layouts[:4]) == {kept}  # 4 steps, then the evaluation


def test_every_weight_of_the_student_changes():
    start, run = build(STUDENT, 0).state_dict(), train()
    assert not [name for name in start if torch.equal(start[name], run.state[name])]
    assert run.state["stages.stem.1.num_batches_tracked"] == 8


def test_only_matrices_and_kernels_decay():
    model, method = build(STUDENT, 0), Scaled()
    method.prepare(model, None, None, torch.device("cpu"))
    students = Students([model], [0], torch.device("cpu"), is_stacked=True)
    config = dataclasses.replace(CONFIG, weight_decay=0.3)
    optimizer = loop._optimizer(students, [method], config, 20)
    decays = {id(one): group.weight_decay for group in optimizer.groups for one in group.parameters}
    for one in students.trained:
        assert decays[id(one.numbers)] == (0.3 if one.own[0].ndim > 1 else 0.0)
    assert decays[id(method.scale)] == 0.0 and len(decays) == len(list(model.parameters())) + 1
    rates = []
    for _ in range(20):
        rates.append(optimizer.rate)
        optimizer.step()
    assert max(rates) == pytest.approx(CONFIG.learning_rate, rel=0.02)
    assert rates[0] < rates[3] > rates[-1]


def test_training_learns_what_can_be_learned():
    factory = functools.partial(STUDENT, width=4)
    # A mirrored quadrant is another class.
    config = dataclasses.replace(CONFIG, epochs=12, views=Views(2, flip=False))
    run = train(config=config, student=factory)
    assert run.metrics["test_accuracy"] > 0.9
    assert run.history["loss"].iloc[-1] < 0.6 * run.history["loss"].iloc[0]


# What a run reports


def test_history_and_run_hold_what_they_should():
    run = train(
        KD(tiny_teacher(), 2.0, 0.3), dataclasses.replace(CONFIG, epochs=3, validate_every=2)
    )
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
    torch.testing.assert_close(
        predict(model, tiny_data().test.images), run.test_logits, rtol=1e-4, atol=1e-5
    )
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
    assert run.history["steps"].tolist() == [4.0, 8.0]
    assert run.history["third"].tolist() == [1 / 3, 1 / 3]
    assert np.array_equal(run.history["loss"], run.history["hard"])  # observed numbers are no terms
    assert torch.equal(run.kept["steps"], torch.full((3,), 8.0))
    assert not run.kept["steps"].requires_grad
    assert torch.equal(run.kept["view"], torch.arange(6.0).view(2, 3).T)
    assert run.kept["view"].is_contiguous()
    plain = train()
    assert plain.kept == {} and equal_states(plain.state, run.state)
