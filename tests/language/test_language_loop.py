"""The loop of language models: batches, early stopping, and what it refuses."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

import pytest
import torch
from language_helpers import ALL, STUDENT, corpus, fit, methods

from kdnotes import language as lm
from kdnotes.language import loop
from kdnotes.models import Decoder
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")


def rows(count=10, **changes):
    schedule = lm.Schedule(**{"steps": 9, "batch_size": 4} | changes)
    return [(step, part.tolist(), last) for step, part, last in loop._batches(count, schedule)]


def test_each_pass_sees_every_string_once_in_an_order_of_its_own():
    found = rows()
    assert [step.number for step, _, _ in found] == list(range(9))
    assert [step.epoch for step, _, _ in found] == [0] * 3 + [1] * 3 + [2] * 3
    assert [last for _, _, last in found] == [False, False, True] * 3
    parts = [part for _, part, _ in found]
    passes = [list(itertools.chain(*parts[at : at + 3])) for at in (0, 3, 6)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len(set(map(tuple, passes))) == 3
    assert rows(seed=1) != found == rows()


def test_a_longer_training_begins_with_the_same_batches():
    assert [part for _, part, _ in rows(steps=20)][:9] == [part for _, part, _ in rows()]


def test_the_mean_nll_is_that_of_the_counts():
    """−Σ p log q over distinct strings, p from counts, is the mean over the data."""
    model, strings = lm.trained(STUDENT, fit()), corpus().train
    counts = Counter(strings.text())
    assert max(counts.values()) > 1
    total = lm.cross_entropy(model, counts, strings.vocabulary) * len(strings)
    found = lm.evaluate(model, strings)["nll"] * int(strings.mask.sum())
    assert total == pytest.approx(found, rel=1e-9)


def test_metrics_are_those_of_the_weights_that_are_kept():
    run = fit()
    model = lm.trained(STUDENT, run)
    for part in ("validation", "test"):
        found = lm.evaluate(model, getattr(corpus(), part))
        assert {name: run.metrics[f"{part}_{name}"] for name in found} == found


def test_log_probabilities_do_not_depend_on_padding():
    model = lm.trained(STUDENT, fit())
    one = ALL.take(torch.tensor([0]))
    assert one.tokens.shape[1] < ALL.tokens.shape[1]
    alone, among = lm.log_probabilities(model, one), lm.log_probabilities(model, ALL)
    torch.testing.assert_close(alone.sum(), among[0].sum())


def test_the_history_tells_each_pass_and_each_measurement():
    history = fit(steps=7, validate_every=2).history
    assert history["step"].tolist() == [2, 3, 4, 6, 7]  # passes of 3 steps, and the last one
    measured = history.set_index("step")["validation_nll"]
    assert measured.notna().tolist() == [True, False, True, True, True]
    assert measured[7] == fit(steps=7).metrics["validation_nll"]


def test_early_stopping_keeps_the_best_weights():
    """With a rate at which the validation NLL rises again."""
    given = {"steps": 120, "learning_rate": 0.05, "validate_every": 10}
    last, best = fit(**given), fit(**given, keep_best=True)
    curve = best.history.dropna().set_index("step")["validation_nll"]
    assert best.metrics["best_step"] == curve.idxmin() < 120
    assert best.metrics["validation_nll"] == curve.min() < last.metrics["validation_nll"]


def test_validation_changes_nothing():
    plain, measured = fit(), fit(validate_every=1)
    assert all(torch.equal(plain.state[key], measured.state[key]) for key in plain.state)


class Explodes(lm.NextToken):
    def terms(self, batch):
        return {"hard": super().terms(batch)["hard"] * math.nan}


def test_a_loss_that_is_not_finite_is_told_with_its_step():
    with pytest.raises(ValueError, match=re.escape("the loss became nan in step 1: lower")):
        fit(Explodes())


def wide():
    return Decoder(27, 14, 8, 1, 2)


def short():
    return Decoder(5, 4, 8, 1, 2)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: lm.Schedule(steps=0), ValueError, "steps must be at least 1"),
        (lambda: lm.Schedule(batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda: lm.Schedule(learning_rate=math.inf), ValueError, "learning_rate must be"),
        (lambda: lm.Schedule(keep_best=True), ValueError, "validate_every must be at least 1"),
        (lambda: lm.Schedule(device="tpu9"), ValueError, "device must be 'cpu', 'cuda', 'mps'"),
        (lambda: lm.Schedule(device=0), TypeError, "device must be a str, not int"),
        (lambda: fit(device="meta"), ValueError, "device must be one that this machine can use"),
        (lambda: lm.fit(STUDENT, lm.NextToken(), corpus(), lm.Schedule()), TypeError, "student"),
        (lambda: fit("CE"), TypeError, "method must be a kdnotes.language.methods.StringMethod"),
        (
            lambda: lm.fit(build(STUDENT, 0), lm.NextToken(), ALL, lm.Schedule()),
            TypeError,
            "corpus",
        ),
        (lambda: lm.fit(wide(), lm.NextToken(), corpus(), lm.Schedule()), ValueError, "27 classes"),
        (lambda: lm.fit(short(), lm.NextToken(), corpus(), lm.Schedule()), ValueError, "at most 4"),
        (lambda: lm.evaluate(wide(), ALL), ValueError, "27 classes, not 5"),
        (lambda: lm.evaluate(wide(), "abc"), TypeError, "strings must be a kdnotes.data.Strings"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", methods())
def test_a_gpu_learns_the_same(name):
    """But for rounding; where the student writes, a rounding may change a string."""
    cpu, gpu = (fit(methods()[name], device=device) for device in ("cpu", "cuda"))
    assert (cpu.start, cpu.order) == (gpu.start, gpu.order)
    assert all(one.device.type == "cpu" for one in gpu.state.values())
    near = 0.05 if "OnPolicy" in name else 1e-3
    assert gpu.metrics["test_nll"] == pytest.approx(cpu.metrics["test_nll"], abs=near)
    assert gpu.history["loss"].tolist() == pytest.approx(cpu.history["loss"].tolist(), abs=near)


def test_bits_do_not_depend_on_the_callers_threads():
    found = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found.append(fit().state)
        finally:
            torch.set_num_threads(before)
    assert all(itertools.starmap(torch.equal, zip(*(one.values() for one in found), strict=True)))
