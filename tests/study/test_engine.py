"""The engine: order, workers, threads that are refused, and runs that fail."""

from __future__ import annotations

import dataclasses
import os

import joblib
import pandas as pd
import pytest
import torch
from helpers import CONFIG, STUDENT, TELLING, equal_states, study, tiny_data, train

from kdnotes import store
from kdnotes.methods import CrossEntropy, LabelSmoothing
from kdnotes.study import Arm, each, engine

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_longest_runs_start_first_and_the_result_keeps_the_order_of_the_arms(monkeypatch):
    begun, original = [], engine.store.cached_runs

    def watched(trainings, **options):
        begun.extend((one.config.epochs, one.config.seed) for one in trainings)
        return original(trainings, **options)

    monkeypatch.setattr(engine.store, "cached_runs", watched)
    longer = Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, epochs=2 * CONFIG.epochs))
    result = study({"short": Arm(CrossEntropy(), config=CONFIG), "long": longer}, workers=1)
    long, short = 2 * CONFIG.epochs, CONFIG.epochs
    assert begun == [(long, 0), (long, 1), (short, 0), (short, 1)]
    assert list(result.runs) == [(arm, seed) for arm in ("short", "long") for seed in (0, 1)]


def test_stored_runs_need_no_worker(own_cache, monkeypatch):
    handed_over = []

    class Counted(joblib.Parallel):
        def __call__(self, work):
            handed_over.append(sum(len(arguments[0]) for _, arguments, _ in work))
            return super().__call__(work)

    monkeypatch.setattr(engine, "Parallel", Counted)
    first = study({"plain": CrossEntropy()})
    again = study({"plain": CrossEntropy()})
    more = study({"smooth": LabelSmoothing(0.1), "plain": CrossEntropy()}, 3)
    assert handed_over == [2, 3 + 1], "the stored runs went to the workers too"
    frames = (result.frame.drop(columns=TELLING) for result in (first, again))
    pd.testing.assert_frame_equal(*frames)
    assert more.frame["cached"].tolist() == [False] * 3 + [True] * 2 + [False]


def test_workers_come_from_the_environment_and_fresh_too(monkeypatch):
    monkeypatch.setenv("KDNOTES_WORKERS", "3")
    assert engine.number_of_workers(None) == 3 and engine.number_of_workers(2) == 2
    first = study({"ce": CrossEntropy()}, 1).frame
    monkeypatch.setenv("KDNOTES_FRESH", "1")
    assert not study({"ce": CrossEntropy()}, 1).frame["cached"].any() and not first["cached"].any()
    monkeypatch.delenv("KDNOTES_FRESH")
    assert study({"ce": CrossEntropy()}, 1).frame["cached"].all()


def test_workers_are_as_many_as_the_cores_that_the_process_may_use(monkeypatch):
    """A container may have two of a computer's sixty-four, and memory for no more."""
    monkeypatch.delenv("KDNOTES_WORKERS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert engine.number_of_workers(None) == 2


def test_workers_from_the_environment_are_checked(monkeypatch):
    monkeypatch.setenv("KDNOTES_WORKERS", "many")
    with pytest.raises(ValueError, match=r"workers \(KDNOTES_WORKERS\) must be .*, not 'many'"):
        study({"ce": CrossEntropy()}, 1, workers=None)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_calls_in_order_on_one_thread_whatever_the_number_of_workers(workers):
    def work(number, tensor):
        return os.getpid(), torch.get_num_threads(), float((tensor * number).sum())

    torch.set_num_threads(2)
    try:
        found = each(work, ((number, torch.ones(3)) for number in range(5)), workers)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert [value for _, _, value in found] == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert {threads for _, threads, _ in found} == {1}
    assert (os.getpid() in {process for process, _, _ in found}) == (workers == 1)
    with pytest.raises(ZeroDivisionError):
        each(lambda number: 1 / number, [(1,), (0,)], workers)
    with pytest.raises(ValueError, match="workers"):
        each(work, [], 0)


def test_workers_that_are_threads_are_refused_before_anything_is_trained(own_cache, monkeypatch):
    """12 of 12 runs with dropout came out wrong, and were stored."""
    with joblib.parallel_config("threading"):
        said = r"workers=4 must be processes, not threads \(ThreadingBackend .*workers=1"
        with pytest.raises(ValueError, match=said):
            study({"ce": CrossEntropy()}, 12, workers=4)
        assert not list(own_cache.rglob("*.safetensors"))
        alone = study({"ce": CrossEntropy()}, 2, workers=1)
    with joblib.parallel_config("loky"):
        monkeypatch.setenv("KDNOTES_CACHE", str(own_cache / "other"))
        processes = study({"ce": CrossEntropy()}, 2, workers=2)
    for seed in range(2):
        assert equal_states(alone.runs["ce", seed].state, processes.runs["ce", seed].state)


def test_whatever_starts_trainings_as_threads_stores_nothing_wrong(own_cache):
    """A backend that does not tell that it is one of threads: what is not refused is right."""

    def stored(seed):
        config = dataclasses.replace(CONFIG, seed=seed)
        try:
            return store.cached_run(STUDENT, CrossEntropy(), tiny_data(), config)
        except RuntimeError as error:
            return str(error)

    work = [joblib.delayed(stored)(seed) for seed in range(12)]
    found = joblib.Parallel(n_jobs=4, backend="threading")(work)
    refused = [one for one in found if isinstance(one, str)]
    assert len(refused) < 12
    assert all("one training at a time in a process" in one for one in refused)
    for seed, one in enumerate(found):
        if not isinstance(one, str):
            right = train(config=dataclasses.replace(CONFIG, seed=seed))
            assert equal_states(one.state, right.state)
    assert len(list((own_cache / "runs").glob("*.safetensors"))) == 12 - len(refused)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_run_tells_its_arm_and_seed(workers):
    with pytest.raises(ValueError, match="lower learning_rate") as caught:
        fast = dataclasses.replace(CONFIG, learning_rate=1e30)
        study({"fast": Arm(CrossEntropy(), config=fast)}, 1, workers=workers)
    assert caught.value.__notes__[-2:] == ["with seed 0", "in arm 'fast'"]
