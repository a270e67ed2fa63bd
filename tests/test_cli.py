"""The command: results, failures, time limits, interruption, resuming, bad input, and no process left behind."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kdnotes import __version__, cli, comparison, pages, runner

PARAMETERS = 'profile = None\ndataset = "fashion-mnist"\nseeds = None'
TINY_STUDY = """
import functools, json
from kdnotes import data, methods, models, study, training
splits = data.load(train_images=100, validation_images=50, test_images=100)
student = functools.partial(models.StudentNet, in_channels=1, width=4)
config = training.Config(epochs=12, batch_size=10, views=data.Views(2))
arms = {"cross-entropy": methods.CrossEntropy(), "smoothing": methods.LabelSmoothing(0.1)}
found = study.compare(arms, seeds=3, student=student, data=splits, config=config, workers=1)
"""
SHOW_STUDY = 'print("results", found.frame.drop(columns=["seconds", "created", "cached"]).to_json(double_precision=15))'
SHOW_REUSE = 'print("reused", int(found.frame["cached"].sum()))'
SLOW = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"


def write(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A chapter with a heading, a promise, a parameters cell and these code cells."""
    folder.mkdir(exist_ok=True)
    first = f"# {int(name[:2])}. The {name[3:]} chapter\n\n**Promise.** You see *{name[3:]}*.\n\nTime: none."
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell(first), tagged, *map(new_code_cell, cells)])
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of three chapters, the second of which fails."""
    folder = tmp_path_factory.mktemp("course")
    write(folder, "01_first", "print('profile', profile, 'seeds', seeds)", "1 + 1")
    write(folder, "02_broken", "def f():\n    raise ValueError('T must be above 0')", "x = 1\nf()", "print('never')")
    write(folder, "03_last", "print('rate', rate)", parameters=PARAMETERS + "\nrate = 0.5")
    return folder


def command(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdnotes.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | variables,
    )  # fmt: skip


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    """The command as a shell starts it; a shell's background job, in which the tests may run, ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "kdnotes.cli", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def results(output: Path) -> dict[str, dict]:
    return {entry["chapter"]: entry for entry in json.loads((output / "results.json").read_text())["chapters"]}


def printed(path: Path, word: str) -> str:
    """The line that starts with ``word`` among a notebook's printed output."""
    cells = nbformat.read(path, 4).cells
    text = "\n".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    return next(line for line in text.splitlines() if line.startswith(word))


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def tagged_processes(tag: str) -> list[psutil.Process]:
    """Living processes whose environment holds KDNOTES_TEST=tag: the command, its kernel and their workers."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KDNOTES_TEST") == tag and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def finished(course, tmp_path_factory):
    """The course, run once in the smoke profile, in order."""
    output = tmp_path_factory.mktemp("output")
    options = "--profile", "smoke", "--seeds", 3, "--jobs", 1
    return command("run", "--notebooks", course, "--output", output, *options), output


def test_a_failing_chapter_stops_no_other_and_is_shown_short(finished):
    done, output = finished
    assert done.returncode == 1
    assert [entry["status"] for entry in results(output).values()] == ["passed", "failed", "passed"]
    assert done.stderr.splitlines() == ["  ValueError: T must be above 0", "    in [4], line 2: f()"]
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"\[2/3\] 02_broken failed in [\d.]+ s; 0:\d\d elapsed, about 0:\d\d left", lines[2])
    assert len(lines) == 5 and "\x1b" not in done.stdout, "plain lines where there is no terminal"


def test_results_json_holds_the_documented_fields(finished):
    _, output = finished
    whole = json.loads((output / "results.json").read_text())
    assert (whole["profile"], whole["dataset"], whole["seeds"]) == ("smoke", "fashion-mnist", 3)
    assert whole["kdnotes"] == __version__ and re.match(r"\d+\.\d+", whole["torch"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", whole["started"])
    for entry in whole["chapters"]:
        assert set(entry) == {
            "chapter", "status", "seconds", "error", "profile", "dataset", "seeds", "started", "kdnotes", "torch",
            "jobs",
        }  # fmt: skip
        assert entry["seconds"] > 0 and bool(entry["error"]) == (entry["status"] != "passed")


def test_parameters_reach_the_chapter(finished):
    _, output = finished
    assert printed(output / "01_first.ipynb", "profile") == "profile smoke seeds 3"
    assert printed(output / "03_last.ipynb", "rate") == "rate 0.5"


def test_index_links_existing_files_and_says_what_failed(finished):
    _, output = finished
    index = (output / "index.html").read_text()
    links = set(re.findall(r'href="([^"]+)"', index))
    assert links == {f"{stem}.{kind}" for stem in ("01_first", "02_broken.failed", "03_last") for kind in ("html", "ipynb")}  # noqa: E501  # fmt: skip
    assert all((output / link).is_file() for link in links)
    assert "You see first." in index and "T must be above 0" in index and 'name="viewport"' in index


def test_pages_and_notebooks_hold_no_papermill_metadata_and_no_path(finished):
    _, output = finished
    for path in output.glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        assert "papermill" not in json.dumps(notebook.metadata) and str(output.parent) not in path.read_text()
        assert not any({"papermill", "execution"} & set(cell.metadata) for cell in notebook.cells)


def test_one_chapter_again_keeps_the_others_and_a_failure_keeps_earlier_pages(course, finished, tmp_path):
    _, output = finished
    copy = tmp_path / "course"
    shutil.copytree(course, copy)
    kept = tmp_path / "output"
    shutil.copytree(output, kept)
    page = (kept / "03_last.html").read_bytes()
    write(copy, "03_last", "1 / 0", parameters=PARAMETERS + "\nrate = 0.5")
    assert command("run", 3, "--notebooks", copy, "--output", kept).returncode == 1
    assert [entry["status"] for entry in results(kept).values()] == ["passed", "failed", "failed"]
    assert (kept / "03_last.html").read_bytes() == page and (kept / "03_last.failed.html").is_file()
    write(copy, "03_last", "print('rate', rate)", parameters=PARAMETERS + "\nrate = 0.5")
    done = command("run", "last", "--notebooks", copy, "--output", kept, "-p", "rate=2")
    assert done.returncode == 0 and not (kept / "03_last.failed.html").exists()
    assert printed(kept / "03_last.ipynb", "rate") == "rate 2"
    assert results(kept)["01_first"]["profile"] == "smoke" and results(kept)["03_last"]["profile"] == "lesson"


def test_list_shows_number_name_title_and_promise(course, capsys):
    assert cli.main(["list", "--notebooks", str(course)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["01  first: The first chapter", "    You see first."] and len(lines) == 6


@pytest.mark.parametrize("wanted", [["3", "1"], ["03", "01_first"], ["last", "first", "1"]])
def test_chapters_are_chosen_by_number_or_name_in_order(course, wanted):
    assert [chapter.name for chapter in runner.choose(runner.find(course), wanted)] == ["01_first", "03_last"]


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"kdnotes {__version__}\n"


BAD = {
    "unknown chapter": (["run", "9"], "CHAPTER must be one of 01_first, 02_broken, 03_last (or its number), not '9'"),
    "unknown chapter name": (["run", "entropy"], "not 'entropy'"),
    "unknown profile": (["run", "--profile", "quick"], "profile must be one of smoke, lesson, full, not 'quick'"),
    "unknown data set": (["run", "--dataset", "mnist"], "'fashion-mnist', 'cifar10' or 'folder:PATH', not 'mnist'"),
    "missing folder": (["run", "--dataset", "folder:nowhere"], "nowhere/train does not exist"),
    "empty folder": (["run", "--dataset", "folder:{tmp}/empty"], "train holds no class folder"),
    "damaged image": (
        ["run", "--dataset", "folder:{tmp}/damaged"],
        "train/a/0.png cannot be read as an image (unknown format): ",
    ),
    "missing CIFAR-10": (["run", "--dataset", "cifar10"], "--download"),
    "no seeds": (["run", "--seeds", "0"], "--seeds must be a whole number of at least 1, not '0'"),
    "seeds no number": (["run", "--seeds", "many"], "--seeds must be a whole number of at least 1, not 'many'"),
    "negative timeout": (["run", "--timeout", "-1"], "--timeout must be a number of seconds above 0, not '-1'"),
    "timeout not finite": (["run", "--timeout", "nan"], "--timeout must be a number of seconds above 0, not 'nan'"),
    "chapter timeout 0": (["run", "--chapter-timeout", "0"], "--chapter-timeout must be a number of seconds above 0"),
    "no jobs": (["run", "--jobs", "0"], "--jobs must be a whole number of at least 1, not '0'"),
    "no workers": (["run", "--workers", "0"], "--workers must be a whole number of at least 1, not '0'"),
    "unknown parameter": (["run", "1", "-p", "alpha=1"], "01_first has no parameter 'alpha': it has profile, dataset"),
    "parameter of some": (["run", "-p", "rate=1"], "01_first has no parameter 'rate'"),
    "parameter of a wrong kind": (
        ["run", "3", "-p", "rate=high"],
        "parameter rate of 03_last must be a float, not 'high'",
    ),
    "parameter without a value": (["run", "-p", "rate"], "--parameter must be NAME=VALUE, not 'rate'"),
    "parameter given twice": (["run", "--seeds", "2", "-p", "seeds=3"], "'seeds' is given twice"),
    "seeds as text": (["run", "-p", "seeds=two"], "seeds must be a whole number of at least 1, or None, not 'two'"),
    "output is a file": (["run", "--output", "{tmp}/file"], "file must be a folder to write to"),
    "output below a file": (["run", "--output", "{tmp}/file/runs"], "must be a folder to write to"),
    "no notebooks": (["run", "--notebooks", "{tmp}/empty"], "no chapter (NN_name.ipynb) in {tmp}/empty"),
    "notebook no JSON": (["run", "--notebooks", "{tmp}/garbage"], "01_garbage.ipynb is not a notebook"),
    "update with a profile": (
        ["run", "--update", "--profile", "smoke"],
        "--update writes the default outputs, so it cannot go with profile",
    ),
    "unknown option": (["run", "--seed", "1"], "No such option"),
    "option without a value": (["run", "--notebooks", ".", "--profile"], "Option '--profile' requires an argument"),
    "unknown command": (["rum"], "No such command 'rum'"),
    "comparison into no folder": (
        ["compare", "--output", "nowhere/t.csv"],
        "--output: the folder nowhere does not exist",
    ),
    "comparison into a folder": (["compare", "--output", "{tmp}"], "--output: {tmp} is a folder, not a file"),
    "comparison of no seed": (["compare", "--seeds", "0"], "--seeds must be a whole number of at least 1, not '0'"),
    "comparison in no profile": (["compare", "--profile", "tiny"], "profile must be one of smoke, lesson, full"),
    "comparison on no data": (["compare", "--dataset", "mnist"], "--dataset: "),
    "teacher into no folder": (["train-teacher", "--output", "nowhere/t.safetensors"], "folder nowhere does not exist"),
    "port out of range": (
        ["lab", "--port", "99999"],
        "at least 1, at most 65535, not '99999'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_commands_end_with_one_line_and_code_2_before_anything_runs(case, course, tmp_path, capsys, monkeypatch):
    arguments, message = BAD[case]
    for part in ("train", "test"):
        (tmp_path / "empty" / part).mkdir(parents=True)
        for name in "ab":
            (tmp_path / "damaged" / part / name).mkdir(parents=True)
            for number in range(2):
                (tmp_path / "damaged" / part / name / f"{number}.png").write_bytes(b"no image")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "01_garbage.ipynb").write_text("{")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "execute", lambda *a, **b: pytest.fail("a chapter ran"))
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    if arguments[0] in ("run", "lab") and "--notebooks" not in arguments:
        arguments += ["--notebooks", str(course)]
    code = cli.main(arguments)
    shown = capsys.readouterr()
    assert code == 2 and shown.out == "", shown
    assert shown.err.startswith("kdnotes: ") and shown.err.count("\n") == 1, shown.err
    assert message.replace("{tmp}", str(tmp_path)) in shown.err
    assert (tmp_path / "file").read_text() == "kept" and not (tmp_path / "runs").exists()


def test_a_cache_folder_that_cannot_be_made_ends_a_command_at_once(course, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(cli, "_about", lambda *_: pytest.fail("the data were loaded"))
    for arguments in (["run", "1", "--notebooks", str(course)], ["compare"], ["train-teacher"]):
        assert cli.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("kdnotes: cannot create the cache folder ") and "KDNOTES_CACHE" in line


def test_a_relative_cache_folder_means_the_same_in_the_chapters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDNOTES_CACHE", "store")
    cli._check_store()
    assert os.environ["KDNOTES_CACHE"] == str(tmp_path / "store") and (tmp_path / "store" / "runs").is_dir()


class Result:
    """What ``compare_methods`` returns, as far as the command looks at it."""

    def table(self):
        return pd.DataFrame({"setting": ["ε = 0.1", "α → β ± 1, T ≥ 2"]})

    numbers = table


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_results_are_written_and_no_character_stops_a_comparison(encoding, tmp_path, monkeypatch):
    """Standard output as a redirect has it on Windows; each line of the report was an end before."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(comparison, "compare_methods", lambda *_, **__: print("label smoothing, ε") or Result())
    monkeypatch.setattr(cli, "_check_store", lambda: None)
    monkeypatch.setattr(cli, "_about", lambda *_: None)
    assert cli.main(["compare", "--output", str(tmp_path / "F.csv")]) == 0
    assert "ε = 0.1" in (tmp_path / "F.csv").read_text(encoding="utf-8")
    out.flush()
    printed = out.buffer.getvalue().decode(encoding)
    assert "\\u03b5 = 0.1" in printed and "All intervals" in printed


def test_results_are_written_before_they_are_printed(tmp_path, monkeypatch, capsys):
    def closed(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(comparison, "compare_methods", lambda *_, **__: Result())
    monkeypatch.setattr(cli, "_check_store", lambda: None)
    monkeypatch.setattr(cli, "_about", lambda *_: None)
    monkeypatch.setattr(Result, "table", lambda self: type("Table", (), {"to_string": closed})())
    assert cli.main(["compare", "--output", str(tmp_path / "F.csv")]) == 2
    assert "ε = 0.1" in (tmp_path / "F.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["list"], ["run", "99"], ["--help"], ["propose", "blank"]])
def test_no_character_stops_another_command(arguments, course, tmp_path):
    """With a title, an error or a file name that standard output cannot write."""
    folder = write(tmp_path / "kürs ε", "01_first", "1 + 1")
    path = folder / "01_first.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("first chapter", "ε ≥ chapter"), encoding="utf-8")
    options = {"list": ["--notebooks", folder], "run": ["--notebooks", folder], "propose": ["--output", folder]}
    done = command(*arguments, *options.get(arguments[0], []), PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == (2 if arguments[0] == "run" else 0) and "codec" not in done.stderr
    assert arguments[0] != "list" or "\\u03b5 \\u2265 chapter" in done.stdout


@pytest.fixture
def started(monkeypatch):
    """The options with which ``kdnotes lab`` starts Jupyter, which ends with code 1, as it does for root."""
    calls = []
    monkeypatch.setattr(cli.subprocess, "call", lambda command: calls.append(command) or 1)
    return calls


def test_lab_passes_further_options_on(course, started, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert cli.main(["lab", "--notebooks", str(course), "--no-browser", "--", "--allow-root", "--port", "9"]) == 1
    assert started[0][1:] == [
        "-m", "jupyterlab", "--ip=127.0.0.1", "--port=8888", "--no-browser", str(course), "--allow-root", "--port", "9",
    ]  # fmt: skip
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("user", "lines"), [(0, 1), (1000, 0)])
def test_lab_tells_root_how_to_start_it_in_one_line(user, lines, course, started, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    assert cli.main(["lab", "--notebooks", str(course)]) == 1 and len(started) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines and all("kdnotes lab -- --allow-root" in line for line in said)


def test_lab_takes_options_alone(course, started, capsys):
    assert cli.main(["lab", "--notebooks", str(course), "chapter3"]) == 2 and not started
    assert (
        "OPTION must be one of JupyterLab's, as in kdnotes lab -- --allow-root, not 'chapter3'"
        in capsys.readouterr().err
    )


def test_an_unset_profile_variable_is_checked_too(course, capsys, monkeypatch):
    monkeypatch.setenv("KDNOTES_PROFILE", "tiny")
    assert cli.main(["run", "--notebooks", str(course)]) == 2
    assert "profile must be one of smoke, lesson, full, not 'tiny'" in capsys.readouterr().err


def test_a_full_disk_ends_in_one_line_and_keeps_earlier_results(course, finished, tmp_path, capsys, monkeypatch):
    _, output = finished
    kept = tmp_path / "output"
    shutil.copytree(output, kept)
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    outcome = runner.Outcome("passed", 1.0, "", nbformat.read(output / "01_first.ipynb", 4))
    monkeypatch.setattr(runner, "execute", lambda *a, **b: outcome)
    replace = os.replace

    def full(source, target):
        if not str(target).endswith(".writable"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert cli.main(["run", "1", "--notebooks", str(course), "--output", str(kept)]) == 2
    shown = capsys.readouterr().err
    assert shown == f"kdnotes: cannot write {kept}/01_first.ipynb: No space left on device\n"
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before, "and no temporary file is left"


@pytest.mark.parametrize(("option", "seconds"), [("--timeout", 1), ("--chapter-timeout", 3)])
def test_a_time_limit_ends_the_chapter_and_its_processes(option, seconds, tmp_path):
    tag = f"limit-{option}-{os.getpid()}"
    folder = write(tmp_path / "course", "01_slow", SLOW, "time.sleep(300)")
    done = command("run", "--notebooks", folder, "--output", tmp_path, option, seconds, KDNOTES_TEST=tag)
    assert done.returncode == 1
    assert done.stderr == f"  stopped after {seconds} s ({option})\n"
    assert results(tmp_path)["01_slow"]["status"] == "timeout"
    assert tagged_processes(tag) == []


def test_a_dead_kernel_fails_its_chapter_only(tmp_path):
    folder = write(tmp_path / "course", "01_dies", "import os\nos._exit(9)")
    write(folder, "02_fine", "1")
    done = command("run", "--notebooks", folder, "--output", tmp_path)
    assert done.returncode == 1 and "DeadKernelError: the kernel died" in done.stderr
    assert [entry["status"] for entry in results(tmp_path).values()] == ["failed", "passed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_ends_in_one_line_and_stops_every_kernel(number, jobs, tmp_path):
    tag = f"interrupt-{number}-{jobs}-{os.getpid()}"
    begun = [tmp_path / f"begun{chapter}" for chapter in (1, 2, 3)]
    for chapter, file in enumerate(begun, 1):
        write(tmp_path / "course", f"0{chapter}_slow", SLOW + f"open({str(file)!r}, 'w').close()", "time.sleep(300)")
    options = "--output", tmp_path, "--jobs", jobs
    process = start("run", "--notebooks", tmp_path / "course", *options, KDNOTES_TEST=tag)
    wait_for(lambda: all(file.exists() for file in begun[:jobs]))
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and errors == "kdnotes: interrupted\n"
    assert tagged_processes(tag) == [] and [file.exists() for file in begun].count(True) == jobs


def test_an_interruption_waits_until_the_work_is_stopped_also_if_it_comes_twice():
    begun, ended, stops, chapters = threading.Event(), threading.Event(), [], []

    def work(chapter):
        chapters.append(chapter)
        begun.set()
        assert threading.current_thread() is not threading.main_thread() and ended.wait(60)

    def stop():
        stops.append(True)
        if len(stops) == 1:
            signal.raise_signal(signal.SIGINT)  # an impatient hand
        ended.set()

    threading.Thread(target=lambda: begun.wait() and os.kill(os.getpid(), signal.SIGTERM)).start()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler), signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(runner._as_they_end(["first", "second"], work, 1, stop))
    finally:
        signal.signal(signal.SIGTERM, before[0]), signal.signal(signal.SIGINT, before[1])
    assert len(stops) >= 2 and ended.is_set() and chapters == ["first"]


def test_an_interruption_while_the_work_is_handed_out_stops_what_has_begun(monkeypatch):
    submit, begun, stopped = runner.ThreadPoolExecutor.submit, threading.Event(), threading.Event()

    def interrupted(pool, *arguments):
        submit(pool, *arguments)  # its result is lost: the interruption comes before it is known
        assert begun.wait(60)
        raise KeyboardInterrupt

    def work(chapter):
        begun.set()
        assert stopped.wait(60)

    monkeypatch.setattr(runner.ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(runner._as_they_end(["first", "second"], work, 1, stopped.set))
    assert stopped.is_set()


def test_an_error_in_the_work_or_beside_it_stops_the_rest_first():
    stopped, begun = threading.Event(), threading.Event()
    with pytest.raises(ZeroDivisionError):
        list(
            runner._as_they_end([0, 1], lambda number: 1 / number if number == 0 else stopped.wait(60), 2, stopped.set)
        )
    assert stopped.is_set()
    stopped.clear()
    ended = runner._as_they_end([0, 1], lambda number: number == 0 or (begun.set(), stopped.wait(60)), 2, stopped.set)
    assert next(ended) == (0, True) and begun.wait(60)
    ended.close()
    assert stopped.is_set()


def test_two_chapters_at_a_time_run_at_once_and_write_what_one_after_the_other_does(course, tmp_path):
    meet = """
import pathlib, time
here, there = (pathlib.Path({folder!r}, name) for name in ({own!r}, {other!r}))
here.touch()
end = time.monotonic() + 60
while not there.exists():
    assert time.monotonic() < end, "the other chapter does not run"
    time.sleep(0.01)
"""
    folder = tmp_path / "course"
    write(folder, "01_one", meet.format(folder=str(tmp_path), own="a", other="b"), "print('profile', profile)")
    write(folder, "02_two", meet.format(folder=str(tmp_path), own="b", other="a"), "1 / 0")
    write(folder, "03_three", TINY_STUDY, SHOW_STUDY)
    write(folder, "04_four", TINY_STUDY.replace('"cross-entropy": methods.CrossEntropy(), ', ""), SHOW_STUDY)
    done = command("run", "--notebooks", folder, "--output", tmp_path, "--jobs", 2)
    assert done.returncode == 1 and done.stderr.splitlines()[0] == "  ZeroDivisionError: division by zero"
    assert [entry["status"] for entry in results(tmp_path).values()] == ["passed", "failed", "passed", "passed"]
    assert {entry["jobs"] for entry in results(tmp_path).values()} == {2}
    assert len(re.findall(r"^\[\d/4\] 0\d_\w+ (?:passed|failed) in [\d.]+ s; \d:\d\d elapsed", done.stdout, re.M)) == 4
    shown = [printed(tmp_path / f"{name}.ipynb", "results") for name in ("03_three", "04_four")]
    alone = command("run", 3, 4, "--notebooks", folder, "--output", tmp_path, "--fresh", "--workers", 2)
    assert alone.returncode == 0, alone.stderr
    assert shown == [printed(tmp_path / f"{name}.ipynb", "results") for name in ("03_three", "04_four")]


def test_a_foreign_kernel_called_python3_is_not_used(course, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    spec.joinpath("kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    done = command("run", 1, "--notebooks", course, "--output", tmp_path, JUPYTER_PATH=str(tmp_path / "jupyter"))
    assert done.returncode == 0, done.stderr


def test_update_writes_outputs_and_nothing_else_back(tmp_path):
    folder = write(tmp_path / "course", "01_first", "print('hello')", "1 / 1")
    before = nbformat.read(folder / "01_first.ipynb", 4)
    assert command("run", "--notebooks", folder, "--output", tmp_path, "--update").returncode == 0
    text = (folder / "01_first.ipynb").read_text()
    after = nbformat.read(folder / "01_first.ipynb", 4)
    assert [(c.id, c.source, c.get("metadata")) for c in after.cells] == [(c.id, c.source, c.get("metadata")) for c in before.cells]  # noqa: E501  # fmt: skip
    assert after.cells[2].outputs[0].text == "hello\n" and [c.get("execution_count") for c in after.cells] == [None, 1, 2, 3]  # noqa: E501  # fmt: skip
    assert after.metadata.kernelspec.name == "python3" and "papermill" not in text
    assert command("run", "--notebooks", folder, "--output", tmp_path, "--update").returncode == 0
    assert (folder / "01_first.ipynb").read_text() == text, "a second update changes nothing"


def test_update_keeps_a_notebook_that_was_edited_meanwhile(tmp_path):
    folder = write(tmp_path / "course", "01_first", "1")
    chapter = runner.find(folder)[0]
    stale, edited = chapter.path.read_bytes(), chapter.path.read_text().replace('"1"', '"2"')
    chapter.path.write_text(edited)
    with pytest.raises(ValueError, match="changed while it ran"):
        runner._update(chapter, stale, nbformat.reads(stale.decode(), 4))
    assert chapter.path.read_text() == edited


@pytest.fixture(scope="module")
def study_course(tmp_path_factory):
    return write(tmp_path_factory.mktemp("study"), "01_study", TINY_STUDY, SHOW_STUDY, SHOW_REUSE)


@pytest.fixture(scope="module")
def undisturbed(study_course, tmp_path_factory):
    """What the small study prints when nothing disturbs it."""
    output = tmp_path_factory.mktemp("undisturbed")
    done = command("run", "--notebooks", study_course, "--output", output, KDNOTES_CACHE=str(output / "cache"))
    assert done.returncode == 0, done.stderr
    return printed(output / "01_study.ipynb", "results")


def test_killed_three_times_a_run_goes_on_and_ends_with_equal_results(undisturbed, tmp_path):
    tag = f"kill-{os.getpid()}"
    stored = tmp_path / "cache" / "runs"
    course = write(
        tmp_path / "course", "01_study", TINY_STUDY.replace("workers=1", "workers=2"), SHOW_STUDY, SHOW_REUSE
    )
    arguments, variables = (
        ("run", "--notebooks", course, "--output", tmp_path),
        {"KDNOTES_CACHE": str(tmp_path / "cache")},
    )
    for least in (0, 1, 3):
        process = start(*arguments, **variables, KDNOTES_TEST=tag)
        wait_for(lambda n=least: stored.is_dir() and len(list(stored.glob("*.safetensors"))) >= n)
        process.kill()
        process.communicate()
        wait_for(lambda: tagged_processes(tag) == [], 15)
        assert not (tmp_path / "results.json").exists(), "it was killed too late to test anything"
        assert least <= len(list(stored.glob("*.safetensors"))) < 6
    done = command(*arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert printed(tmp_path / "01_study.ipynb", "results") == undisturbed
    assert 3 <= int(printed(tmp_path / "01_study.ipynb", "reused").split()[1]) < 6


def test_fresh_ignores_stored_runs_and_workers_leave_with_the_command(study_course, undisturbed, tmp_path):
    tag = f"fresh-{os.getpid()}"
    folder = tmp_path / "course"
    shutil.copytree(study_course, folder)
    write(folder, "01_study", TINY_STUDY.replace("workers=1", "workers=None"), SHOW_STUDY, SHOW_REUSE)
    for options in (["--workers", "2"], ["--fresh"]):
        variables = {"KDNOTES_CACHE": str(tmp_path / "cache"), "KDNOTES_TEST": tag}
        assert command("run", "--notebooks", folder, "--output", tmp_path, *options, **variables).returncode == 0
        assert printed(tmp_path / "01_study.ipynb", "reused") == "reused 0"
        assert printed(tmp_path / "01_study.ipynb", "results") == undisturbed
        assert tagged_processes(tag) == []


def test_no_network_is_needed(course, tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        pytest.skip("unshare -n is not allowed here")
    words = ["unshare", "-n", sys.executable, "-m", "kdnotes.cli"]  # in there, not even the loopback interface is up
    done = subprocess.run(
        [*words, "run", "1", "--notebooks", course, "--output", tmp_path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


FORMULAS = r"""# 1. Formulas

Inline $T^2\,\mathrm{KL}(p_t \,\|\, p_s)$, a price of \$5 and `"$a$ and $b$"`.

$$L = \frac{1}{K} \sum_{k=1}^{K} p_{t,k} \log\frac{p_{t,k}}{p_{s,k}}$$

$$
\begin{aligned}
a &= b < c \\
d &\approx e
\end{aligned}
$$

\begin{align}
u &= v \\ w &= x
\end{align}
"""


@pytest.fixture(scope="module")
def page():
    solution = new_code_cell("answer = 42", metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}})
    code = new_code_cell("price = '$5 and $6'")
    code.outputs = [nbformat.v4.new_output("display_data", {"text/latex": r"$\frac{1}{2}$", "text/plain": "half"})]
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "a slider"}
    code.outputs.append(nbformat.v4.new_output("display_data", widget))
    return pages.notebook_page(new_notebook(cells=[new_markdown_cell(FORMULAS), code, solution]), "1. <Formulas>")


def test_formulas_become_mathml(page):
    assert page.count("<math") == 5 and "math-source" not in page
    assert page.count("<mtr>") == 4 and "<mfrac>" in page and "(1)" not in page
    assert "begin{" not in page and "\\frac" not in page
    assert "<mi>&amp;</mi>" not in page, "an alignment mark was taken for a sign"


def test_dollars_in_code_are_no_formulas(page):
    assert "$5 and $6" in re.sub(r"<[^>]+>", "", page) and '<code>"$a$ and $b$"</code>' in page


def test_the_page_needs_no_network_and_no_script(page):
    assert not re.search(r"<script|<link|@import|<iframe|url\(|src=[\"']http", page)
    assert "<title>1. &lt;Formulas&gt;</title>" in page and "a slider" in page


def test_a_solution_is_folded_away(page):
    assert len(re.findall(r"<details><summary>Solution</summary>.*?</details>", page, re.DOTALL)) == 1
    assert "answer" in page[page.index("<details>") :] and "answer" not in page[: page.index("<details>")]


def test_a_formula_that_cannot_be_converted_is_shown_as_source():
    text = pages.notebook_page(new_notebook(cells=[new_markdown_cell(r"$\left( a$")]), "x")
    assert '<code class="math-source">\\left( a</code>' in text
