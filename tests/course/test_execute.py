"""The process of a chapter (what it does with a kernel is in test_runner.py)."""

from __future__ import annotations

import json
import subprocess
import sys

from kdnotes.course import execute


def test_what_keeps_a_chapter_from_beginning_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(execute.os, "_exit", lambda code: None)
    job = {"path": str(tmp_path / "01_x.ipynb"), "home": str(tmp_path / "nowhere")}
    execute.main(json.dumps(job | {"timeout": None, "chapter_timeout": None}))
    status, error = json.loads((tmp_path / "01_x.json").read_text())
    assert status == "failed" and error.startswith("FileNotFoundError: ") and "nowhere" in error


def test_it_imports_neither_torch_nor_what_runs_the_command():
    code = "import sys, kdnotes.course.execute, nbclient; "
    code += "sys.exit(bool({'torch', 'numpy', 'pandas', 'papermill', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
