"""JupyterLab opens the first chapter, if there is one and nobody asks for something else."""

from __future__ import annotations

import pytest
from commands import write

from kdnotes.course.opening import lab_options

FIRST = "--LabApp.default_url=/lab/tree/01_soft_targets.ipynb"


def test_the_first_chapter_of_a_folder_whatever_its_name(tmp_path):
    folder = tmp_path / "my course ε"
    folder.mkdir()
    write(folder, "01_soft_targets")
    write(folder, "04_standard_distillation")
    assert lab_options(folder) == [f"--ServerApp.root_dir={folder}", FIRST]


def test_a_folder_without_it_and_another_wish_open_the_list(tmp_path, monkeypatch):
    write(tmp_path, "04_standard_distillation")
    assert lab_options(tmp_path) == [f"--ServerApp.root_dir={tmp_path}"]
    write(tmp_path, "01_soft_targets")
    wish = ["--LabApp.default_url=/lab"]
    assert lab_options(tmp_path, wish) == [f"--ServerApp.root_dir={tmp_path}"]
    monkeypatch.chdir(tmp_path.parent)
    assert lab_options(tmp_path.relative_to(tmp_path.parent)) == [
        f"--ServerApp.root_dir={tmp_path}", FIRST,
    ]  # fmt: skip


def test_a_folder_without_chapters_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no chapter"):
        lab_options(tmp_path)
