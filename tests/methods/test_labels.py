"""Cross-entropy and label smoothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from helpers import CLASSES, batch_of

from kdnotes import losses
from kdnotes.methods import CrossEntropy, LabelSmoothing


def test_cross_entropy_and_label_smoothing_terms():
    batch = batch_of()
    onehot = F.one_hot(batch.targets, CLASSES)
    hard = losses.soft_cross_entropy(batch.student_logits, onehot.float())
    torch.testing.assert_close(CrossEntropy().terms(batch)["hard"], hard)
    smooth = losses.soft_cross_entropy(batch.student_logits, 0.7 * onehot + 0.3 / CLASSES)
    torch.testing.assert_close(LabelSmoothing(0.3).terms(batch)["hard"], smooth)
    assert LabelSmoothing(0.0).terms(batch)["hard"] == CrossEntropy().terms(batch)["hard"]
