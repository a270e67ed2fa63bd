"""Where an edition may be written to."""

from __future__ import annotations

from pathlib import Path

from kdnotes.course.chapters import Chapter

__all__ = ["check"]


def check(chapters: list[Chapter], output: Path) -> None:
    """``ValueError`` if there is no chapter, or if ``output`` is the folder of one."""
    if not chapters:
        raise ValueError("chapters must be one or more, not none")
    for chapter in chapters:
        if output.resolve() == chapter.path.parent.resolve():
            raise ValueError(
                f"--output must be another folder than the chapters' own, not {output}"
            )
