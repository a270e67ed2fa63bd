"""What executed chapters used, packed as one file."""

from __future__ import annotations

import zipfile

import pytest

from kdnotes import store
from kdnotes.course import sharing
from kdnotes.course.chapters import Chapter
from kdnotes.store import tensorfile


@pytest.fixture
def course(tmp_path, own_cache):
    """Two executed chapters, with a run each of their own and one that both used."""
    chapters = [Chapter(tmp_path / f"0{n}_{name}.ipynb", name, "") for n, name in enumerate("ab")]
    for chapter in chapters:
        used = [store.Entry("runs", key) for key in ("both", chapter.title)]
        for entry in used:
            tensorfile.write(entry.path, {}, {})
        sharing.note(tmp_path, chapter, [entry.name for entry in used])
    tensorfile.write(store.Entry("runs", "old").path, {}, {})
    return chapters


def packed(path):
    with zipfile.ZipFile(path) as archive:
        return {name[5:-12] for name in archive.namelist() if "/" in name}


def test_a_pack_holds_what_the_chosen_chapters_used(course, tmp_path):
    said = sharing.pack(tmp_path / "room", tmp_path, course)
    assert packed(tmp_path / "room") == {"both", "a", "b"}
    assert "3 trainings and 0 outputs of teachers, 0 MB" in said
    assert said.endswith(f"KDNOTES_STORE={tmp_path / 'room'}")
    sharing.pack(tmp_path / "room", tmp_path, course[1:])
    assert packed(tmp_path / "room") == {"both", "b"}


def test_all_is_packed_but_for_what_is_damaged_which_is_said(course, tmp_path):
    store.Entry("runs", "a").path.write_text("")
    assert "left out, as they are damaged: runs/a.safetensors" in sharing.pack_all(tmp_path / "x")
    assert packed(tmp_path / "x") == {"both", "b", "old"}


def test_a_chapter_that_was_not_executed_is_named_and_nothing_is_written(course, tmp_path):
    other = Chapter(tmp_path / "03_c.ipynb", "c", "")
    with pytest.raises(ValueError, match=r"--runs: .* has no 03_c: begin with kdnotes run"):
        sharing.pack(tmp_path / "room", tmp_path, [*course, other])
    assert not (tmp_path / "room").exists()
