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


@each
def test_no_chapter_corrects_by_hand(path):
    """By ``differences`` or ``study.together`` alone; the comparison simulates what they do."""
    by_hand = re.compile(r"0\.05 */|\blevel=")
    for cell in cells(path, "code"):
        if "def false_alarms" not in cell.source:
            assert not by_hand.search(cell.source), cell.id


@each
def test_all_gains_over_cross_entropy_share_its_runs_and_the_chapter_says_so(path):
    said = "".join(cell.source for cell in nbformat.read(path, 4).cells)
    assert re.search(r"subtracts? the same (few numbers|runs of (it|cross-entropy))", said)


@each
def test_retired_sentences_stay_away(path):
    text = "".join(cell.source for cell in nbformat.read(path, 4).cells)
    assert [sentence for sentence in RETIRED if sentence in text] == []
