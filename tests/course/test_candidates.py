"""The candidates of the comparison: every method, with the settings among which one is chosen."""

from __future__ import annotations

from helpers import TinySettings

from kdnotes.course.candidates import candidates
from kdnotes.methods import GatedKD


def test_all_three_teachers_are_used_by_the_methods_with_many():
    s = TinySettings()
    methods = candidates(s, s.teacher(), tuple(s.more_teachers().values()), {})
    gate = methods["teachers by a gate"]["labels"].method
    assert isinstance(gate, GatedKD) and len(gate.teachers) == 3
