"""Comparisons: paired by construction, and bit-equal for any number of workers."""

from __future__ import annotations

import dataclasses
import functools
import linecache

import pandas as pd
import pytest
import torch
from helpers import CLASSES, CONFIG, STUDENT, TELLING, Drawing, equal_states, study, tiny_data

from kdnotes import store, training
from kdnotes.data import load
from kdnotes.methods import CTKD, DML, CrossEntropy, FitNets, GatedKD, LabelSmoothing
from kdnotes.models import Cohort, ResidualStudent, StudentNet
from kdnotes.store import runs
from kdnotes.study import Arm, compare, comparing
from kdnotes.teachers import Teacher

pytestmark = pytest.mark.usefixtures("own_cache")


def test_arms_start_from_equal_weights_and_see_equal_batches(monkeypatch):
    """Seen from inside the methods: whole state dicts at the start, every image of every batch."""
    starts, batches = {}, {}

    class Watching(CrossEntropy):
        label = ""

        def prepare(self, student, train, views, device):
            state = {name: tensor.clone() for name, tensor in student.state_dict().items()}
            starts.setdefault(self.label, []).append(state)

        def terms(self, batch):
            seen = batch.images.clone(), batch.positions.clone()
            batches.setdefault(self.label, []).append(seen)
            return super().terms(batch)

    class First(Watching):
        label = "first"

    class Second(Watching):
        label = "second"

        def terms(self, batch):
            torch.rand(5)
            return {"hard": 0.5 * super().terms(batch)["hard"]}

    arms = {"first": Arm(First(), config=CONFIG), "second": Arm(Second(), config=CONFIG)}
    monkeypatch.setattr(runs, "fingerprint", lambda value: f"{id(value[2])} {value[4].seed}")
    result = study(arms)
    assert all(equal_states(a, b) for a, b in zip(starts["first"], starts["second"], strict=True))
    assert len(batches["first"]) == len(batches["second"]) == 2 * 2 * 4
    for seen, also_seen in zip(batches["first"], batches["second"], strict=True):
        assert all(map(torch.equal, seen, also_seen))
    assert not equal_states(starts["first"][0], starts["first"][1])  # seeds differ
    for seed in (0, 1):
        first, second = (result.runs[arm, seed] for arm in ("first", "second"))
        assert (first.start, first.order) == (second.start, second.order)
        assert not equal_states(first.state, second.state)


def test_a_drawing_method_changes_nothing_for_itself_or_others():
    result = study({"plain": CrossEntropy(), "drawing": Drawing()})
    for seed in (0, 1):
        assert equal_states(result.runs["plain", seed].state, result.runs["drawing", seed].state)


def test_arms_may_differ_in_architecture_schedule_and_data():
    residual = functools.partial(ResidualStudent, num_classes=CLASSES, in_channels=1, width=2)
    half = dataclasses.replace(tiny_data(), train=tiny_data().train.take(torch.arange(30)))
    arms = {
        "plain": CrossEntropy(),
        "longer": Arm(CrossEntropy(), config=dataclasses.replace(CONFIG, epochs=3)),
        "residual": Arm(CrossEntropy(), student=residual),
        "fewer": Arm(CrossEntropy(), data=half),
    }
    assert study(arms, 1).frame["test_accuracy"].notna().all()


def test_cohorts_are_paired_with_cohorts_and_come_back_with_all_peers():
    cohort = functools.partial(Cohort, (STUDENT, STUDENT))
    arms = {
        "alone": Arm(DML(weight=0.0), student=cohort),
        "mutual": Arm(DML(), student=cohort),
        "plain": CrossEntropy(),
    }
    first, again = study(arms, 1), study(arms, 1)
    assert again.frame["cached"].all()
    mutual = [result.runs["mutual", 0] for result in (first, again)]
    assert equal_states(*(run.kept for run in mutual))
    assert equal_states(*(run.state for run in mutual))
    assert all(torch.equal(run.test_logits, run.kept["peers.test"][:, 0]) for run in mutual)
    alone, plain = first.runs["alone", 0], first.runs["plain", 0]
    assert alone.start == mutual[0].start and alone.order == mutual[0].order == plain.order
    assert torch.equal(alone.test_logits, plain.test_logits)
    assert not torch.equal(alone.test_logits, mutual[0].test_logits)


def test_a_stored_run_lists_its_tensors_in_the_order_of_a_fresh_one():
    arm = {"arm": Arm(DML(), student=functools.partial(Cohort, (STUDENT, STUDENT)))}
    fresh, stored = (study(arm, 1).runs["arm", 0] for _ in range(2))
    assert stored.cached and not fresh.cached
    assert list(stored.state) == list(fresh.state) and list(stored.kept) == list(fresh.kept)
    prints = [store.fingerprint([run.state, run.kept]) for run in (fresh, stored)]
    assert prints[0] == prints[1]


def test_frames_are_bit_equal_for_1_and_2_workers_and_when_run_again(tmp_path, monkeypatch):
    data = load(train_images=40, validation_images=20, test_images=20)  # pickled as a recipe
    student = functools.partial(StudentNet, in_channels=1, width=2)
    teacher = functools.partial(StudentNet, in_channels=1, width=4)
    # A class of a notebook: a worker gets it by value and cannot see its source.
    source = "class Mine(CrossEntropy):\n    def terms(self, batch):\n"
    source += "        return {'half': super().terms(batch)['hard'] / 2}\n"
    scope, name = {"CrossEntropy": CrossEntropy, "__name__": "__main__"}, "ipykernel_7/1.py"
    exec(compile(source, name, "exec"), scope)
    known = (len(source), None, source.splitlines(True), "1.py")
    monkeypatch.setitem(linecache.cache, name, known)
    taught = [Teacher(training.build(teacher, seed), {}) for seed in (3, 4)]
    arms = {
        "mine": scope["Mine"](),
        "gated": GatedKD(tuple(taught), 2.0, 0.5),  # with parameters of its own
        "by seed": Arm(lambda seed: CTKD(taught[seed], 2.0, 0.5)),
        "hints": FitNets(taught[0], 2.0, 0.5, (("block1", "block2"),), alone=0.5),
        "peers": Arm(DML(), student=functools.partial(Cohort, (student, student))),
    }
    shared = {"student": student, "data": data, "config": CONFIG, "report": None}
    results = []
    for folder, workers in (("a", 1), ("b", 2)):
        monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / folder))
        results.append(compare(arms, 2, workers=workers, **shared))
        assert len(list((tmp_path / folder / "runs").glob("*.safetensors"))) == 10
    results.append(compare(arms, 2, workers=1, fresh=True, **shared))
    results.append(compare(arms, 2, workers=1, **shared))
    assert [bool(result.frame["cached"].all()) for result in results] == [False, False, False, True]
    first, *others = results
    for other in others:
        frames = (result.frame.drop(columns=TELLING) for result in (first, other))
        pd.testing.assert_frame_equal(*frames, check_exact=True)
        for job, run in other.runs.items():
            assert equal_states(first.runs[job].state, run.state)
            assert equal_states(first.runs[job].kept, run.kept)
            histories = (one.history.drop(columns="seconds") for one in (first.runs[job], run))
            pd.testing.assert_frame_equal(*histories, check_exact=True)


def test_frame_is_tidy_and_in_the_order_of_the_arms():
    lines = []
    result = study({"b": CrossEntropy(), "a": LabelSmoothing(0.2)}, report=lines.append)
    assert result.frame[["arm", "seed"]].values.tolist() == [["b", 0], ["b", 1], ["a", 0], ["a", 1]]
    assert result.arms == ["b", "a"] and result.values("a").index.tolist() == [0, 1]
    for (arm, seed), run in result.runs.items():
        row = result.frame[(result.frame["arm"] == arm) & (result.frame["seed"] == seed)].iloc[0]
        assert all(row[name] == value for name, value in run.metrics.items())
    assert len(lines) == 2 and all("2 runs" in line and "computed now" in line for line in lines)
    study({"b": CrossEntropy()}, report=lines.append)
    assert "2 of 2 cached, computed 20" in lines[-1]


def test_seeds_may_be_any_and_stay_in_their_order():
    arms = {"plain": CrossEntropy(), "smooth": LabelSmoothing(0.2)}
    lines = []
    result = study(arms, [7, 2], report=lines.append)
    rows = [["plain", 7], ["plain", 2], ["smooth", 7], ["smooth", 2]]
    assert result.frame[["arm", "seed"]].values.tolist() == rows == list(map(list, result.runs))
    assert len(lines) == 2 and all("2 runs" in line for line in lines)
    gain = result.values("smooth") - result.values("plain")
    assert gain.index.tolist() == [7, 2]
    assert result.difference("smooth", "plain").mean == pytest.approx(gain.mean())
    again = study(arms, range(2, 4))
    assert again.frame["cached"].tolist() == [True, False, True, False]
    assert again.runs["plain", 2].metrics == result.runs["plain", 2].metrics


def test_arms_are_reported_in_their_order_whichever_finishes_first():
    lines = []
    longer = dataclasses.replace(CONFIG, epochs=12)
    arms = {"long": Arm(CrossEntropy(), config=longer), "short": CrossEntropy()}
    study(arms, 1, workers=2, report=lines.append)
    assert [line.split(":")[0] for line in lines] == ["long", "short"]


def test_a_store_that_cannot_be_made_ends_a_comparison_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(comparing, "finish", lambda *_: pytest.fail("something was computed"))
    message = r"cannot create the cache folder .*set the variable KDNOTES_CACHE"
    with pytest.raises(OSError, match=message):
        study({"ce": CrossEntropy()})
