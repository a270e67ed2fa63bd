"""Distillation losses: pure functions of tensors, with no state, no device and no configuration.

Logits are floating-point tensors ``[batch, classes]``, finite, with at least two classes. Every
loss returns a scalar (the mean over the batch, which must hold a sample), or one value a sample,
``[batch]``, with ``reduction="none"``. Bad arguments raise ``TypeError`` (wrong kind) or
``ValueError`` (wrong value), naming the argument, what it was and what is allowed.
"""

from kdnotes.losses.contrast import contrast_level, contrastive_loss
from kdnotes.losses.correlations import correlation_terms, dist_loss
from kdnotes.losses.features import (
    attention_map,
    attention_transfer_loss,
    check_form,
    hint_loss,
    match_size,
)
from kdnotes.losses.gradient import reverse_gradient
from kdnotes.losses.hard import hard_label_loss
from kdnotes.losses.logits import (
    confidence_weights,
    decoupled_terms,
    dkd_loss,
    kd_loss,
    multi_teacher_kd_loss,
    self_targets,
    soft_cross_entropy,
    soften,
    standardize_logits,
)
from kdnotes.losses.peers import mutual_losses, peer_divergences
from kdnotes.losses.relations import (
    relational_angle_loss,
    relational_distance_loss,
    similarity_loss,
)
from kdnotes.losses.tokens import (
    check_skew,
    sampled_answers,
    token_cross_entropy,
    token_jsd,
    token_kl,
    token_reverse_kl,
    token_skewed_kl,
    token_skewed_reverse_kl,
    token_sparse_kl,
    top_answers,
)

__all__ = [
    "attention_map", "attention_transfer_loss", "check_form", "check_skew", "confidence_weights",
    "contrast_level", "contrastive_loss", "correlation_terms", "decoupled_terms", "dist_loss",
    "dkd_loss", "hard_label_loss", "hint_loss", "kd_loss", "match_size", "multi_teacher_kd_loss",
    "mutual_losses", "peer_divergences", "relational_angle_loss", "relational_distance_loss",
    "reverse_gradient", "sampled_answers", "self_targets", "similarity_loss", "soft_cross_entropy",
    "soften", "standardize_logits", "token_cross_entropy", "token_jsd", "token_kl",
    "token_reverse_kl", "token_skewed_kl", "token_skewed_reverse_kl", "token_sparse_kl",
    "top_answers",
]  # fmt: skip
