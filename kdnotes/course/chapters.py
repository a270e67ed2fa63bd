"""Chapters as files: find, choose, check and set parameters, tidy what was executed."""

from __future__ import annotations

import ast
import contextlib
import html
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdnotes.files import write_text

__all__ = [
    "Chapter", "check_parameters", "choose", "find", "prepare", "read", "reads_strings", "tidy",
    "write",
]  # fmt: skip

# jsonschema, which nbformat imports, would compile a grammar of web addresses with it: 1.5 seconds.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Chapter:
    """A notebook ``NN_name.ipynb``, with title and promise from its first cell."""

    path: Path
    title: str
    promise: str

    @property
    def name(self) -> str:
        return self.path.stem


def find(folder: Path) -> list[Chapter]:
    """The chapters of a folder, in order; ``ValueError`` if there is none or one cannot be read."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise ValueError(
            f"--notebooks: no chapter (NN_name.ipynb) in {folder.resolve()}: run kdnotes in the "
            "repository's root, or name the folder"
        )
    return [_read_chapter(path) for path in paths]


def _read_chapter(path: Path) -> Chapter:
    try:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook: {type(error).__name__}: {error}") from error
    heading, _, rest = first.strip().partition("\n")
    title = re.sub(r"^#+\s*(Chapter\s+)?(\d+\s*[.:·–-]\s*)?", "", heading) or path.stem
    promise = " ".join(re.sub(r"[*_`$]", "", re.split(r"\n\s*\n", rest.strip())[0]).split())
    promise = re.sub(r"^(Promise|In one sentence)[.:] ", "", promise)
    promise = re.sub(r"\\([A-Za-z]+)", r"&\1;", promise)  # TeX and HTML have one name for an alpha
    return Chapter(path, title, html.unescape(promise[:1].upper() + promise[1:]))


def choose(chapters: list[Chapter], wanted: list[str]) -> list[Chapter]:
    """The wanted chapters (by number or name; all if none is named), in the course's order."""
    names = {
        key: chapter
        for chapter in chapters
        for key in (chapter.name, chapter.name[3:], int(chapter.name[:2]))
    }
    keys = [int(word) if word.isdecimal() else word for word in wanted]
    for key, word in zip(keys, wanted, strict=True):
        if key not in names:
            allowed = ", ".join(chapter.name for chapter in chapters)
            raise ValueError(f"CHAPTER must be one of {allowed} (or its number), not {word!r}")
    chosen = {names[key] for key in keys}
    return [chapter for chapter in chapters if not wanted or chapter in chosen]


def check_parameters(chapters: list[Chapter], parameters: dict[str, Any]) -> None:
    """Check that each chapter declares each parameter, with a default of the same kind or ``None``.

    Raises:
        ValueError: a parameter that a chapter does not have.
        TypeError: a value of another kind.
    """
    from papermill import inspect_notebook

    for chapter in chapters:
        known = inspect_notebook(read(chapter.path))
        for name, value in parameters.items():
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise ValueError(f"{chapter.name} has no parameter {name!r}: it has {allowed}")
            with contextlib.suppress(ValueError, SyntaxError):  # only a literal is compared
                kind = type(ast.literal_eval(known[name]["default"]))
                allowed = (int, float) if kind is float else kind
                if kind is not type(None) and not isinstance(value, allowed):
                    raise TypeError(
                        f"parameter {name} of {chapter.name} must be a {kind.__name__}, "
                        f"not {value!r}"
                    )


def reads_strings(chapter: Chapter) -> bool:
    """Whether its data set may be a text: it asks its settings for a ``corpus``."""
    return any("s.corpus(" in cell.source for cell in read(chapter.path).cells)


def prepare(chapter: Chapter, parameters: dict[str, Any], path: Path) -> int:
    """Write a chapter with these parameters, without outputs; returns the number of cells."""
    from papermill import execute_notebook

    options = {"kernel_name": "python3", "language": "python"}
    written = execute_notebook(read(chapter.path), path, parameters, prepare_only=True, **options)
    for cell in written.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    write(path, tidy(written))
    return len(written.cells)


def read(path: Path) -> Any:
    """A tidy notebook; ``ValueError`` if it is none."""
    import nbformat

    try:
        return tidy(nbformat.read(path, as_version=4))
    except Exception as error:  # nbformat has its own classes for each way to be malformed
        raise ValueError(f"{path} is not a notebook: {type(error).__name__}") from error


def write(path: Path, notebook: Any) -> None:
    import nbformat

    write_text(path, nbformat.writes(notebook) + "\n")


def tidy(notebook: Any) -> Any:
    """Remove paths and times, join split output, name the kernel that every machine has."""
    for name in ("papermill", "widgets"):
        notebook.metadata.pop(name, None)
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata.update(kernelspec=python, language_info={"name": "python"})
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = _join(cell.outputs)
    return notebook


def _join(outputs: list[Any]) -> list[Any]:
    """Consecutive pieces of one stream as one: where a kernel splits what is printed is chance."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined
