"""Ways to train a language model: from the data, from a teacher's answers, from its own strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from kdnotes import checks, losses
from kdnotes.checks import bound
from kdnotes.data import Strings
from kdnotes.language.teachers import LanguageTeacher
from kdnotes.machine import stream
from kdnotes.models import Decoder


class Step(NamedTuple):
    """Which step it is: the seed of the run, the step's number and its epoch, both from 0."""

    seed: int
    number: int
    epoch: int


@dataclass
class TokenBatch:
    """What a method sees of one training step.

    Args:
        strings: what the student has read: ``inputs``, ``targets`` and ``mask``, ``[B, L]``.
        positions: ``[B]``, rows of the training strings; ``None`` if the strings are none of them.
        student_logits: ``[B, L, classes]``.
    """

    strings: Strings
    positions: Tensor | None
    student_logits: Tensor


class StringMethod:
    """A way to train: a dataclass that overrides ``terms``, and the others where needed.

    ``language.fit`` works on a copy: it calls ``prepare`` once; then, for every step, ``strings``
    and ``terms``, and minimises the sum of the terms.
    """

    def __post_init__(self) -> None:
        checks.fields(self)

    def prepare(self, train: Strings, seed: int) -> None:
        """Fetch what the method needs for these training strings."""

    def strings(
        self, student: Decoder, given: Strings, positions: Tensor, step: Step
    ) -> tuple[Strings, Tensor | None]:
        """What the student reads in a step, and its rows in the training strings.

        Args:
            student: the model in training.
            given: the batch of the training strings, which all arms of a comparison share.
            positions: its rows, ``[B]``.
            step: which it is.
        """
        return given, positions

    def terms(self, batch: TokenBatch) -> dict[str, Tensor]:
        """The loss as named, weighted scalar terms; their sum is minimised."""
        raise NotImplementedError


@dataclass(eq=False)
class NextToken(StringMethod):
    """Cross-entropy with the token that follows: the baseline."""

    def terms(self, batch: TokenBatch) -> dict[str, Tensor]:
        return {"hard": _hard(batch)}


@dataclass(eq=False)
class TokenKD(StringMethod):
    """Token-level distillation, α·CE + (1 − α)·T²·KL(p_t ‖ p_s) at each place (1606.07947).

    Args:
        teacher: whose answers to the training strings are stored.
        temperature: T > 0.
        alpha: weight α of the data's own tokens, in [0, 1].
    """

    teacher: LanguageTeacher = bound(checks.instance(LanguageTeacher))
    temperature: float = bound(checks.positive, 1.0)
    alpha: float = bound(checks.fraction, 0.0)

    def prepare(self, train: Strings, seed: int) -> None:
        self.stored = self.teacher.bank(train)

    def terms(self, batch: TokenBatch) -> dict[str, Tensor]:
        if self.alpha == 0:
            return {"soft": self.soft(batch)}
        soft = (1 - self.alpha) * self.soft(batch)
        return {"hard": self.alpha * _hard(batch), "soft": soft}

    def soft(self, batch: TokenBatch) -> Tensor:
        """The distillation loss of a batch, a scalar: what variants change."""
        return losses.token_kl(*self.pair(batch), self.temperature)

    def pair(self, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Student's logits, the teacher's for the same places, and the mask."""
        return batch.student_logits, self.answers(batch), batch.strings.mask

    def answers(self, batch: TokenBatch) -> Tensor:
        """z_t ``[B, L, classes]``: stored, or asked for now if the strings are new."""
        if batch.positions is None or self.stored is None:
            return self.teacher.logits(batch.strings)
        return self.stored[batch.positions, : batch.student_logits.shape[1]]


@dataclass(eq=False)
class ReverseKD(TokenKD):
    """Token-level distillation by the reverse KL, T²·KL(p_s ‖ p_t) (2306.08543, 2306.13649)."""

    def soft(self, batch: TokenBatch) -> Tensor:
        return losses.token_reverse_kl(*self.pair(batch), self.temperature)


@dataclass(eq=False)
class GeneralizedJSD(TokenKD):
    """Token-level distillation by the generalised Jensen-Shannon divergence (GKD, 2306.13649).

    Args:
        beta: β in [0, 1]; 0 and 1 are the forward and the reverse KL.
    """

    beta: float = bound(checks.fraction, 0.5)

    def soft(self, batch: TokenBatch) -> Tensor:
        return losses.token_jsd(*self.pair(batch), self.beta, self.temperature)


@dataclass(eq=False)
class SkewedKD(TokenKD):
    """Token-level distillation by a skewed KL (DistiLLM, 2402.03898).

    Args:
        skew: λ in [0, 1), the paper's α.
        reverse: the skewed reverse KL instead of the skewed forward one.
    """

    skew: float = bound(losses.check_skew, 0.1)
    reverse: bool = bound(checks.true_or_false, False)

    def soft(self, batch: TokenBatch) -> Tensor:
        loss = losses.token_skewed_reverse_kl if self.reverse else losses.token_skewed_kl
        return loss(*self.pair(batch), self.skew, self.temperature)


@dataclass(eq=False)
class TopAnswersKD(TokenKD):
    """Token-level distillation from the teacher's ``count`` most probable answers, renormalised.

    The targets are biased: what is left out is taught never to happen.

    Args:
        count: answers stored a place.
    """

    count: int = bound(checks.at_least(1), 3)

    def prepare(self, train: Strings, seed: int) -> None:
        parts = [self.few(logits / self.temperature, seed) for logits in self.teacher.read(train)]
        self.indices, self.weights = (torch.cat(one) for one in zip(*parts, strict=True))

    def few(self, logits: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Indices and weights of the answers that are stored, ``[B, L, count]``."""
        return losses.top_answers(logits, self.count)

    def soft(self, batch: TokenBatch) -> Tensor:
        where = batch.positions, slice(batch.student_logits.shape[1])
        answers = self.indices[where], self.weights[where]
        logits = batch.student_logits / self.temperature
        loss = losses.token_sparse_kl(logits, *answers, batch.strings.mask)
        return self.temperature**2 * loss


@dataclass(eq=False)
class SampledAnswersKD(TopAnswersKD):
    """Token-level distillation from ``count`` answers drawn from the teacher (2503.16870).

    Unbiased: the expected gradient is that of all answers. They are drawn once a run and stored.
    """

    def prepare(self, train: Strings, seed: int) -> None:
        self.drawn = 0
        super().prepare(train, seed)

    def few(self, logits: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        self.drawn += 1
        return losses.sampled_answers(logits, self.count, stream(seed, f"answers {self.drawn}"))


@dataclass(eq=False)
class SequenceKD(StringMethod):
    """Sequence-level distillation: cross-entropy on strings that the teacher wrote (1606.07947).

    Kim and Rush take the teacher's best string for each source text; without a source text strings
    are drawn from the teacher. They take the place of the training strings.

    Args:
        teacher: who writes.
        copies: strings written for each training string; each epoch reads the next of them.
        temperature: T > 0 of the softmax that is drawn from, not of a loss.
    """

    teacher: LanguageTeacher = bound(checks.instance(LanguageTeacher))
    copies: int = bound(checks.at_least(1), 1)
    temperature: float = bound(checks.positive, 1.0)

    def prepare(self, train: Strings, seed: int) -> None:
        count, seed = self.copies * len(train), stream(seed, "written")
        self.teacher.check_knows(train.vocabulary)
        self.teacher.model.to(train.tokens.device)
        self.written = self.teacher.write(count, seed, self.temperature)
        self.count = len(train)

    def strings(
        self, student: Decoder, given: Strings, positions: Tensor, step: Step
    ) -> tuple[Strings, Tensor | None]:
        copy = step.epoch % self.copies
        return self.written.take(positions + copy * self.count), None

    def terms(self, batch: TokenBatch) -> dict[str, Tensor]:
        return {"hard": _hard(batch)}


@dataclass(eq=False)
class OnPolicy(StringMethod):
    """On-policy distillation: the student writes, the teacher grades every token (GKD, 2306.13649).

    The strings are drawn anew in every step, as many as the batch has; no gradient passes through
    the drawing. GKD takes a share λ of such steps, and the data in the others.

    Args:
        grading: the distillation that is minimised on the strings; of its kind ``alpha`` is 0, as
            there is no label for what the student writes.
        share: λ, the share of steps with the student's own strings, in [0, 1].
    """

    grading: TokenKD = bound(checks.instance(TokenKD))
    share: float = bound(checks.fraction, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.grading, TopAnswersKD) or self.grading.alpha:
            found = f"{type(self.grading).__name__} with alpha={self.grading.alpha}"
            raise ValueError(f"grading must use all answers and no labels (alpha=0), not {found}")

    def prepare(self, train: Strings, seed: int) -> None:
        self.grading.teacher.check_knows(train.vocabulary)
        self.grading.stored = None
        if self.share < 1:
            self.grading.prepare(train, seed)

    def strings(
        self, student: Decoder, given: Strings, positions: Tensor, step: Step
    ) -> tuple[Strings, Tensor | None]:
        if stream(step.seed, f"whose {step.number}") / 2**56 >= self.share:
            return given, positions
        tokens = student.sample(len(given), stream(step.seed, f"write {step.number}"))
        return Strings(tokens, given.vocabulary).take(torch.arange(len(tokens))), None

    def terms(self, batch: TokenBatch) -> dict[str, Tensor]:
        return self.grading.terms(batch)


def _hard(batch: TokenBatch) -> Tensor:
    strings = batch.strings
    return losses.token_cross_entropy(batch.student_logits, strings.targets, strings.mask)
