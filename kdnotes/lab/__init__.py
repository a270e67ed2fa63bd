"""A reader's own experiment: plan, design and what confounds it, verdict by its rule, seeds it
would take, and a report.
"""

from kdnotes.lab.design import Design
from kdnotes.lab.page import report
from kdnotes.lab.plan import Experiment
from kdnotes.lab.strings import StringDesign
from kdnotes.lab.verdict import WORDS, SeedsNeeded, Verdict, judge, power, seeds_needed

__all__ = [
    "WORDS", "Design", "Experiment", "SeedsNeeded", "StringDesign", "Verdict", "judge", "power",
    "report", "seeds_needed",
]  # fmt: skip
