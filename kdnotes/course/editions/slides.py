"""``kdnotes edition slides``: a talk of each chapter, made of what its cells' metadata say.

A cell with slides has a list of them as ``cell.metadata["slides"]``. Each is a dictionary with

- ``title``: at most 60 characters; the first slide has none, it gets the chapter's;
- ``text``: Markdown, at most 40 words;
- ``show``, ``then``: what of the cell appears at once and at the next click: a string or a list of
  what ``showing.part`` understands, such as "formula 2", "figure" or "output ~ PATTERN"; also
  "question" (of a prediction) and "quiz 1" (which needs no title and brings its own notes);
- ``kind``: "question" or "verdict", a label over the title;
- ``notes``: Markdown for the speaker.

In text and notes ``{{pattern}}`` is what the cell's outputs say, so that no number is typed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kdnotes
from kdnotes import checks
from kdnotes.course import chapters as course
from kdnotes.course.chapters import Chapter
from kdnotes.course.editions import showing
from kdnotes.files import write_text
from kdnotes.show.deck import Part, Slide, deck

__all__ = ["WORDS", "slides_of", "words", "write"]

KEYS = ("title", "text", "show", "then", "kind", "notes")
WORDS = 40
TITLE = 60  # characters: one line
FORMULA = re.compile(r"\$\$?.+?\$\$?|\{\{.+?\}\}", re.DOTALL)


def write(chapters: list[Chapter], output: Path) -> list[Path]:
    """Write ``NN_name.slides.html`` for each chapter; returns the files.

    Args:
        chapters: whose outputs are stored.
        output: a folder; it is made if it is missing.

    Raises:
        ValueError: a chapter has no slides, or one is not made as it must be; the message names the
            chapter and the cell, and nothing is written.
    """
    talks = {}
    for chapter in chapters:
        talks[output / f"{chapter.name}.slides.html"] = _talk(chapter)
    output.mkdir(parents=True, exist_ok=True)
    for path, talk in talks.items():
        write_text(path, talk)
    return list(talks)


def _talk(chapter: Chapter) -> str:
    try:
        return deck(_heading(chapter), slides_of(chapter))
    except ValueError as error:
        raise ValueError(f"slides of {chapter.name}: {error}") from error


def slides_of(chapter: Chapter) -> list[Slide]:
    """The slides of a chapter, in the order of its cells.

    Raises:
        ValueError: there is none, or one is not made as it must be.
    """
    found: list[Slide] = []
    for cell in course.read(chapter.path).cells:
        entries = cell.metadata.get("slides", [])
        try:
            checks.instance(list, said="a list")("slides", entries)
            for entry in entries:
                found.append(_slide(chapter, cell, entry, first=not found))
        except (TypeError, ValueError) as error:
            raise ValueError(f"cell {cell.id}: {error}") from error
    if not found:
        raise ValueError("none of its cells has any (metadata 'slides')")
    return found


def words(text: str) -> int:
    """Words of Markdown; a formula or an inserted output counts as one."""
    return len(re.findall(r"\w\S*", FORMULA.sub("x", text)))


def _heading(chapter: Chapter) -> str:
    return f"{int(chapter.name[:2])}. {chapter.title}"


def _slide(chapter: Chapter, cell: Any, entry: Any, *, first: bool) -> Slide:
    _check(entry)
    shown, later = _listed(entry, "show"), _listed(entry, "then")
    text, notes = (showing.inserted(cell, entry.get(key, "")) for key in ("text", "notes"))
    title, kind = entry.get("title", ""), entry.get("kind", "")
    if first:
        title, kind = _heading(chapter), "cover"
        text += f"\n\nkdnotes {kdnotes.__version__}"
    if "question" in shown:
        text, kind = f"{showing.question(cell)}\n\n{text}", "question"
    parts: list[Part] = []
    for asked in shown:
        if number := re.fullmatch(r"quiz ([1-9])", asked):
            parts.append(showing.quiz(chapter.name[3:], int(number[1])))
            title, kind = title or "Recap", "question"
            notes = f"{showing.quiz_notes(chapter.name[3:], int(number[1]))}\n\n{notes}".strip()
        elif asked != "question":
            parts.append(showing.part(cell, asked))
    for name, value in (("title", title), ("notes", notes)):
        if not value.strip():
            raise ValueError(f"{name} must say something")
    then = [showing.part(cell, asked) for asked in later]
    return Slide(title, text.strip(), parts, then, kind, notes)


def _listed(entry: dict[str, Any], key: str) -> list[str]:
    value = entry.get(key, [])
    return [value] if isinstance(value, str) else value


def _check(entry: Any) -> None:
    checks.instance(dict, said="a dictionary")("a slide", entry)
    for key, value in entry.items():
        if key not in KEYS:
            raise ValueError(f"a slide has {', '.join(KEYS)}, and no {key!r}")
        listed = value if key in ("show", "then") and isinstance(value, list) else [value]
        for one in listed:
            checks.instance(str, said="a string")(key, one)
    checks.one_of("", "question", "verdict")("kind", entry.get("kind", ""))
    if len(entry.get("title", "")) > TITLE:
        raise ValueError(f"title must have at most {TITLE} characters: {entry['title']!r}")
    if (count := words(entry.get("text", ""))) > WORDS:
        raise ValueError(f"text must have at most {WORDS} words, not {count}")
