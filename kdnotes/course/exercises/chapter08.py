"""Exercises of chapter 8: distillation from weighted teachers, CA-MKD's weights, the loss that trains a gate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _teachers(seed: int, count: int, batch: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Teachers' logits ``[M, B, K]``, labels ``[B]`` and weights ``[B, M]``; each teacher is good on other samples."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, batch, classes, generator=generator)
    targets = torch.randint(classes, (batch,), generator=generator)
    logits[torch.arange(batch) % count, torch.arange(batch), targets] += 4
    weights = F.softmax(2 * torch.randn(batch, count, generator=generator), dim=1)
    return logits, targets, weights


def _loss_cases() -> list[tuple]:
    """The last case has as many teachers as samples, so that exchanged axes do not fail by their shape."""
    cases = []
    for seed, (count, batch, temperature) in enumerate([(3, 8, 2.0), (2, 6, 4.0), (4, 4, 3.0)]):
        logits, _, weights = _teachers(seed, count, batch, 10 - seed)
        student = 2 * torch.randn(batch, 10 - seed, generator=torch.Generator().manual_seed(100 + seed))
        cases.append((student, logits, weights, temperature))
    return cases


def _loss_extremes() -> list[tuple]:
    return [(*stretched(z_s, z_t), *rest) for z_s, z_t, *rest in _loss_cases()]


def _divergences(z_s: Tensor, z_t: Tensor, temperature: float) -> Tensor:
    """T²·KL(p_t,m ‖ p_s) of every sample and teacher, ``[B, M]``."""
    return torch.stack([losses.kd_loss(z_s, z, temperature, reduction="none") for z in z_t], dim=1)


def _loss(z_s: Tensor, z_t: Tensor, weights: Tensor, temperature: float) -> Tensor:
    return (weights * _divergences(z_s, z_t, temperature)).sum(dim=1).mean()


def _mixture_loss(z_s: Tensor, z_t: Tensor, weights: Tensor, temperature: float) -> Tensor:
    log_mixture = torch.logsumexp(weights.T.log()[:, :, None] + F.log_softmax(z_t / temperature, dim=2), dim=0)
    return losses.kd_loss(z_s, temperature * log_mixture, temperature)


def _reverse_loss(z_s: Tensor, z_t: Tensor, weights: Tensor, temperature: float) -> Tensor:
    reverse = torch.stack([losses.kd_loss(z, z_s, temperature, reduction="none") for z in z_t], dim=1)
    return (weights * reverse).sum(dim=1).mean()


def _soft_cross_entropy(z_s: Tensor, z_t: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """The loss with the teachers' entropies left in."""
    crossed = -(F.softmax(z_t / temperature, dim=2) * F.log_softmax(z_s / temperature, dim=1)).sum(dim=2).T
    return temperature**2 * (weights * crossed).sum(dim=1).mean()


def _softmax_over_batch(z_s: Tensor, z_t: Tensor, weights: Tensor, temperature: float) -> Tensor:
    log_p_t = F.log_softmax(z_t / temperature, dim=1)
    divergences = (log_p_t.exp() * (log_p_t - F.log_softmax(z_s / temperature, dim=1))).sum(dim=2).T
    return temperature**2 * (weights * divergences).sum(dim=1).mean()


def _weight_cases() -> list[tuple]:
    return [
        _teachers(seed, count, batch, 10 - seed)[:2] for seed, (count, batch) in enumerate([(3, 8), (2, 6), (4, 4)])
    ]


def _weight_extremes() -> list[tuple]:
    return [(*stretched(z_t), y) for z_t, y in _weight_cases()]


def _errors(z_t: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every teacher with every label, ``[B, M]``."""
    return torch.stack([F.cross_entropy(z, y, reduction="none") for z in z_t], dim=1)


def _entropies(z_t: Tensor) -> Tensor:
    log_p = F.log_softmax(z_t, dim=2)
    return -(log_p.exp() * log_p).sum(dim=2).T


def _own_errors(z_t: Tensor) -> Tensor:
    """Cross-entropy of every teacher with its own most probable class, ``[B, M]``."""
    return torch.stack([F.cross_entropy(z, z.argmax(dim=1), reduction="none") for z in z_t], dim=1)


def _ca(errors: Tensor) -> Tensor:
    return (1 - F.softmax(errors, dim=1)) / (errors.shape[1] - 1)


def _gate_cases() -> list[tuple]:
    cases = []
    for seed, (count, batch) in enumerate([(3, 8), (2, 6), (4, 4)]):
        logits, targets, _ = _teachers(seed, count, batch, 10 - seed)
        gate = 2 * torch.randn(batch, count, generator=torch.Generator().manual_seed(200 + seed))
        cases.append((gate, logits, targets))
    return cases


def _gate_extremes() -> list[tuple]:
    """Huge logits of the teachers, of the gate, and of both."""
    cases = _gate_cases()
    both = [(*stretched(gate, z_t), y) for gate, z_t, y in cases]
    return [(gate, huge, y) for (gate, *_), (_, huge, y) in zip(cases, both, strict=True)] + both


def _mixture(log_weights: Tensor, z_t: Tensor, y: Tensor) -> Tensor:
    """−log Σ_m w_m·p_m(y) of every sample, ``[B]``."""
    return -torch.logsumexp(log_weights - _errors(z_t, y), dim=1)


def _gate_loss(gate: Tensor, z_t: Tensor, y: Tensor) -> Tensor:
    return _mixture(F.log_softmax(gate, dim=1), z_t, y).mean()


EXERCISES = {
    "08.1": Exercise(
        _loss,
        _loss_cases,
        (
            Trap(lambda z_s, z_t, w, t: _loss(z_s, z_t, w.mean(0, keepdim=True).expand_as(w), t),
                 "the weights are averaged over the batch, so that every sample trusts the same teachers; multiply "
                 "sample by sample, sum over the teachers, and take the mean over samples last"),
            Trap(lambda z_s, z_t, w, t: _divergences(z_s, z_t, t).mean(),
                 "the weights are not used: this is the plain average of the teachers"),
            Trap(lambda z_s, z_t, w, t: (w * _divergences(z_s, z_t, t)).mean(),
                 "smaller than expected by the number of teachers: the weights of a sample sum to 1, so sum over the "
                 "teachers and take the mean over samples only"),
            Trap(lambda z_s, z_t, w, t: (w * _divergences(z_s, z_t, t)).sum(),
                 "this is the sum over the batch; take the mean over samples"),
            Trap(lambda z_s, z_t, w, t: (w * _divergences(z_s, z_t, t)).sum(1),
                 "these are the values of the samples, [B]; return their mean, a scalar"),
            Trap(_soft_cross_entropy,
                 "this is the cross-entropy with the soft targets: the same gradient, but larger by the teachers' "
                 "entropies; KL subtracts them"),
            Trap(_softmax_over_batch,
                 "the teachers' softmax runs over the samples: their logits are [M, B, K], so the classes are dim=2"),
            Trap(lambda z_s, z_t, w, t: _loss(z_s, z_t, w, t) / t,
                 "the factor is T, not T²: smaller than expected by T"),
            Trap(lambda z_s, z_t, w, t: (w.reshape(w.shape[1], -1) * _divergences(z_s, z_t, t).T).sum(0).mean(),
                 "reshape does not exchange axes: weights [B, M] and divergences [M, B] need a transpose"),
            Trap(lambda z_s, z_t, w, t: _loss(z_s, z_t, w, t) / t**2,
                 "smaller than expected by T²: multiply by it"),
            Trap(lambda z_s, z_t, w, t: _loss(z_s, z_t, w, t) / z_s.shape[1],
                 "smaller than expected by the number of classes: a KL divergence sums over the classes"),
            Trap(_reverse_loss, "the KL is the wrong way round: the teacher's distribution comes first, KL(p_t ‖ p_s)"),
            Trap(_mixture_loss,
                 "this is the KL to the weighted mixture: the same gradient for the student, but smaller by the "
                 "teachers' disagreement (Jensen); weigh the divergences"),
            Trap(lambda z_s, z_t, w, t: losses.kd_loss(z_s, (w.T[:, :, None] * z_t).sum(0), t),
                 "the teachers' logits are averaged, which is another target; weigh the divergences"),
        ),
        extremes=_loss_extremes,
        gradient_of=(0,),
        parts=(
            ("the first teacher's term", lambda z_s, z_t, w, t: _loss(z_s, z_t[:1], w[:, :1], t)),
            ("the last teacher's term", lambda z_s, z_t, w, t: _loss(z_s, z_t[-1:], w[:, -1:], t)),
            ("every teacher's term but the first", lambda z_s, z_t, w, t: _loss(z_s, z_t[1:], w[:, 1:], t)),
        ),
    ),
    "08.2": Exercise(
        lambda z_t, y: _ca(_errors(z_t, y)),
        _weight_cases,
        (
            Trap(lambda z_t, y: 1 - F.softmax(_errors(z_t, y), dim=1),
                 "the rows sum to M − 1: divide by it"),
            Trap(lambda z_t, y: F.softmax(_errors(z_t, y), dim=1),
                 "these weights grow with the error: the teacher that is most wrong is trusted most"),
            Trap(lambda z_t, y: F.softmax(-_errors(z_t, y), dim=1),
                 "softmax of −CE has the right order, but is not CA-MKD: with three teachers or more it can trust one "
                 "alone, where (1 − softmax(CE))/(M − 1) stops at 1/(M − 1)"),
            Trap(lambda z_t, y: (1 - F.softmax(_errors(z_t, y), dim=0)) / (len(z_t) - 1),
                 "the softmax runs over the samples of the batch; it must run over the teachers (dim=1 of [B, M])"),
            Trap(lambda z_t, y: _ca(_errors(z_t, y).mean(0, keepdim=True)).expand(z_t.shape[1], -1),
                 "one cross-entropy a teacher, averaged over the batch: the weights no longer depend on the sample "
                 "(reduction='none')"),
            Trap(lambda z_t, y: _ca(_errors(z_t, y).mean(0, keepdim=True))[0],
                 "one weight a teacher, [M]: cross_entropy with its default reduction takes the mean over the batch; "
                 "with reduction='none' each sample gets a row, [B, M]"),
            Trap(lambda z_t, y: _ca(_errors(z_t, y)).mean(0, keepdim=True).expand(z_t.shape[1], -1),
                 "the weights are averaged over the batch; return a row a sample"),
            Trap(lambda z_t, y: _ca(_errors(z_t, y)).T,
                 "this is [M, B]; return [B, M], a row a sample"),
            Trap(lambda z_t, y: (1 - F.softmax(_errors(z_t, y), dim=1)) / len(z_t),
                 "the divisor is M − 1: Σ_m (1 − s_m) = M − 1, as the s_m sum to 1"),
            Trap(lambda z_t, y: (1 - F.normalize(_errors(z_t, y), p=1, dim=1)) / (len(z_t) - 1),
                 "these are shares of the cross-entropy itself, CE/ΣCE; CA-MKD takes the softmax of CE"),
            Trap(lambda z_t, y: 1 - F.normalize(_errors(z_t, y), p=1, dim=1),
                 "these are shares of the cross-entropy itself, CE/ΣCE, where the softmax of CE belongs; and the rows "
                 "sum to M − 1: divide by it"),
            Trap(lambda z_t, y: F.softmax((-_errors(z_t, y)).exp(), dim=1),
                 "this is the softmax of the probabilities of the label, all between 0 and 1, so that the weights "
                 "hardly differ; CA-MKD starts from the cross-entropies"),
            Trap(lambda z_t, y: _ca(_own_errors(z_t)),
                 "the cross-entropy is with the teacher's own answer, so a teacher that is sure and wrong is trusted; "
                 "use the label"),
            Trap(lambda z_t, y: F.softmax(z_t, dim=2).gather(2, y.expand(len(z_t), -1)[:, :, None])[:, :, 0].T,
                 "this softmax runs over the classes and gives the probabilities of the labels, which do not sum to 1; "
                 "the softmax of the weights runs over the teachers"),
            Trap(lambda z_t, y: _ca(_entropies(z_t)),
                 "the labels are not used: an entropy is low for a teacher that is sure and wrong too; use the "
                 "cross-entropy with the label"),
        ),
        extremes=_weight_extremes,
    ),
    "08.3": Exercise(
        _gate_loss,
        _gate_cases,
        (
            Trap(lambda g, z_t, y: (F.softmax(g, dim=1) * _errors(z_t, y)).sum(1).mean(),
                 "this is the weighted mean of the teachers' errors, Σ w·(−log p), never below −log Σ w·p: take the "
                 "logarithm of the mixture, not the mixture of logarithms"),
            Trap(lambda g, z_t, y: _mixture(F.log_softmax(g, dim=1), z_t, y).sum(),
                 "this is the sum over the batch; take the mean over samples"),
            Trap(lambda g, z_t, y: _mixture(F.log_softmax(g, dim=0), z_t, y).mean(),
                 "the softmax runs over the batch; each sample has weights of its own that sum to 1 (dim=1)"),
            Trap(lambda g, z_t, y: _mixture(F.logsigmoid(g), z_t, y).mean(),
                 "sigmoids do not sum to 1 over the teachers; use a softmax"),
            Trap(lambda g, z_t, y: _mixture(g, z_t, y).mean(),
                 "the gate's outputs are logits: without log_softmax the loss falls without end as they grow"),
            Trap(lambda g, z_t, y: F.cross_entropy((F.softmax(g, dim=1).T[:, :, None] * z_t).sum(0), y),
                 "the teachers' logits are mixed; mix their probabilities"),
            Trap(lambda g, z_t, y: F.cross_entropy((F.softmax(g, 1).T[:, :, None] * F.softmax(z_t, 2)).sum(0), y),
                 "F.cross_entropy takes logits and applies a softmax; the mixture is made of probabilities already: "
                 "take −log of the one of the label (F.nll_loss of the logarithm)"),
            Trap(lambda g, z_t, y: _mixture(F.log_softmax(g, dim=1), z_t, y),
                 "these are the values of the samples, [B]; return their mean, a scalar"),
            Trap(lambda g, z_t, y: -(F.log_softmax(g, dim=1) - _errors(z_t, y)).max(dim=1).values.mean(),
                 "only the largest term of the sum over the teachers is kept; use logsumexp, not max"),
            Trap(lambda g, z_t, y: -F.softmax(g, dim=1).mul((-_errors(z_t, y)).exp()).sum(1).mean(),
                 "the logarithm is missing"),
            Trap(lambda g, z_t, y: -_gate_loss(g, z_t, y),
                 "the sign is wrong: this falls as the mixture gets worse"),
            Trap(lambda g, z_t, y: -_mixture(F.log_softmax(g, dim=1), z_t, y).neg().exp().mean().log(),
                 "the mean over samples comes before the logarithm; take −log of each sample's probability, then the "
                 "mean"),
            Trap(lambda g, z_t, y: _mixture(F.log_softmax(g, dim=1).exp().mean(0, keepdim=True).log(), z_t, y).mean(),
                 "the weights are averaged over the batch; each sample has its own"),
        ),
        extremes=_gate_extremes,
        gradient_of=(0,),
    ),
}  # fmt: skip
