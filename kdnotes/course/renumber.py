"""``python -m kdnotes.course.renumber [FOLDER]``: notebooks get the numbers that ``order`` gives.

A notebook's old number is that in its file name. Rewritten are file names and links, titles and
numbered headings, "chapter 9" and "chapters 3, 5 to 8" (in code and stored outputs too), the
column "chapters" of a table, exercise numbers, what slides say, and the numbers in cell ids.
Nothing else changes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from kdnotes.course import chapters, order

__all__ = ["main", "numbers", "renumber", "rewrite"]

ITEM = r"\d+(?:(?:\s*[–-]\s*|\s+to\s+)\d+)?"
SEVERAL = rf"{ITEM}(?:(?:,\s+(?:and\s+)?|\s+(?:and|or)\s+){ITEM})*"
ONE = re.compile(r"(\b[Cc]hapter[ \n])(\d+)")
MANY = re.compile(rf"(\b[Cc]hapters[ \n])({SEVERAL})")
ROW = re.compile(rf"^(\|.*\| )({SEVERAL})(?= \|$)", re.MULTILINE)
LINK = re.compile(rf"\b\d\d_({'|'.join(order.CHAPTERS)})\b")
EXERCISE = re.compile(r'(\b[Ee]xercise |\bexercise\(\s*")(\d\d)(?=\.\d)')
# In Markdown alone: the text of an exercise, "# 9. Title" and "## 9.2 Section".
START = re.compile(r"^(\*\*)(\d\d)(?=\.\d)", re.MULTILINE)
HEADING = re.compile(r"^(# |##+ (?=\d+\.\d))(\d+)(?=\.| ·)", re.MULTILINE)
IDENTITY = re.compile(r"^(c)(\d\d)(?=-)")

Moves = dict[int, int]


def numbers(text: str) -> list[int]:
    """The chapters that a list such as "3, 5 to 8 and 12" names."""
    found = []
    for item in re.findall(ITEM, text):
        first, *last = map(int, re.findall(r"\d+", item))
        found += range(first, (last or [first])[0] + 1)
    return found


def rewrite(text: str, moves: Moves) -> str:
    """A text with other numbers (old → new) wherever it names a chapter.

    Raises:
        ValueError: a range such as "3 to 8" whose chapters no longer stand side by side.
    """
    text = _single(ONE, text, moves, width=1)
    text = MANY.sub(lambda found: _several(found, moves), text)
    if "| chapters |\n" in text:
        text = ROW.sub(lambda found: _several(found, moves), text)
    text = _single(EXERCISE, text, moves)
    return LINK.sub(lambda found: order.stem(found[1]), text)


def _single(pattern: re.Pattern[str], text: str, moves: Moves, width: int = 2) -> str:
    def new(found: re.Match[str]) -> str:
        old = int(found[2])
        return f"{found[1]}{moves.get(old, old):0{width}d}"

    return pattern.sub(new, text)


def _several(found: re.Match[str], moves: Moves) -> str:
    """The list in its new numbers, ascending, with the words between them as they were."""
    items = [_item(item, moves, found[0]) for item in re.findall(ITEM, found[2])]
    items.sort(key=lambda item: numbers(item)[0])
    return found[1] + re.sub(ITEM, lambda _: items.pop(0), found[2])


def _item(item: str, moves: Moves, sentence: str) -> str:
    new = sorted(moves.get(one, one) for one in numbers(item))
    if (set(range(new[0], new[-1])) - set(new)) & set(moves.values()):
        raise ValueError(f"{sentence!r} would be chapters {new}: write it without a range")
    ends = iter((new[0], new[-1]))
    return re.sub(r"\d+", lambda _: str(next(ends)), item)


def _rewrite_notebook(notebook: Any, moves: Moves) -> None:
    for cell in notebook.cells:
        cell.id = _single(IDENTITY, cell.id, moves)
        cell.source = rewrite(cell.source, moves)
        if cell.cell_type == "markdown":
            cell.source = _single(START, cell.source, moves)
            cell.source = _single(HEADING, cell.source, moves, width=1)
        for slide in cell.metadata.get("slides", []):
            for key in {"title", "text", "notes"} & set(slide):
                slide[key] = rewrite(slide[key], moves)
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = rewrite(output.text, moves)
            data = output.get("data", {})
            data.update({k: rewrite(v, moves) for k, v in data.items() if k.startswith("text/")})


def renumber(folder: Path) -> dict[str, str]:
    """Bring a folder's notebooks into ``order``; returns old name → new name of what moved.

    Raises:
        ValueError: a notebook that ``order.CHAPTERS`` does not name, or see ``rewrite``; then
            nothing was changed.
    """
    found = {chapter.path: chapter.name[3:] for chapter in chapters.find(folder)}
    names = {path: order.stem(name) for path, name in found.items()}
    moves = {int(path.stem[:2]): int(name[:2]) for path, name in names.items()}
    if len(moves) < len(found):
        raise ValueError(f"two chapters of {folder} have one number")
    notebooks = {path: chapters.read(path) for path in found}
    for path, notebook in notebooks.items():
        try:
            _rewrite_notebook(notebook, moves)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
    for path, notebook in notebooks.items():
        chapters.write(folder / f"{names[path]}.ipynb", notebook)
        if names[path] != path.stem:
            path.unlink()
    return {path.stem: name for path, name in names.items() if path.stem != name}


def main(arguments: list[str]) -> int:
    try:
        moved = renumber(Path(*arguments) if arguments else Path("notebooks"))
    except ValueError as error:
        print(f"renumber: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"{old} → {new}" for old, new in moved.items()) or "all numbers are right")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
