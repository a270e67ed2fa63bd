"""JupyterLab as ``kdnotes lab`` opens it, and a notebook in it, used as a reader does."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jupyterlab
import nbformat
import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

START = 300  # seconds, on a busy machine
IDLE = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
CELLS = ".jp-Notebook .jp-Notebook-cell"


def need_jupyterlab() -> None:
    """Skip where JupyterLab is older than what these tests know."""
    if [int(part) for part in jupyterlab.__version__.split(".")[:2]] < [4, 6]:
        pytest.skip("JupyterLab before 4.6 keeps what is out of sight out of the page")


@contextlib.contextmanager
def running(notebooks: Path, home: Path) -> Iterator[str]:
    """The address of a JupyterLab on a folder of chapters; ``home`` holds all that it keeps.

    The name of a chapter is put in for ``{0}``: each is opened without the others.
    """
    token = secrets.token_hex(8)
    command = [
        sys.executable, "-m", "kdnotes.cli", "lab", "--notebooks", str(notebooks), "--no-browser",
        "--port", str(_free_port()), "--", f"--IdentityProvider.token={token}", "--allow-root",
    ]  # fmt: skip
    server = subprocess.Popen(
        command, env=_environment(home),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        place = _announced(server)
        _answers(place)
        yield f"{place}/lab/workspaces/{{0}}/tree/{{0}}.ipynb?token={token}"
        end = urllib.request.Request(
            f"{place}/api/shutdown", method="POST", headers={"Authorization": f"token {token}"}
        )
        urllib.request.urlopen(end, timeout=30).close()  # ends its kernels, and then itself
        server.wait(60)
    finally:
        if server.poll() is None:  # with what it has started: kernels too
            for one in (*psutil.Process(server.pid).children(recursive=True), server):
                one.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def _environment(home: Path) -> dict[str, str]:
    """This environment, in which JupyterLab finds no settings of whoever runs the tests."""
    folders = {
        "HOME": "home", "USERPROFILE": "home", "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }  # fmt: skip
    for folder in folders.values():
        (home / folder).mkdir(parents=True, exist_ok=True)
    own = {name: str(home / folder) for name, folder in folders.items()}
    asked = home / "settings" / "@jupyterlab" / "apputils-extension"
    asked.mkdir(parents=True, exist_ok=True)
    no = {
        "fetchNews": "false",
        "checkForUpdates": False,
    }  # the question would cover what is clicked
    (asked / "notification.jupyterlab-settings").write_text(json.dumps(no))
    return os.environ | own | {"KDNOTES_PROFILE": "smoke"}


def _answers(place: str) -> None:
    """Wait until it takes calls: it says where it is a moment before."""
    end = time.monotonic() + START
    while True:
        try:
            urllib.request.urlopen(f"{place}/api", timeout=30).close()
            return
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _announced(server: subprocess.Popen[str]) -> str:
    """Where the server says that it is; what it says later is read, so that it never waits."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in server.stderr:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    said = ""
    while line := lines.get(timeout=START):
        said += line
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab", line):
            return found[1]
    raise AssertionError(f"JupyterLab did not start:\n{said}")


class Notebook:
    """A chapter that is open in JupyterLab; its cells are found by what their source says."""

    def __init__(self, page: Page, address: str, path: Path) -> None:
        self.page, self.cells = page, nbformat.read(path, as_version=4).cells
        page.goto(address.format(path.stem))
        expect(page.locator(CELLS)).to_have_count(len(self.cells))
        self.wait()

    def wait(self) -> None:
        """Until the kernel is there and has nothing to do."""
        expect(self.page.locator(IDLE)).to_be_visible()
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")

    def cell(self, text: str, *, solution: bool = False) -> Locator:
        """The only cell, a solution or not, whose source has this text."""
        (place,) = (
            place
            for place, cell in enumerate(self.cells)
            if text in cell.source and ("solution" in cell.metadata.get("tags", [])) == solution
        )
        return self.page.locator(CELLS).nth(place)

    def source(self, text: str, *, solution: bool = False) -> str:
        """The source of that cell in the file."""
        place = self.cell(text, solution=solution).get_attribute("data-windowed-list-index")
        return self.cells[int(place)].source

    def choose(self, menu: str, entry: str) -> None:
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def run_all(self) -> None:
        self.choose("Run", "Run All Cells")
        visible = self.page.locator(f"{CELLS} .jp-InputArea-prompt:visible")
        waiting = visible.filter(has_text=re.compile(r"^\[[ *]\]:$"))
        expect(waiting).to_have_count(0)
        self.wait()

    def run(self, cell: Locator) -> Locator:
        """Run a cell in which the cursor is; its output, when it is done."""
        prompt = cell.locator(".jp-InputArea-prompt")
        before = re.escape(prompt.inner_text())
        self.page.keyboard.press("Control+Enter")
        expect(prompt).to_have_text(re.compile(rf"^(?!{before})\[\d+\]:$"))
        return cell.locator(".jp-Cell-outputArea")

    def write(self, cell: Locator, source: str) -> None:
        """Put this in the place of a cell's source."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(source)

    def folded(self) -> list[bool]:
        """Which cells are out of sight, in a section that is folded."""
        return self.page.locator(CELLS).evaluate_all(
            "all => all.map(one => !one.checkVisibility())"
        )


def shown(cell: Locator) -> str:
    """The code that a cell shows."""
    return "\n".join(cell.locator(".cm-line").all_text_contents())
