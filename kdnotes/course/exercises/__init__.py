"""The exercises, one module a chapter and one class an exercise: reference, cases, and traps.

A module has its chapter's name, and ``EXERCISES`` their places in it: 2 in ``temperature`` is
exercise 03.2 as long as that is the third chapter (``order``).

A trap, a method ``wrong_…``, is a wrong answer of real code or of real learners; its docstring is
what the learner is told.
"""
