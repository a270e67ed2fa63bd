"""The decoder: its parameters, causality, its cache, and what it writes."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from scipy import stats

from kdnotes.data import Strings, Vocabulary
from kdnotes.models import Decoder, count_parameters, decoder

AB = Vocabulary("ab")


def small(width=16, context=6, classes=3, heads=2, seed=0):
    """A model with weights large enough to have preferences."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Decoder(classes, context, width, 2, heads)
        for one in model.parameters():
            one.data.add_(0.3 * torch.randn_like(one))
    return model.eval()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((27, 14, 32, 2, 2), 27_739), ((27, 14, 96, 3, 4), 342_459), ((27, 14, 24, 1, 1), 8_979)],
)
def test_parameters(sizes, expected):
    classes, context, width, depth, _ = sizes
    formula = 12 * width**2 * depth + (13 * depth + 2 * classes + context + 4) * width + classes
    assert count_parameters(Decoder(*sizes)) == formula == expected


def test_no_place_sees_a_later_one():
    model, tokens = small(), torch.tensor([[3, 1, 2, 1, 0, 4]])
    changed = tokens.clone()
    changed[0, 4:] = 2
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("cuts", [(1,) * 6, (2, 4), (3, 1, 2), (6,)])
def test_the_cache_gives_what_one_pass_gives(cuts):
    model, tokens, cache, parts = small(), torch.randint(0, 3, (5, 6)), [], []
    with torch.no_grad():
        for part in tokens.split(cuts, dim=1):
            parts.append(model(part, cache))
        torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens), atol=1e-5, rtol=1e-5)


def test_places_that_do_not_count_are_left_out():
    """Logits and gradients of the others are those of a pass over all."""
    found, strings = [], ["", "a", "abba", "bb"]
    tokens = Strings(AB.encode(strings, 4), AB)
    for mask in (None, tokens.mask):
        model = small().double()
        logits = model(tokens.inputs, mask=mask)
        logits[tokens.mask].sin().sum().backward()
        found.append([logits.detach()[tokens.mask], *(one.grad for one in model.parameters())])
    assert not logits[~tokens.mask].any() and bool((~tokens.mask).any())
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("count", [1, 7, 300])
def test_strings_that_have_ended_are_left_out_and_the_others_stay(count):
    """A string of each length, so that the cache loses some at every place."""
    model = small(context=9, seed=2)
    written = model.sample(count, 4)
    assert torch.equal(written, model.sample(count, 4, cached=False))
    assert count < 300 or len((written == 0).int().argmax(dim=1).unique()) >= 9


@pytest.mark.parametrize("cached", [True, False])
def test_strings_do_not_depend_on_how_many_are_written_at_a_time(monkeypatch, cached):
    model, read = small(context=9, seed=2), []
    model.register_forward_hook(lambda _, given, __: read.append(len(given[0])))
    whole = model.sample(50, 4, cached=cached)
    assert max(read) == 50
    for at_once in (7, 25, 49):
        monkeypatch.setattr(decoder, "AT_ONCE", at_once)
        read.clear()
        assert torch.equal(whole, model.sample(50, 4, cached=cached))
        assert max(read) == at_once


def test_what_has_ended_is_read_no_more_and_nothing_is_copied_anew():
    model, read, kept = small(context=9, seed=2), [], set()

    def look(_, given, __):
        tokens, cache = given
        read.append(tokens.numel())
        kept.add(cache[1].untyped_storage().data_ptr())

    model.register_forward_hook(look)
    written = model.sample(300, 4)
    before_each = (written[:, 1:] != AB.padding).sum()  # tokens that were drawn
    assert sum(read) == int(before_each) and len(kept) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_cached_writing_equals_uncached_token_by_token(temperature):
    model = small(width=32, context=12, classes=8, heads=4)
    with_cache = model.sample(500, 3, temperature)
    assert torch.equal(with_cache, model.sample(500, 3, temperature, cached=False))


def test_writing_depends_on_the_seed_alone():
    model = small()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = model.sample(50, 1), model.sample(50, 1), model.sample(50, 2)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_written_is_begin_characters_end_padding():
    for row in small().sample(200, 0).tolist():
        end = row.index(0) if 0 in row else len(row)
        assert row[0] == AB.begin and all(one in (1, 2) for one in row[1:end])
        assert all(one == AB.padding for one in row[end + 1 :])


def all_strings(length):
    return [
        "".join(one) for size in range(length + 1) for one in itertools.product("ab", repeat=size)
    ]


def probabilities(model, length):
    """q of all strings of at most ``length`` characters, by the model's own softmax."""
    strings = all_strings(length)
    tokens = Strings(AB.encode(strings, length), AB)
    with torch.no_grad():
        log_q = model(tokens.inputs).double().log_softmax(dim=2)
    targets = tokens.targets.where(tokens.mask, 0)
    picked = log_q.gather(2, targets[..., None])[..., 0].where(tokens.mask, 0.0)
    return strings, picked.sum(dim=1).exp()


def test_all_strings_and_what_is_cut_off_sum_to_1():
    """Of 6 inputs the strings of up to 5 characters end within the context."""
    model = small()
    strings, finished = probabilities(model, 5)
    assert len(strings) == 2**6 - 1
    open_ = [one for one in strings if len(one) == 5]
    tokens = AB.encode(open_, 5)[:, :6]
    with torch.no_grad():
        log_q = model(tokens).double().log_softmax(dim=2)
    follow = log_q[:, :-1].gather(2, tokens[:, 1:, None])[..., 0].sum(dim=1).exp()
    cut = (follow * (1 - log_q[:, -1, 0].exp())).sum()
    assert abs(float(finished.sum() + cut) - 1) < 1e-6
    assert float(cut) > 1e-4  # else this would test little


@pytest.mark.parametrize("cached", [True, False])
def test_frequencies_of_what_is_written(cached):
    model, count = small(), 40_000
    strings, q = probabilities(model, 5)
    tokens = model.sample(count, 11, cached=cached)
    ended = (tokens == 0).any(dim=1)
    written = AB.decode(tokens[ended])
    seen = dict.fromkeys(strings, 0)
    for one in written:
        seen[one] += 1
    large = [n for n, one in enumerate(q.tolist()) if one * count >= 10]
    observed = [seen[strings[n]] for n in large]
    expected = [float(q[n]) * count for n in large]
    observed.append(count - sum(observed))
    expected.append(count - sum(expected))
    assert len(large) > 10 and stats.chisquare(observed, expected).pvalue > 1e-3
    wrong = stats.chisquare(observed, expected[1:] + expected[:1])  # the test can fail
    assert wrong.pvalue < 1e-6


def test_temperature_of_writing_sharpens():
    model = small()
    kinds = [len(set(AB.decode(model.sample(500, 0, temperature)))) for temperature in (0.2, 1, 3)]
    assert kinds[0] < kinds[1] < kinds[2]


def masked(mask, **options):
    return small()(torch.tensor([[3, 1]]), mask=torch.tensor(mask), **options)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: Decoder(1, 6), ValueError, "classes must be at least 2"),
        (lambda: Decoder(3, 0), ValueError, "context must be at least 1"),
        (lambda: Decoder(3, 6, 30, 2, 4), ValueError, "width must be a multiple of heads (4)"),
        (lambda: Decoder(3, 6.0), TypeError, "context must be an integer"),
        (lambda: small()(torch.zeros(1, 7).long()), ValueError, "1 to 6 (the context), not 7"),
        (lambda: small()(torch.zeros(1, 0).long()), ValueError, "1 to 6 (the context), not 0"),
        (lambda: small()(torch.zeros(1, 3)), TypeError, "tokens must be an int64 tensor"),
        (lambda: small()(torch.zeros(3).long()), TypeError, "[batch, length]"),
        (lambda: small()(torch.full((1, 3), 5)), ValueError, "tokens must lie in 0 … 4"),
        (lambda: masked([[False, True]]), ValueError, "mask must be true at the first places of"),
        (lambda: masked([[True]]), ValueError, "mask must have the shape [batch, length], [1, 2]"),
        (lambda: masked([[False, False]]), ValueError, "mask must be true at one place or more"),
        (lambda: masked([[1, 1]]), TypeError, "mask must be a bool tensor"),
        (lambda: masked([[True, True]], cache=[]), ValueError, "mask must be None with a cache"),
        (lambda: small().sample(0, 0), ValueError, "count must be at least 1"),
        (lambda: small().sample(1, -1), ValueError, "seed must be at least 0"),
        (lambda: small().sample(1, 0, 0.0), ValueError, "temperature must be"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()
