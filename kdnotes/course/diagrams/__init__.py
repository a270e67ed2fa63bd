"""The idea of each chapter as one diagram: ``diagrams.soft_targets()`` displays it with alt text.

========================  ==================================================
chapter                   diagrams
========================  ==================================================
soft_targets              ``soft_targets``
teachers_students_data    ``view_bank``, ``who_sees_what``
temperature               ``paired_seeds``
standard_distillation     ``paired_seeds``, ``view_bank``, ``who_sees_what``
decoupled_distillation    ``two_questions``
dynamic_distillation      ``what_moves``
self_distillation         ``previous_epoch``, ``exits``
many_teachers             ``many_teachers``
feature_hints             ``hint``
attention_transfer        ``energy_maps``
relations                 ``relations``
progressive_distillation  ``schedules``, ``assistants``
mutual_learning           ``peers``
comparison                ``fresh_seeds``
your_own_experiment       ``one_look``
on_the_edge               ``integers``
edge_runtimes             ``same_student``
transformers              ``tokens``, ``token_arms``
language_models           ``who_writes``, ``which_places``
libraries                 ``switches``
========================  ==================================================
"""

from kdnotes.course.diagrams.design import (
    fresh_seeds,
    one_look,
    paired_seeds,
    view_bank,
    who_sees_what,
)
from kdnotes.course.diagrams.edge import integers, same_student
from kdnotes.course.diagrams.features import energy_maps, hint, relations
from kdnotes.course.diagrams.itself import assistants, exits, peers, previous_epoch, schedules
from kdnotes.course.diagrams.language import which_places, who_writes
from kdnotes.course.diagrams.libraries import switches
from kdnotes.course.diagrams.outputs import many_teachers, soft_targets, two_questions, what_moves
from kdnotes.course.diagrams.transformers import token_arms, tokens

__all__ = [
    "assistants", "energy_maps", "exits", "fresh_seeds", "hint", "integers", "many_teachers",
    "one_look", "paired_seeds", "peers", "previous_epoch", "relations", "same_student", "schedules",
    "soft_targets", "switches", "token_arms", "tokens", "two_questions", "view_bank",
    "what_moves", "which_places", "who_sees_what", "who_writes",
]  # fmt: skip
