"""What all tests share: a cache of their own, and none of the caller's KDNOTES_ variables but
KDNOTES_LITERT, which names an installation.
"""

from __future__ import annotations

import os

import pytest
import torch
from helpers import own_cache  # noqa: F401

from kdnotes.data import load

# Two threads that wait for each other on a busy machine make a test of small tensors a hundred
# times slower.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory):
    """The folder of stored runs for this test session (and for the processes that it starts)."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in [
            name for name in os.environ if name.startswith("KDNOTES_") and name != "KDNOTES_LITERT"
        ]:
            patch.delenv(name)
        patch.setenv("KDNOTES_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def fashion(session_cache):
    return load("fashion-mnist")
