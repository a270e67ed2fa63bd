"""Comparisons of language models: pairs, workers, stored runs, choices, and the shipped teacher."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest
import torch
from language_helpers import SCHEDULE, STUDENT, corpus, fit, methods, teacher

from kdnotes import language as lm
from kdnotes import losses, study
from kdnotes.data import load_corpus
from kdnotes.language import shipped
from kdnotes.models import count_parameters

pytestmark = pytest.mark.usefixtures("own_cache")
SHARED = {"student": STUDENT, "corpus": corpus(), "schedule": SCHEDULE, "report": None}
ARMS = {"CE": lm.NextToken(), "KD": lm.TokenKD(teacher())}


def compare(arms=ARMS, seeds=2, **changes):
    return lm.compare(arms, seeds, **SHARED | {"workers": 1} | changes)


def test_a_comparison_is_paired_stored_and_summarised():
    said = []
    first, again = compare(report=said.append), compare(report=said.append)
    assert first.frame.drop(columns="cached").equals(again.frame.drop(columns="cached"))
    assert not first.frame["cached"].any() and again.frame["cached"].all()
    assert "(computed now)" in said[0] and "2 of 2 cached" in said[2]
    runs = first.runs
    assert runs["CE", 0].start == runs["KD", 0].start != runs["CE", 1].start
    assert first.difference("KD", "CE", "test_nll").n == 2
    pd.testing.assert_frame_equal(runs["CE", 0].history, again.runs["CE", 0].history)


def test_a_stored_run_is_that_of_the_loop():
    found, own = compare().runs["CE", 1], fit(seed=1)
    assert all(torch.equal(found.state[key], own.state[key]) for key in own.state)
    assert found.metrics == own.metrics


def test_one_worker_and_two_give_the_same_bits():
    one, two = compare(workers=1), compare(workers=2, fresh=True)
    for job, run in one.runs.items():
        assert all(torch.equal(run.state[key], two.runs[job].state[key]) for key in run.state)


def test_the_key_of_a_run_depends_on_all_of_it(monkeypatch):
    def key(method=ARMS["KD"], strings=None, schedule=SCHEDULE):
        return lm.run_key(STUDENT, method, strings or corpus(), schedule)

    changed = [
        key(method=lm.NextToken()), key(method=lm.TokenKD(teacher(), 2.0)),
        key(method=lm.TokenKD(teacher(1))), key(strings=corpus(seed=1)),
        key(schedule=dataclasses.replace(SCHEDULE, seed=1)),
    ]  # fmt: skip
    plain, kd = key(method=lm.NextToken()), key()
    assert len({kd, *changed}) == 6
    assert lm.run_key(STUDENT, lm.TokenKD(teacher()), corpus(), SCHEDULE) == kd
    monkeypatch.setattr(losses, "token_kl", lambda *given: None)
    assert key() != kd and key(method=lm.NextToken()) == plain


def test_all_methods_can_be_stored():
    keys = {lm.run_key(STUDENT, one, corpus(), SCHEDULE) for one in methods().values()}
    assert len(keys) == len(methods())


def test_a_choice_has_seeds_of_its_own_and_no_test_metric():
    slow = dataclasses.replace(SCHEDULE, learning_rate=1e-5)
    arms = {"slow": lm.StringArm(lm.NextToken(), schedule=slow), "quick": lm.NextToken()}
    chosen = lm.choose(arms, 2, **SHARED, workers=1)
    assert chosen.name == "quick" and chosen.seeds == (1000, 1001)
    assert not [name for name in chosen.study.frame if name.startswith("test")]
    assert str(chosen).startswith("quick is chosen: validation NLL")
    assert compare({"quick": chosen.arm}).arms == ["quick"]
    with pytest.raises(ValueError, match="seeds must be others than those on which arm 'quick'"):
        compare({"quick": chosen.arm}, [1000])


def test_what_is_not_paired_is_refused(monkeypatch):
    given = compare(seeds=1)
    wrong = dict(given.runs)
    wrong["KD", 0] = dataclasses.replace(wrong["KD", 0], order="other")
    monkeypatch.setattr(lm.study, "_finish", lambda *case: wrong[_name(case), 0])
    with pytest.raises(study.NotPairedError, match="'CE' and 'KD' see other batches at seed 0"):
        compare(seeds=1)


def _name(case):
    return "CE" if isinstance(case[1], lm.NextToken) else "KD"


def test_the_shipped_teacher():
    found = lm.surname_teacher()
    assert count_parameters(found.model) == 342_459 and not found.model.training
    assert found.record["metrics"]["test_nll"] < 2.25
    part = load_corpus(train_strings=2).test.take(torch.arange(500))
    assert lm.evaluate(found.model, part)["nll"] == pytest.approx(
        found.record["metrics"]["test_nll"], abs=0.06
    )


def test_training_it_writes_what_can_be_read(tmp_path):
    path = tmp_path / "teacher.safetensors"
    quick = lm.Schedule(steps=2, batch_size=8, validate_every=1)
    found = lm.train_surname_teacher(path, quick)
    assert found.record["schedule"]["steps"] == 2 and len(found.record["history"]["step"]) == 2
    assert lm.surname_teacher(path).key == found.key


def test_a_teacher_of_another_architecture_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(shipped.ARCHITECTURE, "width", 32)
    with pytest.raises(ValueError, match="checkpoint of another architecture than Decoder"):
        lm.surname_teacher()


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: compare({}), ValueError, "arms must be a non-empty mapping"),
        (lambda: compare({"CE": None}), TypeError, "method of arm 'CE' must be a kdnotes.language"),
        (lambda: compare(student=None), TypeError, "student of arm 'CE' must be a function"),
        (
            lambda: compare(corpus="surnames"),
            TypeError,
            "corpus of arm 'CE' must be a kdnotes.data",
        ),
        (lambda: compare(schedule=None), TypeError, "schedule of arm 'CE' must be a kdnotes"),
        (lambda: compare(seeds=0), ValueError, "seeds must be a whole number of at least 1"),
        (lambda: lm.choose({"CE": lm.NextToken()}), ValueError, "arms must be at least 2"),
        (lambda: lm.surname_teacher("nowhere"), ValueError, "nowhere is missing or damaged"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()
