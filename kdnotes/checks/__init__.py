"""Checks of arguments, in one place: each names the argument, what it was and what is allowed.

``TypeError`` is raised for the wrong kind, ``ValueError`` for the wrong value. A public function
calls its checks in its first lines; a dataclass names the check of a field beside its default
(``bound``) and runs them all with ``fields``.
Inside ``trusted`` no check is made: a training checks the arguments of its losses in the first
step, not in every one.
"""

from kdnotes.checks.tensors import (
    distribution,
    feature,
    feature_pairs,
    finite,
    floating,
    logits,
    not_empty,
    peer_logits,
    targets,
    teacher_logits,
    teacher_weights,
)
from kdnotes.checks.values import (
    at_least,
    bound,
    builder,
    count,
    fields,
    fraction,
    instance,
    kind_of,
    one_of,
    positive,
    share,
    trusted,
    weight,
)

__all__ = [
    "at_least", "bound", "builder", "count", "distribution", "feature", "feature_pairs", "fields",
    "finite", "floating", "fraction", "instance", "kind_of", "logits", "not_empty", "one_of",
    "peer_logits", "positive", "share", "targets", "teacher_logits", "teacher_weights", "trusted",
    "weight",
]  # fmt: skip
