"""What tests of language models share: a tiny language, a tiny model, a tiny teacher."""

from __future__ import annotations

import functools

import torch

from kdnotes import language as lm
from kdnotes.data import Brackets, bracket_corpus
from kdnotes.models import Decoder
from kdnotes.training import build

BRACKETS = Brackets(pairs=3)
ALL = BRACKETS.tokens()
P = BRACKETS.probabilities
STUDENT = functools.partial(Decoder, classes=5, context=7, width=8, depth=1, heads=2)
SCHEDULE = lm.Schedule(steps=12, batch_size=16, learning_rate=1e-2)


@functools.cache
def corpus(train=40, seed=0):
    return bracket_corpus(BRACKETS, train, validation_strings=20, test_strings=30, subset_seed=seed)


@functools.cache
def teacher(seed=0, scale=0.4):
    """A model with preferences that no training gave it."""
    model = build(functools.partial(Decoder, 5, 7, 16, 1, 2), seed)
    generator = torch.Generator().manual_seed(seed)
    for one in model.parameters():
        one.data.add_(scale * torch.randn(one.shape, generator=generator))
    return lm.LanguageTeacher(model, BRACKETS.vocabulary)


def methods():
    """Every method, with settings other than the defaults where these would hide a part of it."""
    own = teacher()
    return {
        "NextToken": lm.NextToken(),
        "TokenKD": lm.TokenKD(own, 2.0),
        "TokenKD with labels": lm.TokenKD(own, 1.0, 0.3),
        "ReverseKD": lm.ReverseKD(own),
        "GeneralizedJSD": lm.GeneralizedJSD(own, beta=0.3),
        "SkewedKD": lm.SkewedKD(own, skew=0.2),
        "SkewedKD, reverse": lm.SkewedKD(own, skew=0.2, reverse=True),
        "TopAnswersKD": lm.TopAnswersKD(own, 2.0, 0.2, count=2),
        "SampledAnswersKD": lm.SampledAnswersKD(own, count=2),
        "SequenceKD": lm.SequenceKD(own, copies=2),
        "OnPolicy": lm.OnPolicy(lm.ReverseKD(own)),
        "OnPolicy, half": lm.OnPolicy(lm.TokenKD(own), 0.5),
    }


def fit(method=None, seed=0, **changes):
    schedule = {"steps": 12, "batch_size": 16, "learning_rate": 1e-2, "seed": seed} | changes
    return lm.fit(build(STUDENT, seed), method or lm.NextToken(), corpus(), lm.Schedule(**schedule))
