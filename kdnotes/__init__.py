"""kdnotes: the executable course on knowledge distillation.

The modules build on each other in this order: ``losses``, ``models``, ``data``, ``methods``, ``metrics``, ``training``,
``cache``, ``teachers``, ``study``, ``profiles``; ``plots`` and ``check`` serve the chapters, ``cli`` runs them.
"""

__version__ = "0.1.0"
