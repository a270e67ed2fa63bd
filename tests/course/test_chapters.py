"""Chapters as files: choosing, setting parameters, tidying."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from commands import course_of_three, write  # noqa: F401

from kdnotes.course import chapters


@pytest.mark.parametrize("wanted", [["3", "1"], ["03", "01_first"], ["last", "first", "1"]])
def test_chapters_are_chosen_by_number_or_name_in_order(course, wanted):
    assert [chapter.name for chapter in chapters.choose(chapters.find(course), wanted)] == [
        "01_first",
        "03_last",
    ]


def test_a_prepared_chapter_has_its_parameters_and_no_outputs(course, tmp_path):
    chapter = chapters.find(course)[0]
    notebook = nbformat.read(chapter.path, 4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="old")]
    notebook.cells[2].execution_count = 7
    old = chapters.Chapter(tmp_path / "old.ipynb", "", "")
    nbformat.write(notebook, old.path)
    assert chapters.prepare(old, {"seeds": 3, "profile": "smoke"}, tmp_path / "new.ipynb") == 5
    prepared = nbformat.read(tmp_path / "new.ipynb", 4)
    assert prepared.cells[2].source == '# Parameters\nseeds = 3\nprofile = "smoke"\n'
    assert [cell.get("outputs", []) for cell in prepared.cells] == [[]] * 5
    assert [cell.get("execution_count") for cell in prepared.cells] == [None] * 5
    sources = [cell.source for cell in notebook.cells]
    assert [cell.source for cell in prepared.cells if cell.source in sources] == sources


def test_pieces_of_what_is_printed_are_joined_and_nothing_of_the_run_is_kept():
    def stream(text, name="stdout"):
        return nbformat.v4.new_output("stream", text=text, name=name)

    cell = nbformat.v4.new_code_cell("1", metadata={"tags": [], "papermill": {}, "execution": {}})
    cell.outputs = [stream("a"), stream("b"), stream("c", "stderr"), stream("d")]
    metadata = {
        "papermill": {"input_path": "/home"},
        "widgets": {},
        "kernelspec": {"name": "x", "display_name": "x"},
    }
    notebook = chapters.tidy(nbformat.v4.new_notebook(cells=[cell], metadata=metadata))
    assert [output.text for output in notebook.cells[0].outputs] == ["ab", "c", "d"]
    assert notebook.cells[0].metadata == {} and set(notebook.metadata) == {
        "kernelspec",
        "language_info",
    }
    assert notebook.metadata.kernelspec.name == "python3"


def test_title_and_promise_lose_their_marks(tmp_path):
    path = write(tmp_path, "01_first", "1") / "01_first.ipynb"
    text = path.read_text().replace(
        "You see *first*.", "you see **$T$**, $\\\\alpha$ and\\n`code`."
    )
    path.write_text(text.replace("# 1. The", "## Chapter 1 · The"))
    (chapter,) = chapters.find(tmp_path)
    assert (chapter.title, chapter.promise) == ("The first chapter", "You see T, α and code.")


def test_reading_a_notebook_compiles_no_grammar():
    """It would take 1.5 seconds in each chapter's process."""
    code = "import sys; from kdnotes.course import chapters; import nbformat; "
    code += "sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_chapter_that_asks_for_a_corpus_reads_strings(tmp_path):
    write(tmp_path, "01_strings", "1 + 1", "corpus = s.corpus(60, 60, 60)")
    write(tmp_path, "02_images", "splits = s.splits()")
    assert [*map(chapters.reads_strings, chapters.find(tmp_path))] == [True, False]
