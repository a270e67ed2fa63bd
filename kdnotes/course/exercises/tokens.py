"""The functions to write of ``language_models``: a masked KL, and targets from draws."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.course.attempt import Exercise

__all__ = ["DrawnTargets", "MaskedKL"]


def _each(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T²·KL(p_t ‖ p_s) of the last axis."""
    log_s, log_t = (F.log_softmax(z / temperature, dim=-1) for z in (student, teacher))
    return temperature**2 * (log_t.exp() * (log_t - log_s)).sum(-1)


def _pair(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2 * torch.randn(2, *shape, generator=generator)
    return student, teacher


def _places(*rows: str) -> Tensor:
    """A mask, a string a row: "1" counts."""
    return torch.tensor([[one == "1" for one in row] for row in rows])


class MaskedKL(Exercise):
    gradient_of = (0,)
    logits = (0, 1)
    temperature = 3

    def reference(self, student, teacher, mask, temperature):
        return _each(student[mask], teacher[mask], temperature).mean()

    def cases(self):
        """Strings of unlike lengths, a prompt that does not count, and one batch of all places."""
        return [
            (*_pair(0, 3, 5, 4), _places("11111", "11100", "11000"), 1.0),
            (*_pair(1, 2, 4, 6), _places("1110", "1000"), 2.0),
            (*_pair(2, 4, 3, 3), _places("111", "111", "111", "111"), 4.0),
            (*_pair(3, 2, 6, 5), _places("001110", "011111"), 0.5),
        ]

    def extremes(self):
        """Logits of ±10⁴; and what may stand where nothing counts."""
        behind = ((0.0, math.nan), (math.inf, math.nan), (0.0, math.nan), (-math.inf, -math.inf))
        poisoned = []
        for (*pair, mask, temperature), worst in zip(self.cases(), behind, strict=True):
            hidden = ~mask[..., None]
            pair = [z + torch.where(hidden, one, 0.0) for z, one in zip(pair, worst, strict=True)]
            poisoned.append((*pair, mask, temperature))
        return super().extremes() + poisoned

    def wrong_entropy(self, student, teacher, mask, temperature):
        """The teacher's entropy is missing: −Σ p_t·log p_s has the same gradient, but it is no KL,
        and not 0 where both agree.
        """
        soft = (teacher[mask] / temperature).softmax(1)
        return temperature**2 * F.cross_entropy(student[mask] / temperature, soft)

    def wrong_all_places(self, student, teacher, mask, temperature):
        """The sum is of the places that count, but it is divided by the number of all, padding
        too.
        """
        return self.reference(student, teacher, mask, temperature) * mask.double().mean().float()

    def wrong_string_by_string(self, student, teacher, mask, temperature):
        """The mean is over each string first, and then over strings: a token of a short string
        weighs more. All places that count weigh alike.
        """
        rows = zip(student, teacher, mask, strict=True)
        return torch.stack([_each(s[m], t[m], temperature).mean() for s, t, m in rows]).mean()

    def wrong_strings(self, student, teacher, mask, temperature):
        """The sum is divided by the number of strings (`batchmean` does that): divide it by the
        number of places that count.
        """
        return _each(student[mask], teacher[mask], temperature).sum() / len(mask)

    def wrong_shifted(self, student, teacher, mask, temperature):
        """Student and teacher are compared one place apart: both logits of a place answer the same
        question; it is the targets that stand one further.
        """
        keep = mask[:, 1:]
        return _each(student[:, :-1][keep], teacher[:, 1:][keep], temperature).mean()

    def wrong_last_lost(self, student, teacher, mask, temperature):
        """The mask is shifted against the logits: each string loses a place, often its end. Logits
        and mask are of the same places already.
        """
        keep = mask[:, 1:]
        return _each(student[:, :-1][keep], teacher[:, :-1][keep], temperature).mean()

    def wrong_zeros(self, student, teacher, mask, temperature):
        """What does not count is multiplied by 0, and 0 times NaN is NaN: choose the places first,
        with `logits[mask]`.
        """
        return (_each(student, teacher, temperature) * mask).sum() / mask.sum()

    def wrong_afterwards(self, student, teacher, mask, temperature):
        """The value is right, but the gradient is NaN where padding holds NaN: the places are
        chosen after the KL, and a gradient of 0 times NaN is NaN; choose them before.
        """
        return _each(student, teacher, temperature)[mask].mean()


def _frequencies(drawn: Tensor, classes: int) -> Tensor:
    return F.one_hot(drawn, classes).double().mean(1).float()


class DrawnTargets(Exercise):
    def reference(self, teacher, proposal, drawn):
        return _frequencies(drawn, teacher.shape[1]) * teacher / proposal

    def cases(self):
        cases = []
        for seed, places, classes, count in (
            (0, 3, 4, 5),
            (1, 2, 6, 3),
            (2, 5, 3, 8),
            (3, 1, 5, 1),
        ):
            generator = torch.Generator().manual_seed(seed)
            logits = 2 * torch.randn(places, classes, generator=generator)
            teacher = logits.softmax(1)
            teacher[0, 0] = 0.0  # never given, though it may be drawn
            teacher = teacher / teacher.sum(1, keepdim=True)
            proposal = (logits / 2 + torch.randn(places, classes, generator=generator)).softmax(1)
            drawn = torch.multinomial(proposal, count, replacement=True, generator=generator)
            cases.append((teacher, proposal, drawn))
        return cases

    def wrong_counts(self, teacher, proposal, drawn):
        """These are the shares of the draws: their expectation is q; a draw must weigh more where
        q draws a class less often than the teacher would.
        """
        return _frequencies(drawn, teacher.shape[1])

    def wrong_sum_of_one(self, teacher, proposal, drawn):
        """Each row is divided by its sum. The sum is random too: what has the right expectation
        loses it so. Rows need not sum to 1.
        """
        found = self.reference(teacher, proposal, drawn)
        return found / found.sum(1, keepdim=True)

    def wrong_sum(self, teacher, proposal, drawn):
        """Too large by k: each of the k draws has the expectation p_t, so take their mean."""
        return self.reference(teacher, proposal, drawn) * drawn.shape[1]

    def wrong_inverse(self, teacher, proposal, drawn):
        """The weights are upside down: what q draws too often must weigh less."""
        return _frequencies(drawn, teacher.shape[1]) * proposal / teacher

    def wrong_once(self, teacher, proposal, drawn):
        """A class that was drawn several times counts once: a plain assignment overwrites; add."""
        once = (_frequencies(drawn, teacher.shape[1]) > 0) / drawn.shape[1]
        return once * teacher / proposal

    def wrong_kept(self, teacher, proposal, drawn):
        """These are the teacher's probabilities of what was drawn: a class that is not always drawn
        gets too little on average.
        """
        return teacher * (_frequencies(drawn, teacher.shape[1]) > 0)

    def wrong_renormalised(self, teacher, proposal, drawn):
        """These are the teacher's probabilities of what was drawn, made to sum to 1: that is
        biased, as it is for the most probable answers.
        """
        kept = self.wrong_kept(teacher, proposal, drawn)
        return kept / kept.sum(1, keepdim=True)

    def wrong_without_q(self, teacher, proposal, drawn):
        """Drawn by q, and weighed by p_t besides: the expectation is q·p_t. Divide by q."""
        return _frequencies(drawn, teacher.shape[1]) * teacher
