#!/usr/bin/env bash
# papermill: what its notebook says after a cell ran into the time limit.
#
# What one would guess: the cell that was stopped is "failed", those after it "pending", as after
#   an exception of Python's.
# What happens: every cell is "completed", also those that never began, and no cell has an
#   exception; the notebook's own "exception" is null. (So it is when the kernel dies.) Only the
#   exception that papermill raises tells; the file that it leaves does not.
# What the course does about it: status and error come from the exception, and papermill's
#   metadata is removed before a notebook is kept (kdnotes/course/runner.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq papermill==2.7.0 nbclient==0.11.0 ipykernel==7.4.0
cd "$folder"
venv/bin/python - 2> messages <<'EOF' || { cat messages; exit 1; }
import nbformat
import papermill

print("papermill", papermill.__version__)

def statuses(source, **options):
    cells = [nbformat.v4.new_code_cell(one) for one in ("1", source, "3")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "3", "language": "python"}
    nbformat.write(notebook, "in.ipynb")
    try:
        papermill.execute_notebook("in.ipynb", "out.ipynb", progress_bar=False, **options)
        raised = None
    except Exception as error:
        raised = type(error).__name__
    written = nbformat.read("out.ipynb", as_version=4)
    ran = [one.metadata.papermill for one in written.cells if one.source in ("1", source, "3")]
    whole = written.metadata.papermill.exception
    found = [one.status for one in ran], [one.exception for one in ran], whole
    print(f"{source}: raised {raised}\n  cells {found[0]}, exceptions {found[1]}, notebook {whole}")
    return found

error = statuses("1 / 0")
limit = statuses("import time; time.sleep(60)", execution_timeout=3)
assert error == (["completed", "failed", "pending"], [False, True, None], True), "changed"
assert limit == (["completed"] * 3, [False, False, None], None), "the behaviour has changed"
EOF
