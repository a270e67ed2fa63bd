"""How JupyterLab is opened on the chapters: with the first of them, not with a list of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from kdnotes.course import chapters, order

__all__ = ["lab_options"]


def lab_options(notebooks: Path, further: Sequence[str] = ()) -> list[str]:
    """JupyterLab's options for a folder of chapters: the folder as its root, and chapter 1 open.

    Where the folder has no first chapter, or ``further`` says what to open, the list of files is.

    Args:
        notebooks: the folder.
        further: the user's own options for JupyterLab, which come behind these.

    Raises:
        ValueError: there is no chapter in the folder.
    """
    names = [chapter.path.name for chapter in chapters.find(notebooks)]
    first = f"{order.stem(order.CHAPTERS[0])}.ipynb"
    options = [f"--ServerApp.root_dir={notebooks.resolve()}"]
    if any("default_url" in option for option in further) or first not in names:
        return options
    return [*options, f"--LabApp.default_url=/lab/tree/{quote(first)}"]
