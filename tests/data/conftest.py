"""What the tests of data share."""

from __future__ import annotations

import pytest

from kdnotes.data import load


@pytest.fixture(scope="session")
def fashion():
    return load("fashion-mnist")
