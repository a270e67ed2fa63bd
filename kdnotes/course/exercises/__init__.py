"""The exercises, one module a chapter and one class an exercise: reference, cases, and traps.

A trap, a method ``wrong_…``, is a wrong answer of real code or of real learners; its docstring is
what the learner is told.
"""
