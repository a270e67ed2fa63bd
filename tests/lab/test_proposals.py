"""The lab notebooks that ``kdnotes propose`` writes run, and train what the package trains."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
import torch.nn.functional as F
from helpers import CONFIG, STUDENT, equal_states, tiny_data, tiny_teacher
from torch import nn

from kdnotes import cli, lab, losses, methods, models, training
from kdnotes.course import profiles
from kdnotes.lab import proposals


def code_of(name: str) -> list[str]:
    """Code cells: parameters, set-up, plan, loss, arms, verdict, seeds, report."""
    return [cell.source for cell in proposals.notebook(name).cells if cell.cell_type == "code"]


# What the package has for each of them, treatment and baseline.
EQUAL = {
    "attention": lambda t, pairs: methods.AT(t, 2.0, 0.1, pairs=pairs, weight=10.0),
    "hints": lambda t, pairs: methods.FitNets(t, 2.0, 0.1, (pairs[len(pairs) // 2],), weight=10.0),
    "progressive": lambda t, pairs: methods.AnnealedKD(t, (2.0, 2.0), (0.0, 0.5)),
    "mutual": lambda t, pairs: methods.DML(),
    "blank": lambda t, pairs: methods.KD(t, 2.0, 0.1),
}
CONTROLS = {
    "attention": lambda t: methods.KD(t, 2.0, 0.1),
    "hints": lambda t: methods.KD(t, 2.0, 0.1),
    "progressive": lambda t: methods.KD(t, 2.0, 0.25),
    "mutual": lambda t: methods.DML(weight=0.0),
    "blank": lambda t: methods.KD(t, 2.0, 0.1),
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_proposal_trains_bit_for_bit_what_the_package_trains(name):
    teacher = tiny_teacher()
    names = vars(methods) | {
        "functools": functools, "F": F, "nn": nn, "losses": losses, "models": models,
        "training": training, "s": SimpleNamespace(student=lambda: STUDENT), "teacher": teacher,
        "temperature": 2.0, "alpha": 0.1, "shared": {"student": STUDENT}, "experiment": lab,
    }  # fmt: skip
    _, _, plan, loss, arms, *_ = code_of(name)
    exec("\n".join([plan.partition("\ndisplay")[0], loss, arms.partition("\nresult")[0]]), names)
    plan, arms = names["plan"], names["arms"]
    assert list(arms) == [plan.baseline, plan.treatment]
    pairs = models.stages_of_equal_size(training.build(STUDENT, 0), teacher.model)
    ours, reference = arms[plan.treatment], EQUAL[name](teacher, pairs)
    control, wanted = arms[plan.baseline], CONTROLS[name](teacher)
    assert (type(control), vars(control)) == (type(wanted), vars(wanted))
    runs = [
        training.fit(training.build(names["shared"]["student"], 0), method, tiny_data(), CONFIG)
        for method in (ours, reference, control)
    ]
    assert equal_states(runs[0].state, runs[1].state)
    assert runs[0].start == runs[2].start
    same = equal_states(runs[0].state, runs[2].state)
    assert same == (name == "blank")  # else the control lacks something


@pytest.mark.parametrize("name", proposals.PROPOSALS)
def test_a_written_notebook_is_valid_stable_and_clean(name, tmp_path, capsys):
    assert cli.main(["propose", name, "--output", str(tmp_path / "new")]) == 0
    path = tmp_path / "new" / f"{name}.ipynb"
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert text == nbformat.writes(proposals.notebook(name)) + "\n"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert ("TODO" in text) == (name == "blank")
    for task in (["check", "--extend-select", "I,W,B,UP"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *task, "--isolated", "--line-length", "120"]
        done = subprocess.run(  # in a folder where kdnotes is a package like any other
            [*command, path.name], cwd=path.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "used"), [("mutual", ""), ("progressive", "t k"), ("hints", "tak"), ("blank", "tak")]
)
def test_a_proposal_sets_only_what_it_uses(name, used):
    parameters, set_up, *_ = code_of(name)
    assert ("temperature = " in parameters) == ("t" in used)
    assert ("alpha = " in parameters) == ("a" in used)
    assert ("teacher = s.teacher()" in set_up) == ("k" in used)


def test_proposals_are_judged_on_images_that_no_chapter_gave_to_a_student():
    (number,) = set(re.findall(r"splits\(subset_seed=(\d+)\)", "\n".join(code_of("hints"))))
    settings = profiles.settings("lesson")
    own, fresh = (
        set(part.train.images.flatten(1).sum(1).tolist())
        for part in (settings.splits(), settings.splits(subset_seed=int(number)))
    )
    assert int(number) and len(fresh) > 400 and len(own & fresh) < 0.15 * len(fresh)
    tags = [cell.metadata.get("tags") for cell in proposals.notebook("hints").cells]
    assert tags[:3] == [None, ["parameters"], None]


def test_propose_overwrites_nothing_and_names_what_there_is(tmp_path, capsys):
    (tmp_path / "hints.ipynb").write_text("mine")
    assert cli.main(["propose", "hints", "--output", str(tmp_path)]) == 2
    assert (tmp_path / "hints.ipynb").read_text() == "mine"
    assert cli.main(["propose", "hint", "--output", str(tmp_path / "no")]) == 2
    assert cli.main(["propose", "blank", "--output", str(tmp_path / "hints.ipynb")]) == 2
    assert cli.main(["propose"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(line.startswith("kdnotes: ") for line in lines)
    assert "exists already" in lines[0]
    known = "attention, hints, progressive, mutual, language, blank"
    assert lines[1].endswith(f"must be one of {known}, not 'hint'")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["hints.ipynb"]


# All cells in one process, as IPython runs them: five kernels would each import torch.
RUN_ALL = """
import sys
import nbformat
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for name in sys.argv[1:]:
    shell.reset(new_session=True)
    for cell in nbformat.read(f"{name}.ipynb", 4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source, store_history=True).raise_error()
"""


def test_all_proposals_execute_and_report(tmp_path):
    for name in proposals.PROPOSALS:
        proposals.write(name, tmp_path)
    smoke = {"KDNOTES_PROFILE": "smoke", "KDNOTES_WORKERS": "1", "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *proposals.PROPOSALS],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | smoke,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in proposals.PROPOSALS:
        page = (tmp_path / "reports" / f"{name}.html").read_text(encoding="utf-8")
        assert ("Not filled in" in page) == (name == "blank")
        assert ("Verdict: " in page) == (name != "blank")
        assert code_of(name)[3].splitlines()[0] in page  # the head of the loss
        assert str(tmp_path) not in page


@pytest.mark.parametrize("name", proposals.PROPOSALS)
def test_the_hypothesis_of_a_proposal_is_what_the_rule_judges(name):
    hypothesis = re.search(r'hypothesis="(.*)"', code_of(name)[2])[1]
    assert "gains δ or more" in hypothesis
    text = nbformat.writes(proposals.notebook(name)).lower()
    assert "supported" not in text and "refuted" not in text


def test_a_proposal_executes_in_a_kernel_through_papermill(tmp_path):
    proposals.write("attention", tmp_path)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-p", "profile", "smoke"]
    command += ["attention.ipynb", "done.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Verdict: " in (tmp_path / "reports" / "attention.html").read_text(encoding="utf-8")
    cells = nbformat.read(tmp_path / "done.ipynb", 4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert "stderr" not in [output.get("name") for output in outputs]
    assert json.dumps(outputs).count("image/png") >= 1
