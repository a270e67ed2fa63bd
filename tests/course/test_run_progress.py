"""The line of ``kdnotes run``: what its chapters train is in it."""

from __future__ import annotations

import time
import types

from commands import write

from kdnotes.course import chapters, runner
from kdnotes.course.progress import Progress


def one(training=""):
    return types.SimpleNamespace(name="02_a", began=0.0, done=4, total=30, training=training)


def test_what_a_cell_trains_stands_beside_its_number():
    shown, said = Progress(["01_x", "02_a"], {}, 1), []
    shown.live = types.SimpleNamespace(update=said.append)
    shown.show([one()])
    shown.show([one("0:41 elapsed, about 5:30 left: TeacherNet, 4 of 32 epochs")])
    assert said[0].startswith("[2/2] 02_a cell 5/30; ")
    line = "[2/2] 02_a cell 5/30 (0:41 elapsed, about 5:30 left: TeacherNet, 4 of 32 epochs); "
    assert said[1].startswith(line)


CELL = """
import os, time
from kdnotes import progress
progress.PERIOD, progress.QUICK = 0.01, 0.0
with progress.task("TeacherNet", 32, "epochs") as task:
    task.advance(4)
    while not os.path.exists("go"):
        time.sleep(0.05)
print("done")
"""


def test_the_runner_hears_it_from_a_kernel_and_the_notebook_does_not(tmp_path, monkeypatch):
    write(tmp_path, "01_soft_targets", CELL)
    (chapter,) = chapters.find(tmp_path)
    running = runner.Execution(chapter, {}, timeout=None, chapter_timeout=None)
    try:
        end = time.monotonic() + 120
        while "4 of 32" not in running.training and time.monotonic() < end:
            time.sleep(0.05)
        assert running.training.endswith("TeacherNet, 4 of 32 epochs")
        (tmp_path / "go").touch()
        while not running.ended() and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        running.stop()
    outputs = [cell.outputs for cell in running.notebook.cells if cell.cell_type == "code"]
    assert [output["text"] for found in outputs for output in found] == ["done\n"]
    assert running.status == "passed"
