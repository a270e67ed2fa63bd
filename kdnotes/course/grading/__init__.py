"""Grades a folder of submissions: ``grades.grade``.

- ``submissions``: which files there are, whose, and of which chapter (``book``).
- ``student``: the process in which a submission's code runs, behind ``fence``'s limits. It executes
  what an answer needs (``slices``), and answers by data (``wire``): nothing of it is unpickled.
- ``link``: the other end, where a learner's function looks like any function.
- ``judging``: the verdicts, with this copy of the checker; ``designs``: comparisons as data.
- ``grades``: rows, file and summary of a class.
"""
