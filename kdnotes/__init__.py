"""kdnotes: the executable course on knowledge distillation.

The folders are floors, and imports point down: ``checks``, ``progress``, ``losses``, ``models``,
``data`` and ``metrics`` on the ground; ``methods``; ``training``; ``store``; ``teachers``;
``study``; ``show``; ``lab`` and ``edge``; ``course``; ``cli``.
"""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__version__ = "0.1.0"

# Names that chapters import, and the modules that they are.
SHORT_NAMES = {
    "kdnotes.cache": "kdnotes.store",
    "kdnotes.check": "kdnotes.course.check",
    "kdnotes.comparison": "kdnotes.course.comparison",
    "kdnotes.diagrams": "kdnotes.course.diagrams",
    "kdnotes.experiment": "kdnotes.lab",
    "kdnotes.plots": "kdnotes.show.plots",
    "kdnotes.profiles": "kdnotes.course.profiles",
}


class _ShortNames(MetaPathFinder, Loader):
    """Imports a module under its short name: the same module, which knows its own name alone."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in SHORT_NAMES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(SHORT_NAMES[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.append(_ShortNames())
