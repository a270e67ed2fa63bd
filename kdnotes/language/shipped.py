"""The teacher that ships with the package, and how it was trained."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch

from kdnotes import store
from kdnotes.data import load_corpus
from kdnotes.data.corpora import SURNAME_CHARACTERS
from kdnotes.language.loop import Schedule, fit
from kdnotes.language.methods import NextToken
from kdnotes.language.teachers import LanguageTeacher
from kdnotes.models import Decoder
from kdnotes.teachers import load_state
from kdnotes.training import build

SHIPPED = Path(__file__).parents[1] / "assets" / "surname_teacher.safetensors"
ARCHITECTURE = {"classes": 27, "context": 14, "width": 96, "depth": 3, "heads": 4}
SCHEDULE = Schedule(steps=1000, batch_size=128, learning_rate=4e-3, validate_every=250)


def surname_teacher(path: Path = SHIPPED) -> LanguageTeacher:
    """The teacher of the surnames: 342,459 parameters, trained on 82,799 of them.

    Raises:
        ValueError: the file is missing, damaged, or of another architecture.
    """
    tensors, record = store.read(path)
    model = load_state(Decoder(**ARCHITECTURE), tensors, path)
    return LanguageTeacher(model, SURNAME_CHARACTERS, record)


def train_surname_teacher(path: Path = SHIPPED, schedule: Schedule = SCHEDULE) -> LanguageTeacher:
    """Train it on all surnames that are neither validation nor test strings, and write it.

    It takes about 2 minutes of one processor.

    Args:
        path: of the file, with the record of the training.
        schedule: another one, for a test.
    """
    began, corpus = time.thread_time(), load_corpus("surnames")
    model = build(lambda: Decoder(**ARCHITECTURE), schedule.seed)
    run = fit(model, NextToken(), corpus, schedule)
    record = {
        "architecture": ARCHITECTURE,
        "data": f"{corpus.name}, {len(corpus.train)} training strings",
        "schedule": dataclasses.asdict(schedule),
        "torch": torch.__version__,
        "metrics": run.metrics,
        "processor_seconds": round(time.thread_time() - began, 1),
        "created": run.created,
        "history": run.history.dropna().to_dict(orient="list"),
    }
    store.write(path, run.state, record)
    return surname_teacher(path)
