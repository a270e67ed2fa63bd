"""What the tests in a real browser share: what a page does unseen, and whether all can use it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

PATIENCE = 180_000  # ms for any one step: a busy machine takes a minute to open JupyterLab
HERE = ("127.0.0.1", "localhost")
MISSING = 'Playwright or axe is missing: install the extra "test"'
BARRED = ("serious", "critical")


class Watched:
    """A page of a browser context (``page``), whose faults are written down."""

    def __init__(self, context: Any) -> None:
        self._faults: list[str] = []
        context.on("request", lambda request: self._asked(request.url))
        context.on("console", self._said)
        context.on("weberror", lambda error: self._faults.append(f"error: {error.error}"))
        context.on("page", lambda page: page.on("websocket", lambda ws: self._asked(ws.url)))
        self.page = context.new_page()

    def taken(self) -> list[str]:
        """The faults since the last call: errors, and requests to other computers."""
        found, self._faults = self._faults, []
        return found

    def _asked(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in HERE:
            self._faults.append(f"request: {address}")

    def _said(self, message: Any) -> None:
        # What Chromium tells of a page that would have asked before it is left is no fault of it.
        if message.type == "error" and "'beforeunload' confirmation panel" not in message.text:
            self._faults.append(f"console: {message.text}")


def barriers(page: Any, *parts: str, colours: bool = True) -> list[str]:
    """Serious accessibility faults that axe finds, in the whole page or in these parts of it.

    Args:
        colours: whether their contrast is judged too, which takes most of the time.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=MISSING)
    context = {"include": [[part] for part in parts]} if parts else None
    rules = {"color-contrast": {"enabled": colours}}
    options = {"resultTypes": ["violations"], "rules": rules}
    found = axe.Axe().run(page, context, options).response["violations"]
    return [
        f"{fault['id']}: {node['target']}: {node['failureSummary']}"
        for fault in found
        if fault["impact"] in BARRED
        for node in fault["nodes"]
    ]
