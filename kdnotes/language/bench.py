"""What the course's way costs, as ratios to a plain loop measured in one run on one core.

The times are those of the processor, not of the clock: what other programs take is not in them. The
sides alternate, so that a drift of the machine's speed meets both, and the least of several rounds
counts. ``compare`` adds a factor that is not in these figures: it runs a seed a core.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kdnotes import checks
from kdnotes.data import Corpus, Vocabulary, load_corpus
from kdnotes.language.loop import Schedule, fit
from kdnotes.language.methods import NextToken, OnPolicy, TokenKD
from kdnotes.language.shipped import ARCHITECTURE
from kdnotes.language.teachers import LanguageTeacher
from kdnotes.machine import single_thread
from kdnotes.models import Decoder
from kdnotes.training import build


def measure(steps: int = 100, written: int = 500, rounds: int = 3) -> dict[str, float]:
    """Milliseconds of the processor, and ratios.

    Args:
        steps: of a training of 64 names a step, by a student of 27,739 parameters.
        written: names that are written at once, by the student as its training leaves it: on-policy
            distillation is about its strings, which are about as long as names.
        rounds: the least of so many counts.

    Returns:
        plain_step (a live teacher in every step), kd_step, ce_step, on_policy_step (64 names are
        written and graded), bank (of 2,000 names, once for all arms and seeds), write_cached and
        write_uncached, all in ms; plain_over_kd, kd_over_ce and uncached_over_cached.
    """
    for name, value in (("steps", steps), ("written", written), ("rounds", rounds)):
        checks.at_least(1)(name, value)
    corpus, teacher, student, schedule = _work(steps)
    writer = copy.deepcopy(student)
    writer.load_state_dict(fit(student, NextToken(), corpus, schedule).state)
    with single_thread():
        tasks = {
            "plain_step": (lambda: plain_loop(student, teacher.model, corpus, schedule), steps),
            "kd_step": (lambda: fit(student, TokenKD(teacher), corpus, schedule), steps),
            "ce_step": (lambda: fit(student, NextToken(), corpus, schedule), steps),
            "on_policy_step": (
                lambda: fit(student, OnPolicy(TokenKD(teacher)), corpus, schedule), steps,
            ),
            "bank": (lambda: list(teacher.read(corpus.train)), 1),
            "write_cached": (lambda: writer.sample(written, 0), 1),
            "write_uncached": (lambda: writer.sample(written, 0, cached=False), 1),
        }  # fmt: skip
        for run, _ in tasks.values():  # what is made once, such as the stored bank
            run()
        times = _alternate(tasks, rounds)
    return times | {
        "plain_over_kd": times["plain_step"] / times["kd_step"],
        "kd_over_ce": times["kd_step"] / times["ce_step"],
        "uncached_over_cached": times["write_uncached"] / times["write_cached"],
    }


def kd_step(steps: int = 100, rounds: int = 3) -> float:
    """The ``kd_step`` of ``measure`` alone: for several processes at once."""
    corpus, teacher, student, schedule = _work(steps)
    method = TokenKD(teacher)
    fit(student, method, corpus, schedule)
    tasks = {"kd": (lambda: fit(student, method, corpus, schedule), steps)}
    return _alternate(tasks, rounds)["kd"]


def _work(steps: int) -> tuple[Corpus, LanguageTeacher, Decoder, Schedule]:
    """Names, a teacher of the shipped one's size, a student and its schedule."""
    corpus = load_corpus(train_strings=2000, validation_strings=2, test_strings=2)
    large = build(functools.partial(Decoder, **ARCHITECTURE), 0)
    student = build(functools.partial(Decoder, 27, corpus.context, 32, 2, 2), 0)
    return corpus, LanguageTeacher(large, corpus.vocabulary), student, Schedule(steps=steps)


def _alternate(tasks: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """The least milliseconds of each task, divided by its number of steps."""
    least = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, (run, steps) in tasks.items():
            began = time.thread_time()
            run()
            least[name] = min(least[name], 1000 * (time.thread_time() - began) / steps)
    return least


def plain_loop(
    student: nn.Module, teacher: nn.Module, corpus: Corpus, schedule: Schedule
) -> nn.Module:
    """Token-level distillation as tutorials write it: a loader, and the teacher in every step."""
    model = copy.deepcopy(student).train()
    collate = functools.partial(_collate, corpus.vocabulary)
    loader = DataLoader(
        corpus.train.text(), batch_size=schedule.batch_size, shuffle=True, collate_fn=collate
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, schedule.steps + 1, pct_start=0.2, cycle_momentum=False
    )
    step = 0
    while step < schedule.steps:
        for tokens in loader:
            inputs, targets = tokens[:, :-1], tokens[:, 1:]
            mask = targets != corpus.vocabulary.padding
            with torch.no_grad():
                log_t = F.log_softmax(teacher(inputs), dim=-1)
            log_s = F.log_softmax(model(inputs), dim=-1)
            each = F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=-1)
            loss = (each * mask).sum() / mask.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            step += 1
            if step == schedule.steps:
                break
    return model


def _collate(vocabulary: Vocabulary, strings: Sequence[str]) -> Tensor:
    return vocabulary.encode(strings)
