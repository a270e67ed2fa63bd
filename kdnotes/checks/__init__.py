"""Checks of arguments, in one place: each names the argument, what it was and what is allowed.

``TypeError`` is raised for the wrong kind, ``ValueError`` for the wrong value. A public function
calls its checks in its first lines; a dataclass names the check of a field beside its default
(``bound``) and runs them all with ``fields``. Inside ``trusted`` numbers, words, kinds and shapes
are checked, but not all numbers of a tensor: a training looks at these in the first step of each
epoch, not in every step.
"""

from kdnotes.checks.tensors import (
    distribution,
    embeddings,
    feature,
    feature_pairs,
    finite,
    floating,
    images,
    logits,
    not_empty,
    peer_logits,
    similarities,
    targets,
    teacher_logits,
    teacher_weights,
)
from kdnotes.checks.tokens import (
    first_places,
    token_classes,
    token_inputs,
    token_logits,
    token_mask,
)
from kdnotes.checks.values import (
    at_least,
    bound,
    builder,
    count,
    existing_file,
    fields,
    fraction,
    instance,
    kind_of,
    new_file,
    number,
    one_of,
    positive,
    seeds,
    share,
    true_or_false,
    trusted,
    weight,
    whole,
)

__all__ = [
    "at_least", "bound", "builder", "count", "distribution", "embeddings", "existing_file",
    "feature", "feature_pairs", "fields", "finite", "first_places", "floating", "fraction",
    "images", "instance", "kind_of", "logits", "new_file", "not_empty", "number", "one_of",
    "peer_logits", "positive", "seeds", "share", "similarities", "targets", "teacher_logits",
    "teacher_weights", "token_classes", "token_inputs", "token_logits", "token_mask",
    "true_or_false", "trusted", "weight", "whole",
]  # fmt: skip
