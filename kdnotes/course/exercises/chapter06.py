"""Exercises of chapter 6: weights by uncertainty, a schedule, standardised logits, one step against the student."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes.course.check import Exercise, Graded, Trap
from kdnotes.course.exercises import stretched

DETACH = "a gradient flows through the weights, so that the student can lower the loss by becoming certain"


def _logits(seed: int, *, rows: int = 6, certain: bool = False) -> Tensor:
    """Logits ``[rows, 10]``; with ``certain``, softmax underflows in half of the rows."""
    logits = 3 * torch.randn(rows, 10, generator=torch.Generator().manual_seed(seed))
    if certain:
        logits[::2] *= 200
    return logits


# 06.1


def _entropy(logits: Tensor, *, dim: int = 1) -> Tensor:
    log_p = F.log_softmax(logits, dim=dim)
    return -(log_p.exp() * log_p).sum(dim)


def _naive_entropy(logits: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    return -(p * p.log()).sum(1)


def _normalised(score: Tensor) -> Tensor:
    return score / score.mean()


def _weights(logits: Tensor) -> Tensor:
    """Entropies divided by their mean; where all are 0, so that there is nothing to divide by, all weigh 1."""
    entropy = _entropy(logits.detach())
    return _normalised(entropy) if entropy.sum() > 0 else torch.ones_like(entropy)


def _certain() -> list[tuple[Tensor]]:
    """Logits of which half are huge; in double precision entropies from 1e-7 to 1e-11, and near 1e-9 all of them (they
    are not 0, and weigh differently); and entropies of 0 alone.
    """
    gaps = torch.tensor([[18.0, 20.0, 22.0, 24.0, 26.0, 28.0], [26.0, 26.1, 26.3, 26.6, 27.0, 27.5]])
    sure = torch.randn(6, 10, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    some, all_ = (sure.index_copy(1, torch.tensor([4]), gap.double()[:, None]) for gap in gaps)
    return [(_logits(1, certain=True),), (some,), (all_,), (1e4 * torch.eye(10)[:6],)]


def _alike_below(mean: float) -> Callable[[Tensor], Tensor]:
    """All weights 1 where the mean entropy is small, not only where it is 0."""

    def weights(logits: Tensor) -> Tensor:
        entropy = _entropy(logits.detach())
        return _normalised(entropy) if entropy.mean() > mean else torch.ones_like(entropy)

    return weights


def _selected(logits: Tensor, *, weight: float) -> Tensor:
    """``weight`` for the most uncertain half of the samples, 0 for the others."""
    chosen = _entropy(logits).topk(len(logits) // 2).indices
    return torch.zeros(len(logits)).index_fill(0, chosen, weight)


def _either_way(wrong: Callable[[Tensor], Tensor], message: str) -> tuple[Trap, Trap]:
    """The trap without a gradient through the weights, and with it, which is then a second mistake."""
    return (
        Trap(lambda logits: wrong(logits).detach(), message),
        Trap(lambda logits: wrong(logits.clone()), f"{message}; and detach: {DETACH}"),
    )


def _weight_traps() -> tuple[Trap, ...]:
    entropies = {
        "": _entropy,
        "softmax and then log gives 0·(−∞) = NaN for certain samples, so use log_softmax": _naive_entropy,
    }
    sizes = {
        "": _normalised,
        "these are the entropies: divide them by their mean, or the size of the loss changes with them": lambda u: u,
        "the weights sum to 1, so that the mean of weight times loss is too small by the batch size: divide by the "
        "mean, not by the sum": lambda u: u / u.sum(),
        "dividing by log K brings them into 0 … 1, but their mean still changes the size of the loss: divide by the "
        "mean over the batch": lambda u: u / math.log(10),
    }
    traps = []
    for (first, entropy), (second, size) in itertools.product(entropies.items(), sizes.items()):
        if message := "; ".join(filter(None, (first, second))):
            traps += _either_way(lambda logits, entropy=entropy, size=size: size(entropy(logits)), message)
    return tuple(traps)


UNCERTAIN_FIRST = "these are largest where the student is certain; the uncertain samples should weigh more"
OTHER_WEIGHTS = (
    (lambda logits: -_entropy(logits), "the sign is wrong: an entropy is never negative; and divide by the mean"),
    (lambda logits: _normalised(math.log(logits.shape[1]) - _entropy(logits)), UNCERTAIN_FIRST),
    (lambda logits: _normalised(1 / (_entropy(logits) + 1e-7)), UNCERTAIN_FIRST),
    (lambda logits: _normalised(_entropy(logits, dim=0)),
     "the softmax runs over the batch; each sample's probabilities run over the classes, dim=1"),
    (lambda logits: F.softmax(_entropy(logits), dim=0) * len(logits),
     "a softmax of the entropies is another weighting; divide them by their mean"),
    (lambda logits: F.softmax(_entropy(logits), dim=0),
     "a softmax of the entropies is another weighting, and sums to 1; divide the entropies by their mean"),
    (lambda logits: _normalised(1 - F.softmax(logits, dim=1).max(1).values),
     "1 − the largest probability is an uncertainty too, but here the entropy is asked for"),
    (lambda logits: _normalised(_entropy(logits)).unsqueeze(1),
     "the shape is [N, 1]: multiplied with losses of shape [N] it becomes [N, N]; return [N], without keepdim"),
    (lambda logits: _normalised(_entropy(logits).mean()), "the mean came first: one weight a sample, [N]"),
)  # fmt: skip
SELECTIONS = (
    (2.0, "this selects the most uncertain half, as `keep_share` does; here each sample gets a weight of its own"),
    (1.0, "this selects the most uncertain half; here each sample gets a weight of its own, and their mean is 1"),
)


# 06.2


def _fraction(step: int, steps: int) -> float:
    return step / max(steps - 1, 1)


def _scheduled(step: int, steps: int, first: float, last: float) -> float:
    """Exactly ``first`` and ``last`` at the ends, where first + (last − first) may be rounded."""
    fraction = _fraction(step, steps)
    return (1 - fraction) * first + fraction * last


# 06.3


def _constant_row() -> Tensor:
    logits = _logits(2, rows=10)
    logits[1] = 5.0
    return logits


def _small_rows() -> Tensor:
    """Rows whose standard deviation is near 0.03: a guard that is too large changes them."""
    return torch.cat([0.01 * _logits(3, rows=5), _logits(4, rows=5)])


def _standardised(
    logits: Tensor, *, dim: int = 1, correction: int = 1, eps: float = 1e-7, detach_spread: bool = False
) -> Tensor:
    spread = logits.std(dim=dim, keepdim=True, correction=correction)
    return (logits - logits.mean(dim=dim, keepdim=True)) / ((spread.detach() if detach_spread else spread) + eps)


def _keepdim_forgotten(logits: Tensor, eps: float) -> Tensor:
    return (logits - logits.mean(dim=1)) / (logits.std(dim=1) + eps)


def _scaled_to_unit(logits: Tensor, eps: float) -> Tensor:
    low, high = logits.amin(dim=1, keepdim=True), logits.amax(dim=1, keepdim=True)
    return (logits - low) / (high - low + eps)


def _guarded(spread: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Divided by something made of the variance ``[N, 1]``."""
    return lambda logits: (logits - logits.mean(dim=1, keepdim=True)) / spread(logits.var(dim=1, keepdim=True))


# ε and limits that are too large, beside the deviation and inside its root.
LARGE_GUARDS = tuple(
    guard
    for eps in (1e-5, 1e-4, 1e-3)
    for guard in (
        lambda var, eps=eps: var.sqrt() + eps,
        lambda var, eps=eps: (var + eps).sqrt(),
    )
) + tuple(
    guard
    for limit in (1.0, 0.1)
    for guard in (
        lambda var, limit=limit: var.sqrt().clamp_min(limit),
        lambda var, limit=limit: var.clamp_min(limit**2).sqrt(),
    )
)


def _where_varied(outcome: Graded) -> Graded:
    """Without the gradients of the rows of equal logits, which depend on the ε, as long as they are finite."""
    value, gradients = outcome
    gradient = gradients[0][0][0] if gradients else None
    if gradient is None or value.shape != gradient.shape:
        return outcome
    constant = value.abs().amax(dim=1, keepdim=True) < 1e-6
    return Graded(value, [[[gradient.masked_fill(constant & gradient.isfinite(), 0.0)]]])


def _standardising_traps() -> tuple[Trap, ...]:
    """Every combination of: other denominator, other dimension, no ε, a missing gradient."""
    rows_only = "this standardises each class over the batch, as batch norm does; each row over the classes, dim=1"
    dims = {"": 1, rows_only: 0}
    corrections = {
        "": 1,
        "the standard deviation divides by K; here by K − 1, as in the authors' code (torch's default)": 0,
    }
    guards = {
        "": 1e-7,
        "a row of equal logits gives 0/0 = NaN; add a small number to the standard deviation": 0.0,
    }
    gradients = {
        "": (False, False),
        "the standard deviation is detached: the gradient no longer knows that the scale does not matter, and pulls "
        "along it": (True, False),
        "no gradient reaches the student: do not detach the logits": (False, True),
    }
    traps = []
    for parts in itertools.product(dims.items(), corrections.items(), guards.items(), gradients.items()):
        (_, dim), (_, correction), (_, eps), (_, (spread, all_)) = parts
        message = "; ".join(text for text, _ in parts if text)
        if not message or (dim == 0 and eps == 0):  # no column is constant, so ε is not seen there
            continue
        if spread or all_:
            values_right = dim == 1 and correction == 1 and eps > 0
            message = f"the values are right, but {message}" if values_right else message
        options = {"dim": dim, "correction": correction, "eps": eps, "detach_spread": spread}
        traps.append(
            Trap(lambda z, options=options, all_=all_: _standardised(z.detach() if all_ else z, **options), message)
        )
    return tuple(traps)


def _repaired(logits: Tensor) -> Tensor:
    return _standardised(logits, eps=0.0).nan_to_num(0.0)


# 06.4


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


Change = Callable[[float, float, float, float], float]


def _stepped(change: Change, width: float = 20) -> Change:
    """T after θ was changed by ``change(slope, sigmoid(θ), strength, rate)``."""

    def step(theta: float, slope: float, strength: float, rate: float) -> float:
        return 1 + width * _sigmoid(theta + change(slope, _sigmoid(theta), strength, rate))

    return step


ASCENT = _stepped(lambda slope, s, strength, rate: rate * strength * slope * 20 * s * (1 - s))


def _step_traps() -> tuple[Trap, ...]:
    """Every combination of: no reversal, no λ, another derivative of T."""
    signs = {"": 1, "T descends with the student: the reversal is missing (or was applied twice)": -1}
    strengths = {"": True, "the strength λ is not used: it multiplies the reversed gradient": False}
    derivatives = {
        "": lambda s: 20 * s * (1 - s),
        "`slope` is the derivative with respect to T; the chain rule needs dT/dθ = 20·σ(θ)·(1 − σ(θ))": lambda s: 1.0,
        "dT/dθ lacks the factor 20, the width of the range of T": lambda s: s * (1 - s),
        "the derivative of the sigmoid is σ(θ)·(1 − σ(θ))": lambda s: 20 * s,
        "the range of T is 20 wide, from 1 to 21: dT/dθ has the factor 20, not 21": lambda s: 21 * s * (1 - s),
    }
    traps = []
    for parts in itertools.product(signs.items(), strengths.items(), derivatives.items()):
        (_, sign), (_, used), (_, derivative) = parts
        if message := "; ".join(text for text, _ in parts if text):
            traps.append(
                Trap(
                    _stepped(
                        lambda slope, s, strength, rate, sign=sign, used=used, derivative=derivative: (
                            sign * rate * (strength if used else 1.0) * slope * derivative(s)
                        )
                    ),
                    message,
                )
            )
    return tuple(traps)


EXERCISES = {
    "06.1": Exercise(
        _weights,
        lambda: [(_logits(0),), (_logits(5, rows=8),)],
        (
            Trap(lambda logits: _normalised(_entropy(logits)).detach(),
                 "right, but where all samples are certain the mean is 0, and 0/0 is NaN; there all weigh 1"),
            Trap(lambda logits: _normalised(_entropy(logits)),
                 f"the values are right, but {DETACH} where it disagrees; detach them"),
            *(Trap(_alike_below(mean),
                   "all weights are 1 where the entropies are merely small; small ones differ too, and in double "
                   "precision are exact: only where all are 0 is there nothing to divide by")
              for mean in (1e-6, 1e-7, 1e-8)),
            *_weight_traps(),
            *(trap for wrong, message in OTHER_WEIGHTS for trap in _either_way(wrong, message)),
            *(Trap(lambda logits, weight=weight: _selected(logits, weight=weight), message)
              for weight, message in SELECTIONS),
        ),
        extremes=_certain,
        gradient_of=(0,),
    ),
    "06.2": Exercise(
        _scheduled,
        lambda: [(0, 5, 4.0, 1.0), (1, 5, 4.0, 1.0), (3, 5, 4.0, 1.0), (4, 5, 4.0, 1.0), (3, 11, 0.1, 0.5),
                 (10, 11, 0.1, 0.5), (0, 1, 4.0, 1.0), (5, 8, 4.0, 1.0), (0, 2, 4.0, 1.0), (1, 2, 4.0, 1.0)],
        (
            Trap(lambda step, steps, first, last: first + (last - first) * step / steps,
                 "off by one: the last step has the number steps − 1, so that step/steps never arrives at `last`"),
            Trap(lambda step, steps, first, last: first + (last - first) * (step + 1) / steps,
                 "off by one: the first step has the number 0 and should see `first` itself"),
            Trap(lambda step, steps, first, last: first + (last - first) * _fraction(step + 1, steps),
                 "off by one twice: divide by steps − 1, but count the steps from 0, or the last one overshoots"),
            Trap(lambda step, steps, first, last: last if steps == 1 else first + (last - first) * step / (steps - 1),
                 "of a single step (steps = 1) the value is `first`"),
            Trap(lambda step, steps, first, last: first if steps <= 2 else _scheduled(step, steps, first, last),
                 "of two steps the second one is the last, and sees `last`; only a single step stays at `first`"),
            Trap(lambda step, steps, first, last: last + (first - last) * _fraction(step, steps),
                 "the schedule runs backwards: it should begin at `first`"),
            Trap(lambda step, steps, first, last: first + (first - last) * _fraction(step, steps),
                 "the sign is wrong: the schedule moves away from `last`"),
            Trap(lambda step, steps, first, last: first + (last - first) * (step // max(steps - 1, 1)),
                 "`//` rounds down: the schedule stays at `first` until the last step; divide with `/`"),
            Trap(lambda step, steps, first, last: first + (last - first) * step // max(steps - 1, 1),
                 "`//` rounds the change down to a whole number; divide with `/`"),
            *(Trap(wrong, "this rounds; return the value of the line as it is")
              for wrong in (
                  lambda step, steps, first, last: round(first + (last - first) * _fraction(step, steps)),
                  lambda step, steps, first, last: round(first + (last - first) * _fraction(step, steps), 2),
                  lambda step, steps, first, last: first + round((last - first) * _fraction(step, steps)),
                  lambda step, steps, first, last: first + (last - first) * round(_fraction(step, steps)),
                  lambda step, steps, first, last: int(first + (last - first) * _fraction(step, steps)))),
            Trap(lambda step, steps, first, last: first * (last / first) ** _fraction(step, steps),
                 "this interpolates geometrically, by equal factors (and fails from 0); here by equal differences"),
            Trap(lambda step, steps, first, last: last
                 + (first - last) * (1 + math.cos(math.pi * _fraction(step, steps))) / 2,
                 "this is a cosine schedule; here it should be linear"),
            Trap(lambda step, steps, first, last: (last - first) * _fraction(step, steps),
                 "this is the change since the start; add `first`"),
        ),
    ),
    "06.3": Exercise(
        _standardised,
        lambda: [(_logits(1, rows=10),), (_constant_row(),), (_small_rows(),), (_logits(5, rows=10)[:4, :4],)],
        (
            *_standardising_traps(),
            *(Trap(_guarded(guard), "right for ordinary logits, but what keeps a row of equal logits from 0/0 is so "
                   "large that it changes rows of small logits; 1e-7 beside the standard deviation is enough")
              for guard in LARGE_GUARDS),
            Trap(_repaired, "the values are right, but the gradient in a row of equal logits is NaN: 0/0 was computed "
                 "before it was replaced; add a small number to the standard deviation"),
            *(Trap(lambda logits, eps=eps: _keepdim_forgotten(logits, eps),
                   "without keepdim=True the means [N] are subtracted along the classes: each column gets the mean of "
                   "another row, which fails only where N ≠ K")
              for eps in (1e-7, 0.0, 1e-8, 1e-6, 1e-5)),
            *(Trap(lambda logits, eps=eps: _scaled_to_unit(logits, eps),
                   "this scales each row to 0 … 1 (min–max); subtract the mean and divide by the standard deviation")
              for eps in (1e-7, 0.0)),
            Trap(lambda logits: (logits - logits.mean()) / (logits.std() + 1e-7),
                 "this uses one mean and one deviation for the whole batch; one a row, dim=1 and keepdim=True"),
            Trap(lambda logits: logits - logits.mean(dim=1, keepdim=True),
                 "the mean is gone, the scale is still there; divide by the standard deviation"),
            *(Trap(lambda logits, eps=eps: logits / (logits.std(dim=1, keepdim=True) + eps),
                   "the scale is gone, the mean is still there; subtract it, though a softmax does not see it")
              for eps in (1e-7, 0.0)),
            *(Trap(lambda logits, eps=eps: (logits - logits.mean(dim=1, keepdim=True))
                   / (logits.var(dim=1, keepdim=True) + eps),
                   "this divides by the variance; divide by its square root")
              for eps in (1e-7, 0.0)),
            Trap(lambda logits: F.normalize(logits - logits.mean(dim=1, keepdim=True), dim=1),
                 "the rows have length 1, not standard deviation 1: too small by √(K − 1)"),
            Trap(lambda logits: _standardised(F.softmax(logits, dim=1)),
                 "these are standardised probabilities; standardise the logits, and apply the softmax afterwards"),
        ),
        extremes=lambda: [stretched(_logits(6, rows=10))],
        gradient_of=(0,),
        observe=_where_varied,
    ),
    "06.4": Exercise(
        ASCENT,
        lambda: [(0.0, 0.1, 1.0, 0.5), (-2.9, 0.4, 0.5, 0.1), (1.0, -0.2, 0.3, 0.2)],
        (
            *_step_traps(),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * slope * 20 * s * (1 - s), width=21),
                 "T = 1 + 20·σ(θ) lies between 1 and 21; with 21·σ(θ) it reaches 22"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * slope * 21 * s * (1 - s), width=21),
                 "the range of T is 20 wide, from 1 to 21; you have 21 twice"),
            Trap(lambda theta, slope, strength, rate: 1 + 20 * _sigmoid(theta) + rate * strength * slope,
                 "the step was taken on T itself; the parameter is θ, and T follows from it"),
            Trap(lambda theta, slope, strength, rate: 1 + 20 * _sigmoid(theta) - rate * strength * slope,
                 "the step was taken on T itself, and downwards; the parameter is θ, T follows from it, and rises "
                 "where the slope is positive"),
            Trap(lambda theta, slope, strength, rate: theta + rate * strength * slope * 20
                 * _sigmoid(theta) * (1 - _sigmoid(theta)),
                 "this is the new θ; return the new T = 1 + 20·σ(θ)"),
            Trap(_stepped(lambda slope, s, strength, rate: rate * strength * abs(slope) * 20 * s * (1 - s)),
                 "the step ignores the sign of the slope: where the loss falls with T, ascending lowers T"),
            Trap(_stepped(lambda slope, s, strength, rate: math.copysign(rate * strength, slope) * 20 * s * (1 - s)),
                 "only the sign of the slope is used; plain gradient descent takes its size too (Adam hardly)"),
        ),
    ),
}  # fmt: skip
