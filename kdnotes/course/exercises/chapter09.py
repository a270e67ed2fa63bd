"""Exercises of chapter 9: McNemar's test, Holm's correction, the mistakes that a student copies."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdnotes.course.check import Exercise, Trap
from kdnotes.course.exercises import stretched


def _only(a: Tensor, b: Tensor) -> tuple[int, int]:
    return int((a & ~b).sum()), int((~a & b).sum())


def _mcnemar(a: Tensor, b: Tensor, alternative: str = "two-sided") -> float:
    first, second = _only(a, b)
    if first + second == 0:
        return 1.0
    return float(stats.binomtest(first, first + second, alternative=alternative).pvalue)


def _doubled(a: Tensor, b: Tensor) -> float:
    """Twice the smaller tail, not cut off at 1."""
    first, second = _only(a, b)
    return float(2 * stats.binom.cdf(min(first, second), first + second, 0.5))


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
    for both, only_a, only_b, neither in ((150, 22, 9, 19), (40, 3, 11, 6), (430, 30, 21, 19), (30, 5, 5, 10)):
        pairs = torch.tensor([[1, 1]] * both + [[1, 0]] * only_a + [[0, 1]] * only_b + [[0, 0]] * neither).bool()
        a, b = pairs[torch.randperm(len(pairs), generator=generator)].T
        cases.append((a, b))
    return [*cases, (cases[0][0], cases[0][0])]


def _t_test(a: Tensor, b: Tensor) -> float:
    value = stats.ttest_rel(a.double().numpy(), b.double().numpy()).pvalue
    return 1.0 if np.isnan(value) else float(value)


def _totals(a: Tensor, b: Tensor) -> float:
    return float(stats.binomtest(int(a.sum()), int(a.sum() + b.sum())).pvalue)


def _holm(p_values: list[float], *, monotone: bool = True, clipped: bool = True) -> list[float]:
    m = len(p_values)
    adjusted, largest = [0.0] * m, 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        value = (m - rank) * p_values[index]
        largest = max(largest, value) if monotone else value
        adjusted[index] = float(min(largest, 1.0) if clipped else largest)
    return adjusted


def _written_by_value(p_values: list[float]) -> list[float]:
    """Of equal p-values the first place gets all the results."""
    adjusted = [0.0] * len(p_values)
    for value, result in zip(sorted(p_values), sorted(_holm(p_values)), strict=True):
        adjusted[p_values.index(value)] = result
    return adjusted


def _benjamini_hochberg(p_values: list[float]) -> list[float]:
    return [float(value) for value in stats.false_discovery_control(p_values)]


def _unsorted(p_values: list[float]) -> list[float]:
    m = len(p_values)
    return [float(min((m - place) * value, 1.0)) for place, value in enumerate(p_values)]


def _hochberg(p_values: list[float]) -> list[float]:
    m, smallest, adjusted = len(p_values), 1.0, [0.0] * len(p_values)
    for rank, index in reversed(list(enumerate(np.argsort(p_values, kind="stable")))):
        smallest = min(smallest, (m - rank) * p_values[index])
        adjusted[index] = float(smallest)
    return adjusted


def _by_rank(p_values: list[float]) -> list[float]:
    ranks = stats.rankdata(p_values)
    return [float(min(rank * value, 1.0)) for rank, value in zip(ranks, p_values, strict=True)]


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
            *(Trap(wrong, "twice the smaller tail is above 1 where each network alone is right equally often: cut it "
                          "off at 1")
              for wrong in (_doubled, lambda a, b: _doubled(a, b) if any(_only(a, b)) else 1.0)),
            Trap(_chi_square, "this is the χ² approximation; the exact test is binomial"),
            Trap(lambda a, b: _chi_square(a, b, 1), "this is the χ² approximation, with its continuity correction; the "
                                                    "exact test is binomial"),
            Trap(lambda a, b: _mcnemar(a, b, "greater"), "this is one-sided; either network may be the better one"),
            Trap(lambda a, b: _mcnemar(a, b, "less"), "this is one-sided; either network may be the better one"),
            Trap(lambda a, b: _mcnemar(a, b, "two-sided") / 2, "this is half the two-sided p-value"),
            Trap(_t_test, "this is a paired t-test on zeros and ones, an approximation; the exact test is binomial"),
            Trap(_totals, "this compares the totals of right answers, in which the images that both get right count "
                          "twice and say nothing"),
            Trap(_all_images, "the number of trials is too large: leave out the images on which the two agree"),
            Trap(lambda a, b: 1 - _mcnemar(a, b), "this is 1 − p"),
        ),
        tolerance=1e-6,
    ),
    "09.2": Exercise(
        _holm,
        lambda: [([0.03, 0.004, 0.5, 0.02],), ([0.011, 0.012, 0.013, 0.04, 0.9],), ([0.6, 0.7],),
                 ([0.01, 0.01, 0.5],), ([0.2, 0.01, 0.4, 0.01],)],
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
            Trap(_unsorted, "the factor depends on the rank of the p-value, not on its place in the list: sort first"),
            Trap(_hochberg, "this is Hochberg's step-up correction: a running minimum from the largest value down"),
            Trap(_by_rank, "the smallest is multiplied by m, not by its rank 1: the factors fall"),
            Trap(lambda p: [float(1 - (1 - value) ** len(p)) for value in p], "this is Šidák's correction, one factor "
                                                                              "for all; Holm's factors fall"),
            Trap(_written_by_value,
                 "`p_values.index(value)` is the first of equal p-values, and the others get nothing: sort the places"),
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
            Trap(lambda z_s, z_t, y: int(((z_s.argmax(1) == z_t.argmax(1)) & (z_t.argmax(1) != y)).sum()),
                 "this is a count; divide by the number of images that the teacher gets wrong"),
            Trap(lambda z_s, z_t, y: float((z_s.argmax(1) == z_t.argmax(1))[
                (z_t.argmax(1) != y) & (z_s.argmax(1) != y)].double().mean()),
                 "these are only the images that both get wrong; take all that the teacher gets wrong"),
            Trap(lambda z_s, z_t, y: 1 - _copied(z_s, z_t, y), "this is the share that was not copied"),
        ),
        extremes=lambda: [(*stretched(z_s, z_t), y) for z_s, z_t, y in _network_cases()],
    ),
}  # fmt: skip
