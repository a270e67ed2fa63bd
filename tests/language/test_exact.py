"""What a model has learned, exactly: against loops over strings, and against what it writes."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter

import pytest
import torch
from language_helpers import ALL, BRACKETS, STUDENT, P, corpus, fit, teacher

from kdnotes import language as lm
from kdnotes.data import Brackets, PairVocabulary, Strings
from kdnotes.models import Decoder
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def model(session_cache):
    """A student that has learned most of the language."""
    return lm.trained(STUDENT, fit(steps=150))


def next_q(model, prefix):
    """The model's probabilities after a prefix, by token, one string at a time."""
    tokens = BRACKETS.vocabulary.encode([prefix], 6)[:, : len(prefix) + 1]
    with torch.no_grad():
        return model(tokens)[0, -1].double().softmax(dim=0)


def q_of(model, string):
    product = 1.0
    for place, one in enumerate(string):
        product *= float(next_q(model, string[:place])["()[]".index(one) + 1])
    return product * float(next_q(model, string)[0])


def test_probabilities_of_strings(model):
    found = lm.string_log_probabilities(model, ALL).exp()
    for number in range(0, len(ALL), 7):
        assert float(found[number]) == pytest.approx(q_of(model, BRACKETS.strings[number]), 1e-5)


def test_a_string_is_as_probable_as_all_ways_to_cut_it_together():
    pairs = PairVocabulary("ab", ("ab", "bb"))
    model = build(functools.partial(Decoder, pairs.classes, 5, 8, 1, 2), 0).double().eval()
    strings = ["".join(one) for size in range(5) for one in itertools.product("ab", repeat=size)]
    found = lm.marginal_log_probabilities(model, strings, pairs).exp()
    for string, q in zip(strings, found, strict=True):
        ways = [Strings(pairs.encode_cut([way]), pairs) for way in pairs.cuts(string)]
        each = [float(lm.string_log_probabilities(model, way).exp()) for way in ways]
        assert float(q) == pytest.approx(sum(each), 1e-12)
    own = lm.string_log_probabilities(model, Strings(pairs.encode(strings), pairs)).exp()
    several = torch.tensor([len(pairs.cuts(one)) > 1 for one in strings])
    torch.testing.assert_close(own[~several], found[~several])
    letters = lm.marginal_log_probabilities(teacher().model, ["", "()"], BRACKETS.vocabulary)
    strings = Strings(BRACKETS.vocabulary.encode(["", "()"]), BRACKETS.vocabulary)
    assert torch.equal(letters, lm.string_log_probabilities(teacher().model, strings))
    assert bool((own[several] < found[several]).all()) and 5 < int(several.sum()) < 31


def test_masses_and_what_is_left(model):
    few, rest = ALL.take(torch.arange(10)), ALL.take(torch.arange(10, len(ALL)))
    found = lm.masses(model, {"short": few, "long": rest})
    q = lm.string_log_probabilities(model, ALL).exp()
    assert found["short"] == pytest.approx(float(q[:10].sum()))
    assert sum(found.values()) == pytest.approx(1) and 0.02 < found["elsewhere"] < 0.98


def test_masses_are_the_frequencies_of_what_is_written(model):
    count = 20_000
    tokens = model.sample(count, 5)
    ended = (tokens == 0).any(dim=1)
    written = Counter(BRACKETS.vocabulary.decode(tokens[ended]))
    inside = sum(written[one] for one in BRACKETS.strings)
    mass = 1 - lm.masses(model, {"language": ALL})["elsewhere"]
    assert abs(inside / count - mass) < 4 * math.sqrt(mass * (1 - mass) / count)


def test_against_truth(model):
    found, q = lm.against_truth(model, ALL, P), lm.string_log_probabilities(model, ALL).exp()
    inside = q / q.sum()
    assert found["kl"] == pytest.approx(float((P * (P / q).log()).sum()))
    assert found["outside"] == pytest.approx(float(1 - q.sum()))
    assert found["reverse_kl"] == pytest.approx(float((inside * (inside / P).log()).sum()))
    assert found["covered"] == pytest.approx(float(P[q >= P / 2].sum()))
    cross = lm.cross_entropy(
        model, dict(zip(BRACKETS.strings, P.tolist(), strict=True)), BRACKETS.vocabulary
    )
    entropy = float(-(P * P.log()).sum())
    assert cross == pytest.approx(found["kl"] + entropy)


def test_against_another_model(model):
    found = lm.against(model, teacher().model, corpus().test)
    sums, count = Counter(), 0
    for string in corpus().test.text():
        for place in range(len(string) + 1):
            s, t = (next_q(one, string[:place]) for one in (model, teacher().model))
            sums["kl"] += float((t * (t / s).log()).sum())
            sums["reverse_kl"] += float((s * (s / t).log()).sum())
            sums["student_entropy"] -= float((s * s.log()).sum())
            sums["teacher_entropy"] -= float((t * t.log()).sum())
            sums["agreement"] += float(s.argmax() == t.argmax())
            count += 1
    assert found == pytest.approx({name: value / count for name, value in sums.items()}, rel=1e-4)
    itself = lm.against(model, model, corpus().test)
    assert itself["kl"] == 0 and itself["agreement"] == 1


def test_prefixes_are_numbered_once():
    found = lm.prefixes(ALL)
    distinct = {one[:end] for one in BRACKETS.strings for end in range(len(one) + 1)}
    assert len(found.rows) == len(distinct)
    seen = {}
    for row, string in enumerate(BRACKETS.strings):
        for place in range(len(string) + 1):
            number = int(found.numbers[row, place])
            assert seen.setdefault(string[:place], number) == number
            first = BRACKETS.strings[found.rows[number]][: found.places[number]]
            assert first == string[:place]
        assert (found.numbers[row, len(string) + 1 :] == -1).all()
    assert len(set(seen.values())) == len(distinct)


COLUMNS = {"data": "reached", "own": "reached_by_model", "kept": "reached_if_kept"}


def test_exposure_against_a_walk_through_all_prefixes(model):
    table = lm.exposure(model, ALL, P).set_index("place")
    by_place = {place: Counter() for place in table.index}
    walk = [("", 1.0, 1.0, 1.0)]
    while walk:
        prefix, p, q, kept = walk.pop()
        options, after = BRACKETS.next_probabilities(prefix), next_q(model, prefix)
        here, error, divergence = by_place[len(prefix)], 1.0, 0.0
        for one, share in options.items():
            mine = float(after["()[]".index(one) + 1 if one else 0])
            error, divergence = error - mine, divergence + share * math.log(share / mine)
        for one, share in options.items():
            mine = float(after["()[]".index(one) + 1 if one else 0])
            if one:
                walk.append((prefix + one, p * share, q * mine, kept * mine / (1 - error)))
        here["reached"] += p
        here["reached_by_model"] += q
        here["reached_if_kept"] += kept
        for name, value in (("error", error), ("kl", divergence)):
            here[f"{name}_given_data"] += p * value
            here[f"{name}_given_own"] += q * value
            here[f"{name}_given_kept"] += kept * value
    for place, sums in by_place.items():
        for name, value in sums.items():
            by = COLUMNS.get(name.rpartition("_")[2])
            expected = value / sums[by] if "_given_" in name else value
            assert table.loc[place, name] == pytest.approx(expected, rel=1e-4, abs=1e-7), name


def test_a_perfect_model_makes_no_error_and_what_it_reaches_is_the_languages():
    """A table of the true probabilities in the place of a model."""

    class Perfect(torch.nn.Module):
        context, classes = 7, 5

        def forward(self, tokens, mask=None):
            out = torch.full((*tokens.shape, 5), -1e9)
            for row, line in enumerate(tokens.tolist()):
                for place in range(len(line)):
                    prefix = BRACKETS.vocabulary.decode(torch.tensor([line[: place + 1]]))[0]
                    if 0 in line[1 : place + 1] or 6 in line[: place + 1]:
                        break
                    for one, share in BRACKETS.next_probabilities(prefix).items():
                        out[row, place, "()[]".index(one) + 1 if one else 0] = math.log(share)
            return out

    found = lm.exposure(Perfect(), ALL, P)
    assert found[["error_given_data", "error_given_own"]].abs().to_numpy().max() < 1e-6
    torch.testing.assert_close(
        torch.tensor(found["reached"]), torch.tensor(found["reached_by_model"]), atol=1e-6, rtol=0
    )
    truth = lm.against_truth(Perfect(), ALL, P)
    assert truth["kl"] == pytest.approx(0, abs=1e-6) and truth["covered"] == pytest.approx(1)


LONG = Brackets(pairs=4).tokens()


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda m: lm.masses(m, {"elsewhere": ALL}), ValueError, "other names than 'elsewhere'"),
        (lambda m: lm.masses(m, {"all": ["()"]}), TypeError, "strings must be a kdnotes.data.Str"),
        (
            lambda m: lm.cross_entropy(m, {}, ALL.vocabulary),
            ValueError,
            "weights must be 0 or more",
        ),
        (lambda m: lm.cross_entropy(m, {"()": -1}, ALL.vocabulary), ValueError, "weights must be"),
        (lambda m: lm.against_truth(m, ALL, P[:3]), ValueError, "probabilities must have the sha"),
        (lambda m: lm.against_truth(m, ALL, 2 * P), ValueError, "probabilities must sum to 1"),
        (lambda m: lm.exposure(m, ALL, P.tolist()), TypeError, "probabilities must be a floating"),
        (lambda m: lm.exposure(m, "()", P), TypeError, "strings must be a kdnotes.data.Strings"),
        (lambda m: lm.masses(m, {"all": LONG}), ValueError, "strings must have at most 7 inputs"),
    ],
)
def test_wrong_calls(wrong, error, said, model):
    with pytest.raises(error, match=re.escape(said)):
        wrong(model)
