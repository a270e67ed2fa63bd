"""Exercises of chapter 7: one step of PS-KD, leaving at a confident exit, the smoothing hidden in a virtual teacher."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _step(
    previous: Tensor,
    positions: Tensor,
    y: Tensor,
    z: Tensor,
    alpha: float,
    epoch: int,
    epochs: int,
    *,
    share: Callable[[float, int, int], float] = lambda alpha, epoch, epochs: alpha * (epoch + 1) / epochs,
    read_by: str = "sample",
    written_by: str = "sample",
    kept: Callable[[Tensor], Tensor] = lambda z: F.softmax(z, dim=1).detach(),
    swapped: bool = False,
    write_first: bool = False,
) -> tuple[Tensor, Tensor]:
    """Targets of the batch and the buffer after it, or one of the ways to get them wrong."""
    places = {"sample": positions, "batch": torch.arange(len(positions))}
    updated = previous.clone()
    updated[places[written_by]] = kept(z)
    recalled = (updated if write_first else previous)[places[read_by]]
    weight = share(alpha, epoch, epochs)
    weight = 1 - weight if swapped else weight
    return (1 - weight) * F.one_hot(y, previous.shape[1]) + weight * recalled, updated


def _step_cases() -> list[tuple]:
    """(epoch, epochs, α, N, B, K, classes in the batch): in epoch 0 the buffer holds the labels."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    settings = [(0, 10, 0.8, 12, 4, 5, 5), (1, 10, 0.8, 12, 4, 5, 5), (3, 10, 0.8, 12, 4, 5, 4),
                (9, 10, 0.3, 12, 4, 5, 5), (3, 6, 0.8, 9, 6, 4, 4)]  # fmt: skip
    for epoch, epochs, alpha, samples, batch, classes, present in settings:
        previous = F.softmax(2 * torch.randn(samples, classes, generator=generator), dim=1)
        positions = torch.randperm(samples, generator=generator)[:batch]
        y = torch.randint(present, (batch,), generator=generator)
        z = 3 * torch.randn(batch, classes, generator=generator)
        if epoch == 0:
            previous = F.one_hot(previous.argmax(dim=1), classes).to(previous.dtype)
            y = previous[positions].argmax(dim=1)
        cases.append((previous, positions, y, z, alpha, epoch, epochs))
    return cases


def _step_extremes() -> list[tuple]:
    return [(*case[:3], *stretched(case[3]), *case[4:]) for case in _step_cases()]


def _stores_the_targets(previous: Tensor, positions: Tensor, *rest) -> tuple[Tensor, Tensor]:
    targets, updated = _step(previous, positions, *rest)
    updated[positions] = targets
    return targets, updated


def _present_prediction(
    previous: Tensor, positions: Tensor, y: Tensor, z: Tensor, alpha: float, epoch: int, epochs: int
) -> tuple[Tensor, Tensor]:
    """The target is made of what the student says now, with its gradient."""
    share = alpha * (epoch + 1) / epochs
    targets = (1 - share) * F.one_hot(y, previous.shape[1]) + share * F.softmax(z, dim=1)
    return targets, _step(previous, positions, y, z, alpha, epoch, epochs)[1]


def _changed_step(**change) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda *case: _step(*case, **change)


def _leave(logits: Tensor, threshold: float, *, confidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """First exit whose confidence exceeds the threshold (else the last), and the class that it predicts."""
    confidence = F.softmax(logits, dim=2).amax(dim=2) if confidence is None else confidence
    sure = confidence > threshold
    sure[-1] = True
    return _predicted(logits, sure.int().argmax(dim=0))


def _predicted(logits: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    return chosen, logits.argmax(dim=2)[chosen, torch.arange(logits.shape[1])]


def _leave_or_first(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Where no exit is sure, argmax gives exit 0."""
    return _predicted(logits, (F.softmax(logits, dim=2).amax(dim=2) > threshold).int().argmax(dim=0))


def _leave_at_the_threshold(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    return _leave(logits, math.nextafter(threshold, 0.0), confidence=F.softmax(logits, dim=2).amax(dim=2).double())


def _most_confident(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    return _predicted(logits, F.softmax(logits, dim=2).amax(dim=2).argmax(dim=0))


def _last_sure(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The deepest exit that is confident, or the last: that is always the last one if it is confident."""
    sure = F.softmax(logits, dim=2).amax(dim=2) > threshold
    exits = len(logits)
    return _predicted(logits, torch.where(sure.any(dim=0), exits - 1 - sure.flip(0).int().argmax(dim=0), exits - 1))


def _all_of_the_exit(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Exits alone as the index give the answers for all images at each of these exits, [batch, batch]."""
    exits, _ = _leave(logits, threshold)
    return exits, logits.argmax(dim=2)[exits]


def _entropy(logits: Tensor) -> Tensor:
    return -(F.softmax(logits, dim=2) * F.log_softmax(logits, dim=2)).sum(dim=2)


def _all_leave(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    confidence = F.softmax(logits, dim=2).amax(dim=2)
    return _leave(logits, threshold, confidence=confidence.mean(dim=1, keepdim=True).expand_as(confidence).clone())


def _exit_cases() -> list[tuple]:
    """Three exits and eight images; some are sure early, some late, some never, and the last one errs too.

    Then two images at the edge: at the first exits their largest probability is the threshold itself. Then two exits
    and four.
    """
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 8, 4, generator=generator) * torch.tensor([1.5, 2.5, 3.5]).view(3, 1, 1)
    edge = torch.tensor([[[0.0, 0.0, -500.0, -500.0]] * 2, [[0.0, -500.0, -500.0, 0.0], [0.0, 3.0, 0.0, 0.0]]])
    others = [
        (3 * torch.randn(exits, batch, classes, generator=generator), threshold)
        for exits, batch, classes, threshold in ((2, 6, 5, 0.8), (4, 9, 3, 0.97))
    ]
    edge = torch.cat([edge, torch.tensor([[[0.0, 0.0, 5.0, 0.0]] * 2])])
    return [(logits, 0.6), (logits, 0.8), (logits, 0.97), (-logits, 0.5), (edge, 0.5), *others]


def _exit_extremes() -> list[tuple]:
    return [(*stretched(logits), threshold) for logits, threshold in _exit_cases()[:2]]


EXERCISES = {
    "07.1": Exercise(
        _step,
        _step_cases,
        (
            Trap(_changed_step(read_by="batch", written_by="batch"),
                 "the predictions are kept by place in the batch; after shuffling another image stands there. Use "
                 "positions as the key"),
            Trap(_changed_step(read_by="batch"),
                 "you read by place in the batch and write by position; read and write with the same key, positions"),
            Trap(_changed_step(written_by="batch"),
                 "you read by position and write by place in the batch; read and write with the same key, positions"),
            Trap(lambda *case: (_step(*case)[0], F.softmax(case[3].detach(), dim=1)),
                 "these are the batch's predictions; return the whole buffer [N, K], with this batch's rows replaced"),
            Trap(lambda *case: _step(*case)[0],
                 "these are the targets; return a pair, the targets and the buffer after this step"),
            Trap(_stores_the_targets,
                 "the buffer holds the mixed target; store what the student said, softmax(z)"),
            Trap(_present_prediction,
                 "the target is made of the present prediction, and its gradient flows; take the previous one from the "
                 "buffer"),
            Trap(_changed_step(kept=lambda z: F.softmax(z, dim=0).detach()),
                 "the softmax runs over the batch (dim 0); it belongs over the classes (dim 1)"),
            Trap(_changed_step(kept=lambda z: F.softmax(z, dim=1)),
                 "the buffer keeps the gradient of this batch; detach what you store"),
            Trap(_changed_step(write_first=True),
                 "the buffer is written before it is read, so that the target is the prediction of this very step"),
            Trap(_changed_step(write_first=True, kept=lambda z: F.softmax(z, dim=1)),
                 "the buffer is written before it is read, and not detached"),
            Trap(_changed_step(share=lambda alpha, epoch, epochs: alpha),
                 "the share of the prediction is the same in every epoch; let it grow, alpha·(epoch + 1)/epochs"),
            Trap(_changed_step(share=lambda alpha, epoch, epochs: alpha * (epoch + 1) / 10),
                 "the training always lasts 10 epochs here: divide by `epochs`"),
            Trap(_changed_step(share=lambda alpha, epoch, epochs: alpha * epoch / epochs),
                 "the schedule is one epoch late: epochs count from 0, so that the share is alpha·(epoch + 1)/epochs"),
            Trap(_changed_step(share=lambda alpha, epoch, epochs: alpha * epoch / (epochs - 1)),
                 "this schedule starts at 0 in the first epoch; the share is alpha·(epoch + 1)/epochs"),
            Trap(_changed_step(share=lambda alpha, epoch, epochs: alpha * (1 - epoch / epochs)),
                 "the share falls during the training; it has to grow"),
            Trap(_changed_step(swapped=True),
                 "the two shares are exchanged: alpha is the weight of the past, the labels keep the rest"),
            Trap(_changed_step(kept=lambda z: z.detach()),
                 "the buffer holds logits; a target needs probabilities, so store the softmax"),
            Trap(_changed_step(kept=lambda z: F.log_softmax(z, dim=1).detach()),
                 "the buffer holds log-probabilities; store probabilities"),
            Trap(lambda *case: (_step(*case)[0], case[0]),
                 "the buffer did not change: write this batch's predictions into it, at positions"),
            Trap(lambda *case: tuple(reversed(_step(*case))), "right, but return (targets, buffer), in this order"),
        ),
        extremes=_step_extremes,
        gradient_of=(3,),
    ),
    "07.2": Exercise(
        _leave,
        _exit_cases,
        (
            Trap(_leave_at_the_threshold,
                 "an image whose largest probability equals the threshold leaves here; it has to exceed it"),
            Trap(_leave_or_first,
                 "an image of which no exit is sure leaves at the first one (argmax of a row without True is 0); it "
                 "has to go on to the last"),
            Trap(_most_confident,
                 "this takes the most confident exit, which means computing all of them; take the first that is sure"),
            Trap(_last_sure,
                 "this takes the last exit that is sure, which means computing all of them; take the first"),
            Trap(_all_leave,
                 "the whole batch leaves together, by its mean confidence; decide for each image"),
            Trap(lambda logits, threshold: _leave(logits, threshold, confidence=logits.amax(dim=2)),
                 "the threshold is compared with a logit; the confidence is the largest probability of the softmax"),
            Trap(lambda logits, threshold: _leave(logits, threshold, confidence=F.softmax(logits, dim=0).amax(dim=2)),
                 "the softmax runs over the exits (dim 0); it belongs over the classes (dim 2)"),
            Trap(lambda logits, threshold: _leave(logits, threshold, confidence=F.softmax(logits, dim=1).amax(dim=2)),
                 "the softmax runs over the batch (dim 1); it belongs over the classes (dim 2)"),
            Trap(lambda logits, threshold: _leave(logits, threshold, confidence=_entropy(logits)),
                 "the entropy is compared with the threshold; a low entropy means sure, and here the largest "
                 "probability decides"),
            Trap(lambda logits, threshold: _leave(logits, -threshold, confidence=-_entropy(logits)),
                 "a low entropy means sure, as in BranchyNet; here the largest probability decides"),
            Trap(lambda logits, threshold: _leave(logits, -threshold, confidence=-F.softmax(logits, dim=2).amax(dim=2)),
                 "images leave when they are unsure; the confidence has to exceed the threshold"),
            Trap(_all_of_the_exit,
                 "the classes are [batch, batch]: [exit] alone takes every image of that exit; index with "
                 "[exit, arange(batch)]"),
            Trap(lambda logits, threshold: (_leave(logits, threshold)[0], logits[-1].argmax(dim=1)),
                 "the exits are right, but the classes are those of the last exit; an image takes the answer of the "
                 "exit where it leaves"),
            Trap(lambda logits, threshold: _leave(logits, 1 - threshold),
                 "images leave when the confidence exceeds 1 − threshold; compare it with the threshold itself"),
            Trap(lambda logits, threshold: tuple(reversed(_leave(logits, threshold))),
                 "right, but return (exits, classes), in this order"),
            Trap(lambda logits, threshold: (_leave(logits, threshold)[0] + 1, _leave(logits, threshold)[1]),
                 "the exits are counted from 1; count from 0"),
        ),
        extremes=_exit_extremes,
    ),
    "07.3": Exercise(
        lambda a, weight, classes: weight * (1 - a) * classes / (classes - 1),
        lambda: [(0.9, 0.5, 10), (0.99, 0.1, 100), (0.8, 1.0, 4)],
        (
            Trap(lambda a, weight, classes: weight * (1 - a),
                 "this is what the wrong classes get together; smoothing spreads ε over all K classes, the right one "
                 "too, so multiply by K/(K − 1)"),
            Trap(lambda a, weight, classes: weight * (1 - a) * classes,
                 "K − 1 wrong classes share 1 − a: one gets w(1 − a)/(K − 1)"),
            Trap(lambda a, weight, classes: weight * (1 - a) / classes,
                 "K − 1 wrong classes, not K, share 1 − a; that gives the target of one of them, and ε is K times it"),
            Trap(lambda a, weight, classes: (1 - a) * classes / (classes - 1),
                 "this forgets that the virtual teacher has only the weight w; the labels have 1 − w"),
            Trap(lambda a, weight, classes: weight * (1 - a) / (classes - 1),
                 "this is the target of one wrong class; ε is K times that"),
            Trap(lambda a, weight, classes: weight * (1 - a) * (classes - 1) / classes,
                 "the factor is turned round: (K − 1)·ε/K = w·(1 − a), solve it for ε"),
            Trap(lambda a, weight, classes: weight * a * classes / (classes - 1),
                 "a is what the right class gets; the wrong ones share 1 − a"),
            Trap(lambda a, weight, classes: (1 - weight) * (1 - a) * classes / (classes - 1),
                 "w and 1 − w are exchanged: w is the virtual teacher's"),
            Trap(lambda a, weight, classes: 1 - a,
                 "this forgets the weight w of the virtual teacher, and that smoothing gives the right class a part of "
                 "ε too"),
        ),
    ),
}  # fmt: skip
