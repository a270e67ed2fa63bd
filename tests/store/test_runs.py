"""Stored runs and banks: read back in every bit, damaged, wanted by two processes at once."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import time
import warnings
from pathlib import Path

import pytest
import torch
from helpers import (
    CONFIG,
    METHODS,
    STUDENT,
    Scaled,
    equal_states,
    student_of,
    tiny_data,
    tiny_teacher,
)

from kdnotes import training
from kdnotes.data import Views
from kdnotes.methods import KD, CrossEntropy
from kdnotes.store import cached_run, cached_tensor

pytestmark = pytest.mark.usefixtures("own_cache")
QUICK = dataclasses.replace(CONFIG, epochs=1)


def run(method=None, config=QUICK, **options):
    return cached_run(STUDENT, method or CrossEntropy(), tiny_data(), config, **options)


def entries(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_a_second_call_is_read_not_computed_and_equal_in_every_bit(own_cache, monkeypatch):
    config = dataclasses.replace(QUICK, epochs=3, validate_every=2)
    first = run(KD(tiny_teacher(), 2.0, 0.5), config, key="k")
    monkeypatch.setattr(training, "fit_together", lambda *_: pytest.fail("computed again"))
    second = run(KD(tiny_teacher(), 2.0, 0.5), config, key="k")
    assert (first.cached, second.cached) == (False, True)
    assert equal_states(first.state, second.state) and first.history.equals(second.history)
    for name in ("metrics", "seconds", "start", "order", "created"):
        assert getattr(first, name) == getattr(second, name)
    assert torch.equal(first.test_logits, second.test_logits)
    assert torch.equal(first.validation_logits, second.validation_logits)


@pytest.mark.parametrize("name", ["UncertaintyKD", "AnnealedKD", "CTKD", "GatedKD", "BYOT"])
def test_what_a_method_kept_and_observed_comes_back_in_every_bit(monkeypatch, name):
    method = METHODS[name]([tiny_teacher(seed) for seed in range(3)])
    config = dataclasses.replace(CONFIG, batch_size=59)  # one image is left out: its weight is NaN
    call = functools.partial(cached_run, student_of(method), method, tiny_data(), config, key="k")
    first = call()
    monkeypatch.setattr(training, "fit_together", lambda *_: pytest.fail("computed again"))
    second = call()
    assert second.cached
    assert first.history.equals(second.history)
    assert equal_states(first.state, second.state)
    assert list(first.history.columns) == list(second.history.columns)
    observed = {"AnnealedKD": {"temperature", "alpha"}, "CTKD": {"temperature"}}.get(name, set())
    assert observed <= set(second.history.columns)
    assert first.kept.keys() == second.kept.keys()
    assert bool(first.kept) == (name in ("UncertaintyKD", "GatedKD"))
    for key, tensor in first.kept.items():
        assert tensor.dtype == second.kept[key].dtype and tensor.shape == second.kept[key].shape
        assert tensor.numpy().tobytes() == second.kept[key].numpy().tobytes()
    if name == "UncertaintyKD":
        assert second.kept["weights"].isnan().any()


def test_fresh_computes_again_and_replaces(own_cache):
    run()
    path = entries(own_cache)[0]
    before = path.stat().st_mtime_ns
    assert not run(fresh=True).cached and path.stat().st_mtime_ns > before
    assert entries(own_cache) == [path] and run().cached


# Damage


def damage(path: Path, harm: str) -> None:
    raw = path.read_bytes()
    if harm == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "flipped tensor byte":
        path.write_bytes(raw[:-10] + bytes([raw[-10] ^ 1]) + raw[-9:])
    elif harm == "flipped digit of the record":
        place = raw.index(b"test_accuracy") + len(b'test_accuracy\\": 0.')
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    else:
        path.write_text("not a safetensors file")


@pytest.mark.parametrize(
    "harm", ["cut", "empty", "flipped tensor byte", "flipped digit of the record", "text"]
)
def test_a_damaged_entry_is_reported_and_computed_again(own_cache, harm):
    first = run()
    path = entries(own_cache)[0]
    sound = path.read_bytes()
    damage(path, harm)
    assert path.read_bytes() != sound
    with pytest.warns(UserWarning, match=r"damaged \(.*computed again"):
        again = run()
    assert not again.cached
    assert equal_states(first.state, again.state)
    assert first.metrics == again.metrics
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run().cached


def test_something_else_in_the_place_of_a_run_is_reported_and_computed_again(own_cache):
    run(KD(tiny_teacher(), 2.0, 0.5), key="k")
    (bank,), (path,) = entries(own_cache / "banks"), entries(own_cache / "runs")
    path.write_bytes(bank.read_bytes())
    with pytest.warns(UserWarning, match=r"something else is in its place.*computed again"):
        assert not run(KD(tiny_teacher(), 2.0, 0.5), key="k").cached


def test_a_damaged_bank_is_computed_again(own_cache):
    teacher, data = tiny_teacher(), tiny_data()
    first = teacher.bank(data.train, Views(2))
    damage(entries(own_cache / "banks")[0], "flipped tensor byte")
    with pytest.warns(UserWarning, match="damaged"):
        assert torch.equal(teacher.bank(data.train, Views(2)), first)


# Two processes


def compute_slowly(folder):
    def compute():
        with open(folder / "computed", "a") as file:
            file.write("x")
        time.sleep(0.5)
        return torch.ones(3)

    return cached_tensor(["shared"], compute)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_at_once_compute_once(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=compute_slowly, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "computed").read_text() == "x"
    assert torch.equal(compute_slowly(tmp_path), torch.ones(3))
    assert (tmp_path / "computed").read_text() == "x"


def test_entries_are_safetensors_and_hold_no_pickle(own_cache):
    run(Scaled())
    for path in own_cache.rglob("*"):
        assert path.is_dir() or path.suffix in (".safetensors", ".lock")
        assert not path.is_file() or path.read_bytes()[:2] != b"\x80\x04"
