"""Seeds trained as one network: bit for bit what each gives alone."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from helpers import (
    CONFIG,
    METHODS,
    STUDENT,
    TRANSFORMER,
    equal_states,
    student_of,
    tiny_data,
    tiny_teacher,
)

from kdnotes.methods import AT, CrossEntropy, FitNets, Method
from kdnotes.models import ResidualStudent, StudentNet, VisionTransformer
from kdnotes.models.stacked_layers import StackedLinear
from kdnotes.training import build, exactness, fit, fit_together, is_exact, loop

SEEDS = (3, 0, 1, 2, 4)
STUDENTS = {
    "separable": STUDENT,
    "residual": functools.partial(ResidualStudent, num_classes=4, in_channels=1, width=12),
    "transformer": functools.partial(VisionTransformer, 4, 1, 48, depth=2, patch=8, joint=1),
}


def at(seed, **changes):
    return dataclasses.replace(CONFIG, seed=seed, validate_every=1, **changes)


def together(student, method, seeds, **changes):
    networks = [build(student, seed) for seed in seeds]
    configs = [at(seed, **changes) for seed in seeds]
    runs = fit_together(networks, [method] * len(seeds), tiny_data(), configs)
    return dict(zip(seeds, runs, strict=True))


def assert_equal(run, other):
    assert equal_states(run.state, other.state)
    assert torch.equal(run.test_logits, other.test_logits)
    assert torch.equal(run.validation_logits, other.validation_logits)
    assert (run.start, run.order, run.metrics) == (other.start, other.order, other.metrics)
    without = [one.history.drop(columns="seconds") for one in (run, other)]
    assert without[0].equals(without[1])
    assert run.kept.keys() == other.kept.keys()
    for name, tensor in run.kept.items():
        assert tensor.numpy().tobytes() == other.kept[name].numpy().tobytes(), name


def exact(student):
    if not is_exact(student, tiny_data(), CONFIG):
        pytest.skip("the kernels of this processor round otherwise in a stack: none is made on it")


@pytest.mark.parametrize("name", METHODS)
def test_seed_3_alone_in_a_stack_of_two_and_in_one_of_five(name):
    method = METHODS[name]([tiny_teacher(seed) for seed in range(3)])
    student = student_of(method)
    exact(student)
    alone = fit(build(student, 3), method, tiny_data(), at(3))
    assert_equal(together(student, method, (1, 3))[3], alone)
    assert_equal(together(student, method, SEEDS)[3], alone)


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("size", [16, 59])  # the last batch has 12 images, or there is one batch
def test_every_seed_of_every_stack_is_equal(student, size):
    exact(STUDENTS[student])
    whole = together(STUDENTS[student], CrossEntropy(), SEEDS, batch_size=size)
    for count in (1, 2, 3, 4):
        for seed, run in together(
            STUDENTS[student], CrossEntropy(), SEEDS[:count], batch_size=size
        ).items():
            assert_equal(run, whole[seed])


@pytest.mark.parametrize("method", [FitNets, AT])
def test_transformers_that_learn_from_a_teachers_maps(method):
    student = functools.partial(TRANSFORMER, depth=3)
    exact(student)
    taught = method(tiny_teacher(), 2.0, 0.5, (("patches", "block2"), ("block1", "block3")))
    alone = fit(build(student, 3), taught, tiny_data(), at(3))
    assert_equal(together(student, taught, (1, 3, 0))[3], alone)


class Noisy(Method):
    """Draws random numbers in every step, more of them with every step."""

    def prepare(self, *_):
        self.steps = 0

    def terms(self, batch):
        self.steps += 1
        noise = torch.randn(self.steps, *batch.student_logits.shape).mean(0)
        return {"noise": ((batch.student_logits - noise) ** 2).mean()}


def test_what_a_method_draws_shifts_no_other_seed():
    exact(STUDENT)
    runs = together(STUDENT, Noisy(), (0, 1, 2))
    for seed in (0, 1, 2):
        assert_equal(runs[seed], fit(build(STUDENT, seed), Noisy(), tiny_data(), at(seed)))


class Own(StudentNet):
    def forward(self, images):
        return super().forward(images) * 1.0


def test_students_that_cannot_be_one_network_are_trained_one_after_the_other():
    student = functools.partial(Own, **STUDENT.keywords)
    assert not is_exact(student, tiny_data(), CONFIG)
    runs = together(student, CrossEntropy(), (0, 1))
    for seed, run in runs.items():
        assert_equal(run, fit(build(student, seed), CrossEntropy(), tiny_data(), at(seed)))


def test_one_whose_loss_is_not_finite_is_named():
    class Late(Method):
        def __init__(self, fails):
            self.fails = fails

        def terms(self, batch):
            loss = batch.student_logits.square().mean()
            return {"loss": loss / 0 if self.fails and batch.epoch == 1 else loss}

    networks = [build(STUDENT, seed) for seed in (0, 1, 2)]
    methods = [Late(False), Late(True), Late(False)]
    with pytest.raises(ValueError, match="the term 'loss' of Late became inf") as caught:
        fit_together(networks, methods, tiny_data(), [at(seed) for seed in (0, 1, 2)])
    assert "with seed 1" in caught.value.__notes__


def test_a_stack_has_one_schedule():
    networks = [build(STUDENT, seed) for seed in (0, 1)]
    configs = [at(0), at(1, learning_rate=0.5)]
    with pytest.raises(ValueError, match="equal but for their seeds"):
        fit_together(networks, [CrossEntropy()] * 2, tiny_data(), configs)


def test_a_kernel_that_rounds_otherwise_in_a_stack_is_found(monkeypatch):
    honest = StackedLinear.forward

    def rounded(self, x):
        return honest(self, x) * (1 + 1e-7 * (self.count > 2))

    monkeypatch.setattr(StackedLinear, "forward", rounded)
    exactness._is_exact.cache_clear()
    try:
        assert not is_exact(STUDENT, tiny_data(), CONFIG)
    finally:
        exactness._is_exact.cache_clear()


def test_the_trial_leaves_the_callers_random_numbers_as_they_were():
    exactness._is_exact.cache_clear()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    is_exact(STUDENT, tiny_data(), CONFIG)
    assert torch.equal(before, torch.get_rng_state())


def test_seconds_are_a_share_of_the_stack(monkeypatch):
    ticks = iter(range(10_000))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(ticks)))
    runs = together(STUDENT, CrossEntropy(), (0, 1))
    assert runs[0].seconds == runs[1].seconds
    assert runs[0].seconds * 2 == pytest.approx(round(runs[0].seconds * 2))
    assert sum(runs[0].history["seconds"]) <= runs[0].seconds
