"""Exercises of chapter 9: McNemar's test, Holm's correction, the mistakes that a student copies."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdnotes.check import Exercise, Trap


def _only(a: Tensor, b: Tensor) -> tuple[int, int]:
    return int((a & ~b).sum()), int((~a & b).sum())


def _mcnemar(a: Tensor, b: Tensor, alternative: str = "two-sided") -> float:
    first, second = _only(a, b)
    if first + second == 0:
        return 1.0
    return float(stats.binomtest(first, first + second, alternative=alternative).pvalue)


def _unpaired(a: Tensor, b: Tensor) -> float:
    n, p, q = len(a), float(a.double().mean()), float(b.double().mean())
    pooled = (p + q) / 2
    error = np.sqrt(2 * pooled * (1 - pooled) / n)
    return float(2 * stats.norm.sf(abs(p - q) / error)) if error else 1.0


def _chi_square(a: Tensor, b: Tensor, correction: int = 0) -> float:
    first, second = _only(a, b)
    total = first + second
    return float(stats.chi2.sf(max(abs(first - second) - correction, 0) ** 2 / total, 1)) if total else 1.0


def _all_images(a: Tensor, b: Tensor) -> float:
    return float(stats.binomtest(_only(a, b)[0], len(a)).pvalue)


def _answers() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for n, both, gain in ((200, 0.8, 0.06), (60, 0.7, 0.2), (500, 0.9, 0.01)):
        b = torch.rand(n, generator=generator) < both
        a = b.clone()
        change = torch.rand(n, generator=generator) < 0.15
        a[change] = torch.rand(int(change.sum()), generator=generator) < both + gain
        cases.append((a, b))
    return cases


def _holm(p_values: list[float], *, monotone: bool = True, clipped: bool = True) -> list[float]:
    m = len(p_values)
    adjusted, largest = [0.0] * m, 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        value = (m - rank) * p_values[index]
        largest = max(largest, value) if monotone else value
        adjusted[index] = float(min(largest, 1.0) if clipped else largest)
    return adjusted


def _benjamini_hochberg(p_values: list[float]) -> list[float]:
    return [float(value) for value in stats.false_discovery_control(p_values)]


def _sorted_holm(p_values: list[float]) -> list[float]:
    return sorted(_holm(p_values))


def _copied(z_s: Tensor, z_t: Tensor, y: Tensor) -> float:
    wrong = z_t.argmax(1) != y
    return float((z_s.argmax(1) == z_t.argmax(1))[wrong].double().mean())


def _network_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n in (400, 150):
        y = torch.randint(5, (n,), generator=generator)
        base = 2.0 * torch.nn.functional.one_hot(y, 5)
        shared, own_s, own_t = (torch.randn(n, 5, generator=generator) for _ in range(3))
        cases.append((base + shared + own_s, base + shared + own_t, y))
    return cases


EXERCISES = {
    "09.1": Exercise(
        _mcnemar,
        _answers,
        (
            Trap(_unpaired, "this treats the two networks as tested on different images; only the images on which "
                            "exactly one of them is right tell them apart"),
            Trap(_chi_square, "this is the χ² approximation; the exact test is binomial"),
            Trap(lambda a, b: _chi_square(a, b, 1), "this is the χ² approximation, with its continuity correction; the "
                                                    "exact test is binomial"),
            Trap(lambda a, b: _mcnemar(a, b, "greater"), "this is one-sided; either network may be the better one"),
            Trap(lambda a, b: _mcnemar(a, b, "less"), "this is one-sided; either network may be the better one"),
            Trap(lambda a, b: _mcnemar(a, b, "two-sided") / 2, "this is half the two-sided p-value"),
            Trap(_all_images, "the number of trials is too large: leave out the images on which the two agree"),
            Trap(lambda a, b: 1 - _mcnemar(a, b), "this is 1 − p"),
        ),
        tolerance=1e-6,
    ),
    "09.2": Exercise(
        _holm,
        lambda: [([0.03, 0.004, 0.5, 0.02],), ([0.011, 0.012, 0.013, 0.04, 0.9],), ([0.6, 0.7],)],
        (
            Trap(lambda p: [float(min(len(p) * value, 1.0)) for value in p],
                 "this is Bonferroni's correction; Holm's multiplies the smallest by m, the next by m − 1, and so on"),
            Trap(_benjamini_hochberg,
                 "this is Benjamini and Hochberg's: it bounds the false discovery rate, not the chance of any error"),
            Trap(lambda p: _holm(p, monotone=False),
                 "a larger p-value must not become smaller than a smaller one: take the running maximum"),
            Trap(lambda p: _holm(p, clipped=False), "a p-value cannot exceed 1: cut it off there"),
            Trap(lambda p: _holm(p, monotone=False, clipped=False),
                 "take the running maximum, and cut off at 1"),
            Trap(_sorted_holm, "right, but sorted; give them back in the order in which they came"),
        ),
        tolerance=1e-9,
    ),
    "09.3": Exercise(
        _copied,
        _network_cases,
        (
            Trap(lambda z_s, z_t, y: float((z_s.argmax(1) == z_t.argmax(1)).double().mean()),
                 "this is the agreement on all images; look only at those which the teacher gets wrong"),
            Trap(lambda z_s, z_t, y: float((z_s.argmax(1) != y)[z_t.argmax(1) != y].double().mean()),
                 "this counts every error of the student there; copied means the teacher's *own* wrong class"),
            Trap(lambda z_s, z_t, y: float((z_s.argmax(1) == z_t.argmax(1))[z_s.argmax(1) != y].double().mean()),
                 "the denominator is the student's errors; take the teacher's"),
            Trap(lambda z_s, z_t, y: float(((z_s.argmax(1) == z_t.argmax(1)) & (z_t.argmax(1) != y)).double().mean()),
                 "the denominator is all images; take those which the teacher gets wrong"),
            Trap(lambda z_s, z_t, y: 1 - _copied(z_s, z_t, y), "this is the share that was not copied"),
        ),
    ),
}  # fmt: skip
