"""The machine: one training at a time, seeded and isolated generators, devices, the processor."""

from __future__ import annotations

import dataclasses
import pathlib
import threading

import pytest
import torch
from helpers import CONFIG, STUDENT, equal_states, tiny_data, train

from kdnotes import machine, teachers, training
from kdnotes.methods import CrossEntropy, Method
from kdnotes.training import build, predict

pytestmark = pytest.mark.usefixtures("own_cache")


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
        message = r"one training at a time in a process: .*processes.*\(workers=1\)"
        with pytest.raises(RuntimeError, match=message) as refused:
            train() if what == "fit" else build(STUDENT, 3)
        said.append(refused)

    beside = train(Meeting(intrude))
    assert len(said) == 1 and equal_states(beside.state, alone.state)
    assert equal_states(train().state, alone.state)  # what was refused left no lock behind


def test_a_training_inside_a_training_of_the_same_thread_is_none_of_the_others(monkeypatch):
    inner = []

    class Nesting(CrossEntropy):
        def prepare(self, student, *rest):
            config = dataclasses.replace(CONFIG, seed=4)
            inner.append(teachers.train_or_load(STUDENT, tiny_data(), config).key)

    outer = train(Nesting())
    assert len(inner) == 1 and equal_states(outer.state, train().state)


def test_a_failed_training_lets_the_next_thread_train():
    with pytest.raises(NotImplementedError):
        train(Method())
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
    ("kind", "seeder"),
    [("cuda", "manual_seed_all"), ("xpu", "manual_seed_all"), ("mps", "manual_seed")],
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


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named():
    for device in ("cuda", "cuda:9", "mps", "xpu"):
        message = f"device must be one that this machine can use, 'cpu', not '{device}'"
        with pytest.raises(ValueError, match=message):
            train(config=dataclasses.replace(CONFIG, device=device))


# Threads and processor


def test_one_thread_inside_and_the_callers_number_after():
    threads = torch.get_num_threads()
    with machine.single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_the_first_processors_fields_are_read_where_linux_tells_them(monkeypatch):
    text = "processor\t: 0\nmodel name\t: X 1\nflags\t\t: a b\n\nmodel name\t: Y\n"
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, encoding: text)
    assert (machine.cpuinfo("model name"), machine.cpuinfo("flags")) == ("X 1", "a b")
    assert machine.cpuinfo("Features") == "" and machine.processor() == "X 1"


def test_elsewhere_the_processor_is_named_by_its_architecture(monkeypatch):
    def missing(path, encoding):
        raise FileNotFoundError(path)

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.processor() == "arm64"
