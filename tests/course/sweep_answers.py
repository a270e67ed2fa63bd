"""What the sweep cannot make from a reference alone: terms, boundaries, other right solutions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from kdnotes import losses, models
from kdnotes.lab import power

Answer = Callable[..., Any]


def kl(z_s: Tensor, z_t: Tensor, temperature: float = 1.0) -> Tensor:
    """T²·KL(p_t ‖ p_s), one value a sample."""
    log_s, log_t = (F.log_softmax(z / temperature, dim=-1) for z in (z_s, z_t))
    return temperature**2 * (log_t.exp() * (log_t - log_s)).sum(-1)


def by_kl_div(z_s: Tensor, z_t: Tensor, temperature: float) -> Tensor:
    p_t = F.softmax(z_t / temperature, dim=1)
    return temperature**2 * F.kl_div(
        F.log_softmax(z_s / temperature, dim=1), p_t, reduction="batchmean"
    )


def by_logsumexp(z_s: Tensor, z_t: Tensor, temperature: float) -> Tensor:
    log_s, log_t = (
        z / temperature - (z / temperature).logsumexp(1, keepdim=True) for z in (z_s, z_t)
    )
    return temperature**2 * (log_t.exp() * (log_t - log_s)).sum() / len(z_s)


def decoupled(z_s: Tensor, z_t: Tensor, y: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD of each sample, with T²."""
    is_target = F.one_hot(y, z_s.shape[1]).bool()
    pairs = []
    for z in (z_s / temperature, z_t / temperature):
        others = z.masked_fill(is_target, -torch.inf)
        binary = torch.stack([z[is_target], others.logsumexp(1)], dim=1)
        pairs.append((binary, z[~is_target].view(len(z), -1)))
    (binary_s, others_s), (binary_t, others_t) = pairs
    return temperature**2 * kl(binary_s, binary_t), temperature**2 * kl(others_s, others_t)


def ramp(epoch: int, warmup: int) -> float:
    return min(epoch / warmup, 1.0) if warmup else 1.0


def hint_parts(
    student: Tensor, teacher: Tensor, weight: Tensor, bias: Tensor, square=None, detach=True
) -> Tensor:
    """The hint of ``Hint``; ``square`` says which images count."""
    teacher = teacher.detach() if detach else teacher
    size = [min(pair) for pair in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    one, other = (F.adaptive_avg_pool2d(feature, size) for feature in (student, teacher))
    squares = (F.conv2d(one, weight[:, :, None, None], bias) - other).square()
    return squares.mean() if square is None else squares[square].sum() / squares.numel()


def peer_terms(z: list[Tensor], y: Tensor, detach: bool = True) -> list[Tensor]:
    found = []
    for i, own in enumerate(z):
        others = [other.detach() if detach else other for j, other in enumerate(z) if j != i]
        found.append(sum(kl(own, other).mean() for other in others) / len(others))
    return found


def _peer_losses(z: list[Tensor], y: Tensor, detach: bool = True) -> list[Tensor]:
    return [
        F.cross_entropy(own, y) + term
        for own, term in zip(z, peer_terms(z, y, detach), strict=True)
    ]


def attention(feature: Tensor) -> Tensor:
    energy = feature.square().sum(1).flatten(1)
    return energy / energy.norm(dim=1, keepdim=True)


def attention_pair(place: int) -> Answer:
    def part(students: list[Tensor], teachers: list[Tensor]) -> Tensor:
        if place >= len(students):
            return torch.zeros(())
        return (attention(students[place]) - attention(teachers[place])).square().mean()

    return part


def _speaks(step: int, steps: int, until: float) -> bool:
    return step / steps < until


def _target_part(z_s, z_t, y, temperature, keep):
    """(1 − p_t,y)·NCKD of some of the samples, as their share of the mean."""
    p_y = F.softmax(z_t / temperature, dim=1).gather(1, y[:, None]).squeeze(1)
    each = (1 - p_y) * decoupled(z_s, z_t, y, temperature)[1]
    return each[keep].sum() / len(y)


EVEN, ODD = slice(0, None, 2), slice(1, None, 2)

# Terms that add up to the answer: of the formula, or those of every other sample or teacher.
PARTS: dict[str, tuple[Answer, ...]] = {
    "SoftLoss": tuple(
        lambda z_s, z_t, t, k=k: kl(z_s, z_t, t)[k].sum() / len(z_s) for k in (EVEN, ODD)
    ),
    "WholeLoss": (
        lambda z_s, z_t, y, t, a: a * F.cross_entropy(z_s, y),
        lambda z_s, z_t, y, t, a: (1 - a) * kl(z_s, z_t, t).mean(),
    ),
    "Terms": (
        lambda *case: [decoupled(*case)[0].mean(), torch.zeros(())],
        lambda *case: [torch.zeros(()), decoupled(*case)[1].mean()],
    ),
    "NonTargetPart": tuple(lambda *case, k=k: _target_part(*case, k) for k in (EVEN, ODD)),
    "DKD": (
        lambda z_s, z_t, y, t, a, b, epoch, warmup: F.cross_entropy(z_s, y),
        lambda z_s, z_t, y, t, a, b, epoch, warmup: (
            ramp(epoch, warmup) * a * decoupled(z_s, z_t, y, t)[0].mean()
        ),
        lambda z_s, z_t, y, t, a, b, epoch, warmup: (
            ramp(epoch, warmup) * b * decoupled(z_s, z_t, y, t)[1].mean()
        ),
    ),
    "WeightedTeachers": tuple(
        lambda z_s, z_t, w, t, k=k: (
            (w.T * torch.stack([kl(z_s, z, t) for z in z_t]))[k].sum() / len(z_s)
        )
        for k in (slice(0, 1), slice(1, None))
    ),
    "MaskedKL": tuple(
        lambda z_s, z_t, m, t, k=k: kl(z_s[m], z_t[m], t)[k].sum() / m.sum() for k in (EVEN, ODD)
    ),
    "GateLoss": tuple(
        lambda g, z_t, y, k=k: (
            -torch.logsumexp(
                F.log_softmax(g, dim=1)
                - torch.stack([F.cross_entropy(z, y, reduction="none") for z in z_t], dim=1),
                dim=1,
            )[k].sum()
            / len(y)
        )
        for k in (EVEN, ODD)
    ),
    "Hint": tuple(lambda *case, k=k: hint_parts(*case, square=k) for k in (EVEN, ODD)),
    "AttentionDistance": (attention_pair(0), attention_pair(1)),
    "LossWithStop": (
        lambda z, t, y, k, n, u, a, T: (a if _speaks(k, n, u) else 1.0) * F.cross_entropy(z, y),
        lambda z, t, y, k, n, u, a, T: (1 - a if _speaks(k, n, u) else 0.0) * kl(z, t, T).mean(),
    ),
    "PeerLosses": (lambda z, y: [F.cross_entropy(own, y) for own in z], peer_terms),
    "TokenLoss": (
        lambda one, two, z_t, y, a: a * F.cross_entropy(one, y),
        lambda one, two, z_t, y, a: (1 - a) * F.cross_entropy(two, z_t.argmax(1)),
    ),
}


def _bins(inside: Callable[[Tensor, float, float], Tensor]) -> Answer:
    def answer(confidence: Tensor, correct: Tensor, bins: int) -> float:
        total = 0.0
        for place in range(bins):
            members = inside(confidence, place / bins, (place + 1) / bins)
            if members.any():
                total += float((correct - confidence)[members].sum().abs()) / len(confidence)
        return total

    return answer


def _leaves(sure: Callable[[Tensor, float], Tensor], last: int = -1) -> Answer:
    """``last`` is the exit at which all leave that still go on, if there is one of this number."""

    def answer(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        decided = sure(F.softmax(logits, dim=2).amax(2), threshold).clone()
        decided[last if last < len(logits) else -1] = True
        exits = decided.int().argmax(0)
        return exits, logits.argmax(2)[exits, torch.arange(logits.shape[1])]

    return answer


def _stops(speaks: Callable[[int, int, float], bool]) -> Answer:
    def answer(z, t, y, step, steps, until, alpha, temperature):
        labels = F.cross_entropy(z, y)
        return (
            alpha * labels + (1 - alpha) * kl(z, t, temperature).mean()
            if speaks(step, steps, until)
            else labels
        )

    return answer


def _warmed(factor: Callable[[int, int], float]) -> Answer:
    def answer(z_s, z_t, y, temperature, alpha, beta, epoch, warmup):
        target, others = (term.mean() for term in decoupled(z_s, z_t, y, temperature))
        return F.cross_entropy(z_s, y) + factor(epoch, warmup) * (alpha * target + beta * others)

    return answer


def _ps_kd(share: Callable[[float, int, int], float]) -> Answer:
    def answer(previous, positions, y, z, alpha, epoch, epochs):
        weight = share(alpha, epoch, epochs)
        targets = (1 - weight) * F.one_hot(y, previous.shape[1]) + weight * previous[positions]
        return targets, previous.index_copy(0, positions, F.softmax(z.detach(), dim=1))

    return answer


def _scheduled(fraction: Callable[[int, int], float]) -> Answer:
    return lambda step, steps, first, last: first + (last - first) * fraction(step, steps)


def _facts(rule: Callable[[float, float, float], tuple[bool, bool, bool]]) -> Answer:
    return lambda low, mean, high, smallest: (
        rule(low, high, smallest) if low < high else (False, False, False)
    )


def _zeros_over_zeros(weight: Tensor, bits: int) -> Tensor:
    """NaN in a channel of zeros."""
    scale = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.ndim - 1)) / (
        2 ** (bits - 1) - 1
    )
    return scale * (weight / scale).round()


def _doubled_tail(a: Tensor, b: Tensor) -> float:
    """Above 1 where the two are equally often right alone."""
    u, v = int((a & ~b).sum()), int((b & ~a).sum())
    return 2 * float(stats.binom.cdf(min(u, v), u + v, 0.5))


def _written_by_value(p_values: list[float]) -> list[float]:
    """The first of equal p-values gets what belongs to all of them."""
    out, largest = [0.0] * len(p_values), 0.0
    for rank, value in enumerate(sorted(p_values)):
        largest = max(largest, min((len(p_values) - rank) * value, 1.0))
        out[p_values.index(value)] = largest
    return out


# Wrong at an edge alone.
BOUNDARIES: dict[str, tuple[Answer, ...]] = {
    "CalibrationError": (
        _bins(lambda c, low, high: (c >= low) & (c < high)),  # a confidence of 1 is in no bin
        _bins(lambda c, low, high: (c > low) & (c < high)),
        _bins(lambda c, low, high: (c >= low) & (c <= high)),
        _bins(lambda c, low, high: (c >= low) & ((c < high) | (high == 1))),  # closed on the left
    ),
    "DKD": (
        _warmed(lambda epoch, warmup: min(epoch / max(warmup, 1), 1.0)),
        _warmed(lambda epoch, warmup: min(epoch / warmup, 1.0) if warmup else 0.0),
        _warmed(
            lambda epoch, warmup: (epoch / warmup if epoch < warmup - 1 else 1.0) if warmup else 1.0
        ),
        _warmed(
            lambda epoch, warmup: (
                (epoch / warmup if epoch <= warmup + 1 else 1.0) if warmup else 1.0
            )
        ),
        _warmed(lambda epoch, warmup: min(epoch / (warmup - 1), 1.0) if warmup > 1 else 1.0),
        _warmed(lambda epoch, warmup: min(epoch / 20, 1.0)),
        _warmed(lambda epoch, warmup: min(epoch / 20, 1.0) if warmup else 1.0),
    ),
    "Schedule": (
        _scheduled(lambda step, steps: step / steps),
        _scheduled(lambda step, steps: step / max(steps - 1, 1) if steps > 1 else 1.0),
        _scheduled(lambda step, steps: min((step + 1) / steps, 1.0)),
        _scheduled(lambda step, steps: step / (steps - 1) if steps > 2 else 0.0),
    ),
    "SelfDistillationStep": (
        _ps_kd(lambda alpha, epoch, epochs: alpha * epoch / epochs),
        _ps_kd(lambda alpha, epoch, epochs: alpha * (epoch + 1) / (epochs + 1)),
        _ps_kd(lambda alpha, epoch, epochs: alpha * min(epoch + 2, epochs) / epochs),
        _ps_kd(lambda alpha, epoch, epochs: alpha * (epoch + 1) / 10),
    ),
    "Leave": (
        _leaves(lambda confidence, threshold: confidence >= threshold),
        *(
            _leaves(lambda confidence, threshold: confidence > threshold, last=last)
            for last in (1, 2)
        ),
    ),
    "McNemar": (_doubled_tail, lambda a, b: _doubled_tail(a, b) if bool((a != b).any()) else 1.0),
    "Holm": (_written_by_value,),
    "LossWithStop": (
        _stops(lambda step, steps, until: step / steps <= until),
        _stops(lambda step, steps, until: step < int(until * steps)),
        _stops(lambda step, steps, until: step <= int(until * steps)),
        _stops(lambda step, steps, until: step < round(until * steps)),
        _stops(lambda step, steps, until: step < int(until * steps + 0.5)),
        _stops(lambda step, steps, until: (step + 1) / steps < until),
        _stops(lambda step, steps, until: (step + 1) / steps <= until),
        _stops(lambda step, steps, until: step / (steps - 1) < until),
    ),
    "FakeQuantisation": (_zeros_over_zeros,),
    "Verdict": (
        _facts(lambda low, high, smallest: (low >= 0, low >= smallest, high < smallest)),
        _facts(lambda low, high, smallest: (low > 0, low > smallest, high < smallest)),
        _facts(lambda low, high, smallest: (low > 0, low >= smallest, high <= smallest)),
        _facts(
            lambda low, high, smallest: (low > 0, low > 0 and high >= smallest, high < smallest)
        ),  # 0 excluded, not δ
        lambda low, mean, high, smallest: (
            low > 0,
            low >= smallest,
            high < smallest,
        ),  # without width
        lambda low, mean, high, smallest: (
            not low <= 0,
            not low < smallest,
            not high >= smallest,
        ),  # true of NaN
    ),
}


def _chosen(score: Callable[[Any], Any]) -> Answer:
    return lambda frame: str(
        score(frame.groupby("arm")[["validation_accuracy", "test_accuracy"]].mean()).idxmax()
    )


def _best_test_of(count: int) -> Answer:
    """Of the arms that are best on validation, the one that is best on test."""

    def answer(frame):
        means = frame.groupby("arm")[["validation_accuracy", "test_accuracy"]].mean()
        return str(means.nlargest(count, "validation_accuracy")["test_accuracy"].idxmax())

    return answer


def _near_the_best(margin: float) -> Answer:
    def answer(frame):
        means = frame.groupby("arm")[["validation_accuracy", "test_accuracy"]].mean()
        near = means[means["validation_accuracy"] >= means["validation_accuracy"].max() - margin]
        return str(near["test_accuracy"].idxmax())

    return answer


def _pooled_by_ratio(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Each by windows of the whole part of the ratio to the smaller size."""
    size = [min(pair) for pair in zip(one.shape[2:], other.shape[2:], strict=True)]
    return tuple(
        F.avg_pool2d(
            each, [length // least for length, least in zip(each.shape[2:], size, strict=True)]
        )
        for each in (one, other)
    )


def _by_deviation(guard: Callable[[Tensor], Tensor]) -> Answer:
    return lambda z: (z - z.mean(1, keepdim=True)) / guard(z.std(1, keepdim=True))


def _with_some_test(weight: float) -> Answer:
    return lambda frame: str(
        frame.groupby("arm")[["validation_accuracy", "test_accuracy"]]
        .mean()
        .dot([1 - weight, weight])
        .idxmax()
    )


def _batch_norm_evaluating(model, images):
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    with torch.no_grad():
        return model(images)


def _trained_afterwards(model, images):
    with torch.no_grad():
        logits = model.eval()(images)
        model.train()(images)
    return logits


def _evaluating_for_the_call(model, images):
    with torch.no_grad():
        logits = model.eval()(images)
    model.train()
    return logits


def _evaluating_copy(model, images):
    return copy.deepcopy(model).eval().requires_grad_(False)(images)


def _sorted_pairs(a, b):
    return _paired(sorted(a), sorted(b))


def _ensemble_by(softmax: Callable[[Tensor], Tensor]) -> Answer:
    return lambda z: softmax(z).mean(1).argmax(1)


def _clamped_softmax(bound: float) -> Callable[[Tensor], Tensor]:
    return lambda z: (lambda e: e / e.sum(2, keepdim=True))(z.clamp(-bound, bound).exp())


def _facts_of_rounded(low, mean, high, smallest):
    low, high = round(low, 3), round(high, 3)
    return (low > 0, low >= smallest, high < smallest) if low < high else (False, False, False)


def _seeds_below(most: int) -> Answer:
    def answer(treatment, baseline, smallest):
        sd = float(np.std(np.subtract(treatment, baseline), ddof=1))
        return next((n for n in range(2, most) if power(n, smallest, sd) >= 0.8), None)

    return answer


def _control_in(settings: Callable[[dict], dict]) -> Answer:
    """The control, made by changes in place of what ``settings`` makes of the treatment."""

    def answer(treatment, idea):
        control = settings(treatment)
        mean = sum(control["alpha"]) / 2
        control.update({"alpha": (mean, mean)} if idea == "schedule" else {"extra_weight": 0.0})
        return control

    return answer


def _control_and_changed(treatment, idea):
    """A new dictionary, made from a treatment that is changed."""
    return dict(_control_in(lambda settings: settings)(treatment, idea))


def _least_scale(least: float) -> Answer:
    def answer(weight, bits):
        largest = 2 ** (bits - 1) - 1
        scale = (weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / largest).clamp(
            min=least
        )
        return scale * (weight / scale).round().clamp(-largest, largest)

    return answer


# Wrong in a way of its own.
def _relative(distances: Tensor, pairs: Callable[[int], float] = lambda n: n * (n - 1)) -> Tensor:
    mean = distances.sum() / pairs(len(distances))
    return distances / mean if mean > 0 else distances


def _by_length(products: Tensor) -> Tensor:
    return products / products.square().sum(1, keepdim=True).sqrt()


def _audited(loss: Callable, batch: int = 2, scale: float = 2.0) -> tuple:
    """Power, direction and mean, found with other logits than the exercise's own."""
    a = torch.arange(12.0, dtype=torch.double).view(4, 3).sin()
    b = a.flip(0).cos()
    size = loss(a, b, 3.0)
    degree = round(math.log2(loss(scale * a, scale * b, 6.0) / size))
    flat, peak = torch.zeros(1, 2), torch.tensor([[40.0, 0.0]])
    grows = loss(flat, 2 * peak, 1.0) / loss(flat, peak, 1.0) > 1.5
    if loss(a.repeat(batch, 1), b.repeat(batch, 1), 3.0) > 1.5 * size:
        mean = "sum"
    else:
        wide = loss(*(F.pad(z, (0, 3), value=-200.0) for z in (a, b)), 3.0)
        mean = "elements" if wide < 0.75 * size else "images"
    return degree, "reverse" if grows else "forward", mean


def _prefixes(z_s, z_t, mask, temperature):
    """Of strings that count from their beginning on."""
    kept = [(s[:n], t[:n]) for s, t, n in zip(z_s, z_t, mask.sum(1).tolist(), strict=True)]
    return kl(*(torch.cat(one) for one in zip(*kept, strict=True)), temperature).mean()


def _softened_masks(z_s, z_t, mask, temperature):
    """The places that do not count as classes of probability 0."""
    hidden = ~mask[..., None]
    pair = [z.masked_fill(hidden, -torch.inf) for z in (z_s, z_t)]
    return torch.nan_to_num(kl(*pair, temperature)).sum() / mask.sum()


def _weights(p_t, q, drawn, weigh: Callable[[Tensor], Tensor]) -> Tensor:
    ratio = p_t.gather(1, drawn) / q.gather(1, drawn)
    return torch.zeros_like(p_t).scatter_add_(1, drawn, weigh(ratio))


def _audited_by_size(loss: Callable) -> tuple:
    """What fits our own loss in size: a factor inside makes it another one."""
    z_s, z_t = torch.arange(12.0).view(4, 3).sin(), torch.arange(12.0).view(4, 3).cos()
    value, nearest = float(loss(z_s, z_t, 3.0)), {}
    for direction, pair in {"forward": (z_s, z_t), "reverse": (z_t, z_s)}.items():
        for mean, factor in {"images": 1, "elements": 1 / 3, "sum": 4}.items():
            for degree in (0, 1, 2):
                ours = float(by_kl_div(*pair, 3.0)) * factor * 3.0 ** (degree - 2)
                nearest[degree, direction, mean] = abs(math.log(value / ours))
    return min(nearest, key=nearest.get)


def _tokens(answers: Callable[..., Tensor]) -> Answer:
    """DeiT's loss with another second term."""
    return lambda one, two, z_t, y, a: (
        a * F.cross_entropy(one, y) + (1 - a) * answers(one, two, z_t, y)
    )


def _joint(z: Tensor, least: float = 0.0, double: bool = True) -> Tensor:
    """The logarithm of a mean of probabilities, which are 0 or cut off where logits are large."""
    p = F.softmax(z.double() if double else z, 2).mean(1)
    return p.clamp(min=least).log().float()


WRONG: dict[str, tuple[Answer, ...]] = {
    "TokenLoss": (
        _tokens(lambda one, two, z_t, y: F.cross_entropy(two, z_t.argmin(1))),
        _tokens(lambda one, two, z_t, y: F.cross_entropy(two, z_t.argmax(1), label_smoothing=0.1)),
        _tokens(lambda one, two, z_t, y: kl(two, z_t, 3.0).mean()),
        _tokens(lambda one, two, z_t, y: kl(z_t, two).mean()),
        _tokens(lambda one, two, z_t, y: F.mse_loss(two, z_t)),
        _tokens(lambda one, two, z_t, y: F.cross_entropy((one + two) / 2, z_t.argmax(1))),
        _tokens(lambda one, two, z_t, y: F.cross_entropy(two.softmax(1), z_t.argmax(1))),
        _tokens(lambda one, two, z_t, y: F.cross_entropy(two, (z_t + two).argmax(1))),
        _tokens(  # of the images alone on which the teacher is right, or wrong
            lambda one, two, z_t, y: F.cross_entropy(two[z_t.argmax(1) == y], y[z_t.argmax(1) == y])
        ),
        _tokens(
            lambda one, two, z_t, y: (
                (F.cross_entropy(two, z_t.argmax(1)) + F.cross_entropy(two, y)) / 2
            )
        ),
        lambda one, two, z_t, y, a: (
            F.cross_entropy(one, y) + (1 - a) * F.cross_entropy(two, z_t.argmax(1))
        ),
        lambda one, two, z_t, y, a: (
            (a * F.cross_entropy(one, y) + (1 - a) * F.cross_entropy(two, z_t.argmax(1))) / 2
        ),
    ),
    "JointAnswer": (
        _joint,
        lambda z: _joint(z, double=False),
        lambda z: _joint(z, 1e-300),
        lambda z: _joint(z, 1e-12),
        lambda z: F.log_softmax(z, 2).amax(1),
        lambda z: F.log_softmax(z.logsumexp(1), 1),
        lambda z: F.log_softmax(z.amax(1), 1),
        lambda z: F.log_softmax(z[:, :2], 2).logsumexp(1) - math.log(2),
        lambda z: F.log_softmax(z, 2).logsumexp(1) / z.shape[1],
        lambda z: F.log_softmax(F.softmax(z, 2).mean(1), 1),
        lambda z: (F.log_softmax(z, 2).logsumexp(1) - math.log(z.shape[1])).exp(),
    ),
    "Audit": (
        _audited_by_size,
        lambda f: _audited(f, batch=1),
        lambda f: _audited(f, scale=1.0),
        lambda f: (*_audited(f)[:2], "images"),
        lambda f: (2, *_audited(f)[1:]),
        lambda f: (_audited(f)[0], "forward", _audited(f)[2]),
        lambda f: (min(_audited(f)[0], 1) * 2, *_audited(f)[1:]),
        lambda f: {"power": _audited(f)[0]},
    ),
    "LibrarySettings": (
        lambda name, a, t: {"temperature": t, "task_loss_weight": a},
        lambda name, a, t: {"temperature": t, "kd_loss_weight": 1 - a, "reduction": "sum"},
        lambda name, a, t: {"temperature": t, "kd_loss_weight": 1 - a, "reduction": "mean"},
        lambda name, a, t: {"temperature": t},
        lambda name, a, t: (
            {"temperature": t, "task_loss_weight": 1 - a}
            if name == "timm"
            else {"temperature": t, "kd_loss_weight": 1 - a, "reduction": "batchmean"}
        ),
    ),
    "Converted": (
        lambda a, t, k: ((1 - a) * k * t / (a + (1 - a) * k * t), a + (1 - a) * k * t),
        lambda a, t, k: ((1 - a) * k * t**2 / (a + (1 - a) * k * t**2), k * t**2),
        lambda a, t, k: ((1 - a) * k * t**2 / (a + (1 - a) * k * t**2), 1.0),
        lambda a, t, k: (1 - a, k * t**2),
        lambda a, t, k: (a * k * t**2 / (1 - a + a * k * t**2), 1 - a + a * k * t**2),
    ),
    "MaskedKL": (
        _prefixes,
        lambda z_s, z_t, m, t: kl(z_s, z_t, t).mean(),
        lambda z_s, z_t, m, t: kl(z_s[~m], z_t[~m], t).mean(),
        lambda z_s, z_t, m, t: F.cross_entropy(z_s[m] / t, (z_t[m] / t).softmax(1)) * t**2,
        lambda z_s, z_t, m, t: kl(z_s[m], z_t[m], t).sum(),
        lambda z_s, z_t, m, t: kl(z_s[m] / t, z_t[m]).mean() * t**2,
        lambda z_s, z_t, m, t: kl(z_s[:, 1:][m[:, 1:]], z_t[:, 1:][m[:, 1:]], t).mean(),
        lambda z_s, z_t, m, t: kl(z_s.mean(1), z_t.mean(1), t).mean(),
        lambda z_s, z_t, m, t: (kl(z_s, z_t, t) * m).mean(),
        lambda z_s, z_t, m, t: kl(z_s, z_t, t).masked_fill(~m, 0.0).sum() / m.sum(),
        lambda z_s, z_t, m, t: torch.nan_to_num(kl(z_s, z_t, t) * m).sum() / m.sum(),
        lambda z_s, z_t, m, t: torch.where(m, kl(z_s, z_t, t), 0.0).sum() / m.sum(),
    ),
    "DrawnTargets": (
        lambda p, q, d: p,
        lambda p, q, d: q,
        lambda p, q, d: torch.zeros_like(p).scatter_(1, d, p.gather(1, d)),
        lambda p, q, d: _weights(p, q, d, lambda w: w / w.sum(1, keepdim=True)),
        lambda p, q, d: _weights(p, q, d, torch.ones_like) / d.shape[1],
        lambda p, q, d: _weights(p, q, d, lambda w: w),
        lambda p, q, d: _weights(p, q, d, lambda w: w.clamp(max=1.0)) / d.shape[1],
        lambda p, q, d: p / (1 - (1 - q) ** d.shape[1]) * (_weights(p, q, d, torch.ones_like) > 0),
        lambda p, q, d: _weights(p, q, d, lambda w: w) / d.shape[0],
    ),
    "RelativeDistances": (
        lambda e: _relative(torch.cdist(e, e), lambda n: n * (n - 1) / 2),
        lambda e: torch.cdist(e, e) / torch.cdist(e, e).max().clamp(min=1e-12),
        lambda e: _relative((e[None] - e[:, None]).abs().sum(2)),
        lambda e: torch.cdist(e, e) / torch.cdist(e, e).sum() * len(e) * (len(e) - 1),  # 0 / 0
        lambda e: _relative(((e[None] - e[:, None]).square().sum(2) + 1e-3).sqrt()),
    ),
    "SimilarityRows": (
        lambda f: _by_length(f.flatten(1) @ f.flatten(1).T).fill_diagonal_(0),
        lambda f: F.softmax(f.flatten(1) @ f.flatten(1).T, dim=1),
        lambda f: _by_length((f - f.mean(0)).flatten(1) @ (f - f.mean(0)).flatten(1).T),
        lambda f: F.normalize(torch.cdist(f.flatten(1), f.flatten(1)), dim=1),
    ),
    "TeacherOutputs": (_batch_norm_evaluating, _trained_afterwards),
    "Gap": (
        lambda student, baseline, teacher: min(1, (student - baseline) / (teacher - baseline)),
        lambda student, baseline, teacher: max(0, (student - baseline) / (teacher - baseline)),
        lambda student, baseline, teacher: (student - baseline) / abs(teacher - baseline),
    ),
    "Interval": (_sorted_pairs,),
    "Ensemble": (
        *(_ensemble_by(_clamped_softmax(bound)) for bound in (20, 80)),
        *(_ensemble_by(lambda z, t=t: F.softmax(z / t, 2)) for t in (0.5, 0.9, 1.1, 2.0)),
    ),
    "Verdict": (_facts_of_rounded,),
    "Seeds": (
        _seeds_below(50),
        _seeds_below(100),
        lambda *case: min(100, _seeds_below(1000)(*case)),
    ),
    "Control": (_control_in(lambda treatment: treatment), _control_and_changed),
    "FakeQuantisation": (*map(_least_scale, (1e-6, torch.finfo(torch.float32).eps, 1e-8)),),
    "Choice": (
        _chosen(lambda means: means["test_accuracy"]),
        _chosen(lambda means: means.mean(axis=1)),
        _chosen(lambda means: means.min(axis=1)),
        _chosen(lambda means: means.max(axis=1)),
        *map(_best_test_of, (2, 3, 4)),
        *map(_near_the_best, (0.005, 0.01, 0.02)),
        *map(_with_some_test, (0.02, 0.05, 0.1, 0.3)),
        lambda frame: str(
            frame.assign(both=frame["validation_accuracy"] + frame["test_accuracy"])
            .groupby("arm")["both"]
            .max()
            .idxmax()
        ),
    ),
    "Hint": (
        lambda *case: hint_parts(*case, detach=False),
        lambda student, teacher, *rest: hint_parts(
            *(
                F.adaptive_avg_pool2d(one, min(student.shape[2], teacher.shape[2]))
                for one in (student, teacher)
            ),
            *rest,
        ),
        lambda student, teacher, *rest: hint_parts(*_pooled_by_ratio(student, teacher), *rest),
    ),
    "PeerLosses": (lambda z, y: _peer_losses(z, y, detach=False),),
    "Weights": (
        lambda z: (lambda u: u / u.mean())(stats_entropy(z)),
        *(
            lambda z, least=least: (
                lambda u: u / u.mean() if u.mean() > least else torch.ones_like(u)
            )(stats_entropy(z.detach()))
            for least in (1e-6, 1e-7, 1e-8)
        ),
        lambda z: (lambda u: (u + 1e-10) / (u + 1e-10).mean())(stats_entropy(z.detach())),
    ),
    "Standardised": (
        *(_by_deviation(lambda std, eps=eps: std + eps) for eps in (1e-4, 1e-3)),
        *(_by_deviation(lambda std, eps=eps: (std**2 + eps).sqrt()) for eps in (1e-5, 1e-4)),
        *(_by_deviation(lambda std, least=least: std.clamp_min(least)) for least in (0.1, 1.0)),
        lambda z: (
            F.layer_norm(z, z.shape[1:]) * math.sqrt((z.shape[1] - 1) / z.shape[1])
        ),  # ε = 1e-5
        lambda z: F.layer_norm(z, z.shape[1:], eps=1e-12) * math.sqrt(9 / 10),  # K = 10 always
    ),
    "SelfDistillationStep": (
        lambda previous, positions, y, z, alpha, epoch, epochs: (
            (1 - alpha * (epoch + 1) / epochs) * F.one_hot(y, previous.shape[1])
            + alpha * (epoch + 1) / epochs * previous[positions],
            previous.index_copy(0, positions, F.softmax(z, dim=1)),
        ),
    ),
}


def stats_entropy(z: Tensor) -> Tensor:
    """Entropies with their gradient."""
    log_p = F.log_softmax(z, dim=1)
    return -(log_p.exp() * log_p).sum(1)


def _labels_alone_at_first(previous, positions, y, z, alpha, epoch, epochs):
    """Before the first epoch nothing was said, and its targets are the labels."""
    one_hot = F.one_hot(y, previous.shape[1]).to(previous.dtype)
    share = alpha * (epoch + 1) / epochs
    targets = one_hot if epoch == 0 else (1 - share) * one_hot + share * previous[positions]
    updated = previous.clone()
    updated[positions] = z.detach().softmax(1)
    return targets, updated


def _by_categorical(z):
    u = torch.distributions.Categorical(logits=z.detach()).entropy()
    return u / u.mean() if u.mean() > 0 else torch.ones_like(u)


def _holm_of_array(p_values):
    p = np.array(p_values)
    order = p.argsort()
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return scaled[order.argsort()]


def _whole_loss(z_s, z_t, y, temperature, alpha):
    soft = by_kl_div(z_s, z_t, temperature)
    hard = -F.log_softmax(z_s, dim=1).gather(1, y[:, None]).mean()
    return alpha * hard + (1 - alpha) * soft


def _many_teachers(z_s, z_t, weights, temperature):
    total = 0
    for k, teacher in enumerate(z_t):
        total = total + weights[:, k] @ kl(z_s, teacher, temperature)
    return total / len(z_s)


def _ca(z_t, y):
    errors = -F.log_softmax(z_t, dim=2)[:, torch.arange(len(y)), y].T
    return (1 - errors.softmax(1)) / (errors.shape[1] - 1)


def _attention_distance(students, teachers):
    total = torch.zeros(1)
    for student, teacher in zip(students, teachers, strict=True):
        total = total + F.mse_loss(attention(student), attention(teacher))
    return total


def _paired(a, b):
    d = torch.tensor(a, dtype=torch.double) - torch.tensor(b, dtype=torch.double)
    return stats.t.interval(0.95, len(d) - 1, float(d.mean()), float(d.std() / math.sqrt(len(d))))


def _control_with_a_list(treatment, idea):
    if idea != "schedule":
        return {**treatment, "extra_weight": 0}
    return {**treatment, "alpha": [sum(treatment["alpha"]) / 2] * 2}


def _joint_by_largest(z: Tensor) -> Tensor:
    """Probabilities relative to the surest token's."""
    log_p = z - z.logsumexp(2, keepdim=True)
    largest = log_p.amax(1, keepdim=True)
    return (log_p - largest).exp().mean(1).log() + largest.squeeze(1)


# Right in another way.
def _filled(fill: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """What does not count is made harmless first, and left out of the mean."""

    def answer(z_s, z_t, mask, temperature):
        pair = [fill(z, ~mask[..., None]) for z in (z_s, z_t)]
        return (kl(*pair, temperature) * mask).sum() / mask.sum()

    return answer


def _drawn_one_by_one(p_t, q, drawn):
    found = np.zeros(p_t.shape)
    for place, row in enumerate(drawn.tolist()):
        for one in row:
            found[place, one] += float(p_t[place, one] / q[place, one]) / len(row)
    return found


FORMS: dict[str, tuple[Answer, ...]] = {
    "SoftLoss": (by_kl_div, by_logsumexp),
    "SoftGradient": (
        lambda z_s, z_t, t: torch.func.grad(lambda z: kl(z, z_t, t).mean())(z_s),
        lambda z_s, z_t, t: (
            (torch.softmax(z_s / t, 1) - torch.softmax(z_t / t, 1)).mul(t).div(len(z_s)).double()
        ),
    ),
    "Limit": (
        lambda z_s, z_t: ((z_s - z_t).square().mean(1) - (z_s - z_t).mean(1).square()).double() / 2,
    ),
    "CalibrationError": (
        _bins(lambda c, low, high: ((c > low) & (c <= high)) | ((c == 0) & (low == 0))),
    ),
    "TeacherOutputs": (_evaluating_for_the_call, _evaluating_copy),
    "Entropy": (
        lambda z, t: torch.distributions.Categorical(logits=z / t).entropy().mean(),
        lambda z, t: torch.special.entr(F.softmax(z.double() / t, 1)).sum(1).mean().item(),
    ),
    "Choice": (
        lambda frame: np.str_(
            frame.pivot(columns="arm", values="validation_accuracy").mean().idxmax()
        ),
    ),
    "WholeLoss": (_whole_loss,),
    "Interval": (_paired,),
    "Terms": (
        lambda *case: [term.mean() for term in decoupled(*case)],
        lambda *case: torch.stack(decoupled(*case)).mean(1),
    ),
    "NonTargetPart": (
        lambda z_s, z_t, y, t: (kl(z_s, z_t, t) - decoupled(z_s, z_t, y, t)[0]).mean(),
    ),
    "DKD": (
        _warmed(ramp),
        _warmed(lambda epoch, warmup: 1.0 if epoch >= warmup else epoch / warmup),
    ),
    "Weights": (_by_categorical,),
    "Schedule": (
        lambda step, steps, first, last: first + (last - first) * step / max(steps - 1, 1),
        lambda step, steps, first, last: float(np.linspace(first, last, steps)[step]),
    ),
    "Standardised": (
        lambda z: (
            F.layer_norm(z, z.shape[1:], eps=1e-12) * math.sqrt((z.shape[1] - 1) / z.shape[1])
        ),
        *(_by_deviation(lambda std, eps=eps: std + eps) for eps in (1e-6, 1e-8)),
        _by_deviation(lambda std: std.clamp_min(1e-6)),
    ),
    "SelfDistillationStep": (_labels_alone_at_first,),
    "WeightedTeachers": (_many_teachers,),
    "ConfidenceWeights": (_ca,),
    "GateLoss": (
        lambda g, z_t, y: (
            -(
                torch.logsumexp(
                    g - torch.stack([F.cross_entropy(z, y, reduction="none") for z in z_t], 1), 1
                )
                - torch.logsumexp(g, 1)
            ).mean()
        ),
    ),
    "McNemar": (lambda a, b: min(1.0, _doubled_tail(a, b)),),
    "Holm": (_holm_of_array,),
    "Hint": (hint_parts, lambda *case: hint_parts(*case).reshape(1)),
    "RegressorCost": (
        lambda s, t, k: (float(s * t * k**2 + t), 0.0),
        lambda s, t, k: np.array([(s * k**2 + 1) * t, 0]),
    ),
    "AttentionMap": (attention, lambda f: F.normalize((f**2).mean(1).view(len(f), -1))),
    "AttentionDistance": (_attention_distance,),
    "Audit": (_audited, lambda f: list(_audited(f, batch=5))),
    "LibrarySettings": (
        lambda name, a, t: (
            {"temperature": t, "task_loss_weight": a, "distill_loss_weight": 1 - a}
            if name == "timm"
            else {"kd_loss_weight": 1 - a, "reduction": "batchmean", "temperature": int(t)}
        ),
    ),
    "Converted": (lambda a, t, k: (1 - a / (a + (1 - a) * k * t * t), a + (1 - a) * k * t * t),),
    "RelativeDistances": (
        lambda e: _relative((e[None] - e[:, None]).double().norm(dim=2)),
        lambda e: _relative(torch.cdist(e, e, compute_mode="donot_use_mm_for_euclid_dist")),
    ),
    "SimilarityRows": (
        lambda f: F.normalize(torch.einsum("ichw,jchw->ij", f, f)),
        lambda f: _by_length(f.flatten(1).double() @ f.flatten(1).double().T),
    ),
    "MaskedKL": (
        lambda z_s, z_t, m, t: by_kl_div(z_s[m], z_t[m], t),
        lambda z_s, z_t, m, t: by_logsumexp(z_s[m], z_t[m], t),
        _filled(lambda z, hidden: z.masked_fill(hidden, 0.0)),
        _filled(lambda z, hidden: torch.where(hidden, 0.0, z)),
        _softened_masks,
        lambda z_s, z_t, m, t: torch.stack(
            [kl(s, o, t) for s, o in zip(z_s[m], z_t[m], strict=True)]
        ).mean(),
        lambda z_s, z_t, m, t: kl(z_s[m].double(), z_t[m].double(), t).sum() / m.float().sum(),
    ),
    "DrawnTargets": (
        lambda p, q, d: _weights(p, q, d, lambda w: w / w.shape[1]),
        lambda p, q, d: F.one_hot(d, p.shape[1]).sum(1) * p / (q * d.shape[1]),
        lambda p, q, d: (F.one_hot(d, p.shape[1]) * (p / q)[:, None]).mean(1),
        _drawn_one_by_one,
    ),
    "LossWithStop": (
        _stops(lambda step, steps, until: step < until * steps),
        _stops(lambda step, steps, until: step < math.ceil(until * steps)),
    ),
    "PeerLosses": (lambda z, y: torch.stack(_peer_losses(z, y)),),
    "Seeds": (_seeds_below(1000),),
    "Control": (
        _control_with_a_list,
        *map(_control_in, (dict, dict.copy, copy.copy, copy.deepcopy)),
    ),
    "Ensemble": (lambda z: F.log_softmax(z, 2).logsumexp(1).argmax(1).numpy(),),
    "FakeQuantisation": (_least_scale(1e-20),),
    "TokenLoss": (
        lambda one, two, z_t, y, a: (
            a * losses.hard_label_loss(one, F.one_hot(y, one.shape[1]).float())
            + (1 - a) * losses.hard_label_loss(two, z_t)
        ),
        lambda one, two, z_t, y, a: (
            -(
                a * one.log_softmax(1)[torch.arange(len(y)), y]
                + (1 - a) * two.log_softmax(1).gather(1, z_t.topk(1).indices).squeeze(1)
            ).mean()
        ).reshape(1),
        lambda one, two, z_t, y, a: (
            a * F.cross_entropy(one.double(), y)
            + (1 - a)
            * F.cross_entropy(two.double(), F.one_hot(z_t.argmax(-1), z_t.shape[1]).double())
        ),
    ),
    "JointAnswer": (
        models.mean_of_softmaxes,
        lambda z: F.log_softmax(F.log_softmax(z, 2).logsumexp(1), 1),
        lambda z: torch.logsumexp(z.double().log_softmax(-1), 1) - math.log(z.shape[1]),
        _joint_by_largest,
    ),
}
