"""Lab notebooks to start an experiment from: five research questions, and a blank one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kdnotes.files import write_text

__all__ = ["PROPOSALS", "notebook", "write"]

# Each is a file of ``templates``, which fills the blocks of ``frame.md``.
PROPOSALS = ("attention", "hints", "progressive", "mutual", "language", "blank")
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), trim_blocks=True
)
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def write(name: str, folder: Path) -> Path:
    """Write the lab notebook ``name`` into a folder that exists; no file is overwritten.

    Raises:
        ValueError: an unknown name, or the file exists.
    """
    if name not in PROPOSALS:
        raise ValueError(f"NAME must be one of {', '.join(PROPOSALS)}, not {name!r}")
    path = folder / f"{name}.ipynb"
    if os.path.lexists(path):
        raise ValueError(
            f"--output: {path} exists already and is left as it is; name another folder"
        )
    write_text(path, nbformat.writes(notebook(name)) + "\n")
    return path


def notebook(name: str) -> nbformat.NotebookNode:
    """The lab notebook of a proposal, with the same cell ids every time.

    Its text is markdown with fenced Python, in turn: what is fenced becomes a code cell.
    """
    text = TEMPLATES.get_template(f"{name}.md").render(name=name)
    cells = []
    for number, source in enumerate(re.split(r"\n+```(?:python)?\n+", text.strip())):
        new_cell = new_code_cell if number % 2 else new_markdown_cell
        cells.append(new_cell(source, id=f"{name}-{number:02d}"))
    cells[1].metadata["tags"] = ["parameters"]
    return new_notebook(cells=cells, metadata=METADATA)
