"""Every method of language models: what it minimises, what it draws, and what it leaves alone."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from language_helpers import BRACKETS, STUDENT, corpus, fit, methods, teacher

from kdnotes import language as lm
from kdnotes import losses
from kdnotes.data import Strings, Vocabulary
from kdnotes.training import build

pytestmark = pytest.mark.usefixtures("own_cache")
EACH = pytest.mark.parametrize("name", methods())


def prepared(method, seed=0):
    method = copy.deepcopy(method)
    method.prepare(corpus().train, seed)
    return method


def batch(positions=(3, 1, 4), student=None):
    positions = torch.tensor(positions)
    strings = corpus().train.take(positions)
    student = student or build(STUDENT, 0)
    return lm.TokenBatch(strings, positions, student(strings.inputs))


@EACH
def test_it_learns_what_it_minimises(name):
    """After 150 steps the loss of the last pass is well below that of the first."""
    loss = fit(methods()[name], steps=150).history["loss"]
    assert loss.iloc[-1] < (0.75 if "labels" not in name else 0.9) * loss.iloc[0]


@EACH
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    first, again, other = fit(methods()[name]), fit(methods()[name]), fit(methods()[name], seed=1)
    assert all(torch.equal(first.state[key], again.state[key]) for key in first.state)
    assert first.metrics == again.metrics and first.order == again.order
    assert first.order != other.order and first.start != other.start


@EACH
def test_arms_of_a_seed_start_equal_and_see_equal_batches(name):
    plain, run = fit(), fit(methods()[name])
    assert run.start == plain.start and run.order == plain.order


@EACH
def test_it_leaves_method_teacher_and_generators_alone(name):
    method = methods()[name]
    settings, key = repr(vars(method)), teacher().key
    torch.manual_seed(3)
    state = torch.get_rng_state()
    fit(method)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(vars(method)) == settings and not teacher().model.training
    assert lm.LanguageTeacher(teacher().model, BRACKETS.vocabulary).key == key


def teacher_logits(strings):
    return teacher().model(strings.inputs)


EXPECTED = {
    "TokenKD": lambda s, t, b: losses.token_kl(s, t, b.mask, 2.0),
    "TokenKD with labels": lambda s, t, b: (
        0.3 * losses.token_cross_entropy(s, b.targets, b.mask) + 0.7 * losses.token_kl(s, t, b.mask)
    ),
    "ReverseKD": lambda s, t, b: losses.token_reverse_kl(s, t, b.mask),
    "GeneralizedJSD": lambda s, t, b: losses.token_jsd(s, t, b.mask, 0.3),
    "SkewedKD": lambda s, t, b: losses.token_skewed_kl(s, t, b.mask, 0.2),
    "SkewedKD, reverse": lambda s, t, b: losses.token_skewed_reverse_kl(s, t, b.mask, 0.2),
    "NextToken": lambda s, t, b: losses.token_cross_entropy(s, b.targets, b.mask),
    "TopAnswersKD": lambda s, t, b: (
        0.2 * losses.token_cross_entropy(s, b.targets, b.mask)
        + 0.8 * 4 * losses.token_sparse_kl(s / 2, *losses.top_answers(t / 2, 2), b.mask)
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_its_terms_are_its_loss_with_the_teacher_asked_live(name):
    given = batch()
    found = sum(prepared(methods()[name]).terms(given).values())
    with torch.no_grad():
        asked = teacher_logits(given.strings)
    expected = EXPECTED[name](given.student_logits, asked, given.strings)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_bank_that_is_too_large_is_not_made(monkeypatch):
    stored = prepared(lm.TokenKD(teacher()))
    monkeypatch.setattr(lm.teachers, "STORED_AT_MOST", 0)
    method = prepared(lm.TokenKD(teacher()))
    assert method.stored is None and stored.stored is not None
    torch.testing.assert_close(method.terms(batch()), stored.terms(batch()))


def test_drawn_answers_differ_from_seed_to_seed_and_not_within_a_run():
    one, same, other = (prepared(lm.SampledAnswersKD(teacher(), count=2), s) for s in (0, 0, 1))
    assert torch.equal(one.indices, same.indices) and not torch.equal(one.indices, other.indices)
    assert one.indices.shape == (40, corpus().context, 2)


def test_sequence_level_reads_what_the_teacher_wrote_a_copy_an_epoch():
    method = prepared(lm.SequenceKD(teacher(), copies=2))
    given, positions = corpus().train.take(torch.tensor([0, 7])), torch.tensor([0, 7])
    read = [
        method.strings(None, given, positions, lm.Step(0, 9, epoch))[0].text() for epoch in range(3)
    ]
    written = method.written.text()
    assert read == [[written[0], written[7]], [written[40], written[47]], read[0]]
    assert read[0] != read[1]


def test_on_policy_strings_are_the_students_and_graded_live():
    student, method = build(STUDENT, 0), prepared(lm.OnPolicy(lm.TokenKD(teacher())))
    given, positions = corpus().train.take(torch.arange(8)), torch.arange(8)
    steps = [lm.Step(0, 0, 0), lm.Step(0, 0, 0), lm.Step(0, 1, 0), lm.Step(1, 0, 0)]
    first, again, later, other = (method.strings(student, given, positions, step) for step in steps)
    assert first[1] is None and first[0].text() == again[0].text()
    assert len({tuple(one[0].text()) for one in (first, later, other)}) == 3
    logits = student(first[0].inputs)
    found = method.terms(lm.TokenBatch(first[0], None, logits))["soft"]
    with torch.no_grad():
        expected = losses.token_kl(logits, teacher_logits(first[0]), first[0].mask)
    torch.testing.assert_close(found, expected)


def test_a_share_of_the_steps_is_on_policy():
    student, method = build(STUDENT, 0), prepared(lm.OnPolicy(lm.TokenKD(teacher()), 0.3))
    given, positions = corpus().train.take(torch.arange(4)), torch.arange(4)
    own = [
        method.strings(student, given, positions, lm.Step(0, number, 0))[1] is None
        for number in range(200)
    ]
    assert 35 < sum(own) < 85  # 60 expected, 6.5 the standard deviation


def test_share_0_is_distillation_on_the_data():
    data, none = fit(lm.ReverseKD(teacher())), fit(lm.OnPolicy(lm.ReverseKD(teacher()), 0.0))
    assert all(torch.equal(data.state[key], none.state[key]) for key in data.state)


def test_alpha_1_is_cross_entropy():
    plain, all_labels = fit(), fit(lm.TokenKD(teacher(), alpha=1.0))
    for key in plain.state:
        torch.testing.assert_close(plain.state[key], all_labels.state[key])


def test_a_bank_belongs_to_its_strings():
    some = corpus().train.take(torch.arange(5))
    bank = teacher().bank(Strings(some.tokens, some.vocabulary))
    expected = teacher_logits(some)[some.mask]
    torch.testing.assert_close(bank[some.mask], expected, atol=1e-5, rtol=1e-5)
    assert not bank[~some.mask].any()
    assert torch.equal(bank, teacher().bank(some))
    assert teacher(1).key != teacher().key


AB = Vocabulary("ab")


def other_characters():
    """As many classes, with another meaning."""
    return lm.LanguageTeacher(teacher().model, Vocabulary("<>{}"))


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: lm.TokenKD(None), TypeError, "teacher must be a kdnotes.language.teachers.Lang"),
        (lambda: lm.TokenKD(teacher().model), TypeError, "teacher must be a kdnotes.language"),
        (lambda: lm.TokenKD(teacher(), 0.0), ValueError, "temperature must be"),
        (lambda: lm.TokenKD(teacher(), alpha=2.0), ValueError, "alpha must lie in [0, 1]"),
        (lambda: lm.GeneralizedJSD(teacher(), beta=-1.0), ValueError, "beta must lie in [0, 1]"),
        (lambda: lm.SkewedKD(teacher(), skew=1.0), ValueError, "skew must be below 1"),
        (lambda: lm.SkewedKD(teacher(), reverse=1), TypeError, "reverse must be True or False"),
        (lambda: lm.TopAnswersKD(teacher(), count=0), ValueError, "count must be at least 1"),
        (lambda: lm.SequenceKD(teacher(), copies=0), ValueError, "copies must be at least 1"),
        (lambda: lm.SequenceKD(teacher(), temperature=-1), ValueError, "temperature must be"),
        (lambda: lm.OnPolicy(lm.NextToken()), TypeError, "grading must be a kdnotes.language"),
        (lambda: lm.OnPolicy(lm.TokenKD(teacher(), alpha=0.5)), ValueError, "no labels (alpha=0)"),
        (lambda: lm.OnPolicy(lm.TopAnswersKD(teacher())), ValueError, "use all answers"),
        (lambda: lm.OnPolicy(lm.TokenKD(teacher()), 1.1), ValueError, "share must lie in [0, 1]"),
        (lambda: lm.LanguageTeacher("gpt", AB), TypeError, "model must be a kdnotes.models.decod"),
        (lambda: lm.LanguageTeacher(teacher().model, "ab"), TypeError, "vocabulary must be a kdn"),
        (lambda: lm.LanguageTeacher(teacher().model, AB), ValueError, "model's 5 classes, not 3"),
        (lambda: fit(lm.TokenKD(other_characters())), ValueError, "tokens must be the strings'"),
        (lambda: fit(lm.SequenceKD(other_characters())), ValueError, "not '<>{}'"),
        (lambda: fit(lm.OnPolicy(lm.TokenKD(other_characters()))), ValueError, "not '<>{}'"),
        (lambda: fit(lm.TopAnswersKD(teacher(), count=6)), ValueError, "count must be a whole num"),
    ],
)
def test_wrong_calls(wrong, error, said):
    with pytest.raises(error, match=re.escape(said)):
        wrong()
