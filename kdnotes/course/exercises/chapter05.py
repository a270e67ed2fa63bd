"""Exercises of chapter 5: the two terms of distillation, what coupling makes of one of them, the whole DKD loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _logits(scale: float = 3.0, classes: int = 10, batch: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    z_s, z_t = (scale * torch.randn(batch, classes, generator=generator) for _ in range(2))
    return z_s, z_t, torch.randint(classes, (batch,), generator=generator)


def _cases() -> list[tuple]:
    return [(*_logits(), 4.0), (*_logits(2.0, 4, batch=6), 2.0)]


def _extremes() -> list[tuple]:
    """Logits at which a probability underflows and its logarithm is infinite, and logits of ±10⁴."""
    z_s, z_t, y = _logits()
    return [(*_logits(100.0), 1.0), (*stretched(z_s, z_t), y, 1.0), (*stretched(z_s, z_t), y, 4.0)]


def _target_probability(logits: Tensor, y: Tensor, temperature: float) -> Tensor:
    return losses.soften(logits, temperature).gather(1, y[:, None]).squeeze(1)


def _masked(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The summands of KL, split by class and not renormalised."""
    log_s, log_t = (F.log_softmax(z / temperature, dim=1) for z in (z_s, z_t))
    parts = temperature**2 * F.kl_div(log_s, log_t, reduction="none", log_target=True)
    target = parts.gather(1, y[:, None]).sum(1)
    return target.mean(), (parts.sum(1) - target).mean()


def _naive(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Both terms of each sample in probabilities, as the formula is written."""
    p_s, p_t = (losses.soften(z, temperature) for z in (z_s, z_t))
    is_target = F.one_hot(y, z_s.shape[1]).bool()
    q, p = p_s[is_target], p_t[is_target]
    others_s, others_t = p_s[~is_target].view(len(p), -1), p_t[~is_target].view(len(p), -1)
    others_s, others_t = others_s / (1 - q)[:, None], others_t / (1 - p)[:, None]
    target = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return temperature**2 * target, temperature**2 * (others_t * (others_t / others_s).log()).sum(1)


def _authors(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The target term in the arithmetic of the authors' code, a logarithm of a softmax; the other is right."""
    is_target = F.one_hot(y, z_s.shape[1]).bool()
    pairs = []
    for z in (z_s, z_t):
        p = losses.soften(z, temperature)
        pairs.append(torch.stack([(p * is_target).sum(1), (p * ~is_target).sum(1)], dim=1))
    target = F.kl_div(pairs[0].log(), pairs[1], reduction="none").sum(1)
    return temperature**2 * target, _stable(z_s, z_t, y, temperature)[1]


def _log1p(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The target term from log-softmax and log1p(−p); the other one as it should be."""
    log_q, log_p = (F.log_softmax(z / temperature, dim=1).gather(1, y[:, None]).squeeze(1) for z in (z_s, z_t))
    p, rest_s, rest_t = log_p.exp(), torch.log1p(-log_q.exp()), torch.log1p(-log_p.exp())
    target = p * (log_p - log_q) + (1 - p) * (rest_t - rest_s)
    return temperature**2 * target, _stable(z_s, z_t, y, temperature)[1]


def _naive_target(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    return _naive(z_s, z_t, y, temperature)[0], _stable(z_s, z_t, y, temperature)[1]


def _naive_others(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    return _stable(z_s, z_t, y, temperature)[0], _naive(z_s, z_t, y, temperature)[1]


def _target_at_zero(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The target's logit set to 0 before the softmax over the others, where it stays a class among them."""
    is_target = F.one_hot(y, z_s.shape[1]).bool()
    others = losses.kd_loss(z_s.masked_fill(is_target, 0.0), z_t.masked_fill(is_target, 0.0), temperature)
    return losses.decoupled_terms(z_s, z_t, y, temperature)[0], others


def _stable(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    return losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")


def _scaled(factor: Callable, terms: Callable = _stable) -> Callable:
    """The right terms times factor(z_s, z_t, y, T): two numbers, or one a sample."""

    def wrong(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        target, non_target = terms(z_s, z_t, y, temperature)
        first, second = factor(z_s, z_t, y, temperature)
        return (first * target).mean(), (second * non_target).mean()

    return wrong


# What the right terms are multiplied by, and what to say; recognised in logarithms and in plain probabilities.
FACTORS = (
    (lambda z_s, z_t, y, t: (t**-2, t**-2), "both terms are smaller than expected by T²: multiply them by T²"),
    (lambda z_s, z_t, y, t: (1.0, t**-2), "NCKD is smaller than expected by T²; both terms have it"),
    (lambda z_s, z_t, y, t: (t**-2, 1.0), "TCKD is smaller than expected by T²; both terms have it"),
    (lambda z_s, z_t, y, t: (1 / t, 1 / t), "the terms have the factor T; they need T²"),
    (
        lambda z_s, z_t, y, t: (1.0, 1 - _target_probability(z_t, y, t)),
        "NCKD still has the factor 1 − p_t,y: this is KD's own split, which decoupling undoes",
    ),
    (
        lambda z_s, z_t, y, t: (1.0, 1 / (z_s.shape[1] - 1)),
        "NCKD is smaller than expected by the number of other classes: sum over classes, mean over samples",
    ),
    (
        lambda z_s, z_t, y, t: (1 / 2, 1 / (z_s.shape[1] - 1)),
        "both terms are means over classes: sum over classes, mean over samples (reduction='batchmean')",
    ),
    (
        lambda z_s, z_t, y, t: (len(y), len(y)),
        "the terms are sums over the batch; take the mean over samples (reduction='batchmean')",
    ),
)


def _coupled(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float, factor: Tensor | float) -> Tensor:
    non_target = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")[1]
    return (factor * non_target).mean()


def _coupled_reference(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> Tensor:
    return _coupled(z_s, z_t, y, temperature, 1 - _target_probability(z_t, y, temperature))


def _each(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> Tensor:
    non_target = losses.decoupled_terms(z_s, z_t, y, temperature, reduction="none")[1]
    return (1 - _target_probability(z_t, y, temperature)) * non_target


def _mean_first(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> Tensor:
    return _coupled(z_s, z_t, y, temperature, (1 - _target_probability(z_t, y, temperature)).mean())


def _ramp(epoch: int, warmup: int) -> float:
    return min(epoch / warmup, 1.0) if warmup else 1.0


def _dkd(
    z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float, alpha: float, beta: float, epoch: int, warmup: int
) -> Tensor:
    return F.cross_entropy(z_s, y) + _ramp(epoch, warmup) * losses.dkd_loss(z_s, z_t, y, temperature, alpha, beta)


def _dkd_cases() -> list[tuple]:
    return [
        (*_logits(), 4.0, 1.0, 8.0, 5, 20),
        (*_logits(), 4.0, 1.0, 8.0, 60, 20),
        *((*_logits(), 4.0, 1.0, 8.0, epoch, 20) for epoch in (19, 20, 21)),
        *((*_logits(2.0, 4, batch=6), 3.0, 2.0, 0.5, epoch, 8) for epoch in (4, 8, 12)),
        (*_logits(2.0, 4), 2.0, 0.5, 2.0, 0, 20),
        (*_logits(2.0, 4), 2.0, 0.5, 2.0, 3, 0),
        (*_logits(2.0, 4), 2.0, 0.5, 2.0, 0, 0),
    ]


def _dkd_extremes() -> list[tuple]:
    return [(*case, 1.0, 8.0, 30, 20) for case in _extremes()]


def _dkd_part(place: int) -> Callable:
    """One of the two distillation terms, with its weight."""

    def part(z_s, z_t, y, temperature, alpha, beta, epoch, warmup) -> Tensor:
        return _ramp(epoch, warmup) * (alpha, beta)[place] * losses.decoupled_terms(z_s, z_t, y, temperature)[place]

    return part


def _dkd_with(terms: Callable) -> Callable:
    """The whole loss over other terms than the right ones."""

    def wrong(z_s, z_t, y, temperature, alpha, beta, epoch, warmup) -> Tensor:
        target, non_target = terms(z_s, z_t, y, temperature)
        return F.cross_entropy(z_s, y) + _ramp(epoch, warmup) * (alpha * target + beta * non_target)

    return wrong


def _dkd_ramp(ramp: Callable) -> Callable:
    """The whole loss with another warm-up."""

    def wrong(z_s, z_t, y, temperature, alpha, beta, epoch, warmup) -> Tensor:
        return F.cross_entropy(z_s, y) + ramp(epoch, warmup) * losses.dkd_loss(z_s, z_t, y, temperature, alpha, beta)

    return wrong


EXERCISES = {
    "05.1": Exercise(
        losses.decoupled_terms,
        _cases,
        (
            Trap(_scaled(lambda *_: (1.0, 1.0), _naive),
                 "right for ordinary logits, but where a probability underflows its logarithm is infinite or NaN; use "
                 "log_softmax and logsumexp, and never take the log of a softmax"),
            *(Trap(_scaled(lambda *_: (1.0, 1.0), terms),
                   "NCKD is right, but TCKD takes the logarithm of a probability (log of a softmax, log1p(−p)), which "
                   "is infinite or NaN where it underflows; take log_softmax of the pair (z_y/T, logsumexp of the "
                   "others)")
              for terms in (_naive_target, _authors, _log1p)),
            Trap(_scaled(lambda *_: (1.0, 1.0), _naive_others),
                 "TCKD is right, but NCKD divides by 1 − p_y or takes the logarithm of a probability, which fails "
                 "where it underflows; take log_softmax over the other classes alone"),
            Trap(_target_at_zero, "in NCKD the target's logit is set to 0, and so stays a class among the others; "
                                  "remove it (with −inf, 0·(−∞ + ∞) is NaN)"),
            *(Trap(lambda z_s, z_t, y, t, power=power: tuple(
                       t**power * term for term in losses.decoupled_terms(z_s, z_t, y, 1.0)),
                   "the temperature does not soften: divide both logits by T before the softmax")
              for power in (0, 2)),
            Trap(_masked, "the classes are masked but not renormalised: these two add up to plain KL, and each can be "
                          "negative. TCKD compares (p_y, 1 − p_y); NCKD compares distributions that sum to 1"),
            *(Trap(_scaled(factor, terms), message) for factor, message in FACTORS for terms in (_stable, _naive)),
            Trap(lambda z_s, z_t, y, t: losses.decoupled_terms(z_t, z_s, y, t),
                 "the KL is the wrong way round: the teacher's distribution comes first, KL(p_t ‖ p_s)"),
            Trap(lambda z_s, z_t, y, t: losses.decoupled_terms(z_s, z_t, y, t)[::-1],
                 "the two terms are exchanged: return (TCKD, NCKD)"),
            Trap(lambda z_s, z_t, y, t: losses.decoupled_terms(z_s, z_t, z_t.argmax(1), t),
                 "the target class is the label y, not the class that the teacher prefers"),
            Trap(lambda z_s, z_t, y, t: tuple(t**2 * term for term in losses.decoupled_terms(z_s, z_t / t, y, 1.0)),
                 "only the teacher is softened; divide the student's logits by T too"),
            Trap(lambda z_s, z_t, y, t: losses.decoupled_terms(z_s, z_t, y, t, reduction="none"),
                 "these are the values of each sample; take the mean over the batch"),
        ),
        extremes=_extremes,
        gradient_of=(0,),
        parts=tuple(
            (name, lambda *case, place=place: [
                term if i == place else 0 * term for i, term in enumerate(losses.decoupled_terms(*case))
            ])
            for place, name in enumerate(("TCKD", "NCKD"))
        ),
    ),
    "05.2": Exercise(
        _coupled_reference,
        _cases,
        (
            Trap(_mean_first, "this is the product of two means; KD needs the mean of products. Multiply sample by "
                              "sample, then take the mean (a [B, 1] factor against [B] does this: squeeze it)"),
            Trap(lambda z_s, z_t, y, t: _each(z_s, z_t, y, t), "these are the values of each sample; take the mean"),
            Trap(lambda z_s, z_t, y, t: _each(z_s, z_t, y, t).sum(),
                 "this is the sum over the batch; take the mean over samples"),
            Trap(lambda z_s, z_t, y, t: (
                     (1 - _target_probability(z_t, y, t)) * losses.decoupled_terms(z_t, z_s, y, t, reduction="none")[1]
                 ).mean(),
                 "the KL is the wrong way round: the teacher's distribution comes first, KL(p_t ‖ p_s)"),
            Trap(lambda z_s, z_t, y, t: _coupled(z_s, z_t, y, t, 1 - _target_probability(z_s, y, t)),
                 "the factor is taken from the student; it is the teacher's 1 − p_t,y"),
            Trap(lambda z_s, z_t, y, t: _coupled(z_s, z_t, y, t, 1 - _target_probability(z_t, y, 1.0)),
                 "the factor is taken at T = 1; it belongs to the softened probabilities, at T"),
            Trap(lambda z_s, z_t, y, t: _coupled(z_s, z_t, y, t, _target_probability(z_t, y, t)),
                 "the factor is p_t,y; it should be 1 − p_t,y"),
            Trap(lambda z_s, z_t, y, t: _coupled(z_s, z_t, y, t, 1 - losses.soften(z_t, t).amax(1)),
                 "the factor is taken at the class that the teacher prefers; it belongs to the label y"),
            Trap(lambda z_s, z_t, y, t: _coupled(z_s, z_t, y, t, 1.0), "the factor 1 − p_t,y is missing"),
            Trap(lambda z_s, z_t, y, t: _coupled_reference(z_s, z_t, y, t) * t**2,
                 "larger than expected by T²: decoupled_terms has it already"),
            Trap(lambda z_s, z_t, y, t: _coupled_reference(z_s, z_t, y, t) / t**2, "smaller than expected by T²"),
            Trap(lambda z_s, z_t, y, t: losses.kd_loss(z_s, z_t, t),
                 "this is all of KD; return the part that the non-target classes bring"),
            Trap(lambda z_s, z_t, y, t: _masked(z_s, z_t, y, t)[1],
                 "this sums KL's own summands over the other classes; without renormalising they are not the "
                 "non-target part"),
        ),
        extremes=_extremes,
        gradient_of=(0,),
    ),
    "05.3": Exercise(
        _dkd,
        _dkd_cases,
        (
            Trap(_dkd_ramp(lambda epoch, warmup: epoch / warmup if warmup else 1.0),
                 "the warm-up does not stop at 1: take min(epoch / warmup, 1)"),
            Trap(_dkd_ramp(lambda epoch, warmup: 1.0), "the warm-up is missing"),
            *(Trap(_dkd_ramp(ramp), "the warm-up lasts 20 epochs, whatever `warmup` says: min(epoch / warmup, 1)")
              for ramp in (lambda epoch, warmup: min(epoch / 20, 1.0),
                           lambda epoch, warmup: min(epoch / 20, 1.0) if warmup else 1.0)),
            Trap(_dkd_ramp(lambda epoch, warmup: min(1.0, epoch / max(warmup, 1))),
                 "warmup = 0 means no warm-up: the weights are full in epoch 0 already; dividing by max(warmup, 1) "
                 "makes them 0 there"),
            Trap(_dkd_ramp(lambda epoch, warmup: min(epoch / warmup, 1.0) if warmup else 0.0),
                 "warmup = 0 means no warm-up, full weights from the start; here the terms are switched off"),
            *(Trap(_dkd_ramp(ramp), "epoch // warmup is a whole number: the weights jump instead of rising; divide "
                    "with /")
              for ramp in (lambda epoch, warmup: min(epoch // warmup, 1) if warmup else 1.0,
                           lambda epoch, warmup: epoch // warmup if warmup else 1.0)),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: F.cross_entropy(z_s, y)
                 + losses.dkd_loss(z_s, z_t, y, t, a, b * _ramp(epoch, warmup)),
                 "only the non-target term is warmed up; the target term rises with the same factor"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: F.cross_entropy(z_s, y)
                 + losses.dkd_loss(z_s, z_t, y, t, a * _ramp(epoch, warmup), b),
                 "only the target term is warmed up; the non-target term rises with the same factor"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: (1 - _ramp(epoch, warmup)) * F.cross_entropy(z_s, y)
                 + _ramp(epoch, warmup) * losses.dkd_loss(z_s, z_t, y, t, a, b),
                 "the cross-entropy fades as the other terms rise; it keeps the weight 1"),
            Trap(_dkd_ramp(lambda epoch, warmup: min((epoch + 1) / warmup, 1.0) if warmup else 1.0),
                 "the warm-up starts at 1/warmup; in epoch 0 it is 0, min(epoch / warmup, 1)"),
            Trap(_dkd_ramp(lambda epoch, warmup: max(1 - epoch / warmup, 0.0) if warmup else 1.0),
                 "the ramp falls; it should rise from 0 to 1"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: _ramp(epoch, warmup)
                 * _dkd(z_s, z_t, y, t, a, b, 1, 1),
                 "the cross-entropy is warmed up too; only the two distillation terms are"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: _dkd(z_s, z_t, y, t, b, a, epoch, warmup),
                 "alpha and beta are exchanged: alpha weighs the target term, beta the non-target term"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: _dkd(z_s, z_t, y, t, a / t**2, b / t**2, epoch, warmup),
                 "the distillation terms are smaller than expected by T²"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: _dkd(z_s, z_t, y, t, a * t**2, b * t**2, epoch, warmup),
                 "the distillation terms are larger than expected by T²: decoupled_terms has it already"),
            Trap(_dkd_with(lambda z_s, z_t, y, t: losses.decoupled_terms(z_t, z_s, y, t)),
                 "the KL is the wrong way round: the teacher's distribution comes first"),
            Trap(_dkd_with(_masked),
                 "the classes are masked but not renormalised: with alpha = beta = 1 this is plain KD"),
            Trap(_dkd_with(_scaled(lambda z_s, z_t, y, t: (1.0, 1 - _target_probability(z_t, y, t)))),
                 "NCKD still has the factor 1 − p_t,y; DKD replaces it by β"),
            Trap(lambda z_s, z_t, y, t, a, b, epoch, warmup: _dkd(z_s, z_t, y, t, a, b, epoch, warmup)
                 - F.cross_entropy(z_s, y) + F.cross_entropy(z_s / t, y),
                 "the labels are compared at temperature T; the cross-entropy uses T = 1"),
        ),
        extremes=_dkd_extremes,
        gradient_of=(0,),
        parts=(
            ("the labels' term", lambda z_s, z_t, y, *_: F.cross_entropy(z_s, y)),
            ("the target term", _dkd_part(0)),
            ("the non-target term", _dkd_part(1)),
        ),
    ),
}  # fmt: skip
