#!/usr/bin/env bash
# dask.tokenize and joblib.hash as keys of code in a store of results.
#
# What one would guess: other code has another key, a comment changes none, and one tool judges a
#   function of a module and one of a script (or notebook) alike.
# What happens: of a function in a module both tools see the name alone, so its code may change.
#   In a script joblib still sees the name alone: any two functions f there have one key. Dask now
#   sees the code, but also the line at which it stands: a comment above f changes its token. And a
#   class of a script has another token in each process, although ensure_deterministic=True raises
#   nothing.
# What the course does about it: store.fingerprint hashes the syntax tree of the source, without
#   comments and docstrings, and the globals that a notebook's code uses.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq dask==2026.8.0 cloudpickle==3.1.3 joblib==1.6.0
cd "$folder"
cat > compare.py <<'EOF'
import subprocess
import sys
from pathlib import Path

import dask
import joblib

print("dask", dask.__version__, "joblib", joblib.__version__)
ASK = """
import joblib
from dask.tokenize import tokenize
print(tokenize(thing, ensure_deterministic=True), joblib.hash(thing))
"""

def keys(text, where):
    """The keys, by a process of its own, of the ``thing`` that this code makes."""
    if where == "module":
        Path("mine.py").write_text(text)
        text = "from mine import thing\n"
    Path("script.py").write_text(text + ASK)
    return subprocess.check_output([sys.executable, "-B", "script.py"], text=True).split()

F = "def thing(x):\n    return x + 1\n"
changes = {
    "nothing": (F, F),
    "other code": (F, F.replace("1", "2")),
    "a comment above": (F, "# a comment\n" + F),
    "nothing (a class)": ("class thing:\n    pass\n",) * 2,
}
found = {}
for where in ("module", "script"):
    for change, (before, after) in changes.items():
        pairs = zip(keys(before, where), keys(after, where), strict=True)
        found[where, change] = [one == other for one, other in pairs]
        same = dict(zip(("dask", "joblib"), found[where, change]))
        print(f"{where}, changed: {change}; same key: {same}")
differ = {("script", change) for change in list(changes)[1:]}
assert found == {key: [key not in differ, True] for key in found}, "the behaviour has changed"
EOF
venv/bin/python compare.py
