"""Exercises of chapter 13: the losses of peers that teach each other, their ensemble, and their disagreement."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import losses
from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _peers(seed: int, count: int, batch: int, classes: int) -> tuple[Tensor, Tensor]:
    """Logits ``[B, M, K]`` of peers that are often, but not always, of one opinion; and labels ``[B]``."""
    generator = torch.Generator().manual_seed(seed)
    shared = 2 * torch.randn(batch, 1, classes, generator=generator)
    scale = torch.linspace(0.5, 3, count).view(1, count, 1)
    logits = scale * (shared + torch.randn(batch, count, classes, generator=generator))
    return logits, torch.randint(classes, (batch,), generator=generator)


def _loss_cases() -> list[tuple]:
    cases = []
    for seed, (count, batch) in enumerate([(3, 8), (2, 6), (4, 4)]):
        logits, targets = _peers(seed, count, batch, 10 - seed)
        cases.append((list(logits.unbind(dim=1)), targets))
    return cases


def _loss_extremes() -> list[tuple]:
    return [(list(stretched(*logits)), targets) for logits, targets in _loss_cases()]


def _losses(logits: list[Tensor], targets: Tensor) -> list[Tensor]:
    return losses.mutual_losses(logits, targets)


def _each(logits: list[Tensor], targets: Tensor, term, *, mean: bool = True, myself: bool = False) -> list[Tensor]:
    """CE of each peer plus ``term(own, other)``, averaged or summed over the others."""
    found = []
    for i, own in enumerate(logits):
        taught = [term(own, other) for j, other in enumerate(logits) if myself or j != i]
        found.append(F.cross_entropy(own, targets) + sum(taught) / (len(taught) if mean else 1))
    return found


def _kl(own: Tensor, other: Tensor) -> Tensor:
    return losses.kd_loss(own, other.detach(), 1.0)


def _reverse(own: Tensor, other: Tensor) -> Tensor:
    return losses.kd_loss(other.detach(), own, 1.0)


def _attached(own: Tensor, other: Tensor) -> Tensor:
    """KL(p_other ‖ p_own) with a gradient to both."""
    log_p, log_q = F.log_softmax(other, dim=1), F.log_softmax(own, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def _reverse_attached(own: Tensor, other: Tensor) -> Tensor:
    return _attached(other, own)


def _probabilities_first(own: Tensor, other: Tensor) -> Tensor:
    return F.kl_div(F.softmax(own, dim=1), F.softmax(other.detach(), dim=1), reduction="batchmean")


def _to_mixture(logits: list[Tensor], targets: Tensor) -> list[Tensor]:
    """CE plus the divergence from the mean prediction of the others."""
    found = []
    for i, own in enumerate(logits):
        others = torch.stack([F.log_softmax(one.detach(), dim=1) for j, one in enumerate(logits) if j != i])
        log_mean = torch.logsumexp(others, dim=0)  # up to log(M − 1), which softmax does not see
        found.append(F.cross_entropy(own, targets) + losses.kd_loss(own, log_mean, 1.0))
    return found


def _mean_of_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    return F.softmax(logits / temperature, dim=2).mean(dim=1)


def _clear(logits: Tensor, margin: float) -> Tensor:
    """The images on which the most probable class is ahead by a margin."""
    first, second = _mean_of_probabilities(logits.double()).topk(2, dim=1).values.unbind(dim=1)
    return logits[first - second > margin]


def _temperature_matters() -> Tensor:
    """Images on which a temperature of 0.95 or 1.05 changes the answer."""
    logits = _clear(_peers(3, 3, 4000, 10)[0], 1e-3)
    predicted = _mean_of_probabilities(logits).argmax(dim=1)
    others = [_mean_of_probabilities(logits, temperature).argmax(dim=1) for temperature in (0.95, 1.05)]
    return torch.cat([logits[other != predicted] for other in others])


def _prediction_cases() -> list[tuple]:
    """The fourth holds three images on which a second softmax changes the answer, the fifth one near a tie."""
    sizes = [(0, 3, 40), (1, 2, 30), (2, 4, 4), (27, 3, 40)]
    near = torch.zeros(1, 2, 10).index_fill(2, torch.tensor([2]), 8.0).index_fill(2, torch.tensor([5]), 8.003)
    return [(_peers(seed, count, batch, 10)[0],) for seed, count, batch in sizes] + [(near,), (_temperature_matters(),)]


def _prediction_extremes() -> list[tuple]:
    """Logits of ±10⁴ of three peers, two of which agree; and many that are large, such as 9000 against 10000."""
    classes = torch.tensor([[1, 1, 4], [3, 0, 3], [2, 5, 5], [6, 6, 2]])
    many = _clear(*stretched(_peers(4, 3, 40, 10)[0]), 0.1)
    return [(1e4 * (2.0 * F.one_hot(classes, 10) - 1),), (many,), (many + 1e4 - many.amax(dim=2, keepdim=True),)]


def _majority(logits: Tensor) -> Tensor:
    return F.one_hot(logits.argmax(dim=2), logits.shape[2]).sum(dim=1).argmax(dim=1)


def _differ(first: Tensor, second: Tensor) -> float:
    return float((first != second).double().mean())


def _pairs(logits: Tensor) -> list[float]:
    """The disagreement of each pair of peers."""
    predicted = logits.argmax(dim=2).unbind(dim=1)
    return [_differ(*pair) for pair in itertools.combinations(predicted, 2)]


def _from_ensemble(logits: Tensor) -> float:
    together = F.softmax(logits, dim=2).mean(dim=1).argmax(dim=1)
    return _mean([_differ(one, together) for one in logits.argmax(dim=2).unbind(dim=1)])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _split_vote(logits: Tensor) -> float:
    predicted = logits.argmax(dim=2)
    return float((predicted != predicted[:, :1]).any(dim=1).double().mean())


EXERCISES = {
    "13.1": Exercise(
        _losses,
        _loss_cases,
        (
            Trap(lambda z, y: _each(z, y, _attached),
                 "the values are right, but each loss also moves the other peers: detach the peer that teaches"),
            Trap(lambda z, y: _each(z, y, _reverse),
                 "the KL is the wrong way round: the peer that teaches comes first, KL(p_j ‖ p_i); "
                 "F.kl_div(log_p_i, p_j) is that"),
            Trap(lambda z, y: _each(z, y, _reverse_attached),
                 "the KL is the wrong way round, and nothing is detached: KL(p_j ‖ p_i), with p_j detached"),
            Trap(lambda z, y: _each(z, y, _kl, mean=False),
                 "this sums over the other peers: divide by M − 1, else the labels count less with every peer more"),
            Trap(lambda z, y: _each(z, y, _attached, mean=False),
                 "this sums over the other peers (divide by M − 1), and nothing is detached"),
            Trap(lambda z, y: _each(z, y, lambda own, other: _attached(own.detach(), other)),
                 "the wrong side is detached: p_j, the peer that teaches, is the constant; p_i learns"),
            Trap(lambda z, y: _each(z, y, lambda own, other: _kl(own, other) * len(own)),
                 "the KL is summed over the batch: take the mean over images, as cross-entropy does"),
            Trap(lambda z, y: _each(z, y, lambda own, other: _kl(own, other) / own.shape[1]),
                 "the KL is divided by the number of classes too: reduction='batchmean', not 'mean'"),
            Trap(lambda z, y: _each(z, y, lambda own, other: _attached(own, other) / own.shape[1]),
                 "the KL is divided by the number of classes too (reduction='batchmean', not 'mean'), and nothing is "
                 "detached"),
            Trap(lambda z, y: _each(z, y, _probabilities_first),
                 "F.kl_div takes log-probabilities first: F.kl_div(log_p_i, p_j), with F.log_softmax for the first"),
            Trap(lambda z, y: _each(z, y, _kl, myself=True),
                 "smaller than expected: divided by M, as if each peer were its own teacher too (KL(p_i ‖ p_i) = 0); "
                 "the mean is over the M − 1 others"),
            Trap(lambda z, y: _each(z, y, _attached, myself=True),
                 "each peer is its own teacher too (leave j = i out, divide by M − 1), and nothing is detached"),
            Trap(_to_mixture,
                 "this is the KL from the mean prediction of the others; the paper takes the mean of the divergences"),
            Trap(lambda z, y: sum(_losses(z, y)),
                 "this is the sum over the peers: return a list, one loss a peer"),
        ),
        extremes=_loss_extremes,
        gradient_of=(0,),
        parts=(
            ("the peers' term", lambda z, y: losses.peer_divergences(z)),
            ("the labels' term", lambda z, y: [F.cross_entropy(own, y) for own in z]),
        ),
    ),
    "13.2": Exercise(
        lambda z: _mean_of_probabilities(z).argmax(dim=1),
        _prediction_cases,
        (
            Trap(lambda z: z.mean(dim=1).argmax(dim=1),
                 "this averages the logits (or multiplies the probabilities: the same), where the peer with the "
                 "largest logits decides; average the probabilities"),
            Trap(_majority,
                 "this is a majority vote, which forgets how sure each peer is; average the probabilities"),
            Trap(lambda z: F.softmax(z, dim=1).mean(dim=1).argmax(dim=1),
                 "the softmax runs over the peers; logits are [N, M, K], so the classes are dim=2"),
            Trap(lambda z: F.softmax(F.softmax(z, dim=2), dim=2).mean(dim=1).argmax(dim=1),
                 "the softmax is taken twice, which makes all peers almost equally sure: once is enough"),
            Trap(lambda z: F.softmax(z, dim=2).amax(dim=1).argmax(dim=1),
                 "the surest peer alone decides; take the mean over the peers"),
            Trap(lambda z: z[:, 0].argmax(dim=1), "this is the first peer alone"),
            Trap(lambda z: F.softmax(z, dim=2).mean(dim=1),
                 "these are the mean probabilities, [N, K]: return the most probable class, [N]"),
            Trap(lambda z: z.argmax(dim=2), "these are the classes of each peer, [N, M]: combine the peers first"),
        ),
        extremes=_prediction_extremes,
    ),
    "13.3": Exercise(
        lambda z: _mean(_pairs(z)),
        _prediction_cases,
        (
            Trap(lambda z: 1 - _mean(_pairs(z)), "this is the agreement; the disagreement is 1 minus it"),
            Trap(_split_vote,
                 "this counts the images on which not all peers agree, which grows with M; average over pairs"),
            Trap(lambda z: _mean(_pairs(z)) * (z.shape[1] - 1) / z.shape[1],
                 "each peer is compared with itself too: leave those pairs out (divide by M(M − 1)/2 pairs)"),
            Trap(lambda z: sum(_pairs(z)), "this sums over the pairs: divide by their number, M(M − 1)/2"),
            Trap(lambda z: 2 * sum(_pairs(z)), "this sums over the ordered pairs: divide by their number, M(M − 1)"),
            Trap(lambda z: 2 * _mean(_pairs(z)), "each pair is counted twice: divide by the number of ordered pairs"),
            Trap(lambda z: _pairs(z)[0], "these are the first two peers alone; average over all pairs"),
            Trap(_from_ensemble,
                 "this compares each peer with the ensemble; compare the peers with each other, pair by pair"),
            Trap(lambda z: _mean(_pairs(z)) * len(z), "this is a number of images: divide by N"),
            Trap(lambda z: 100 * _mean(_pairs(z)), "return a fraction in 0 … 1, not percent"),
        ),
        extremes=_prediction_extremes,
    ),
}  # fmt: skip
