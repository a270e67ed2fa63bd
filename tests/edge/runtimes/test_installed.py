"""What an extra adds to the core."""

from __future__ import annotations

import importlib.metadata

from kdnotes.edge.runtimes import installed


def test_what_the_core_needs_is_not_added():
    for package in ("torch", "onnxruntime", "numpy", "no-such-package"):
        assert installed.added([package]) == [] and installed.megabytes([package]) == 0


def test_what_only_another_package_needs_is_counted_with_its_files():
    added = installed.added(["ruff", "numpy"])  # of the tests
    assert added == ["ruff"]
    files = [one.locate() for one in importlib.metadata.distribution("ruff").files]
    there = sum(one.stat().st_size for one in files if one.is_file())
    assert installed.megabytes(["ruff"]) == there / 1e6 > 5
