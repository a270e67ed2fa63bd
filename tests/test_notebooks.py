"""Every chapter: lint, a run in the smoke profile by the command, and nbval on the executed copy
and on the source.

nbval executes a notebook again and compares what it prints. On the executed copies every output
must come out again; on the sources, whose outputs are of the lesson profile, those of cells marked
``# NBVAL_CHECK_OUTPUT``.
"""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from browser import measured, needs_browser
from helpers import write_image_folder

from kdnotes.course import reading
from kdnotes.course.order import CHAPTERS, stem

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in PATHS]
SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")
ABSOLUTE = re.compile(
    r"(?<![\w.~+/:<\\])/(?:home|root|Users|opt|tmp|work|usr|var|mnt)/\w|\b[A-Z]:\\\\"
)
each = pytest.mark.parametrize("path", PATHS, ids=NAMES)


def test_the_files_are_the_chapters_of_the_list_with_its_numbers():
    assert [stem(name) for name in CHAPTERS] == NAMES


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def tagged(path: Path, tag: str) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if tag in cell.metadata.get("tags", [])]


def texts(path: Path) -> list[str]:
    """All that a reader sees as text: sources and textual outputs."""
    found = []
    for cell in nbformat.read(path, 4).cells:
        found.append(cell.source)
        for output in cell.get("outputs", []):
            found.append(output.get("text", ""))
            found += [
                str(text)
                for kind, text in output.get("data", {}).items()
                if not kind.startswith("image/")
            ]
    return found


@each
def test_a_chapter_holds_its_limits_and_has_all_its_parts(path):
    counted = reading.count(nbformat.read(path, 4))
    assert (reading.over_limits(counted), reading.missing(counted)) == ([], [])


@each
def test_the_file_is_a_valid_small_notebook_for_the_kernel_python3(path):
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor >= 5) == (4, True)
    identities = [cell.id for cell in notebook.cells]
    assert len(identities) == len(set(identities))
    assert notebook.metadata.kernelspec.name == "python3" and "papermill" not in notebook.metadata
    assert path.stat().st_size <= 1_000_000


@each
def test_one_cell_of_literal_parameters_with_the_common_three(path):
    (cell,) = tagged(path, "parameters")
    statements = ast.parse(cell.source).body
    assert all(isinstance(statement, ast.Assign) for statement in statements)
    values = {
        statement.targets[0].id: ast.literal_eval(statement.value) for statement in statements
    }
    assert values.items() >= {"profile": None, "dataset": "fashion-mnist", "seeds": None}.items()


HEADING = r"^\*\*(\d\d\.\d+) \((?:write|by hand|read|design)(?:, harder)?\)\*\* (?=\S)"
ASKED = r'\bcheck\.(?:exercise|by_hand|read|design|quiz)\(\s*"(\d\d(?:\.\d+)?)"'
SOLVED = r'^check\.solution\(\s*"(\d\d(?:\.\d+)?)"'


@each
def test_every_exercise_has_a_heading_a_check_and_a_hidden_solution(path):
    solutions = tagged(path, "solution")
    reader = "\n".join(cell.source for cell in code_cells(path) if cell not in solutions)
    prose = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    asked = sorted(re.findall(ASKED, reader))
    assert len(asked) == len(set(asked)) and {number[:2] for number in asked} == {path.stem[:2]}
    headings = sorted(re.findall(HEADING, prose, re.MULTILINE))
    assert headings == [number for number in asked if "." in number], "or it has another form"
    assert headings == sorted(set(re.findall(r"\*\*[^*\n]*?(\d\d\.\d+)\b[^*\n]*\*\*", prose)))
    solved = sorted(n for cell in solutions for n in re.findall(SOLVED, cell.source, re.MULTILINE))
    assert solved == asked
    assert all(cell.metadata.get("jupyter", {}).get("source_hidden") is True for cell in solutions)


@each
def test_a_solution_is_recognised_as_one_and_prints_no_verdict_beside_the_readers(path):
    for cell in tagged(path, "solution"):
        (number,) = re.findall(SOLVED, cell.source, re.MULTILINE)
        what = number if "." in number else "the quiz"
        assert cell.source.startswith(f"# Solution of {what}\n")
        assert not re.search(ASKED, cell.source)
        printed = "".join(output.get("text", "") for output in cell.outputs)
        assert printed == f"Solution of {what.replace('the quiz', f'quiz {number}')}: correct\n"


@each
def test_what_a_solution_uses_the_reader_has_too(path):
    """No import in a solution: the reader's code, in the cell above, would stop at a NameError."""
    for cell in tagged(path, "solution"):
        kinds = (ast.Import, ast.ImportFrom)
        assert not any(isinstance(one, kinds) for one in ast.walk(ast.parse(cell.source)))


@each
def test_a_stub_can_be_filled_in_where_it_stands(path):
    """Its body has a line of its own: below ``def f(x): ...`` an indented line is an error. Its
    arguments are those of the text, and its name is no other thing's in the chapter.
    """
    cells = nbformat.read(path, 4).cells
    for before, cell in itertools.pairwise(cells):
        solution = "solution" in cell.metadata.get("tags", [])
        if solution or not re.search(r"\bcheck\.exercise\(", cell.source):
            continue
        (stub,) = re.findall(
            r"^def (\w+)(\([^)]*\)):\n    \.\.\.  # your code\n\n\n(?=solved = )", cell.source, re.M
        )
        assert f"`{''.join(stub)}`" in before.source
        others = [ast.parse(one.source) for one in code_cells(path) if one.source != cell.source]
        names = [n.id for tree in others for n in ast.walk(tree) if isinstance(n, ast.Name)]
        assert stub[0] not in names


@each
def test_outputs_are_committed_in_order_without_errors_and_warnings(path):
    cells = [cell for cell in code_cells(path) if cell.source.strip()]
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), "run kdnotes run CHAPTER --update"
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text


@each
def test_the_source_uses_no_shell_no_magic_and_expects_no_exception(path):
    for cell in code_cells(path):
        assert "raises-exception" not in cell.metadata.get("tags", [])
        ast.parse(cell.source)  # "!" and "%" lines are no Python


@each
def test_no_line_of_code_is_longer_than_88_characters(path):
    """So that no cell scrolls sideways; ruff has one line length, the package's."""
    lines = [line for cell in code_cells(path) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 88] == []


@each
def test_where_an_interval_lies_is_asked_of_the_interval(path):
    """Not of its ends: an interval without spread has ends on one side of 0, and resolves
    nothing.
    """
    compared = re.compile(r"\.(?:low|high) *[<>]|[<>]=? *[\w.\[\]\"' ]+\.(?:low|high)\b")
    assert [
        line
        for cell in code_cells(path)
        for line in cell.source.splitlines()
        if compared.search(line)
    ] == []


@each
def test_a_guess_is_told_an_interval_that_was_judged_with_the_others(path):
    """A difference has one interval beside the guess and in the sentences about it. (Chapter 15's
    report has one difference.)
    """
    alone = re.compile(r"check\.outcome\(.*(?:\.difference|mean_interval)\(")
    judged = re.compile(r"\.(?:verdicts|differences|together)\(")
    cells = [cell.source for cell in code_cells(path)]
    assert [
        line
        for number, source in enumerate(cells)
        for line in source.splitlines()
        if alone.search(line) and any(map(judged.search, cells[number : number + 2]))
    ] == []


@each
def test_what_a_cell_draws_at_random_comes_from_a_seed(path):
    """A new layer's weights come from torch's own generator, which knows no seed of the course:
    what is printed from them differs from run to run.
    """
    drawn = re.compile(r"torch\.(?:nn\.(?:Conv|Linear|BatchNorm)|rand\w*\((?!.*generator=))")
    assert [
        cell.source
        for cell in code_cells(path)
        if drawn.search(cell.source) and "default_generator.manual_seed(" not in cell.source
    ] == []


@each
def test_no_absolute_path_is_shown(path):
    assert [text for text in texts(path) if ABSOLUTE.search(text)] == []


@each
def test_text_comes_before_nearly_every_code_cell(path):
    cells = nbformat.read(path, 4).cells
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    bare = [
        after.source
        for before, after in itertools.pairwise(cells)
        if after.cell_type == before.cell_type == "code" and not {"parameters", "solution"} & set(after.metadata.get("tags", []))  # noqa: E501
    ]  # fmt: skip
    assert len(bare) <= max(2, len(code_cells(path)) // 8), bare


@each
def test_every_figure_has_alternative_text(path):
    """Where JupyterLab and every maker of pages find it: in HTML, as ``plots.show`` puts it."""
    for cell in code_cells(path):
        for data in (output.get("data", {}) for output in cell.outputs):
            if "image/png" in data:
                assert re.match(
                    r'<img alt="[^"]{20,}" src="data:image/png;base64,', data["text/html"]
                )


@each
def test_formulas_can_be_shown_without_a_network(path):
    from kdnotes.show.pages import notebook_page

    assert "math-source" not in notebook_page(nbformat.read(path, 4), path.stem)


@pytest.fixture(scope="session")
def small(session_cache, tmp_path_factory):
    """The whole course in the smoke profile on a folder of few images of two unequal classes:
    chapter → its errors.

    Of all the folders that were tried (2, 12, 120 classes; grey, colour; equal, unequal) it is the
    cheapest, and the
    one on which most cells failed: no non-target class but one, two equal means, a teacher that
    never errs.
    """
    dataset = write_image_folder(tmp_path_factory.mktemp("small"), train=(14, 9), test=(7, 4))
    environment = os.environ | {
        "KDNOTES_CACHE": str(tmp_path_factory.mktemp("small-cache")),
        "KDNOTES_WORKERS": "1",
    }
    script = str(ROOT / "tests" / "run_cells.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, dataset, *map(str, PATHS)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path_factory.mktemp("small-run"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"\nchapters on a small data set: {sum(entry['cpu'] for entry in entries):.0f} s of CPU")
    return {entry["chapter"]: entry["errors"] for entry in entries}


@each
def test_the_chapter_runs_on_a_small_data_set_of_two_classes(path, small):
    assert small[path.stem] == []


@pytest.fixture(scope="session")
def smoke(session_cache, tmp_path_factory):
    """The whole course in the smoke profile, by the command, into fresh folders: (processes,
    output, environment).

    In two parts: chapters run at the same time, and the comparison is to find the runs of all
    chapters before it.
    """
    output = tmp_path_factory.mktemp("smoke")
    environment = os.environ | {"KDNOTES_CACHE": str(tmp_path_factory.mktemp("smoke-cache"))}
    options = ["--profile", "smoke", "--output", str(output), "--chapter-timeout", "180"]
    command = [
        sys.executable,
        "-m",
        "kdnotes.cli",
        "run",
        "--notebooks",
        str(ROOT / "notebooks"),
        *options,
    ]
    parts = [
        subprocess.run(
            [*command, *numbers], capture_output=True, text=True, check=False, env=environment
        )
        for numbers in (
            [name[:2] for name in NAMES if name < stem("comparison")],
            [name[:2] for name in NAMES if name >= stem("comparison")],
        )
    ]
    return parts, output, environment


def test_the_course_passes_in_the_smoke_profile(smoke):
    parts, output, _ = smoke
    entries = json.loads((output / "results.json").read_text())["chapters"]
    assert [done.returncode for done in parts] == [0, 0], [done.stderr for done in parts]
    assert [(entry["chapter"], entry["status"]) for entry in entries] == [
        (name, "passed") for name in NAMES
    ]


def test_the_comparison_uses_the_runs_of_the_earlier_chapters(smoke):
    cells = code_cells(smoke[1] / f"{stem('comparison')}.ipynb")
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    told = {
        line.partition(":")[0]: int(re.search(r"(\d+) computed now", line)[1])
        for line in printed.splitlines()
        if "computed now" in line and "trainings" in line
    }
    # New are CE and label smoothing for twice the epochs, and what no chapter chose alone.
    assert told["choice"] == 0 and told["report"] <= 8


def test_the_command_compare_gives_the_table_of_the_chapter(smoke, tmp_path):
    _, output, environment = smoke
    file = tmp_path / "numbers.csv"
    command = [
        sys.executable,
        "-m",
        "kdnotes.cli",
        "compare",
        "--profile",
        "smoke",
        "--output",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    numbers = pd.read_csv(file, index_col="method")
    page = (output / f"{stem('comparison')}.html").read_text(encoding="utf-8")
    for method, row in numbers.iterrows():
        assert method in done.stdout and method in page
        assert row["accuracy low"] <= row["accuracy"] <= row["accuracy high"]
        assert f"<td>{100 * row['accuracy']:.2f} ± " in page


@each
def test_the_page_is_complete_and_needs_no_network(path, smoke):
    page = (smoke[1] / f"{path.stem}.html").read_text(encoding="utf-8")
    body = page[page.index("<body>") :]
    assert not re.search(
        r"<script[^>]*\ssrc|<link\s|@import|<iframe|<img[^>]+src=[\"'](?!data:)", page
    )
    assert "math-source" not in page and "$$" not in re.sub(
        r"<(pre|code).*?</\1>", "", body, flags=re.DOTALL
    )
    assert body.count('<details class="solution">') == len(tagged(path, "solution"))
    assert page.count("<img") == len(
        re.findall(r'<img[^>]+alt="(?!No description)[^"]{20,}"', page)
    )


@needs_browser
def test_no_page_scrolls_sideways_on_a_phone(smoke, tmp_path):
    written = [(smoke[1] / f"{name}.html").read_text(encoding="utf-8") for name in NAMES]
    found = measured(written, tmp_path, 400)
    assert [
        name for name, (content, window, _) in zip(NAMES, found, strict=True) if content > window
    ] == []


def nbval(target: Path, mode: str, environment: dict[str, str]) -> None:
    options = [
        mode,
        f"--nbval-sanitize-with={SANITIZE}",
        "--nbval-current-env",
        "--nbval-cell-timeout=120",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-q", "-p", "no:cacheprovider", str(target)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"\d+ passed", done.stdout)


@each
def test_a_second_run_prints_the_same(path, smoke):
    _, output, environment = smoke
    nbval(output / path.name, "--nbval", environment)


@each
def test_marked_outputs_of_the_source_come_out_in_the_smoke_profile_too(path, smoke):
    nbval(path, "--nbval-lax", smoke[2] | {"KDNOTES_PROFILE": "smoke"})
    assert "NBVAL_CHECK_OUTPUT" in path.read_text(encoding="utf-8"), (
        "nbval-lax would compare nothing"
    )
