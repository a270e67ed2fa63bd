"""A reader's own experiment: plan, verdict by its rule, seeds it would take, and a report."""

from kdnotes.lab.page import report
from kdnotes.lab.plan import Experiment
from kdnotes.lab.verdict import WORDS, SeedsNeeded, Verdict, judge, power, seeds_needed

__all__ = [
    "WORDS", "Experiment", "SeedsNeeded", "Verdict", "judge", "power", "report", "seeds_needed",
]  # fmt: skip
