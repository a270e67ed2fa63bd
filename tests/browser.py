"""A browser without a window, for what only a browser does: scripts and layout."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for found in map(shutil.which, NAMES) if found), "")
needs_browser = pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(NAMES)} is here")


def dom(address: str, *, width: int = 1280) -> str:
    """The HTML of a page after its scripts have run."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom", address,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout
