#!/usr/bin/env bash
# repo2docker (Binder), and the version of Python in environment.yml.
#
# What one would guess: with "python>=3.11" the image is built on a Python of at least 3.11.
# What happens: only "python=3.11" and "python==3.11" are read. A range is taken for no wish at all
#   (the build's log calls it unspecified), and the image begins with a default that is below the range.
# What the course does about it: environment.yml says "python=3.12", and a test holds it to that form.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq jupyter-repo2docker==2026.4.0 setuptools==80.9.0
cd "$folder"
venv/bin/python - <<'EOF'
import os
from importlib.metadata import version
from pathlib import Path

from repo2docker.buildpacks import CondaBuildPack

seen = {}
wishes = ("python=3.11", "python==3.11", "python>=3.11", "python>=3.11,<3.13")
for number, wish in enumerate(wishes):
    place = Path(f"clone{number}")
    place.mkdir()
    (place / "environment.yml").write_text(f"dependencies:\n  - '{wish}'\n")
    before = os.getcwd()
    os.chdir(place)
    pack = CondaBuildPack("debian:bookworm")
    seen[wish] = (pack.python_version, pack.major_pythons["3"])
    os.chdir(before)
print("repo2docker", version("jupyter-repo2docker"))
for wish, (read, default) in seen.items():
    print(f"{wish:20} begins with {read or default!r}")
assert [read for read, _ in seen.values()][:2] == ["3.11", "3.11"], "the behaviour has changed"
assert {read for read, _ in list(seen.values())[2:]} <= {"", "3.10"}, "the behaviour has changed"
EOF
