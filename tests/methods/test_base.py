"""What methods are built from: defaults, a teacher's stored logits, mixing with the labels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers import CLASSES, batch_of
from method_helpers import given_logits, outputs, prepared

from kdnotes.methods import Method
from kdnotes.methods.base import Taught, labels_and

pytestmark = pytest.mark.usefixtures("own_cache")


def test_a_method_has_no_parameters_observes_nothing_and_keeps_nothing_unless_it_says_so():
    method = Method()
    assert (method.parameters(), method.observe(), method.keep()) == ([], {}, {})
    assert not method.needs_features
    with pytest.raises(NotImplementedError):
        method.terms(batch_of())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_labels_and_another_term_are_mixed(alpha):
    batch, soft = batch_of(), torch.tensor(7.0)
    terms = labels_and(soft, alpha, batch)
    hard = F.cross_entropy(batch.student_logits, batch.targets)
    assert sum(terms.values()) == alpha * hard + (1 - alpha) * soft
    assert list(terms) == (["soft"] if alpha == 0 else ["hard", "soft"])


def test_a_teachers_logits_are_fetched_once_and_given_by_view_and_image():
    method = prepared(Taught(*outputs()))
    batch = batch_of(view=1)
    assert torch.equal(method.teacher_logits(batch), given_logits(method, batch)[0])
    assert method.stored.shape == (2, 60, CLASSES)
