#!/usr/bin/env bash
# nbgrader's points for a test cell that passes, and a warning in the student's code.
#
# What one would guess: a locked test cell that raises nothing gets its points, whatever is printed
#   meanwhile, as a warning is no error.
# What happens: anything on stderr counts like an error. A right function that warns (a deprecated
#   call, a division that numpy warns of) gets 0 points, and the report gives no reason.
# What the course does about it: the test cells of `kdnotes edition nbgrader` silence warnings while
#   an answer is checked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq nbgrader==0.9.6 ipykernel==7.4.0
cd "$folder"
export PATH="$folder/venv/bin:$PATH" JUPYTER_DATA_DIR="$folder/data" JUPYTER_CONFIG_DIR="$folder/config" \
  IPYTHONDIR="$folder/ipython"
venv/bin/python - <<'EOF'
import subprocess
from importlib.metadata import version
from pathlib import Path

from nbformat import v4, write
from nbgrader.api import Gradebook


def cell(name, source, **told):
    about = {"grade_id": name, "schema_version": 3, "grade": False, "solution": False,
             "locked": False, "task": False}
    return v4.new_code_cell(source, id=name, metadata={"nbgrader": about | told})


def notebook(answer):
    test = cell("test", "assert half(4) == 2", grade=True, locked=True, points=1)
    return v4.new_notebook(cells=[cell("answer", answer, solution=True), test])


quiet = "def half(x):\n    return x / 2"
warns = "import warnings\n\ndef half(x):\n    warnings.warn('to be removed')\n    return x / 2"
answers = {"quiet": quiet, "warns": warns}


def put(place, content):
    path = Path(place, "week1", "one.ipynb")
    path.parent.mkdir(parents=True)
    write(content, path)


put("source", notebook("### BEGIN SOLUTION\n" + quiet + "\n### END SOLUTION"))
for name, answer in answers.items():
    put(f"submitted/{name}", notebook(answer))
options = ["--CourseDirectory.course_id=finding", "--log-level=ERROR"]
subprocess.run(["nbgrader", "generate_assignment", "week1", *options], check=True)
subprocess.run(["nbgrader", "autograde", "week1", *options], check=True)
with Gradebook("sqlite:///gradebook.db") as book:
    scores = {name: book.find_submission("week1", name).score for name in answers}
print("nbgrader", version("nbgrader"), "points of 1:", scores)
assert scores == {"quiet": 1.0, "warns": 0.0}, "the behaviour has changed"
EOF
