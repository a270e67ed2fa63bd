"""The verdicts on one submission, each by our copy of the checker."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

from kdnotes.course import answers, verdicts
from kdnotes.course.attempt import Attempt
from kdnotes.course.grading import designs, ours
from kdnotes.course.grading.book import Answer, plain_text
from kdnotes.course.grading.link import Ended, Limits, Process, RemoteError, plain, printable
from kdnotes.course.grading.remote import RemoteFunction
from kdnotes.course.grading.submissions import Submission

__all__ = ["Room", "Row", "judged"]

SETUP = 120  # seconds more for a design, which builds on the chapter's set-up
LONGEST = 1000  # characters of a message
OF_RUNS = "it is about the results of a run"


class Row(NamedTuple):
    """What is said of one answer.

    Attributes:
        exercise: its number, or "05 quiz"; "" for a file that is not graded.
        verdict: "correct", "not yet", "todo", "error" (of the submission's code), "timeout",
            "killed", "missing" (the cell is), "not graded" or "no notebook".
        named: whether the message is one of the checker's sentences, so that it can be counted.
    """

    file: str
    student: str
    chapter: str
    exercise: str
    verdict: str
    message: str
    named: bool
    seconds: float


@dataclass(frozen=True)
class Room:
    """What all submissions have in common.

    Attributes:
        private: folders that no submission is to read.
        readings: the profile of our runs by which answers about results are judged, or ``None``.
        store: a folder for the small runs that designs refer to.
    """

    limits: Limits
    private: tuple[Path, ...]
    readings: str | None
    store: Path


def judged(submission: Submission, room: Room) -> list[Row]:
    """A row for each answer of the submission's chapter."""
    book = submission.book
    if book is None:
        is_notebook = submission.path.suffix.lower() == ".ipynb"
        word = "not graded" if is_notebook else "no notebook"
        return [Row(submission.file, submission.student, "", "", word, submission.fault, True, 0.0)]
    judge = _Judge(submission, room)
    try:
        return [judge.row(answer) for answer in book.answers]
    finally:
        judge.stop()


class _Judge:
    def __init__(self, submission: Submission, room: Room) -> None:
        self.submission, self.room, self.book = submission, room, submission.book
        self.code = submission.code()
        self.process: Process | None = None

    def row(self, answer: Answer) -> Row:
        began = time.monotonic()
        verdict = self._verdict(answer)
        message = printable(" ".join(verdict.message.split()))[:LONGEST]
        whose = self.submission.file, self.submission.student, self.book.name
        seconds = round(time.monotonic() - began, 1)
        return Row(*whose, answer.label, verdict.word, message, verdict.named, seconds)

    def stop(self) -> None:
        if self.process:
            self.process.stop()
        self.process = None

    def _verdict(self, answer: Answer) -> verdicts.Verdict:
        place = self.submission.answer(answer)
        if place is None:
            return verdicts.Verdict("missing", f"no cell with the id {answer.cell.id}", True)
        source = self.submission.cells[place].source
        if plain_text(source) == plain_text(answer.cell.source):
            return verdicts.Verdict("todo")
        of_kind = {"exercise": self._function, "design": self._design, "read": self._reading}
        try:
            return of_kind.get(answer.kind, self._value)(answer, place, source)
        except Ended as ended:
            self.process = None
            return verdicts.Verdict(ended.word, str(ended), True)
        except RemoteError as error:
            name = type(error).__name__
            if name == "NotSent":
                return verdicts.Verdict("not graded", str(error), True)
            return verdicts.Verdict("error", f"the cell stopped with {name}: {error}")
        except NotImplementedError:
            return verdicts.Verdict("todo")
        except Exception as error:  # one answer that the checker cannot take stops no other
            return verdicts.Verdict("error", f"{type(error).__name__}: {plain(error)}")

    def _begin(self, answer: Answer, place: int, source: str, seconds: float = 0.0) -> Any:
        """The answer in the submission's process: its value, or a function."""
        if self.process is None:
            cells = [(is_ours, text) for is_ours, text, _ in self.code]
            count = len(self.book.answers)
            self.process = Process(cells, self.room.limits, list(self.room.private), count)
        if answer.kind == "design":
            shutil.copytree(self.room.store, self.process.cache, dirs_exist_ok=True)
        self.process.begin(self.room.limits.seconds + seconds)
        where = next(i for i, (_, _, at) in enumerate(self.code) if at == place)
        from_results = answer.kind == "read"
        asked = where, source, answer.kind, answer.number, answer.name, from_results
        match self.process.ask("begin", *asked):
            case ["function", parameters] if answer.kind == "exercise":
                return RemoteFunction(self.process, parameters)
            case ["value", value] if answer.kind != "exercise":
                return value
            case ["missing"]:
                raise RemoteError(f'it hands nothing to check.{answer.kind}("{answer.number}", …)')
        self.process.stop()
        raise Ended("killed", "its process answers nonsense")

    def _function(self, answer: Answer, place: int, source: str) -> verdicts.Verdict:
        function = self._begin(answer, place, source)
        spec = verdicts.find(answer.number, "EXERCISES")
        # A case may hold a network of a class of that module, which is withheld there.
        cloudpickle.register_pickle_by_value(sys.modules[type(spec).__module__])
        return verdicts.of_function(Attempt(spec, function))

    def _value(self, answer: Answer, place: int, source: str) -> verdicts.Verdict:
        value = self._begin(answer, place, source)
        if answer.kind == "quiz":
            return _of_quiz(answer.number, value)
        return _of_text(verdicts.find(answer.number, "BY_HAND").judge(value, ()))

    def _reading(self, answer: Answer, place: int, source: str) -> verdicts.Verdict:
        try:
            value = self._begin(answer, place, source)
        except RemoteError as error:
            return verdicts.Verdict("not graded", f"{OF_RUNS}, and computed from them ({error})")
        if value is None or value is ...:
            return verdicts.Verdict("todo")
        said = f"the answer is {plain(answers.brief(value))}"
        if self.room.readings is None:
            return verdicts.Verdict("not graded", f"{OF_RUNS}, see --readings; {said}")
        if not self._has_our_parameters():
            return verdicts.Verdict("not graded", f"{OF_RUNS} with other parameters; {said}")
        found = ours.results(self.book, answer, self.room.readings)
        return _of_text(verdicts.find(answer.number, "READINGS").judge(value, found))

    def _has_our_parameters(self) -> bool:
        own = self.book.parameters
        return any(
            one.id == own.id and plain_text(one.source) == plain_text(own.source)
            for one in self.submission.cells
        )

    def _design(self, answer: Answer, place: int, source: str) -> verdicts.Verdict:
        ours.before_solution(self.book, answer, self.room.store)
        tree = self._begin(answer, place, source, SETUP)
        if tree is None or tree is ...:
            return verdicts.Verdict("todo")
        try:
            names = frozenset(designs.names_of_ours(tree))
            space = ours.values(self.book, answer.place, names, "smoke", self.room.store)
            design = designs.decoded(tree, space)
        except designs.NotSent as error:
            return verdicts.Verdict("not graded", str(error), True)
        return _of_text(verdicts.of_design(verdicts.find(answer.number, "DESIGNS").judge(design)))


def _of_text(text: str) -> verdicts.Verdict:
    """The verdict that the checker gives as a text."""
    if text.startswith("not yet: "):
        return verdicts.Verdict("not yet", text.removeprefix("not yet: "), True)
    return verdicts.Verdict("todo" if text.startswith("todo") else text)


def _of_quiz(chapter: str, given: Any) -> verdicts.Verdict:
    items = verdicts.of_quiz(chapter, {} if given is None else given)
    words = {verdict for _, verdict in items.values()}
    if len(words) == 1 and words <= {"correct", "todo"}:
        return verdicts.Verdict(words.pop())
    wrong = [
        f"{number}: {verdict.removeprefix('not yet: ')}"
        for number, (_, verdict) in items.items()
        if verdict != "correct"
    ]
    return verdicts.Verdict("not yet", "; ".join(wrong), True)
