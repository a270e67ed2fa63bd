"""The training loop of language models: that of images with strings in the place of views.

What must be equal between the arms of a comparison is drawn from streams that depend on the seed
and the step alone: initial weights (``training.build``) and batch order. What a method draws shifts
neither.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Corpus, Strings
from kdnotes.language.methods import Step, StringMethod, TokenBatch
from kdnotes.language.teachers import AT_ONCE, check_reads, moved
from kdnotes.machine import alone, is_device, isolated, single_thread, usable_device
from kdnotes.models import Decoder
from kdnotes.training.evaluation import state_key
from kdnotes.training.optimizer import Group, OneCycleAdamW


@dataclass(frozen=True)
class Schedule:
    """How to train: AdamW with a one-cycle learning rate.

    Args:
        steps: of the optimiser. Batches go through the training strings again and again, in a new
            order each time.
        batch_size: strings a step; the last batch of a pass has what remains.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: decoupled decay of matrices (not of biases and norms).
        seed: of initial weights (through ``training.build``), batch order and a method's draws.
        validate_every: steps between measurements of the validation NLL (0: only at the end).
        keep_best: keep the weights with the lowest of these, not the last ones: early stopping.
        device: where to train, such as "cpu" or "cuda"; that it is there is checked where it is
            used. The random numbers are those of the CPU everywhere, the rounding is not.
    """

    steps: int = bound(checks.at_least(1), 200)
    batch_size: int = bound(checks.at_least(1), 64)
    learning_rate: float = bound(checks.positive, 5e-3)
    weight_decay: float = bound(checks.weight, 0.01)
    seed: int = bound(checks.at_least(0), 0)
    validate_every: int = bound(checks.at_least(0), 0)
    keep_best: bool = bound(checks.true_or_false, False)
    device: str = bound(is_device, "cpu")

    def __post_init__(self) -> None:
        checks.fields(self)
        if self.keep_best and not self.validate_every:
            raise ValueError("validate_every must be at least 1 with keep_best, not 0")


@dataclass
class StringRun:
    """A finished training of a language model.

    Args:
        history: one row a pass over the data, or a measurement: step, learning_rate, loss (mean
            since the row before), and validation_nll where it was measured.
        metrics: validation_nll and test_nll (nats a token), validation_accuracy and test_accuracy
            (the most probable token is the one that follows), best_step with ``keep_best``.
        state: the model's weights.
        seconds: of the training, without the final evaluation.
        start: SHA-256 of the model's state before the first step.
        order: SHA-256 of the sequence of batches.
        created: when it was computed (ISO 8601, UTC).
        cached: whether it was read from the store.
    """

    history: pd.DataFrame
    metrics: dict[str, float]
    state: dict[str, Tensor]
    seconds: float
    start: str
    order: str
    created: str
    cached: bool = field(default=False, compare=False)


def fit(student: Decoder, method: StringMethod, corpus: Corpus, schedule: Schedule) -> StringRun:
    """Train a copy of ``student`` and evaluate it, once, on validation and test strings.

    Args:
        student, method: both are left as they were.

    Raises:
        ValueError: the student does not know the corpus's tokens, a loss became NaN or infinite, or
            this machine lacks the device.
        RuntimeError: another thread of this process is training.
    """
    checks.instance(Decoder)("student", student)
    checks.instance(StringMethod)("method", method)
    checks.instance(Corpus, said="a kdnotes.data.Corpus")("corpus", corpus)
    checks.instance(Schedule)("schedule", schedule)
    check_reads(student, corpus.train)
    device = usable_device(schedule.device)
    with alone(), isolated(device), single_thread():
        model = copy.deepcopy(student).to(device)
        training = _Training(model, copy.deepcopy(method), corpus, schedule)
        began = time.perf_counter()
        training.run()
        return training.finish(time.perf_counter() - began)


class _Training:
    def __init__(self, model: Decoder, method: StringMethod, corpus: Corpus, schedule: Schedule):
        self.model, self.method, self.corpus, self.schedule = model, method, corpus, schedule
        self.start, self.order = state_key(model), hashlib.sha256()
        self.train = moved(corpus.train, model.head.weight.device)
        method.prepare(self.train, schedule.seed)
        trained = [one for one in model.parameters() if one.requires_grad]
        matrices = [one for one in trained if one.ndim > 1]
        vectors = [one for one in trained if one.ndim == 1]
        groups = [Group(matrices, schedule.weight_decay), Group(vectors, 0.0)]
        self.optimizer = OneCycleAdamW(groups, schedule.learning_rate, schedule.steps)
        self.trained = trained
        self.rows: list[dict[str, float]] = []
        self.best: tuple[float, int, dict[str, Tensor]] = (math.inf, 0, {})

    def run(self) -> None:
        self.model.train()
        total, since = 0.0, 0
        every = self.schedule.validate_every
        for step, positions, is_last in _batches(len(self.corpus.train), self.schedule):
            rate = self.optimizer.rate
            # Losses look at all numbers of their arguments in the first step of each pass.
            with checks.trusted() if since else contextlib.nullcontext():
                total, since = total + self._take_step(step, positions), since + 1
            done = step.number + 1
            measured = bool(every) and (done % every == 0 or done == self.schedule.steps)
            if is_last or measured:
                row = {"step": done, "learning_rate": rate, "loss": total / since}
                self.rows.append(row | (self._measure(done) if measured else {}))
                total, since = 0.0, 0

    def _take_step(self, step: Step, positions: Tensor) -> float:
        self.order.update(positions.numpy().tobytes())
        given = self.train.take(positions)
        strings, rows = self.method.strings(self.model, given, positions, step)
        logits = self.model(strings.inputs, mask=strings.mask)
        loss = sum(self.method.terms(TokenBatch(strings, rows, logits)).values())
        value = loss.item()
        if not math.isfinite(value):
            lower = f"lower learning_rate ({self.schedule.learning_rate})"
            raise ValueError(f"the loss became {value} in step {step.number + 1}: {lower}")
        for parameter in self.trained:
            parameter.grad = None
        loss.backward()
        self.optimizer.step()
        return value

    def _measure(self, done: int) -> dict[str, float]:
        found = evaluate(self.model, self.corpus.validation)
        if self.schedule.keep_best and found["nll"] < self.best[0]:
            self.best = (found["nll"], done, copy.deepcopy(self.model.state_dict()))
        return {f"validation_{name}": value for name, value in found.items()}

    def finish(self, seconds: float) -> StringRun:
        kept = {}
        if self.schedule.keep_best:
            kept["best_step"] = float(self.best[1])
            self.model.load_state_dict(self.best[2])
        for part in ("validation", "test"):
            found = evaluate(self.model, getattr(self.corpus, part))
            kept |= {f"{part}_{name}": value for name, value in found.items()}
        state = {name: one.detach().cpu().clone() for name, one in self.model.state_dict().items()}
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        history = pd.DataFrame(self.rows)
        order = self.order.hexdigest()
        return StringRun(history, kept, state, seconds, self.start, order, created)


def _batches(count: int, schedule: Schedule) -> Iterator[tuple[Step, Tensor, bool]]:
    """Each step, its rows, and whether it ends a pass (or all), from (seed, epoch) alone."""
    number = 0
    for epoch in itertools.count():
        order = torch.from_numpy(np.random.default_rng([schedule.seed, epoch]).permutation(count))
        parts = order.split(schedule.batch_size)
        for place, part in enumerate(parts, start=1):
            is_last = place == len(parts) or number + 1 == schedule.steps
            yield Step(schedule.seed, number, epoch), part, is_last
            number += 1
            if number == schedule.steps:
                return


@torch.no_grad()
def log_probabilities(model: Decoder, strings: Strings) -> Tensor:
    """The log q of each target after the inputs before it, ``[N, L]`` float64, 0 where masked."""
    check_reads(model, strings)
    parts = []
    with single_thread():
        for tokens in strings.tokens.split(AT_ONCE):
            part = Strings(tokens, strings.vocabulary)
            logits = model(part.inputs, mask=part.mask).double()
            nats = losses.token_cross_entropy(logits, part.targets, part.mask, reduction="none")
            parts.append(-nats)
    return torch.cat(parts)


@torch.no_grad()
def evaluate(model: Decoder, strings: Strings) -> dict[str, Any]:
    """nll, the mean nats a token that counts, and accuracy, how often it is the most probable."""
    check_reads(model, strings)
    nats, right, count = 0.0, 0, int(strings.mask.sum())
    with single_thread():
        for part in torch.arange(len(strings)).split(AT_ONCE):
            some = moved(strings.take(part), model.head.weight.device)
            logits, mask = model(some.inputs, mask=some.mask).double(), some.mask
            each = losses.token_cross_entropy(logits, some.targets, mask, reduction="none")
            nats += float(each.sum())
            right += int((logits.argmax(dim=2) == some.targets)[mask].sum())
    return {"nll": nats / count, "accuracy": right / count}
