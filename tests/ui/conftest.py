"""A real browser: Chromium through Playwright, cut off from every other computer."""

from __future__ import annotations

import pytest
from browser import BROWSER, NAMES
from watching import MISSING, PATIENCE, Watched

# No name but this computer's is found, whatever a page asks for.
CUT_OFF = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@pytest.fixture(scope="module")
def chromium():
    """The browser of a test module; without one, or without Playwright, the tests are skipped."""
    api = pytest.importorskip("playwright.sync_api", reason=MISSING)
    if not BROWSER:
        pytest.skip(f"none of {', '.join(NAMES)} is here")
    api.expect.set_options(timeout=PATIENCE)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", CUT_OFF]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def watched(chromium):
    """A page and what it asks for and complains of, for all tests of a module."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield Watched(context)
    context.close()


@pytest.fixture(autouse=True)
def quiet(watched):
    """No test leaves an error in the browser, nor a request to another computer."""
    yield
    assert watched.taken() == []
