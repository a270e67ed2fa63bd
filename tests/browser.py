"""A browser without a window, for what only a browser does: scripts and layout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for found in map(shutil.which, NAMES) if found), "")
needs_browser = pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(NAMES)} is here")

MEASURE = """<script>addEventListener("load", () => {
  for (const part of document.querySelectorAll("details:not(.contents)")) part.open = true;
  const root = document.documentElement, contents = document.querySelector(".contents");
  const said = [root.scrollWidth, root.clientWidth, contents?.open ?? null];
  parent.postMessage([Number(location.hash.slice(1)), said], "*");
});</script></body>"""
LISTEN = """<script>const said = [];
onmessage = message => {
  said[message.data[0]] = message.data[1];
  document.title = JSON.stringify(said);
};
</script>"""


def dom(address: str, *, width: int = 1280, budget: int = 3000) -> str:
    """The HTML of a page after its scripts have run, for at most ``budget`` milliseconds."""
    return _browse(f"--window-size={width},900", "--dump-dom", address, budget=budget)


def printed_pages(address: str) -> int:
    """How many pages a page is on paper."""
    with tempfile.TemporaryDirectory() as folder:
        paper = Path(folder, "paper.pdf")
        _browse("--no-pdf-header-footer", f"--print-to-pdf={paper}", address, budget=20_000)
        return len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))


def _browse(*options: str, budget: int) -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            f"--virtual-time-budget={budget}", *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def measured(pages: list[str], folder: Path, width: int) -> list[tuple[int, int, bool | None]]:
    """For each page in a window of this width, with all folded parts open: the width of what it
    holds, the width that it has, and whether its contents are unfolded.
    """
    frames = []
    for place, page in enumerate(pages):
        (folder / f"{place}.html").write_text(page.replace("</body>", MEASURE), encoding="utf-8")
        frames.append(f'<iframe src="{place}.html#{place}" width="{width}" height="800"></iframe>')
    style = "<style>iframe { border: 0; display: block }</style>"
    (folder / "frames.html").write_text(LISTEN + style + "".join(frames), encoding="utf-8")
    found = dom((folder / "frames.html").as_uri(), width=width + 100)
    said = json.loads(BeautifulSoup(found, "html.parser").title.text)
    assert len(said) == len(pages) and all(said)
    return said
