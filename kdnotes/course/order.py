"""The order of the chapters, and with it their numbers, which stand in this list alone.

Package, tests and documents call a chapter by its name; what a reader sees in a notebook
(file name, title, "chapter 9", exercise 09.2) is brought into line by ``renumber``.
"""

__all__ = ["CHAPTERS", "number", "stem"]

CHAPTERS = (
    "soft_targets",
    "teachers_students_data",
    "temperature",
    "standard_distillation",
    "decoupled_distillation",
    "dynamic_distillation",
    "self_distillation",
    "many_teachers",
    "feature_hints",
    "attention_transfer",
    "relations",
    "progressive_distillation",
    "mutual_learning",
    "comparison",
    "your_own_experiment",
    "on_the_edge",
    "edge_runtimes",
    "transformers",
    "language_models",
    "libraries",
)


def number(name: str) -> int:
    """A chapter's number; ``ValueError`` if there is no chapter of that name."""
    if name not in CHAPTERS:
        raise ValueError(f"name must be one of {', '.join(CHAPTERS)}, not {name!r}")
    return CHAPTERS.index(name) + 1


def stem(name: str) -> str:
    """The name of a chapter's notebook without its ending, such as ``01_soft_targets``."""
    return f"{number(name):02d}_{name}"
