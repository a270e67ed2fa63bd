"""The grades of a class: a row for each answer, a file of them, and what a lecturer wants to know.

What this does not protect against, in ``UNPROTECTED``, is part of what is printed.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib

import kdnotes
from kdnotes import checks
from kdnotes.course.grading import fence
from kdnotes.course.grading.book import library
from kdnotes.course.grading.judging import Room, Row, judged
from kdnotes.course.grading.link import Limits
from kdnotes.course.grading.submissions import find
from kdnotes.files import write_text

__all__ = ["UNPROTECTED", "Grades", "grade", "line"]

COLUMNS = ("file", "student", "chapter", "exercise", "verdict", "message", "seconds")
# In the order in which they are counted.
VERDICTS = (
    "correct", "not yet", "todo", "error", "timeout", "killed", "missing", "not graded",
    "no notebook",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")
UNPROTECTED = (
    "The package holds the references: an answer that calls its losses is as right as one that is "
    "written. A submission may read what you may read. Whoever sets out to break out of a process "
    "is stopped by a virtual machine, not by this."
)


@dataclass(frozen=True)
class Grades:
    """All rows, by file and exercise, and the limits that held (a line each)."""

    rows: list[Row]
    limits: list[str]

    def csv(self) -> str:
        """The rows as a text with commas, which a spreadsheet takes for no formula."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow([_harmless(getattr(row, name)) for name in COLUMNS])
        return text.getvalue()

    def summary(self) -> str:
        """For each exercise the verdicts, and how many fell into which trap."""
        files = {row.file for row in self.rows}
        lines = [f"{len(files)} file{'s' if len(files) != 1 else ''}"]
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.chapter, row.exercise), []).append(row)
        for (_, exercise), rows in sorted(groups.items()):
            counts = Counter(row.verdict for row in rows)
            said = ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])
            lines.append(f"{exercise or 'other files':<8}  {said}")
            messages = Counter(
                row.message if row.named else "a mistake without a name"
                for row in rows
                if row.verdict == "not yet"
            )
            ordered = sorted(messages.items(), key=lambda pair: (-pair[1], pair[0]))
            lines += [f"  {count:>4} × {message}" for message, count in ordered]
        return "\n".join(lines)


def line(rows: list[Row]) -> str:
    """A submission's verdicts in a line, such as "anna, 05: correct 05.1 05.2; todo 05.3"."""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        by_verdict.setdefault(row.verdict, []).append(row.exercise)
    said = "; ".join(" ".join([word, *by_verdict[word]]) for word in VERDICTS if word in by_verdict)
    first = rows[0]
    if not first.exercise:
        return f"{first.file}: {first.verdict}, {first.message}"
    return f"{first.student}, {first.chapter[:2]}: {said}"


def _is_same(path: Path, output: Path | None) -> bool:
    """Whether a file is that of an earlier time's grades."""
    return output is not None and path.resolve() == Path(output).resolve()


def _harmless(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def grade(
    folder: Path, output: Path | None = None, *, notebooks: Path = Path("notebooks"),
    timeout: float = 20.0, memory: float = 2048, readings: str | None = None,
    workers: int | None = None, tell: Callable[[list[Row]], None] | None = None,
) -> Grades:  # fmt: skip
    """Grade all submissions in a folder; each runs in a process of its own.

    Args:
        folder: notebooks, or folders of them.
        output: a CSV file to write, UTF-8 with a mark that spreadsheets look for.
        notebooks: our chapters.
        timeout: seconds on the processor for an exercise of a submission (five times that on the
            clock, for one that waits).
        memory: MB for a submission, beyond what torch takes; not on Windows and macOS.
        readings: "smoke", "lesson" or "full": grade answers about results by those of our own run
            in this profile (it may train); ``None``: they are not graded.
        workers: submissions at a time; ``None``: one a core. The grades do not depend on it.
        tell: called with the rows of each submission, in their order; see ``line``.

    Raises:
        ValueError: the folder holds no file, or is none; the notebooks are not there.
    """
    checks.positive("timeout", timeout)
    checks.positive("memory", memory)
    if readings is not None:
        checks.one_of("smoke", "lesson", "full")("readings", readings)
    if workers is not None:
        checks.count("workers", workers)
    folder = Path(folder)
    package = Path(kdnotes.__file__).resolve()
    if not folder.is_dir() or package.is_relative_to(folder.resolve()):
        raise ValueError(f"FOLDER must be a folder of submissions alone, not {str(folder)!r}")
    if output is not None:
        checks.new_file("output", output)
    books = library(notebooks)
    found = [one for one in find(folder, books) if not _is_same(one.path, output)]
    if not found:
        raise ValueError(f"FOLDER holds no file: {str(folder)!r}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kdnotes-", ignore_cleanup_errors=True) as store:
        room = Room(Limits(timeout, memory), (folder.resolve(),), readings, Path(store))
        parallel = joblib.Parallel(n_jobs=workers or -1, return_as="generator")
        each = parallel(joblib.delayed(judged)(one, room) for one in found)
        for own in each:
            rows += own
            if tell:
                tell(own)
    grades = Grades(rows, fence.described())
    if output is not None:
        write_text(Path(output), "\ufeff" + grades.csv())
    return grades
