"""The command: bad input, what it prints, and how it opens JupyterLab."""

from __future__ import annotations

import io
import os
import sys

import pandas as pd
import pytest
from commands import command, course_of_three, write  # noqa: F401

from kdnotes import __version__, cli
from kdnotes.course import arguments, comparison, opening, runner


def test_list_shows_number_name_title_and_promise(course, capsys):
    assert cli.main(["list", "--notebooks", str(course)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["01  first: The first chapter", "    You see first."] and len(lines) == 6


def test_times_of_all_chapters_and_of_the_sections_of_one(course, capsys):
    assert cli.main(["times", "--notebooks", str(course)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["01_first", "02_broken", "03_last", "total"]
    assert cli.main(["times", "2", "--notebooks", str(course)]) == 0
    printed = capsys.readouterr().out
    assert "2. The broken chapter " in printed and "\nlimits broken: nothing\n" in printed


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"kdnotes {__version__}\n"


BAD = {
    "unknown chapter": (
        ["run", "9"],
        "CHAPTER must be one of 01_first, 02_broken, 03_last (or its number), not '9'",
    ),
    "times of an unknown chapter": (["times", "9"], "CHAPTER must be one of 01_first"),
    "unknown chapter name": (["run", "entropy"], "not 'entropy'"),
    "unknown profile": (
        ["run", "--profile", "quick"],
        "profile must be one of smoke, lesson, full, not 'quick'",
    ),
    "unknown data set": (
        ["run", "--dataset", "mnist"],
        "'fashion-mnist', 'cifar10' or 'folder:PATH', not 'mnist'",
    ),
    "missing folder": (["run", "--dataset", "folder:nowhere"], "nowhere/train does not exist"),
    "empty folder": (["run", "--dataset", "folder:{tmp}/empty"], "train holds no class folder"),
    "damaged image": (
        ["run", "--dataset", "folder:{tmp}/damaged"],
        "train/a/0.png cannot be read as an image (unknown format): ",
    ),
    "text for chapters of images": (
        ["run", "--dataset", "text:{tmp}/file"],
        "file holds strings, and 01_first uses images",
    ),
    "text for a comparison": (
        ["compare", "--dataset", "text:{tmp}/file"],
        "this command uses images",
    ),
    "folder of nobody": (["run", "--dataset", "folder:~no-such-user/a"], "is no path: "),
    "missing CIFAR-10": (["run", "--dataset", "cifar10"], "--download"),
    "no seeds": (["run", "--seeds", "0"], "--seeds must be a whole number of at least 1, not '0'"),
    "seeds no number": (
        ["run", "--seeds", "many"],
        "--seeds must be a whole number of at least 1, not 'many'",
    ),
    "negative timeout": (
        ["run", "--timeout", "-1"],
        "--timeout must be a number of seconds above 0, not '-1'",
    ),
    "timeout not finite": (
        ["run", "--timeout", "nan"],
        "--timeout must be a number of seconds above 0, not 'nan'",
    ),
    "chapter timeout 0": (
        ["run", "--chapter-timeout", "0"],
        "--chapter-timeout must be a number of seconds above 0",
    ),
    "unknown runtime": (
        ["runtimes", "--profile", "smoke", "--only", "tensorrt"],
        "--only must be one of onnxruntime, executorch, litert, ncnn, openvino, not 'tensorrt'",
    ),
    "runtimes of an unknown profile": (["runtimes", "--profile", "quick"], "profile must be one"),
    "no repeats": (["runtimes", "--repeats", "0"], "--repeats must be a whole number"),
    "unknown library": (["libraries", "--library", "torch"], "--library must be one of "),
    "no jobs": (["run", "--jobs", "0"], "--jobs must be a whole number of at least 1, not '0'"),
    "no workers": (
        ["run", "--workers", "0"],
        "--workers must be a whole number of at least 1, not '0'",
    ),
    "unknown engine": (
        ["run", "--engine", "ray"],
        "--engine must be 'local', 'dask' or 'dask:ADDRESS' (such as dask:tcp://127.0.0.1:8786), "
        "not 'ray'",
    ),
    "comparison by no engine": (["compare", "--engine", "dask:"], "--engine must be 'local', "),
    "unknown parameter": (
        ["run", "1", "-p", "alpha=1"],
        "01_first has no parameter 'alpha': it has profile, dataset",
    ),
    "parameter of some": (["run", "-p", "rate=1"], "01_first has no parameter 'rate'"),
    "parameter of a wrong kind": (
        ["run", "3", "-p", "rate=high"],
        "parameter rate of 03_last must be a float, not 'high'",
    ),
    "parameter without a value": (
        ["run", "-p", "rate"],
        "--parameter must be NAME=VALUE, not 'rate'",
    ),
    "parameter given twice": (["run", "--seeds", "2", "-p", "seeds=3"], "'seeds' is given twice"),
    "seeds as text": (
        ["run", "-p", "seeds=two"],
        "seeds must be a whole number of at least 1, not 'two'",
    ),
    "output is a file": (["run", "--output", "{tmp}/file"], "file must be a folder to write to"),
    "output below a file": (["run", "--output", "{tmp}/file/runs"], "must be a folder to write to"),
    "no notebooks": (
        ["run", "--notebooks", "{tmp}/empty"],
        "no chapter (NN_name.ipynb) in {tmp}/empty",
    ),
    "notebook no JSON": (
        ["run", "--notebooks", "{tmp}/garbage"],
        "01_garbage.ipynb is not a notebook",
    ),
    "update with a profile": (
        ["run", "--update", "--profile", "smoke"],
        "--update writes the default outputs, so it cannot go with profile",
    ),
    "unknown option": (["run", "--seed", "1"], "No such option"),
    "option without a value": (
        ["run", "--notebooks", ".", "--profile"],
        "Option '--profile' requires an argument",
    ),
    "unknown command": (["rum"], "No such command 'rum'"),
    "comparison into no folder": (
        ["compare", "--output", "nowhere/t.csv"],
        "--output: the folder nowhere does not exist",
    ),
    "comparison into a folder": (
        ["compare", "--output", "{tmp}"],
        "--output: {tmp} is a folder, not a file",
    ),
    "comparison of no seed": (
        ["compare", "--seeds", "0"],
        "--seeds must be a whole number of at least 1, not '0'",
    ),
    "comparison in no profile": (
        ["compare", "--profile", "tiny"],
        "profile must be one of smoke, lesson, full",
    ),
    "comparison on no data": (["compare", "--dataset", "mnist"], "--dataset: "),
    "teacher into no folder": (
        ["train-teacher", "--output", "nowhere/t.safetensors"],
        "folder nowhere does not exist",
    ),
    "port out of range": (["lab", "--port", "99999"], "at least 1, at most 65535, not '99999'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_commands_end_with_one_line_and_code_2_before_anything_runs(
    case, course, tmp_path, capsys, monkeypatch
):
    words, message = BAD[case]
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
    monkeypatch.setattr(runner, "Execution", lambda *a, **b: pytest.fail("a chapter ran"))
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    if words[0] in ("run", "lab", "times") and "--notebooks" not in words:
        words += ["--notebooks", str(course)]
    code = cli.main(words)
    shown = capsys.readouterr()
    assert code == 2 and shown.out == "", shown
    assert shown.err.startswith("kdnotes: ") and shown.err.count("\n") == 1, shown.err
    assert message.replace("{tmp}", str(tmp_path)) in shown.err
    assert (tmp_path / "file").read_text() == "kept" and not (tmp_path / "runs").exists()


def test_a_cache_folder_that_cannot_be_made_ends_a_command_at_once(
    course, tmp_path, capsys, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDNOTES_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(arguments, "describe", lambda *_: pytest.fail("the data were loaded"))
    for words in (["run", "1", "--notebooks", str(course)], ["compare"], ["train-teacher"]):
        assert cli.main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert (
            line.startswith("kdnotes: cannot create the cache folder ") and "KDNOTES_CACHE" in line
        )


class Result:
    """What ``compare_methods`` returns, as far as the command looks at it."""

    def table(self):
        return pd.DataFrame({"setting": ["ε = 0.1", "α → β ± 1, T ≥ 2"]})

    numbers = table


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_results_are_written_and_no_character_stops_a_comparison(encoding, tmp_path, monkeypatch):
    """Standard output as a redirect has it on Windows."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(
        comparison, "compare_methods", lambda *_, **__: print("label smoothing, ε") or Result()
    )
    monkeypatch.setattr(arguments, "check_store", lambda: None)
    monkeypatch.setattr(arguments, "describe", lambda *_: None)
    assert cli.main(["compare", "--output", str(tmp_path / "F.csv")]) == 0
    assert "ε = 0.1" in (tmp_path / "F.csv").read_text(encoding="utf-8")
    out.flush()
    printed = out.buffer.getvalue().decode(encoding)
    assert "\\u03b5 = 0.1" in printed and "All intervals" in printed


def test_results_are_written_before_they_are_printed(tmp_path, monkeypatch, capsys):
    def closed(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(comparison, "compare_methods", lambda *_, **__: Result())
    monkeypatch.setattr(arguments, "check_store", lambda: None)
    monkeypatch.setattr(arguments, "describe", lambda *_: None)
    monkeypatch.setattr(Result, "table", lambda self: type("Table", (), {"to_string": closed})())
    assert cli.main(["compare", "--output", str(tmp_path / "F.csv")]) == 2
    assert "ε = 0.1" in (tmp_path / "F.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["list"], ["run", "99"], ["--help"], ["propose", "blank"]])
def test_no_character_stops_another_command(arguments, course, tmp_path):
    """With a title, an error or a file name that standard output cannot write."""
    folder = write(tmp_path / "kürs ε", "01_first", "1 + 1")
    path = folder / "01_first.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace("first chapter", "ε ≥ chapter"), encoding="utf-8"
    )
    options = {
        "list": ["--notebooks", folder],
        "run": ["--notebooks", folder],
        "propose": ["--output", folder],
    }
    done = command(
        *arguments, *options.get(arguments[0], []), PYTHONUTF8="0", PYTHONIOENCODING="ascii"
    )
    assert done.returncode == (2 if arguments[0] == "run" else 0) and "codec" not in done.stderr
    assert arguments[0] != "list" or "\\u03b5 \\u2265 chapter" in done.stdout


@pytest.fixture
def started(monkeypatch):
    """The options with which Jupyter is started, which ends with code 1, as it does for root."""
    calls = []
    monkeypatch.setattr(cli.course.subprocess, "call", lambda command: calls.append(command) or 1)
    return calls


def test_lab_passes_further_options_on(course, started, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    more = ["--allow-root", "--port", "9"]
    assert cli.main(["lab", "--notebooks", str(course), "--no-browser", "--", *more]) == 1
    own = ["--ip=127.0.0.1", "--port=8888", "--no-browser", *opening.lab_options(course, more)]
    assert started[0][1:] == ["-m", "jupyterlab", *own, *more]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("user", "lines"), [(0, 1), (1000, 0)])
def test_lab_tells_root_how_to_start_it_in_one_line(
    user, lines, course, started, monkeypatch, capsys
):
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


def test_the_engine_reaches_the_chapters_and_the_comparison(course, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setenv("KDNOTES_ENGINE", "")
    given = ["--profile", "smoke", "--engine", "dask:tcp://127.0.0.1:8786"]
    monkeypatch.setattr(
        comparison, "compare_methods", lambda *_, **options: sys.exit(options["engine"])
    )
    with pytest.raises(SystemExit, match=given[-1]):
        cli.main(["compare", *given])
    monkeypatch.setattr(
        runner, "run", lambda *_, **__: seen.append(os.environ["KDNOTES_ENGINE"]) or True
    )
    folders = ["--notebooks", str(course), "--output", str(tmp_path / "out")]
    monkeypatch.setenv("KDNOTES_WORKERS", "1")  # for the end of the test
    assert cli.main(["run", *given, *folders]) == 0
    assert seen == given[-1:]
