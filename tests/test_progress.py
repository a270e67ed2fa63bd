"""How far a training is: where it is shown, when, and that nothing of it stays."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
import types

import pytest
import torch
from helpers import CONFIG, STUDENT, tiny_data, tiny_teacher

from kdnotes import progress, study, training
from kdnotes.data import Views
from kdnotes.methods import KD, CrossEntropy, Method
from kdnotes.store import run_key
from kdnotes.training import loop


class Screen:
    """A front end that remembers its lines."""

    def __init__(self, quick=0.0):
        self.quick, self.lines, self.cleared = quick, [], 0

    def show(self, line, share):
        self.lines.append((line, share))

    def clear(self):
        self.cleared += 1


@pytest.fixture
def screen(monkeypatch):
    shown = Screen()
    monkeypatch.setattr(progress, "PERIOD", 0.01)
    monkeypatch.setattr(progress, "_find_front", lambda: shown)
    return shown


def until(condition):
    """Wait for a thread that looks every hundredth of a second; 20 s on a busy machine."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_line_says_how_far_it_is_and_what_remains_and_is_taken_away(screen):
    with progress.task("study", 4, "trainings") as task:
        task.advance(3)
        until(lambda: any("left" in line for line, _ in screen.lines))
        assert screen.cleared == 0
    line, share = screen.lines[-1]
    assert line.endswith(": study, 3 of 4 trainings") and share == 0.75
    assert " elapsed, about 0:0" in line
    assert screen.cleared == 1 and not any(
        t.name.endswith("(_look)") for t in threading.enumerate()
    )


def test_what_is_quick_is_silent(screen):
    screen.quick = 10.0
    with progress.task("study", 4, "trainings"):
        time.sleep(0.2)
    assert screen.lines == []


def test_an_error_takes_the_line_away_and_passes(screen):
    with pytest.raises(KeyboardInterrupt), progress.task("study", 2, "trainings"):
        until(lambda: screen.lines)
        raise KeyboardInterrupt
    assert screen.cleared == 1
    with progress.task("study", 2, "trainings"):  # and the next one is shown
        until(lambda: len(screen.lines) > 1)
    assert screen.cleared == 2


def test_a_screen_that_fails_stops_no_training(screen):
    screen.show = lambda *_: 1 / 0
    screen.clear = lambda: 1 / 0
    with progress.task("study", 2, "trainings"):
        time.sleep(0.1)


def test_a_task_within_another_is_a_part_of_it_in_equal_units_and_else_a_step(screen):
    with progress.task("comparison", 10, "trainings") as outer:
        with progress.task("study", 4, "trainings") as inner:
            inner.advance(2)
            assert (outer.share(), outer.line()) == (
                0.2, "comparison, 2 of 10 trainings; study, 2 of 4 trainings",
            )  # fmt: skip
        assert outer.share() == 0.4
        with progress.task("the teacher's outputs", 100, "images") as inner:
            inner.advance(50)
            assert outer.share() == 0.4 and outer.line().endswith("outputs, 50 of 100 images")
        with progress.task("study", 4, "trainings") as inner:
            inner.skip(3, 3)
            assert outer.total == 7 and outer.share() == 4 / 7
        assert outer.line() == "comparison, 5 of 7 trainings"


def test_the_time_of_what_is_stored_is_no_measure_of_the_rest(screen):
    with progress.task("study", 4, "trainings") as task:
        task.skip(4, 4)
        assert task.share() == 0.0 and task.line() == "study, 0 of 0 trainings"


def test_of_another_threads_work_nothing_is_shown(screen):
    with progress.task("study", 4, "trainings") as outer:

        def other():
            with progress.task("other", 1, "calls") as task:
                task.advance()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert outer.inner is None and outer.share() == 0.0


def test_another_process_is_read_from_its_file_whatever_is_in_it(tmp_path, screen):
    path = tmp_path / "place"
    assert progress.read(path) == (0.0, "")
    for damaged in ("", "[0.5", "{}", "[1]", '["a", "b"]', "null", "3"):
        path.write_text(damaged, encoding="utf-8")
        assert progress.read(path) == (0.0, "")
    with progress.reporting(path):
        with progress.task("study", 4, "trainings") as task:
            task.advance(2)
            until(lambda: progress.read(path)[0] == 0.5)
            assert progress.read(path)[1].endswith("study, 2 of 4 trainings")
        assert progress.read(path) == (1.0, "")
    assert screen.lines == [] and sorted(os.listdir(tmp_path)) == ["place"]
    with progress.reporting(tmp_path / "no" / "place"), progress.task("study", 4, "trainings"):
        time.sleep(0.05)  # nobody's disk: nothing is said, nothing fails


def test_nothing_is_said_where_nobody_is_to_hear_it(screen):
    with progress.silent():
        assert not progress.is_watched()
        with progress.task("study", 4, "trainings"):
            time.sleep(0.05)
    assert progress.is_watched() and screen.lines == []


# --- where it is shown


class Tty(io.StringIO):
    def isatty(self):
        return True


def test_nothing_without_a_terminal_or_a_reader(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress._find_front() is None
    monkeypatch.setattr(sys, "stderr", None)  # pythonw
    assert progress._find_front() is None


@pytest.mark.parametrize(("ask", "kind"), [(True, "_Notebook"), (False, "NoneType")])
def test_in_a_kernel_only_for_a_front_end_that_can_ask_its_reader(ask, kind, monkeypatch):
    kernel = types.SimpleNamespace(_allow_stdin=ask)
    monkeypatch.setattr(progress, "_kernel", lambda: kernel)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setattr(sys, "stdout", Tty())
    assert type(progress._find_front()).__name__ == kind


def test_the_variable_turns_it_off_or_names_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", Tty())
    assert type(progress._find_front()).__name__ == "_Terminal"
    monkeypatch.setenv("KDNOTES_PROGRESS", "0")
    assert progress._find_front() is None
    monkeypatch.setenv("KDNOTES_PROGRESS", str(tmp_path / "place"))
    assert progress._find_front().path == tmp_path / "place"
    monkeypatch.setenv("KDNOTES_PROGRESS", "1")
    assert type(progress._find_front()).__name__ == "_Terminal"


def test_a_terminals_last_line_is_rewritten_and_erased_and_prints_stay(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Tty()
    monkeypatch.setattr(sys, "stdout", terminal)
    front = progress._Terminal(terminal)
    front.clear()  # before anything was shown
    front.show("0:12 elapsed: study, 1 of 4 trainings", 0.25)
    print("KD: 10 runs")
    front.show("0:13 elapsed: study, 2 of 4 trainings", 0.5)
    front.clear()
    assert sys.stdout is terminal
    written = terminal.getvalue()
    assert "study, 1 of 4" in written and "KD: 10 runs\n" in written
    assert written.endswith("\x1b[1A\x1b[2K") or written.endswith("\x1b[2K")


def test_what_is_printed_to_a_pipe_reaches_it_while_stderr_is_the_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    pipe, terminal = io.StringIO(), Tty()
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys, "stderr", terminal)
    front = progress._find_front()
    front.show("0:12 elapsed: study", 0.25)
    print("the table")
    front.clear()
    assert pipe.getvalue() == "the table\n" and "study" in terminal.getvalue()


def test_a_notebooks_output_is_updated_and_emptied(monkeypatch):
    sent = []
    handle = types.SimpleNamespace(update=lambda data, **_: sent.append(data))
    module = types.ModuleType("IPython.display")
    module.display = lambda data, **_: sent.append(data) or handle
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    front = progress._Notebook()
    front.clear()
    assert sent == []
    front.show("one", 0.1)
    front.show("two", 0.2)
    front.clear()
    assert [one.get("text/plain", "") for one in sent] == ["one", "two", ""]


# --- what trains


def lines_of(screen):
    return " | ".join(line for line, _ in screen.lines)


def test_a_training_says_its_epochs_and_its_numbers_stay_what_they_are(screen):
    data, teacher = tiny_data(), tiny_teacher()
    config = training.Config(epochs=30, batch_size=10, views=Views(1))
    method = KD(teacher, 2.0, 0.1)
    shown = training.fit(training.build(STUDENT, 0), method, data, config)
    plain = loop.fit(training.build(STUDENT, 0), method, data, config)
    for name, tensor in plain.state.items():
        assert torch.equal(tensor, shown.state[name]), name
    assert plain.order == shown.order and plain.metrics == shown.metrics
    assert type(method) is KD and "epochs" in lines_of(screen)
    assert f"{type(training.build(STUDENT, 0)).__name__}, " in lines_of(screen)


def test_a_method_with_slots_trains_too_and_errors_name_the_readers_class(screen):
    class Slotted(Method):
        __slots__ = ()

        def terms(self, batch):
            return {"a": torch.zeros(2)}

    with pytest.raises(TypeError, match="terms of Slotted must be scalar tensors"):
        training.fit(training.build(STUDENT, 0), Slotted(), tiny_data(), CONFIG)
    with pytest.raises(TypeError, match="method must be"):
        training.fit(training.build(STUDENT, 0), None, tiny_data(), CONFIG)


def test_a_study_says_its_trainings_and_stored_ones_take_no_part(screen, monkeypatch, tmp_path):
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path))
    shared = {"student": STUDENT, "data": tiny_data(), "workers": 1, "report": None}
    config = training.Config(epochs=15, batch_size=10, views=Views(1))
    study.compare({"CE": CrossEntropy()}, 2, config=config, **shared)
    assert "study, " in lines_of(screen) and "of 2 trainings" in lines_of(screen)
    assert max(share for _, share in screen.lines) > 0
    screen.lines.clear()
    study.compare({"CE": CrossEntropy()}, 2, config=config, **shared)
    assert all(share == 0 for _, share in screen.lines)


def double(x):
    with progress.task("doubling", 2, "steps") as task:
        task.advance()
        time.sleep(0.3)
        return 2 * x


def test_calls_in_processes_say_how_far_they_are(screen):
    assert study.each(double, [(1,), (2,)], workers=1) == [2, 4]
    assert "double, 0 of 2 calls" in lines_of(screen) and "doubling, 1 of 2 steps" in lines_of(
        screen
    )


def test_a_teachers_outputs_are_counted_and_leave_no_hook(screen, monkeypatch, tmp_path):
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path))
    seen, teacher = [], tiny_teacher()
    advance = progress.Task.advance
    monkeypatch.setattr(
        progress.Task,
        "advance",
        lambda self, *given: (seen.append(self.what), advance(self, *given)),
    )
    data = tiny_data()
    bank = teacher.bank(data.train, Views(3))
    assert seen == ["the teacher's outputs"] * 3 and not teacher.model._forward_hooks
    monkeypatch.setattr(progress, "_find_front", lambda: None)
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "other"))
    assert torch.equal(teacher.bank(data.train, Views(3)), bank)


def test_the_names_of_stored_runs_do_not_depend_on_it(screen, monkeypatch):
    given = (STUDENT, CrossEntropy(), tiny_data(), CONFIG)
    before = run_key(*given)
    with progress.task("study", 1, "trainings"):
        assert run_key(*given) == before
    monkeypatch.setattr(progress, "QUICK", 3.0)
    monkeypatch.setattr(training, "fit", lambda *_: None)
    assert run_key(*given) == before


SCRIPT = """
import sys, time
from kdnotes import progress
progress.PERIOD = 0.01
for front in (progress._Terminal, progress._Notebook):
    front.quick = 0.0
with progress.task("study", 2, "trainings") as task:
    task.advance()
    time.sleep(0.5)
print("done")
"""


def test_headless_nothing_is_written_anywhere():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_an_executed_notebook_has_no_trace_of_it():
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SCRIPT)])
    NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert (output["name"], output["text"]) == ("stdout", "done\n")


def test_a_front_end_that_can_ask_gets_a_line_in_a_real_kernel():
    """As JupyterLab asks for a cell: with ``allow_stdin``."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        asked, sent = client.execute(SCRIPT, allow_stdin=True), []
        while not sent or sent[-1] != ("status", '"idle"'):
            message = client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") == asked:
                content = message["content"]
                said = [
                    content[name] for name in ("data", "text", "execution_state") if name in content
                ]
                sent.append((message["msg_type"], json.dumps(said[0] if said else "")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    shown = [(kind, data) for kind, data in sent if "display_data" in kind]
    assert shown[0][0] == "display_data" and "study, 1 of 2 trainings" in shown[0][1]
    assert {kind for kind, _ in shown[1:]} == {"update_display_data"}
    assert "study" not in shown[-1][1] and ("stream", '"done\\n"') in sent
