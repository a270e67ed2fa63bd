"""Seeds: those of a report begin at 0, those of a choice at 1000, so that they never meet."""

from __future__ import annotations

from collections.abc import Sequence

from kdnotes import checks

# A report with more than 1000 seeds would reach them: ``compare`` refuses it for chosen arms.
FIRST_CHOICE_SEED = 1000


def seeds_of(name: str, seeds: int | Sequence[int], first: int = 0) -> tuple[int, ...]:
    """The seeds that an argument means: these, or so many from ``first`` on.

    Raises:
        ValueError: fewer than 1, one below 0, or one twice.
    """
    checks.seeds(name, seeds)
    return tuple(range(first, first + seeds) if isinstance(seeds, int) else seeds)


def in_words(seeds: Sequence[int]) -> str:
    """Such as "0 to 4", or "3, 5, 9" where some are left out."""
    ordered = sorted(seeds)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))
