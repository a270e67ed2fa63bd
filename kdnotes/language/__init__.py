"""Distillation of language models: names and brackets, taught and measured exactly."""

from kdnotes.language.exact import (
    Prefixes,
    against,
    against_truth,
    cross_entropy,
    exposure,
    marginal_log_probabilities,
    masses,
    prefixes,
    string_log_probabilities,
)
from kdnotes.language.loop import Schedule, StringRun, evaluate, fit, log_probabilities
from kdnotes.language.methods import (
    GeneralizedJSD,
    NextToken,
    OnPolicy,
    ReverseKD,
    SampledAnswersKD,
    SequenceKD,
    SkewedKD,
    Step,
    StringMethod,
    TokenBatch,
    TokenKD,
    TopAnswersKD,
)
from kdnotes.language.shipped import surname_teacher, train_surname_teacher
from kdnotes.language.study import (
    StringArm,
    StringChoice,
    cached_run,
    choose,
    compare,
    run_key,
    trained,
)
from kdnotes.language.teachers import LanguageTeacher

__all__ = [
    "GeneralizedJSD", "LanguageTeacher", "NextToken", "OnPolicy", "Prefixes", "ReverseKD",
    "SampledAnswersKD", "Schedule", "SequenceKD", "SkewedKD", "Step", "StringArm", "StringChoice",
    "StringMethod", "StringRun", "TokenBatch", "TokenKD", "TopAnswersKD", "against",
    "against_truth", "cached_run", "choose", "compare", "cross_entropy", "evaluate", "exposure",
    "fit", "log_probabilities", "marginal_log_probabilities", "masses", "prefixes", "run_key",
    "string_log_probabilities", "surname_teacher", "train_surname_teacher", "trained",
]  # fmt: skip
