"""What a language model has learned, computed exactly instead of sampled.

A string's probability is the product of its tokens'. Over all strings of a language, and what is no
string of it, these sum to 1; so where all strings are known, masses, divergences and the errors of
free writing are sums, not estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kdnotes import checks
from kdnotes.data import Strings, Vocabulary
from kdnotes.language.loop import log_probabilities
from kdnotes.language.teachers import AT_ONCE, check_reads
from kdnotes.machine import single_thread
from kdnotes.models import Decoder


def string_log_probabilities(model: Decoder, strings: Strings) -> Tensor:
    """The log q of each whole string, its end included, ``[N]`` float64."""
    return log_probabilities(model, strings).sum(dim=1)


def marginal_log_probabilities(
    model: Decoder, strings: Sequence[str], vocabulary: Vocabulary
) -> Tensor:
    """The log q of each string, summed over all ways to cut it into tokens, ``[N]`` float64.

    ``string_log_probabilities`` of the one way in which it was cut is never above that.
    """
    ways = [vocabulary.cuts(one) for one in strings]
    rows = torch.tensor([row for row, found in enumerate(ways) for _ in found])
    tokens = vocabulary.encode_cut([one for found in ways for one in found])
    each = string_log_probabilities(model, Strings(tokens, vocabulary))
    most = torch.full((len(ways),), -torch.inf, dtype=torch.float64)
    most = most.scatter_reduce(0, rows, each, "amax")
    return most + torch.zeros_like(most).index_add(0, rows, (each - most[rows]).exp()).log()


def masses(model: Decoder, parts: Mapping[str, Strings]) -> dict[str, float]:
    """The probability that a string that the model writes is in each part, and in none of them.

    Args:
        parts: name → distinct strings; the parts share none.

    Returns:
        name → mass, and "elsewhere": what the model writes that is in no part, and what it never
        ends.
    """
    if "elsewhere" in parts:
        raise ValueError("parts must have other names than 'elsewhere'")
    found = {
        name: float(string_log_probabilities(model, strings).exp().sum())
        for name, strings in parts.items()
    }
    return found | {"elsewhere": 1 - sum(found.values())}


def cross_entropy(model: Decoder, weights: Mapping[str, float], vocabulary: Vocabulary) -> float:
    """−Σ p(x)·log q(x) in nats a string.

    Args:
        weights: string → p, or how often it comes: they are divided by their sum.
        vocabulary: of the strings.
    """
    counts = torch.tensor(list(weights.values()), dtype=torch.float64)
    if not len(counts) or not bool((counts >= 0).all()) or not 0 < float(counts.sum()) < torch.inf:
        raise ValueError("weights must be 0 or more and finite, with a sum above 0")
    strings = Strings(vocabulary.encode(list(weights)), vocabulary)
    return float(-(counts / counts.sum() * string_log_probabilities(model, strings)).sum())


@torch.no_grad()
def against(student: Decoder, teacher: Decoder, strings: Strings) -> dict[str, float]:
    """Student and teacher after the same inputs; the mean over the places that count.

    Returns:
        kl = KL(p_t ‖ p_s), reverse_kl = KL(p_s ‖ p_t), student_entropy and teacher_entropy, all in
        nats a token; agreement, how often both have the same most probable token.
    """
    check_reads(student, strings)
    check_reads(teacher, strings)
    sums, count = torch.zeros(5, dtype=torch.float64), 0
    with single_thread():
        for part in torch.arange(len(strings)).split(AT_ONCE):
            some = strings.take(part)
            log_s, log_t = (
                F.log_softmax(model(some.inputs)[some.mask].double(), dim=1)
                for model in (student, teacher)
            )
            p_s, p_t = log_s.exp(), log_t.exp()
            pieces = [
                (p_t * (log_t - log_s)).sum(), (p_s * (log_s - log_t)).sum(),
                -(p_s * log_s).sum(), -(p_t * log_t).sum(),
                (log_s.argmax(1) == log_t.argmax(1)).sum(),
            ]  # fmt: skip
            sums, count = sums + torch.stack([one.double() for one in pieces]), count + len(log_s)
    names = ("kl", "reverse_kl", "student_entropy", "teacher_entropy", "agreement")
    return dict(zip(names, (sums / count).tolist(), strict=True))


def against_truth(model: Decoder, strings: Strings, probabilities: Tensor) -> dict[str, float]:
    """The model against a language whose every string and probability is known.

    Args:
        strings: all strings of the language, each once.
        probabilities: p of each, ``[N]``, summing to 1.

    Returns:
        kl: KL(p ‖ q) of whole strings in nats, which is large where q forgets a string.
        outside: the mass of what is no string of the language.
        reverse_kl: KL(q ‖ p) among the strings of the language, q divided by its mass there.
        covered: p of the strings that have q ≥ p/2: the share of the language that is not lost.
    """
    _check_language(strings, probabilities)
    log_q, p = string_log_probabilities(model, strings), probabilities.double()
    log_p, inside = p.log(), log_q.logsumexp(0)
    q = (log_q - inside).exp()
    return {
        "kl": float(torch.xlogy(p, p).sum() - (p * log_q).sum()),
        "outside": float(-torch.expm1(inside)),
        "reverse_kl": float((q * (log_q - inside - log_p)).sum()),
        "covered": float(p[log_q >= log_p - torch.log(torch.tensor(2.0))].sum()),
    }


class Prefixes(NamedTuple):
    """All prefixes of a language's strings.

    ``numbers`` ``[N, L]``: of the prefix before each target (−1 where it is padding); ``rows`` and
    ``places`` ``[P]``: where each prefix is first seen.
    """

    numbers: Tensor
    rows: Tensor
    places: Tensor


def prefixes(strings: Strings) -> Prefixes:
    """Number the prefixes: strings that begin alike share the numbers of what they share."""
    tokens, mask = strings.inputs, strings.mask
    numbers = torch.full(tokens.shape, -1)
    before = torch.zeros(len(tokens), dtype=torch.int64)
    rows, places, count = [], [], 0
    for place in range(tokens.shape[1]):
        live = mask[:, place].nonzero()[:, 0]
        keys = before[live] * (strings.vocabulary.padding + 1) + tokens[live, place]
        distinct, inverse = keys.unique(return_inverse=True)
        first = torch.full((len(distinct),), len(tokens)).scatter_reduce(0, inverse, live, "amin")
        numbers[live, place] = inverse + count
        before[live] = inverse
        rows.append(first)
        places.append(torch.full_like(first, place))
        count += len(distinct)
    return Prefixes(numbers, torch.cat(rows), torch.cat(places))


@torch.no_grad()
def exposure(model: Decoder, strings: Strings, probabilities: Tensor) -> pd.DataFrame:
    """How often the model leaves a known language at each place: after prefixes of the language, as
    in training, and after what it has written itself, as in use (exposure bias; 2204.01171).

    Args:
        strings: all strings of the language, each once.
        probabilities: p of each, ``[N]``, summing to 1.

    Returns:
        One row a place: reached, reached_by_model and reached_if_kept (mass of prefixes of this
        length in p, in q without having left the language, and in q where each token that would
        leave it is drawn again), error_given_data, error_given_own and error_given_kept
        (probability that the next token leaves it, mean over these three), kl_given_data,
        kl_given_own and kl_given_kept (KL(p ‖ q) of the next token, mean over the same).

        Own prefixes are those of the strings that have not failed so far. Kept ones have no
        survivors: their difference from the data's is what the model prefers to write.
    """
    _check_language(strings, probabilities)
    check_reads(model, strings)
    numbers, rows, places = prefixes(strings)
    log_q = _after(model, strings, rows, places)  # [P, classes]
    live, count = strings.mask, len(rows)
    cells = numbers[live] * model.classes + strings.targets[live]
    spread = probabilities.double()[:, None].expand(live.shape)[live]
    joint = torch.zeros(count * model.classes, dtype=torch.float64).index_add(0, cells, spread)
    joint = joint.view(count, model.classes)
    in_data = joint.sum(dim=1)
    next_p = joint / in_data[:, None]
    read = log_probabilities(model, strings)
    before = read.cumsum(dim=1) - read
    stays = (log_q.exp() * (next_p > 0)).sum(dim=1)
    stayed = torch.where(live, stays[numbers].log(), 0.0)
    stayed = stayed.cumsum(dim=1) - stayed  # log of the probability not to have left before
    masses_of = {
        "data": in_data,
        "own": before[rows, places].exp(),
        "kept": (before - stayed)[rows, places].exp(),
    }
    divergence = (torch.xlogy(next_p, next_p) - next_p * log_q).sum(dim=1)
    columns = {"data": "reached", "own": "reached_by_model", "kept": "reached_if_kept"}
    found = []
    for place in range(live.shape[1]):
        here, row = places == place, {"place": float(place)}
        for name, mass in masses_of.items():
            row[columns[name]] = float(mass[here].sum())
            for kind, values in (("error", 1 - stays), ("kl", divergence)):
                mean = (mass[here] * values[here]).sum() / mass[here].sum()
                row[f"{kind}_given_{name}"] = float(mean)
        found.append(row)
    return pd.DataFrame(found).astype({"place": int})


def _after(model: Decoder, strings: Strings, rows: Tensor, places: Tensor) -> Tensor:
    """The log q of every class after each prefix, ``[P, classes]`` float64."""
    found = torch.empty(len(rows), model.classes, dtype=torch.float64)
    with single_thread():
        for part in torch.arange(len(strings)).split(AT_ONCE):
            logits = model(strings.inputs[part]).double()
            mine = ((rows >= part[0]) & (rows <= part[-1])).nonzero()[:, 0]
            picked = logits[rows[mine] - part[0], places[mine]]
            found[mine] = F.log_softmax(picked, dim=1)
    return found


def _check_language(strings: Strings, probabilities: Tensor) -> None:
    checks.instance(Strings, said="a kdnotes.data.Strings")("strings", strings)
    checks.floating("probabilities", probabilities, " [N]")
    if probabilities.shape != (len(strings),) or not len(strings):
        found = list(probabilities.shape)
        raise ValueError(f"probabilities must have the shape [{len(strings)}], not {found}")
    checks.distribution("probabilities", probabilities[None])
