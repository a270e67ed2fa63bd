"""The idea of each chapter as one diagram: ``diagrams.soft_targets()`` displays it with alt text.

=======  ========================================
chapter  diagrams
=======  ========================================
1        ``soft_targets``
2        ``view_bank``, ``who_sees_what``
4        ``paired_seeds``, and those of chapter 2
5        ``two_questions``
6        ``what_moves``
7        ``previous_epoch``, ``exits``
8        ``many_teachers``
9        ``hint``
10       ``energy_maps``
11       ``relations``
12       ``schedules``, ``assistants``
13       ``peers``
14       ``fresh_seeds``
16       ``integers``
=======  ========================================
"""

from kdnotes.course.diagrams.design import fresh_seeds, paired_seeds, view_bank, who_sees_what
from kdnotes.course.diagrams.edge import integers
from kdnotes.course.diagrams.features import energy_maps, hint, relations
from kdnotes.course.diagrams.itself import assistants, exits, peers, previous_epoch, schedules
from kdnotes.course.diagrams.outputs import many_teachers, soft_targets, two_questions, what_moves

__all__ = [
    "assistants", "energy_maps", "exits", "fresh_seeds", "hint", "integers", "many_teachers",
    "paired_seeds", "peers", "previous_epoch", "relations", "schedules", "soft_targets",
    "two_questions", "view_bank", "what_moves", "who_sees_what",
]  # fmt: skip
