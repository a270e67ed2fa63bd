"""KD, DKD and StandardizedKD: their terms by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from helpers import batch_of, tiny_data, tiny_teacher
from method_helpers import given_logits, outputs, prepared

from kdnotes import losses
from kdnotes.data import Views
from kdnotes.methods import DKD, KD, StandardizedKD

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_kd_terms_use_the_teachers_logits_of_the_same_view_and_images(alpha):
    teacher, data, views = tiny_teacher(), tiny_data(), Views(3)
    method = KD(teacher, temperature=2.0, alpha=alpha)
    method.prepare(torch.nn.Identity(), data.train, views, torch.device("cpu"))
    batch = batch_of(view=2)
    seen = views.take(data.train, batch.positions, 2)
    soft = losses.kd_loss(batch.student_logits, teacher.model(seen), 2.0)
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    total = sum(method.terms(batch).values())
    torch.testing.assert_close(total, alpha * hard + (1 - alpha) * soft, rtol=1e-4, atol=1e-6)
    assert set(method.terms(batch)) == ({"soft"} if alpha == 0 else {"hard", "soft"})


@pytest.mark.parametrize(
    ("warmup", "progress", "ramp"),
    [(0.5, 0.0, 0), (0.5, 0.125, 0.25), (0.5, 0.8, 1), (0.0, 0.0, 1)],
)
def test_decoupled_terms_of_the_method(warmup, progress, ramp):
    method = prepared(DKD(*outputs(), 3.0, alpha=0.7, beta=5.0, warmup=warmup))
    batch = batch_of(view=1, progress=progress)
    target_class, others = losses.decoupled_terms(
        batch.student_logits, given_logits(method, batch)[0], batch.targets, 3.0
    )
    terms = method.terms(batch)
    torch.testing.assert_close(terms["hard"], F.cross_entropy(batch.student_logits, batch.targets))
    torch.testing.assert_close(terms["target class"], ramp * 0.7 * target_class)
    torch.testing.assert_close(terms["non-target class"], ramp * 5.0 * others)
    assert len(terms) == 3


def test_standardised_soft_term_is_blind_to_the_students_scale_and_the_hard_term_is_not():
    method = prepared(StandardizedKD(*outputs(), 2.0, 0.3))
    batch = batch_of(view=1)
    z_s, z_t = batch.student_logits, given_logits(method, batch)[0]
    by_hand = [(z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True) for z in (z_s, z_t)]
    larger = dataclasses.replace(batch, student_logits=5 * z_s + 3)
    terms, scaled = method.terms(batch), method.terms(larger)
    torch.testing.assert_close(
        terms["soft"], 0.7 * losses.kd_loss(*by_hand, 2.0), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(terms["hard"], 0.3 * F.cross_entropy(z_s, batch.targets))
    torch.testing.assert_close(scaled["soft"], terms["soft"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaled["hard"], 0.3 * F.cross_entropy(5 * z_s, batch.targets))
