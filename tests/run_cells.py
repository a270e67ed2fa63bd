"""Runs chapters' cells in this process, cheaper than in a kernel each, and prints what failed.

    python run_cells.py DATASET NOTEBOOK…

One line of JSON a chapter: its name, the seconds of CPU, and the errors as [cell, message]. After
an error the chapter goes on, so that one run finds them all. What the cells print goes to standard
error.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

import nbformat
from IPython.core.interactiveshell import InteractiveShell


def run(path: Path, dataset: str) -> dict:
    shell, errors, start = InteractiveShell.instance(), [], time.process_time()
    shell.reset()
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code":
            continue
        done = shell.run_cell(cell.source)
        if error := done.error_before_exec or done.error_in_exec:
            errors.append([cell.id, f"{type(error).__name__}: {error}"])
        if "parameters" in cell.metadata.get("tags", []):
            shell.user_ns |= {"profile": "smoke", "dataset": dataset}
    return {"chapter": path.stem, "cpu": time.process_time() - start, "errors": errors}


if __name__ == "__main__":
    results, dataset = sys.stdout, sys.argv[1]
    with contextlib.redirect_stdout(sys.stderr):
        for name in sys.argv[2:]:
            print(json.dumps(run(Path(name), dataset)), file=results, flush=True)
