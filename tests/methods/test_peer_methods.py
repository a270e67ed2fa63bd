"""DML: its terms by hand, what it is without weight, and what is kept of each peer."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CLASSES,
    COHORT,
    CONFIG,
    STUDENT,
    batch_of,
    equal_states,
    tiny_data,
    tiny_teacher,
    train,
)
from method_helpers import (
    ONE_STEP,
    RESIDUAL,
    assert_equal_runs,
    close,
    outputs,
    prepared,
    three_teachers,
)

from kdnotes import store, training
from kdnotes.methods import DML, KD, CrossEntropy, UncertaintyKD
from kdnotes.models import Cohort
from kdnotes.training import build, fit

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("taught", [False, True])
def test_peers_of_weight_0_learn_as_they_would_alone(taught):
    cohort, teacher = functools.partial(Cohort, (STUDENT, RESIDUAL, RESIDUAL)), tiny_teacher()
    with_teacher = {"teacher": teacher, "teacher_temperature": 2.0, "alpha": 0.3} if taught else {}
    by_itself = KD(teacher, 2.0, 0.3) if taught else CrossEntropy()
    together = train(DML(weight=0.0, **with_teacher), student=cohort)
    apart = [build(STUDENT, 0), *build(cohort, 0).peers[1:]]
    for number, student in enumerate(apart):
        alone = fit(student, by_itself, tiny_data(), CONFIG)
        prefix = f"stages.peers.networks.{number}."
        mine = [name for name in together.state if name.startswith(prefix)]
        own = {name.removeprefix(prefix): together.state[name] for name in mine}
        assert equal_states(own, alone.state)
        assert torch.equal(together.kept["peers.test"][:, number], alone.test_logits)
        assert torch.equal(together.kept["peers.validation"][:, number], alone.validation_logits)
    assert (together.history["peers"] == 0).all()
    assert_equal_runs_of_first(together, train(by_itself))


def assert_equal_runs_of_first(cohort, alone):
    assert torch.equal(cohort.test_logits, alone.test_logits) and cohort.metrics == alone.metrics
    assert cohort.order == alone.order


def test_a_cohort_trained_by_cross_entropy_trains_its_first_peer():
    # The other ones have a gradient of 0, and would decay.
    config = dataclasses.replace(CONFIG, weight_decay=0.0)
    run = train(CrossEntropy(), config, COHORT)
    assert_equal_runs_of_first(run, train(CrossEntropy(), config))
    for name, parameter in build(COHORT, 0).peers[1].named_parameters():
        assert torch.equal(run.state[f"stages.peers.networks.1.{name}"], parameter), name


def test_peers_change_what_each_learns():
    plain, together = train(CrossEntropy()), train(DML())
    assert not torch.equal(plain.test_logits, together.test_logits)
    assert (together.history["peers"] > 0).all()


def peer_batch(count=3, **changes):
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(6, count, CLASSES, generator=generator)
    logits.requires_grad_()
    given = {"features": {"peers": logits}, "student_logits": logits[:, 0]}
    return batch_of(view=1, **(given | changes)), logits


def prepared_peers(method, count=3):
    return prepared(method, build(functools.partial(Cohort, (STUDENT,) * count), 0))


def kl_by_hand(z_from, z_to, temperature):
    p, q = (torch.softmax(z / temperature, 1) for z in (z_from, z_to))
    return temperature**2 * (p * (p.log() - q.log())).sum(1).mean()


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("taught", [False, True])
def test_terms_of_peers_by_hand(count, taught):
    teacher = outputs()[0] if taught else None
    method = prepared_peers(DML(0.6, 1.7, teacher, 3.0, 0.3), count)
    batch, logits = peer_batch(count)
    z = logits.unbind(1)
    alpha = 0.3 if taught else 1.0
    hard = alpha * sum(F.cross_entropy(own, batch.targets) for own in z)
    pairs = [(i, j) for i in range(count) for j in range(count) if j != i]
    peers = 0.6 / (count - 1) * sum(kl_by_hand(z[j].detach(), z[i], 1.7) for i, j in pairs)
    terms = method.terms(batch)
    assert list(terms) == (["hard", "soft", "peers"] if taught else ["hard", "peers"])
    close(terms["hard"], hard)
    close(terms["peers"], peers)
    if taught:
        z_t = teacher.logits[batch.view, batch.positions]
        close(terms["soft"], 0.7 * sum(kl_by_hand(z_t, own, 3.0) for own in z))
    both = (terms["peers"], peers)  # each with its detaching
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in both]
    close(*gradients)
    p = [torch.softmax(own.detach() / 1.7, 1) for own in z]
    for i in range(count):  # T/(K − 1)·Σ_j (p_i − p_j)/B: from peer i's own term alone
        apart = sum(p[i] - p[j] for j in range(count) if j != i)
        close(gradients[0][:, i], 0.6 * 1.7 / (count - 1) * apart / 6)


def test_what_is_learned_among_peers_can_be_replaced():
    """Such as by the form without detaching, which the chapter on mutual learning compares."""

    class Other(DML):
        def among_peers(self, logits):
            return torch.stack(logits).square().mean()

    batch, logits = peer_batch()
    close(prepared_peers(Other(0.5)).terms(batch)["peers"], 0.5 * logits.square().mean())


def test_predictions_of_all_peers_are_kept_and_come_back_from_the_cache():
    cohort = functools.partial(Cohort, (STUDENT, RESIDUAL, STUDENT))
    arguments = (cohort, DML(), tiny_data(), CONFIG)
    run, again = store.cached_run(*arguments), store.cached_run(*arguments)
    assert not run.cached and again.cached
    assert set(run.kept) == {"peers.validation", "peers.test"}
    for part, logits in (("validation", run.validation_logits), ("test", run.test_logits)):
        kept = run.kept[f"peers.{part}"]
        assert kept.shape == (len(logits), 3, CLASSES) and torch.equal(kept[:, 0], logits)
    assert_equal_runs(run, again)
    assert equal_states(run.kept, again.kept)
    assert run.metrics == again.metrics and run.start == again.start
    model = build(cohort, 5)
    model.load_state_dict(again.state)
    for number, peer in enumerate(model.peers):  # in eval mode, with the weights of the end
        logits = training.predict(peer, tiny_data().test.images)
        close(logits, run.kept["peers.test"][:, number])
    different = {tuple(peer.flatten().tolist()) for peer in run.kept["peers.test"].unbind(1)}
    assert len(different) == 3


def test_peers_are_kept_beside_what_the_method_keeps_and_not_of_one_network():
    method = UncertaintyKD(three_teachers()[0])
    cohort, alone = train(method, ONE_STEP, COHORT), train(method, ONE_STEP)
    assert set(cohort.kept) == {"weights", "peers.validation", "peers.test"}
    assert set(alone.kept) == {"weights"} and train(CrossEntropy(), ONE_STEP).kept == {}
