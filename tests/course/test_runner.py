"""Runs of chapters: results, failures, time limits, interruption, and no process left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from commands import (
    PARAMETERS,
    command,
    course_of_three,  # noqa: F401
    printed,
    results,
    start,
    tagged_processes,
    wait_for,
    write,
)

from kdnotes import __version__, cli
from kdnotes.course import chapters, runner

TINY_STUDY = """
import functools, json
from kdnotes import data, methods, models, study, training
splits = data.load(train_images=100, validation_images=50, test_images=100)
student = functools.partial(models.StudentNet, in_channels=1, width=4)
config = training.Config(epochs=12, batch_size=10, views=data.Views(2))
arms = {"cross-entropy": methods.CrossEntropy(), "smoothing": methods.LabelSmoothing(0.1)}
found = study.compare(arms, seeds=3, student=student, data=splits, config=config, workers=1)
"""
SHOW_STUDY = """
numbers = found.frame.drop(columns=["seconds", "created", "cached"])
print("results", numbers.to_json(double_precision=15))
"""
SHOW_REUSE = 'print("reused", int(found.frame["cached"].sum()))'
WORKERS = """
import joblib, os, signal, time
assert os.getpid() not in joblib.Parallel(2)(joblib.delayed(os.getpid)() for _ in range(20))
"""
SLOW = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
"""


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
    assert done.stderr.splitlines() == [
        "  ValueError: T must be above 0",
        "    in [4], line 2: f()",
    ]
    lines = done.stdout.splitlines()
    assert re.fullmatch(
        r"\[2/3\] 02_broken failed in [\d.]+ s; 0:\d\d elapsed, about 0:\d\d left", lines[2]
    )
    assert len(lines) == 5 and "\x1b" not in done.stdout, "plain lines where there is no terminal"


def test_results_json_holds_the_documented_fields(finished):
    _, output = finished
    whole = json.loads((output / "results.json").read_text())
    assert (whole["profile"], whole["dataset"], whole["seeds"]) == ("smoke", "fashion-mnist", 3)
    assert whole["kdnotes"] == __version__ and re.match(r"\d+\.\d+", whole["torch"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", whole["started"])
    for entry in whole["chapters"]:
        assert set(entry) == {
            "chapter", "status", "seconds", "error", "profile", "dataset", "seeds", "started",
            "kdnotes", "torch", "jobs", "minutes",
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
    stems, kinds = ("01_first", "02_broken.failed", "03_last"), ("html", "ipynb")
    assert links == {f"{stem}.{kind}" for stem in stems for kind in kinds} | {"glossary.html"}
    assert all((output / link).is_file() for link in links)
    assert "You see first." in index and "T must be above 0" in index and 'name="viewport"' in index


def ways(page: Path) -> list[str]:
    """Where the links at the top of a page lead to."""
    header = re.search("<header>.*?</header>", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    return re.findall(r'<a [^>]*href="([^"]+)"', header)


def searched(output: Path) -> list[str]:
    return re.findall(r'^\{"page": "([^"]+)"', (output / "sections.js").read_text(), re.M)


def test_pages_lead_to_their_neighbours_and_all_are_searched(finished):
    _, output = finished
    first, second, third = "01_first.html", "02_broken.failed.html", "03_last.html"
    assert ways(output / first) == ["index.html", second]
    assert ways(output / second) == [first, "index.html", third]
    assert ways(output / third) == [second, "index.html"]
    assert searched(output) == [first, second, third, "glossary.html"]
    assert "You see first." in (output / "sections.js").read_text()


def test_a_chapter_alone_leads_to_the_place_of_the_others_in_the_index(course, tmp_path):
    assert command("run", 3, "--notebooks", course, "--output", tmp_path).returncode == 0
    assert ways(tmp_path / "03_last.html") == ["index.html#02_broken", "index.html"]
    assert searched(tmp_path) == ["03_last.html", "glossary.html"]
    index = (tmp_path / "index.html").read_text()
    assert 'id="02_broken"' in index and "<code>kdnotes run 2</code>" in index


def test_pages_and_notebooks_hold_no_papermill_metadata_and_no_path(finished):
    _, output = finished
    for path in output.glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        assert (
            "papermill" not in json.dumps(notebook.metadata)
            and str(output.parent) not in path.read_text()
        )
        assert not any({"papermill", "execution"} & set(cell.metadata) for cell in notebook.cells)


def test_one_chapter_again_keeps_the_others_and_a_failure_keeps_earlier_pages(
    course, finished, tmp_path
):
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
    assert ways(kept / "02_broken.failed.html")[-1] == "03_last.failed.html" == searched(kept)[-2]
    write(copy, "03_last", "print('rate', rate)", parameters=PARAMETERS + "\nrate = 0.5")
    done = command("run", "last", "--notebooks", copy, "--output", kept, "-p", "rate=2")
    assert done.returncode == 0 and not (kept / "03_last.failed.html").exists()
    assert printed(kept / "03_last.ipynb", "rate") == "rate 2"
    assert ways(kept / "02_broken.failed.html")[-1] == "03_last.html" == searched(kept)[-2]
    assert (
        results(kept)["01_first"]["profile"] == "smoke"
        and results(kept)["03_last"]["profile"] == "lesson"
    )


@pytest.mark.parametrize(("option", "seconds"), [("--timeout", 1), ("--chapter-timeout", 3)])
def test_a_time_limit_ends_the_chapter_and_its_processes(option, seconds, tmp_path):
    tag = f"limit-{option}-{os.getpid()}"
    folder = write(tmp_path / "course", "01_slow", SLOW, "time.sleep(300)")
    done = command(
        "run", "--notebooks", folder, "--output", tmp_path, option, seconds, KDNOTES_TEST=tag
    )
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
        write(
            tmp_path / "course",
            f"0{chapter}_slow",
            SLOW + f"open({str(file)!r}, 'w').close()",
            "time.sleep(300)",
        )
    options = "--output", tmp_path, "--jobs", jobs
    process = start("run", "--notebooks", tmp_path / "course", *options, KDNOTES_TEST=tag)
    wait_for(lambda: all(file.exists() for file in begun[:jobs]))
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and errors == "kdnotes: interrupted\n"
    assert tagged_processes(tag) == [] and [file.exists() for file in begun].count(True) == jobs


class Fake:
    """Stands for the execution of a chapter, which goes on until it is stopped."""

    begun: list[Fake]

    def __init__(self, chapter, parameters, **limits):
        self.chapter, self.name, self.began, self.done, self.total = chapter, chapter.name, 0, 0, 1
        self.stopped, self.training = False, ""
        self.begun.append(self)

    def ended(self):
        return False

    def stop(self):
        self.stopped = True


@pytest.fixture
def begun(monkeypatch):
    """What began, in order, where ``Fake`` takes the place of executions."""
    monkeypatch.setattr(Fake, "begun", [], raising=False)
    monkeypatch.setattr(runner, "Execution", Fake)
    return Fake.begun


def run_faked(course, tmp_path):
    everything = chapters.find(course)
    runner.run(everything, everything, tmp_path, {}, {"profile": "smoke"}, jobs=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_signal_cuts_short_what_stops_the_chapters(number, course, tmp_path, begun, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Fake, "ended", lambda self: signal.raise_signal(number))

    def stop(fake):
        signal.raise_signal(signal.SIGINT)  # an impatient hand
        signal.raise_signal(signal.SIGTERM)
        fake.stopped = True

    monkeypatch.setattr(Fake, "stop", stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_faked(course, tmp_path)
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert [fake.stopped for fake in begun] == [True, True]


def test_an_ignored_interruption_stays_ignored(course, tmp_path, begun, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def ended(fake):
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError

    monkeypatch.setattr(Fake, "ended", ended)
    try:
        with pytest.raises(ZeroDivisionError):
            run_faked(course, tmp_path)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_beside_the_chapters_stops_them(course, tmp_path, begun, monkeypatch):
    """The first ends and cannot be written; by then the third has begun."""
    outcome = {"status": "passed", "seconds": 1.0, "error": "", "notebook": {"cells": []}}
    monkeypatch.setattr(Fake, "ended", lambda self: self.name == "01_first")
    for name, value in outcome.items():
        monkeypatch.setattr(Fake, name, value, raising=False)
    monkeypatch.setattr(runner.results, "write_chapter", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_faked(course, tmp_path)
    assert [(fake.name, fake.stopped) for fake in begun] == [
        ("01_first", False),
        ("02_broken", True),
        ("03_last", True),
    ]


def test_a_full_disk_ends_in_one_line_and_keeps_earlier_results(
    course, finished, tmp_path, capsys, monkeypatch, begun
):
    _, output = finished
    kept = tmp_path / "output"
    shutil.copytree(output, kept)
    before = contents(kept)
    notebook = nbformat.read(output / "01_first.ipynb", 4)
    for name, value in {
        "status": "passed",
        "seconds": 1.0,
        "error": "",
        "notebook": notebook,
        "used": [],
    }.items():
        monkeypatch.setattr(Fake, name, value, raising=False)
    monkeypatch.setattr(Fake, "ended", lambda self: True)
    replace = os.replace

    def full(source, target):
        if not str(target).endswith(".writable"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert cli.main(["run", "1", "--notebooks", str(course), "--output", str(kept)]) == 2
    shown = capsys.readouterr().err
    assert shown == f"kdnotes: cannot write {kept}/01_first.ipynb: No space left on device\n"
    assert contents(kept) == before, "and no temporary file is left"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_left_when_the_command_is_killed(tmp_path):
    tag, begun = f"killed-{os.getpid()}", tmp_path / "begun"
    folder = write(
        tmp_path / "course",
        "01_slow",
        SLOW,
        f"open({str(begun)!r}, 'w').close()",
        "time.sleep(300)",
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = "--notebooks", folder, "--output", tmp_path
    process = start("run", *options, KDNOTES_TEST=tag, TMPDIR=str(scratch))
    wait_for(begun.exists)
    assert len(tagged_processes(tag)) >= 4, (
        "the command, the chapter, its kernel and what that started"
    )
    process.kill()
    process.communicate()
    wait_for(lambda: tagged_processes(tag) == [] and not list(scratch.glob("kdnotes-*")), 5)


def test_a_chapter_whose_process_is_killed_fails_and_the_others_go_on(tmp_path):
    """As the system does when memory runs out: here a cell kills the process that executes it."""
    tag = f"chapter-{os.getpid()}"
    kill = "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(300)"
    folder = write(tmp_path / "course", "01_killed", WORKERS, kill)
    write(folder, "02_fine", "1")
    done = command("run", "--notebooks", folder, "--output", tmp_path, KDNOTES_TEST=tag)
    assert done.stderr == "  its process ended with code -9 (out of memory?)\n"
    assert [entry["status"] for entry in results(tmp_path).values()] == ["failed", "passed"]
    wait_for(lambda: tagged_processes(tag) == [], 5)


def test_two_chapters_at_a_time_run_at_once_and_write_what_one_after_the_other_does(
    course, tmp_path
):
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
    write(
        folder,
        "01_one",
        meet.format(folder=str(tmp_path), own="a", other="b"),
        "print('profile', profile)",
    )
    write(folder, "02_two", meet.format(folder=str(tmp_path), own="b", other="a"), "1 / 0")
    write(folder, "03_three", TINY_STUDY, SHOW_STUDY)
    write(
        folder,
        "04_four",
        TINY_STUDY.replace('"cross-entropy": methods.CrossEntropy(), ', ""),
        SHOW_STUDY,
    )
    done = command("run", "--notebooks", folder, "--output", tmp_path, "--jobs", 2)
    assert (
        done.returncode == 1
        and done.stderr.splitlines()[0] == "  ZeroDivisionError: division by zero"
    )
    assert [entry["status"] for entry in results(tmp_path).values()] == [
        "passed",
        "failed",
        "passed",
        "passed",
    ]
    assert {entry["jobs"] for entry in results(tmp_path).values()} == {2}
    assert (
        len(
            re.findall(
                r"^\[\d/4\] 0\d_\w+ (?:passed|failed) in [\d.]+ s; \d:\d\d elapsed",
                done.stdout,
                re.M,
            )
        )
        == 4
    )
    shown = [printed(tmp_path / f"{name}.ipynb", "results") for name in ("03_three", "04_four")]
    alone = command(
        "run", 3, 4, "--notebooks", folder, "--output", tmp_path, "--fresh", "--workers", 2
    )
    assert alone.returncode == 0, alone.stderr
    assert shown == [
        printed(tmp_path / f"{name}.ipynb", "results") for name in ("03_three", "04_four")
    ]


def test_a_foreign_kernel_called_python3_is_not_used(course, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    spec.joinpath("kernel.json").write_text(
        json.dumps({"argv": ["false"], "display_name": "x", "language": "python"})
    )
    done = command(
        "run",
        1,
        "--notebooks",
        course,
        "--output",
        tmp_path,
        JUPYTER_PATH=str(tmp_path / "jupyter"),
    )
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
    chapter = chapters.find(folder)[0]
    stale, edited = chapter.path.read_bytes(), chapter.path.read_text().replace('"1"', '"2"')
    chapter.path.write_text(edited)
    with pytest.raises(ValueError, match="changed while it ran"):
        runner.results.update(chapter, stale, nbformat.reads(stale.decode(), 4))
    assert chapter.path.read_text() == edited


# Twelve trainings in four stacks of three seeds, which are stored at once: two workers that end
# together leave some to be done.
LONG_STUDY = TINY_STUDY.replace(
    "methods.LabelSmoothing(0.1)}",
    "methods.LabelSmoothing(0.1), "
    '"more": methods.LabelSmoothing(0.2), "most": methods.LabelSmoothing(0.3)}',
)


@pytest.fixture(scope="module")
def study_course(tmp_path_factory):
    return write(tmp_path_factory.mktemp("study"), "01_study", LONG_STUDY, SHOW_STUDY, SHOW_REUSE)


@pytest.fixture(scope="module")
def undisturbed(study_course, tmp_path_factory):
    """What the small study prints when nothing disturbs it."""
    output = tmp_path_factory.mktemp("undisturbed")
    done = command(
        "run", "--notebooks", study_course, "--output", output, KDNOTES_CACHE=str(output / "cache")
    )
    assert done.returncode == 0, done.stderr
    return printed(output / "01_study.ipynb", "results")


def test_killed_three_times_a_run_goes_on_and_ends_with_equal_results(undisturbed, tmp_path):
    tag = f"kill-{os.getpid()}"
    stored = tmp_path / "cache" / "runs"
    course = write(
        tmp_path / "course",
        "01_study",
        LONG_STUDY.replace("workers=1", "workers=2"),
        SHOW_STUDY,
        SHOW_REUSE,
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
        assert least <= len(list(stored.glob("*.safetensors"))) < 12
    done = command(*arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert printed(tmp_path / "01_study.ipynb", "results") == undisturbed
    assert 3 <= int(printed(tmp_path / "01_study.ipynb", "reused").split()[1]) < 12
    used = (tmp_path / "used" / "01_study.txt").read_text().splitlines()
    assert used == sorted(f"runs/{path.name}" for path in stored.glob("*.safetensors"))


def test_fresh_ignores_stored_runs_and_workers_leave_with_the_command(
    study_course, undisturbed, tmp_path
):
    tag = f"fresh-{os.getpid()}"
    folder = tmp_path / "course"
    shutil.copytree(study_course, folder)
    write(
        folder, "01_study", LONG_STUDY.replace("workers=1", "workers=None"), SHOW_STUDY, SHOW_REUSE
    )
    for options in (["--workers", "2"], ["--fresh"]):
        variables = {"KDNOTES_CACHE": str(tmp_path / "cache"), "KDNOTES_TEST": tag}
        assert (
            command(
                "run", "--notebooks", folder, "--output", tmp_path, *options, **variables
            ).returncode
            == 0
        )
        assert printed(tmp_path / "01_study.ipynb", "reused") == "reused 0"
        assert printed(tmp_path / "01_study.ipynb", "results") == undisturbed
        assert tagged_processes(tag) == []


def test_no_network_is_needed(course, tmp_path):
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-n", "true"], check=False).returncode
    ):
        pytest.skip("unshare -n is not allowed here")
    words = [
        "unshare",
        "-n",
        sys.executable,
        "-m",
        "kdnotes.cli",
    ]  # in there, not even the loopback interface is up
    done = subprocess.run(
        [*words, "run", "1", "--notebooks", course, "--output", tmp_path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
