"""What chapters may say: differences named together are judged together, in one way."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from kdnotes.course.order import stem

ROOT = Path(__file__).parents[1]
NAMES = (
    "decoupled_distillation",
    "dynamic_distillation",
    "self_distillation",
    "many_teachers",
    "feature_hints",
    "attention_transfer",
    "comparison",
)
PATHS = [ROOT / "notebooks" / f"{stem(name)}.ipynb" for name in NAMES]
each = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
# A chapter of the second edition has no summary; what it judges together is told by
# ``Study.verdicts`` and ``plots.differences``.
SUMMED = [path for path in PATHS if "## Summary" in path.read_text(encoding="utf-8")]
with_summary = pytest.mark.parametrize("path", SUMMED, ids=[path.stem for path in SUMMED])

# Sentences that the runs beside them do not carry.
RETIRED = [
    "nothing differs but the images",  # number, dependence and augmentation differed too
    "What the image's own softness brings",  # or its growth, or its strength: the arms do not tell
    "more than a dozen",  # over fifty
    "one comparison at a time",
    "each at 95 %; chapter",
]


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def summary(path: Path) -> str:
    """The code that prints the summary: the cell after its heading."""
    notebook = nbformat.read(path, 4).cells
    at = next(i for i, cell in enumerate(notebook) if cell.source.strip().startswith("## Summary"))
    return notebook[at + 1].source


@each
def test_no_chapter_corrects_by_hand(path):
    """By ``differences`` or ``study.together`` alone; the comparison simulates what they do."""
    by_hand = re.compile(r"0\.05 */|\blevel=")
    for cell in cells(path, "code"):
        if "def false_alarms" not in cell.source:
            assert not by_hand.search(cell.source), cell.id


@with_summary
def test_a_summary_takes_no_difference_that_was_not_judged_with_the_others(path):
    assert not re.search(r"\.difference\(|mean_interval\(", summary(path))


@with_summary
def test_what_was_judged_is_counted(path):
    said = summary(path) + "".join(cell.source for cell in cells(path, "markdown"))
    assert "corrected" in said and (
        "Judged in this chapter" in said or path.stem.endswith("comparison")
    )


@each
def test_all_gains_over_cross_entropy_share_its_runs_and_the_chapter_says_so(path):
    said = "".join(cell.source for cell in nbformat.read(path, 4).cells)
    assert re.search(r"subtracts? the same (few numbers|runs of (it|cross-entropy))", said)


@each
def test_retired_sentences_stay_away(path):
    text = "".join(cell.source for cell in nbformat.read(path, 4).cells)
    assert [sentence for sentence in RETIRED if sentence in text] == []
