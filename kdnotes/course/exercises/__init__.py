"""The exercises, one module a chapter, in tables by kind.

A module has its chapter's name, and each table the exercises by their place in it: 2 in
``temperature`` is exercise 03.2 as long as that is the third chapter (``order``).

- ``EXERCISES``, functions to write: a class each, with reference, cases, and traps. A trap, a
  method ``wrong_…``, is a wrong answer of real code or of real learners; its docstring is what the
  learner is told.
- ``BY_HAND``, numbers to compute before anything runs, and ``READINGS``, answers to be read from a
  result, computed from that result: ``questions.Question``, which may have traps too.
- ``DESIGNS``, comparisons to plan: ``questions.Comparison``.
- ``QUIZ``, three questions on the chapter: ``questions.Item``.

What several chapters ask is in ``shared``; ``tokens`` is a part of ``language_models``. All answers
of the course are in this folder: a copy of the package without them (``editions.package``) has
another one.
"""
