"""``python -m kdnotes.libraries [NAME …]``: measures libraries and writes the record anew."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from kdnotes.libraries.recording import FILE, write
from kdnotes.libraries.shelf import names

if __name__ == "__main__":
    write(Path(str(resources.files("kdnotes.libraries"))) / FILE, *(sys.argv[1:] or names()))
